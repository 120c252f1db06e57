/* The importer on small models, each with what is expected beside it: models/NAME.textproto gives the graph NAME.qir,
 * bad/NAME.textproto the diagnostics NAME.diag. Lines "# option: ..." in a model are options: "dim N=3",
 * "shape x=1x2", "const s=-1" (an i64 of one dimension). QCC_UPDATE=1 in the environment writes what was found instead.
 */
#include "tests/support.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "frontend/frontend.h"
#include "frontend/proto.h"

/* What the importer can say; each must occur in some expected file. */
static const DiagId raised[] = {
    D_USAGE,         D_SYMBOLIC_DIM,     D_CONST_UNBOUND, D_BATCH_DEFAULT,     D_NOT_ONNX,     D_MODEL_LIMIT,
    D_OPSET,         D_GRAPH_STRUCTURE,  D_TENSOR_DATA,   D_EXTERNAL_DATA,     D_ELEM_TYPE,    D_VALUE_INFO,
    D_ANNOTATION,    D_UNSUPPORTED_OP,   D_ARITY,         D_ATTRIBUTE,         D_OPERAND_TYPE, D_OPERAND_SHAPE,
    D_OPERAND_VALUE, D_UNSUPPORTED_FORM, D_NOT_STATIC,    D_UNKNOWN_ATTRIBUTE, D_DOUBTFUL,     D_WIDE_CODES,
    D_SIZE_LIMIT,
};
static bool seen[D_COUNT];

/* ---- options in the model's text ---- */

typedef struct Options {
    Arena *a;
    VEC(ImportDim) dims;
    VEC(ImportShape) shapes;
    VEC(ImportConst) consts;
} Options;

static void add_option(Options *o, char *line) {
    char kind[16], name[64], value[64];
    Shape s = {0};
    assert_int_equal(sscanf(line, "# option: %15s %63[^=]=%63s", kind, name, value), 3);
    for (char *p = value; *p;) {
        s.dim[s.rank++] = strtoll(p, &p, 10);
        if (*p == 'x') p++;
    }
    const char *own = arena_str(o->a, name);
    const int64_t one = 1;
    if (strcmp(kind, "dim") == 0)
        vec_push(o->a, &o->dims, (ImportDim){own, s.dim[0]});
    else if (strcmp(kind, "shape") == 0)
        vec_push(o->a, &o->shapes, (ImportShape){own, s});
    else
        vec_push(o->a, &o->consts, (ImportConst){own, tensor_from_ints(o->a, QCC_I64, shape_of(1, &one), s.dim)});
}

static ImportOptions read_options(Arena *a, const char *text) {
    Options o = {.a = a};
    for (char *line = arena_str(a, text), *end; (end = strchr(line, '\n')); line = end + 1) {
        *end = '\0';
        if (strncmp(line, "# option:", 9) == 0) add_option(&o, line);
    }
    return (ImportOptions){.n_dims = o.dims.n,
                           .n_shapes = o.shapes.n,
                           .n_consts = o.consts.n,
                           .dims = o.dims.at,
                           .shapes = o.shapes.at,
                           .consts = o.consts.at};
}

/* ---- one model against its expected file ---- */

static const char *read_text(Arena *a, const char *path) {
    Diags d;
    FileView v;
    diags_init(&d, a);
    if (!file_map(a, &d, path, &v)) return NULL;
    return arena_strn(a, (const char *)v.data, v.bytes);
}

static bool updating(void) { return getenv("QCC_UPDATE") != NULL; }

static bool same_as_file(Arena *a, const char *path, const char *found) {
    Diags d;
    diags_init(&d, a);
    if (updating()) return file_write(&d, path, found, strlen(found));
    const char *want = read_text(a, path);
    if (want && strcmp(want, found) == 0) return true;
    print_error("%s: expected\n%s\nfound\n%s\n", path, want ? want : "(no file)", found);
    return false;
}

/* The graph, or NULL; what was said goes to *said. */
static Graph *import(Arena *a, const char *folder, const char *name, const char **said) {
    Diags d;
    FileView v;
    diags_init(&d, a);
    const char *source = arena_printf(a, "%s/tests/%s/%s.textproto", QCC_SOURCE_DIR, folder, name);
    const char *path = arena_printf(a, "%s/tests/%s/%s.onnx", QCC_BUILD_DIR, folder, name);
    ImportOptions o = read_options(a, read_text(a, source));
    assert_true(file_map(a, &d, path, &v));
    Graph *g = onnx_import_bytes(a, &d, arena_printf(a, "%s.onnx", name), path_dir(a, path), v.data, v.bytes, &o);
    for (const Diag *k = d.first; k; k = k->next) seen[k->id] = true;
    *said = test_diags(a, &d);
    return g;
}

