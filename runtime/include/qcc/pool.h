/* A small thread pool that implements qcc_exec. It is not part of the compiled model: link it or bring your own. */
#ifndef QCC_POOL_H
#define QCC_POOL_H

#include "qcc/qcc.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct qcc_pool qcc_pool;

/* A pool of `workers` threads in all, the calling one included (so workers - 1 are started); 0 means one for each CPU
 * that the process may use. NULL if memory or threads are not to be had. One thread at a time may run models on it. */
qcc_pool *qcc_pool_new(unsigned workers);
void qcc_pool_free(qcc_pool *pool); /* NULL is allowed */
/* The exec to pass to NAME_run; valid until the pool is freed. */
const qcc_exec *qcc_pool_exec(const qcc_pool *pool);

#ifdef __cplusplus
}
#endif
#endif
