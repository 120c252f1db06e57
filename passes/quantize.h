/* Making a float network a quantized one: quantizers on the weights and in front of the layers, fitted without
 * training.
 *
 * Layers are Conv, ConvTranspose, Gemm and MatMul with constant weights. Behind each fit the layer's bias, or the
 * statistics of the batch normalisation that follows it, are moved so that means (and variances) are what they were in
 * float. Values of both signs are quantized as lsq does where a method is for rectified ones. The result is a graph for
 * onnx_export, or for the passes. */
#ifndef QCC_PASSES_QUANTIZE_H
#define QCC_PASSES_QUANTIZE_H

#include "ir/ir.h"
#include "quant/scheme.h"

/* For layers whose node or output has a name that matches. */
typedef struct LayerRule {
    const char *glob;
    bool keep; /* stays float; else `scheme` */
    Scheme scheme;
} LayerRule;

typedef struct QuantizeOptions {
    Scheme scheme;
    Scheme edge; /* of the first and the last layers */
    size_t n_rules;
    const LayerRule *rules; /* a later one wins */
    RangeChoice range;
    /* Inputs to observe: tensor `input` of sample i is samples[i * number of inputs + input]. None: what the batch
     * normalisations say must do. */
    int64_t n_samples;
    const Tensor *const *samples;
    const double *input_range; /* least and greatest input, where there are no samples; NULL: not known */
    bool keep_means;           /* do not correct biases and statistics */
    Text *report;              /* NULL, or gets a line for each layer */
} QuantizeOptions;

/* The graph must be as imported. False after diagnostics; the graph is then of no use. */
bool graph_quantize(Graph *g, Diags *d, const QuantizeOptions *o);

/* ---- among its parts ---- */

/* Mean and variance of each channel. */
typedef struct ChannelStats {
    int64_t n;
    double *mean, *var;
} ChannelStats;

/* A layer and what it is about to become. */
typedef struct Layer {
    Node *node;
    const char *name;
    int axis; /* of the weights' output channels; -1: the whole tensor is one */
    bool first, last;
    Scheme scheme; /* w_bits, a_bits 0: that side stays float */
    Value *source; /* where its input can be quantized: behind its activation, before pooling and reshaping */
    Node *user;    /* the first node from there to the layer, and its operand */
    int operand;
    Node *drop;            /* an activation in between that the quantizer takes the place of, or NULL */
    Quantizer weights;     /* n_step 0: none */
    const float *was, *is; /* the weights in float and quantized, channel by channel; NULL: none */
    Quantizer input;
    ChannelStats before, after; /* of its output, in float and quantized */
} Layer;

/* ---- layer.c: which layers there are, and how they are changed ---- */
typedef VEC(Layer *) Layers;
/* All layers in order, with everything down to `operand`. */
void layers_find(Graph *g, const QuantizeOptions *o, Layers *out);
/* The layer's weights, one output channel after the other. */
Weights layer_weights(Arena *a, const Layer *l);
/* The axis of the output channels among the weights' dimensions, -1 if there is none; false if the node is no layer. */
bool layer_weight_axis(const Node *n, int *axis);
/* The axis of the output's channels. */
int layer_output_axis(const Node *n);
/* Moves the bias, or the statistics of the normalisation behind, by what `before` and `after` differ. *shift is what
 * was added to the output itself, for each channel; NULL where nothing was. */
void layer_correct(Layer *l, const double **shift);

/* ---- insert.c: quantizers as nodes ---- */
/* A node that quantizes x, in front of `before`; axis is where its steps lie, if they are several. */
Value *quantizer_insert(Graph *g, Node *before, const Quantizer *q, Value *x, int axis, const char *name);
/* Takes away ReLU and Clip in front of quantizers that do the same. */
void quantizers_absorb(Graph *g);

/* ---- observe.c: what samples show ---- */
typedef struct Watch {
    const Value *value;
    int axis;    /* of channels; -1: no statistics wanted */
    bool sample; /* a sample of its values is wanted */
    ChannelStats stats;
    Spread spread;
} Watch;
/* Runs the samples and fills the watches. */
bool observe(Arena *a, Diags *d, const Graph *g, const QuantizeOptions *o, Watch *w, size_t n);
/* Runs all samples node by node; `at` is called when a node has been computed and may change the graph behind it. */
bool observe_stepwise(Arena *a, Diags *d, Graph *g, const QuantizeOptions *o,
                      void (*at)(void *ctx, const Node *n, int64_t samples, const Tensor *const *out), void *ctx);
ChannelStats stats_of_tensors(Arena *a, int64_t n, const Tensor *const *t, int axis);

/* ---- expect.c: what the batch normalisations say ---- */
typedef struct Expect {
    Arena *arena;
    const double *input_range;
    Map known; /* Value -> ChannelStats */
} Expect;
/* Statistics of each channel (axis 1) of v before it is rectified; *rectified if a ReLU or the like follows in v
 * itself. False where nothing is known. */
bool expect_stats(Expect *e, const Value *v, ChannelStats *out, bool *rectified);
/* The same as a spread. */
bool expect_spread(Expect *e, const Value *v, Spread *out);
/* The output of l from the statistics of its input: `steps` is what quantizes the input (NULL: nothing), w its weights
 * as layer_weights has them. */
bool expect_output(Expect *e, const Layer *l, const Steps *steps, const float *w, ChannelStats *out);

#endif
