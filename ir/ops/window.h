/* The sliding window of convolutions and poolings, with every default filled in and auto_pad resolved, so that no later
 * file reads the attributes. Source: ONNX Conv-22, ConvTranspose-22, MaxPool-22, AveragePool-22, LpPool-22.
 *
 * Along spatial axis i, output position o reads input positions o * stride - pad_begin + k * dilation for k in
 * [0, kernel); positions outside [0, in) are padding. ConvTranspose swaps the two: input position p adds to output
 * positions p * stride - pad_begin + k * dilation. */
#ifndef QCC_IR_OPS_WINDOW_H
#define QCC_IR_OPS_WINDOW_H

#include "ir/op.h"

enum { MAX_SPATIAL = 3 };

typedef struct Window {
    int rank; /* spatial axes: 1 to MAX_SPATIAL */
    int64_t in[MAX_SPATIAL], out[MAX_SPATIAL];
    int64_t kernel[MAX_SPATIAL], stride[MAX_SPATIAL], dilation[MAX_SPATIAL];
    /* Not negative. The end pads matter only to AveragePool's divisor; with ceil_mode a window may reach past them. */
    int64_t pad_begin[MAX_SPATIAL], pad_end[MAX_SPATIAL];
    int64_t group; /* 1 for poolings */
} Window;

/* Resolves the window of a convolution or pooling of any kind; false after an error. It
 * checks the attributes and the spatial sizes, not the channels. */
bool window_resolve(Infer *c, Window *w);
/* The same of a node that has been inferred. */
void window_of_node(const Node *n, Window *w);
/* The same window with MAX_SPATIAL axes: leading axes of size 1 are added. */
void window_widen(Window *w);
/* The extent of a dilated kernel: (kernel - 1) * dilation + 1. */
static inline int64_t window_extent(const Window *w, int i) { return (w->kernel[i] - 1) * w->dilation[i] + 1; }

#endif
