/* One case of ONNX's backend suite: a folder with model.onnx and test_data_set_N/{input,output}_M.pb, or a light case:
 * NAME.onnx with NAME_output_0.pb, whose inputs count up from 0 to 1. */
#ifndef QCC_TESTS_CONFORMANCE_CASE_H
#define QCC_TESTS_CONFORMANCE_CASE_H

#include "base/base.h"
#include "base/diag.h"

/* The gates in order; a case has passed those below `passed`. */
typedef enum Gate { GATE_NONE, GATE_IMPORT, GATE_EVALUATE, GATE_COMPILE } Gate;

typedef struct CaseResult {
    Gate passed;
    bool refused;   /* import said why, as it should for what is out of scope */
    bool fallback;  /* a reference kernel is called */
    char note[200]; /* why the next gate was not passed */
} CaseResult;

/* What compiled code runs on. */
typedef struct CaseMachine {
    const char *target; /* as --target; NULL: this machine, in this process */
    const char *runner; /* otherwise the command that runs a library: it is given MODEL.so FOLDER, see tests/cross */
    int level;          /* -O */
} CaseMachine;

/* Runs the case in `folder` through the gates up to `last`. Inputs that an operator needs at compile time are bound to
 * the data set's values. On this machine compiled code runs with inaccessible pages round every buffer. */
void case_run(const char *folder, Gate last, const CaseMachine *machine, CaseResult *out);

#endif
