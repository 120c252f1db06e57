/* qcc export: a model as ONNX again, in the newest operators that are widely read. */
#include <string.h>

#include "base/file.h"
#include "driver/driver.h"

static bool choose_dialect(Driver *dr, Dialect *out) {
    static const struct {
        const char *word;
        Dialect dialect;
    } words[] = {{"own", DIALECT_OWN}, {"qonnx", DIALECT_QONNX}, {"qdq", DIALECT_QDQ}};
    const char *word = command_get(&dr->cmd, O_DIALECT);
    *out = DIALECT_OWN;
    for (size_t i = 0; word && i < COUNT_OF(words); i++) {
        if (strcmp(words[i].word, word) != 0) continue;
        *out = words[i].dialect;
        return true;
    }
    if (word) diag(dr->diags, D_USAGE, LOC_NONE, "--dialect=%s: expected own, qonnx or qdq", word);
    return !word;
}

bool write_onnx(Driver *dr, const Graph *g, const char *output) {
    Dialect dialect;
    const uint8_t *data;
    size_t bytes;
    return choose_dialect(dr, &dialect) && spares_read(dr, output) &&
           onnx_export(dr->arena, dr->diags, g, dialect, &data, &bytes) && file_write(dr->diags, output, data, bytes);
}

bool export_verb(Driver *dr) {
    const char *path = single_file(dr), *output = command_get(&dr->cmd, O_OUTPUT);
    if (!path) return false;
    if (!output) {
        diag(dr->diags, D_USAGE, LOC_NONE, "qcc export needs the name of the file to write: -o OUT.onnx");
        return false;
    }
    if (!spares_model(dr, path, output)) return false;
    const Graph *g = import_graph(dr, path);
    return g && write_onnx(dr, g, output);
}