static bool taken_as_expected(Arena *a, const char *name) {
    const char *said;
    Graph *g = import(a, "models", name, &said);
    if (!g) {
        print_error("%s is refused:\n%s\n", name, said);
        return false;
    }
    graph_verify(g, "import");
    Text t = {.arena = a};
    for (const char *line = said; *line; line = strchr(line, '\n') + 1) {
        text_add(&t, "# %.*s\n", (int)strcspn(line, "\n"), line);
    }
    graph_print(&t, g, 0);
    return same_as_file(a, arena_printf(a, "%s/tests/models/%s.qir", QCC_SOURCE_DIR, name), t.s);
}

static bool refused_as_expected(Arena *a, const char *name) {
    const char *said;
    if (import(a, "bad", name, &said)) {
        print_error("%s is taken\n", name);
        return false;
    }
    return same_as_file(a, arena_printf(a, "%s/tests/bad/%s.diag", QCC_SOURCE_DIR, name), said);
}

static void for_each_model(const char *folder, bool (*check)(Arena *, const char *)) {
    Arena a = {0};
    int n = 0, wrong = 0;
    DIR *dir = opendir(arena_printf(&a, "%s/tests/%s", QCC_SOURCE_DIR, folder));
    assert_non_null(dir);
    for (struct dirent *e; (e = readdir(dir));) {
        if (!glob_match("*.textproto", e->d_name)) continue;
        Arena *own = arena_nested(&a);
        wrong += !check(own, path_stem(own, e->d_name));
        arena_free(own);
        n++;
    }
    closedir(dir);
    arena_free(&a);
    assert_true(n > 10);
    assert_int_equal(wrong, 0);
}

static void test_taken(void **state) {
    (void)state;
    for_each_model("models", taken_as_expected);
}

static void test_refused(void **state) {
    (void)state;
    for_each_model("bad", refused_as_expected);
}

static void test_all_said(void **state) {
    (void)state;
    for (size_t i = 0; i < COUNT_OF(raised); i++) {
        if (!seen[raised[i]]) fail_msg("no model provokes D_%s", diag_info[raised[i]].symbol);
    }
}

/* ---- what the text form of the distribution's proto cannot say ---- */

static Onnx__ModelProto *read_model(Arena *a, const char *name) {
    Diags d;
    FileView v;
    diags_init(&d, a);
    assert_true(file_map(a, &d, arena_printf(a, "%s/tests/models/%s.onnx", QCC_BUILD_DIR, name), &v));
    Onnx__ModelProto *m = onnx__model_proto__unpack(NULL, v.bytes, v.data);
    assert_non_null(m);
    return m;
}

static Graph *import_packed(Arena *a, Diags *d, const Onnx__ModelProto *m) {
    size_t bytes = onnx__model_proto__get_packed_size(m);
    uint8_t *data = arena_get(a, bytes);
    onnx__model_proto__pack(m, data);
    return onnx_import_bytes(a, d, "packed.onnx", NULL, data, bytes, NULL);
}

static void set_newer(ProtobufCMessage *m, ProtobufCMessageUnknownField *f, uint32_t number, uint8_t *data, size_t n) {
    *f = (ProtobufCMessageUnknownField){.tag = number, .wire_type = PROTOBUF_C_WIRE_TYPE_LENGTH_PREFIXED, n, data};
    m->n_unknown_fields = 1;
    m->unknown_fields = f;
}

static void drop_newer(ProtobufCMessage *m) {
    m->n_unknown_fields = 0;
    m->unknown_fields = NULL;
}

