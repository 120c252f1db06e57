/* What the verbs of the qcc command share. Only this folder prints and exits. */
#ifndef QCC_DRIVER_DRIVER_H
#define QCC_DRIVER_DRIVER_H

#include "codegen/codegen.h"
#include "driver/option.h"
#include "frontend/frontend.h"
#include "passes/pass.h"

typedef struct Driver {
    Arena *arena;
    Diags *diags;
    Command cmd;
} Driver;

/* The verbs. False after diagnostics. */
bool compile_verb(Driver *dr);
bool run_verb(Driver *dr);
bool bench_verb(Driver *dr);
bool info_verb(Driver *dr);
bool export_verb(Driver *dr);
bool quantize_verb(Driver *dr);
bool verify_verb(Driver *dr);

/* Imports a model as the command's options say and runs the passes. NULL after diagnostics. */
Graph *load_graph(Driver *dr, const char *path);
/* The same, and what the passes find out of layers is written into `report`. */
Graph *load_reported(Driver *dr, const char *path, struct Report *report);
/* The same without the passes. */
Graph *import_graph(Driver *dr, const char *path);
/* False after a diagnostic if the model has a symbolic batch dimension, taken as 1, and a batch of `samples` is not
 * proved to be that many samples on their own. */
bool samples_apart(Driver *dr, const char *path, int64_t samples);
/* Compiles a graph as the command's options say. header and report may be NULL. */
bool compile_graph(Driver *dr, Graph *g, EmitKind kind, const char *output, const char *header, CompileReport *report);
/* Writes a graph that has not been through passes as ONNX, in the dialect of the command. */
bool write_onnx(Driver *dr, const Graph *g, const char *output);
/* False after a diagnostic if writing `output` (NULL: nothing) would replace the model at `path`. */
bool spares_model(Driver *dr, const char *path, const char *output);
/* The same of all files that were read for the command. */
bool spares_read(Driver *dr, const char *output);
bool path_is_elf(const char *path);
/* The only file on the command line, which no option writes to; NULL after a diagnostic. */
const char *single_file(Driver *dr);
/* A count on the command line, in [lo, hi]; `otherwise` where the option is absent. False after a diagnostic. */
bool command_count(Driver *dr, OptId id, int64_t lo, int64_t hi, int64_t otherwise, int64_t *out);

/* ---- library.c: compiled models ---- */

/* Opens a compiled model; a model file is compiled to a temporary first. Closed with the arena. NULL after diagnostics.
 */
const qcc_model *library_open(Driver *dr, const char *path);
Type port_type(const qcc_port *p);
/* The names of the nodes that a step computes, as they may be printed. */
const char *step_nodes(Arena *a, const qcc_step *step);

/* ---- feeds.c: inputs from the command line ---- */

typedef struct PortType {
    const char *name;
    Type type; /* of one sample */
} PortType;
/* One array per port, dense; each holds `samples` samples one after the other. */
typedef struct Feeds {
    int64_t samples;
    const Tensor **tensor;
} Feeds;
/* The array in FILE.npy, FILE.pb or FILE.npz:MEMBER. NULL after diagnostics. */
const Tensor *array_read(Driver *dr, const char *path);
/* Reads --input. Missing ones are an error, or, if `fill`, numbers in [0, 1) (small integers for integer types) from a
 * fixed seed. An array that is a whole number of samples along its first dimension is that many samples. */
bool feeds_read(Driver *dr, const PortType *ports, uint32_t n, bool fill, Feeds *out);

/* ---- calibrate.c, quantize.c ---- */

/* --calibrate: a tensor for each sample and input, one sample after the other. False after a diagnostic. */
bool samples_read(Driver *dr, const Graph *g, const Tensor *const **out, int64_t *n);
/* Quantizes as the options say; `scheme` is the value of --scheme or --quantize. */
bool quantize_graph(Driver *dr, Graph *g, const char *scheme, Text *report);

/* ---- say.c: what goes to the terminal ---- */

/* A status line on standard error if that is a terminal, for what takes longer than a second; done() wipes it. */
void progress_say(const char *fmt, ...) PRINTF_LIKE(1, 2);
void progress_done(void);
double seconds_now(void);
/* "1.2 KiB" */
const char *bytes_str(Arena *a, uint64_t bytes);
const char *count_str(Arena *a, uint64_t n);

#endif