/* Two functions of one name are told apart by the overload, field 8 of nodes and 13 of functions. */
static void test_overload(void **state) {
    (void)state;
    Arena a = {0};
    Diags d;
    diags_init(&d, &a);
    Onnx__ModelProto *m = read_model(&a, "function");
    ProtobufCMessageUnknownField of_node, of_function;
    uint8_t v1[] = {2, 'v', '1'}, v2[] = {2, 'v', '2'};
    set_newer(&m->graph->node[0]->base, &of_node, 8, v1, sizeof v1);
    assert_null(import_packed(&a, &d, m));
    assert_int_equal(d.first->id, D_UNSUPPORTED_OP);
    set_newer(&m->functions[0]->base, &of_function, 13, v1, sizeof v1);
    assert_non_null(import_packed(&a, &d, m));
    set_newer(&m->functions[0]->base, &of_function, 13, v2, sizeof v2);
    assert_null(import_packed(&a, &d, m));
    drop_newer(&m->graph->node[0]->base);
    drop_newer(&m->functions[0]->base);
    onnx__model_proto__free_unpacked(m, NULL);
    arena_free(&a);
}

/* Field 11 of a function: an attribute with a default, here axis=0 of the inner Softmax. */
static void test_attribute_default(void **state) {
    (void)state;
    Arena a = {0};
    Diags d;
    diags_init(&d, &a);
    Onnx__ModelProto *m = read_model(&a, "function");
    uint8_t axis[] = {11, 0x0a, 4, 'a', 'x', 'i', 's', 0x18, 0, 0xa0, 0x01, 2};
    ProtobufCMessageUnknownField f;
    set_newer(&m->functions[1]->base, &f, 11, axis, sizeof axis);
    size_t n_attribute = m->graph->node[0]->n_attribute;
    m->graph->node[0]->n_attribute = 0;
    Graph *g = import_packed(&a, &d, m);
    assert_non_null(g);
    assert_int_equal(node_int(g->first, "axis"), 0);
    m->graph->node[0]->n_attribute = n_attribute;
    drop_newer(&m->functions[1]->base);
    onnx__model_proto__free_unpacked(m, NULL);
    arena_free(&a);
}

/* Weights of a large file are not copied: they lie in the file's own bytes. */
static void test_in_place(void **state) {
    (void)state;
    enum { N = 1024 };
    Arena a = {0};
    Diags d;
    diags_init(&d, &a);
    Onnx__ModelProto *m = read_model(&a, "splat");
    Onnx__TensorProto *t = m->graph->initializer[0], was = *t;
    float *weights = arena_get(&a, N * sizeof *weights);
    for (int i = 0; i < N; i++) weights[i] = (float)i;
    int64_t dims[] = {N};
    *t = (Onnx__TensorProto)ONNX__TENSOR_PROTO__INIT;
    t->name = was.name;
    t->n_dims = 1, t->dims = dims, t->has_data_type = 1, t->data_type = QCC_F32;
    t->has_raw_data = 1, t->raw_data = (ProtobufCBinaryData){N * sizeof *weights, (uint8_t *)weights};
    Onnx__ValueInfoProto *output = m->graph->output[0], output_was = *output;
    size_t n_node = m->graph->n_node;
    m->graph->n_node = 0;
    output->name = t->name;
    output->type = NULL;
    size_t bytes = onnx__model_proto__get_packed_size(m), lead = 0;
    uint8_t *data = arena_get(&a, bytes + 4);
    onnx__model_proto__pack(m, data);
    while (memcmp(data + lead, weights, sizeof *weights * N) != 0) lead++;
    size_t shift = (4 - lead % 4) % 4;
    memmove(data + shift, data, bytes);
    Graph *g = onnx_import_bytes(&a, &d, "large.onnx", NULL, data + shift, bytes, NULL);
    assert_non_null(g);
    assert_ptr_equal(g->outputs.at[0].value->constant->data, data + shift + lead);
    *t = was;
    *output = output_was;
    m->graph->n_node = n_node;
    onnx__model_proto__free_unpacked(m, NULL);
    arena_free(&a);
}

/* ---- memory ---- */

static void import_body(Arena *a, void *name) {
    const char *said;
    import(a, "models", name, &said);
}

static void test_no_memory(void **state) {
    (void)state;
    char loop[] = "loop", function[] = "function";
    assert_true(test_alloc_failures(import_body, loop, 200) > 10);
    assert_true(test_alloc_failures(import_body, function, 200) > 10);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_taken),     cmocka_unit_test(test_refused),           cmocka_unit_test(test_all_said),
        cmocka_unit_test(test_overload),  cmocka_unit_test(test_attribute_default), cmocka_unit_test(test_in_place),
        cmocka_unit_test(test_no_memory),
    };
    return TEST_RUN(tests);
}
