#!/usr/bin/env python3
"""Holds the house rules that a text search can hold: the one-way order of the folders, who may see which foreign header,
who may allocate, print and exit, sizes of files and functions, and that nothing unfinished stays in the tree.

usage: order.py ROOT

First every rule is shown a breach of itself and must report it, and the same thing done right and must not.
"""

import pathlib
import re
import sys

# What a folder may include from the tree. "qcc" is the public header folder runtime/include/qcc.
MAY = {"runtime": {"runtime", "qcc"}, "base": {"base"}}
MAY["ir"] = {"ir"} | MAY["base"] | MAY["runtime"]
MAY["quant"] = {"quant"} | MAY["ir"]
MAY["frontend"] = {"frontend"} | MAY["quant"]
MAY["passes"] = {"passes"} | MAY["frontend"]
MAY["codegen"] = {"codegen"} | MAY["passes"]
MAY["driver"] = {"driver"} | MAY["codegen"]
MAY["tests"] = {"tests", "bench"} | MAY["driver"]
MAY["bench"] = {"bench"} | MAY["driver"]

# Foreign headers that only some may see. tests may look at everything.
FOREIGN = [
    (re.compile(r"^(onnx/onnx\.pb-c\.h|onnx\.pb-c\.h|protobuf-c/.*)$"), {"frontend", "tests"}),
    (re.compile(r"^(llvm-c|llvm)/"), {"codegen", "tests"}),
    (re.compile(r"^cmocka\.h$"), {"tests"}),
    (re.compile(r"^stdio\.h$"), set(MAY) - {"runtime"} | {"examples"}),
]

# Calls that belong to one place. The compiler's folders are those with an order.
COMPILER = {"base", "ir", "quant", "frontend", "passes", "codegen"}
CALLS = [
    ("only driver/ prints and exits", COMPILER | {"runtime"}, {"base/mem.c"},
     re.compile(r"(?<![\w.>])(?:printf|fprintf|vprintf|vfprintf|puts|fputs|putchar|perror|exit|_exit|abort)\s*\(")),
    ("memory comes from base/", COMPILER | {"driver"}, {"base/mem.c"},
     re.compile(r"(?<![\w.>])(?:malloc|calloc|realloc|reallocarray|strdup|strndup|asprintf|vasprintf|free)\s*\(")),
]

UNFINISHED = re.compile(r"\b(?:TO" r"DO|FIX" r"ME|X" r"XX|HA" r"CK)\b|^\s*#\s*if\s+0\b", re.M)
INCLUDE = re.compile(r'^\s*#\s*include\s+(?:"([^"]+)"|<([^>]+)>)', re.M)
COMMENT_OR_TEXT = re.compile(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|' r"'(?:\\.|[^'\\\n])*'", re.S)
MOST_LINES = {"ir/ir.h": 600}
MOST_LINES_ELSE = 800

# Nine of ten functions have under 50 lines. Formatted as the tree is, one begins and ends in the first column.
FUNCTION = re.compile(r"^[A-Za-z_][^\n;=]*\([^;={}]*\) \{$\n(.*?)^\}$", re.M | re.S)
LONG_FUNCTION = 50
LONG_SHARE = 0.1

C_LIKE = {".c", ".h", ".def"}
TEXT = C_LIKE | {".py", ".sh", ".md", ".txt", ".cmake", ".qir", ".in", ".toml"}
NOT_OURS = re.compile(r"^(build.*|\..*|__pycache__)$")


def line_of(text, at):
    return text.count("\n", 0, at) + 1


def check_includes(path, text):
    folder = path.split("/")[0]
    for m in INCLUDE.finditer(text):
        ours, foreign = m.group(1), m.group(2)
        where = line_of(text, m.start())
        rules = [allowed for pattern, allowed in FOREIGN if pattern.match(ours or foreign)]
        if any(folder not in allowed for allowed in rules):
            yield where, f"{ours or foreign}: not for {folder}/"
        elif ours and not rules and folder in MAY:
            if "/" not in ours:
                yield where, f'"{ours}": includes are written from the root'
            elif ours.split("/")[0] not in MAY[folder]:
                yield where, f'"{ours}": {folder}/ may not include from {ours.split("/")[0]}/'


def check_calls(path, text):
    blank = COMMENT_OR_TEXT.sub(lambda m: re.sub(r"[^\n]", " ", m.group()), text)
    for rule, folders, but, pattern in CALLS:
        if path.split("/")[0] in folders and path not in but:
            for m in pattern.finditer(blank):
                yield line_of(text, m.start()), f"{m.group()}...): {rule}"


def check_text(path, text):
    for m in UNFINISHED.finditer(text):
        yield line_of(text, m.start()), f"{m.group().strip()}: nothing unfinished stays in the tree"
    n, most = text.count("\n"), MOST_LINES.get(path, MOST_LINES_ELSE)
    if pathlib.PurePath(path).suffix in C_LIKE | {".py"} and n > most:
        yield n, f"{n} lines: at most {most}"


def check(path, text):
    yield from check_text(path, text)
    if pathlib.PurePath(path).suffix in C_LIKE:
        yield from check_includes(path, text)
        yield from check_calls(path, text)


def function_sizes(text):
    return [m.group(1).count("\n") for m in FUNCTION.finditer(text)]


def check_sizes(sizes):
    n_long = sum(n >= LONG_FUNCTION for n in sizes)
    if n_long > LONG_SHARE * len(sizes):
        yield f"{n_long} of {len(sizes)} functions have {LONG_FUNCTION} lines or more"


# path, text, how many complaints
SAMPLES = [
    ("runtime/pool.c", '#include "qcc/qcc.h"\n#include <string.h>\n', 0),
    ("runtime/pool.c", '#include "base/base.h"\n', 1),
    ("runtime/pool.c", "#include <stdio.h>\n", 1),
    ("base/map.c", '#include "ir/ir.h"\n', 1),
    ("ir/op.c", '#include "runtime/ref/ref.h"\n#include "base/base.h"\n', 0),
    ("ir/op.c", '#include "quant/quant.h"\n', 1),
    ("ir/op.c", '#include "op.h"\n', 1),
    ("frontend/x.c", '#include "onnx/onnx.pb-c.h"\n#include "quant/quant.h"\n', 0),
    ("frontend/x.c", '#include <onnx/onnx.pb-c.h>\n#include "passes/pass.h"\n', 1),
    ("passes/x.c", '  #  include "onnx/onnx.pb-c.h"\n', 1),
    ("passes/x.c", '#include "codegen/codegen.h"\n', 1),
    ("codegen/emit.c", "#include <llvm-c/Core.h>\n", 0),
    ("driver/main.c", "#include <llvm-c/Core.h>\n", 1),
    ("codegen/x.c", "#include <cmocka.h>\n", 1),
    ("examples/x.c", '#include "model.h"\n#include <stdio.h>\n', 0),
    ("ir/op.c", "int n = snprintf(s, 1, x); /* printf(x) */ t->free(p); emit_abort(); \"free(p)\";\n", 0),
    ("ir/op.c", 'if (x)\n    fprintf(stderr, "x");\n', 1),
    ("driver/main.c", "exit(1); p = malloc(1);\n", 1),
    ("base/mem.c", "exit(70); p = malloc(1);\n", 0),
    ("quant/x.c", "free (p);\n", 1),
    ("ir/op.c", "/* TO" "DO: later */\n#if 0\n#endif\n", 2),
    ("docs/x.md", "FIX" "ME\n", 1),
    ("ir/op.c", "\n" * 801, 1),
    ("ir/op.c", "\n" * 800, 0),
    ("ir/ir.h", "\n" * 601, 1),
]


def check_samples():
    for path, text, n in SAMPLES:
        found = list(check(path, text))
        if len(found) != n:
            yield f"the sample {path} {text[:60]!r} gives {found}, wanted {n}"
    text = "int a(int x,\n      int y) {\n    return 1;\n}\nenum {\n  X\n};\nvoid b(void) {\n" + "    ;\n" * 50 + "}\n"
    if function_sizes(text) != [1, 50] or not list(check_sizes([1, 50])) or list(check_sizes([1] * 9 + [50])):
        yield "the sample functions are not measured rightly"


def files_below(folder):
    for entry in sorted(folder.iterdir()):
        if NOT_OURS.match(entry.name) or entry.is_symlink():
            continue
        if entry.is_dir():
            yield from files_below(entry)
        elif entry.suffix in TEXT or entry.name == "check":
            yield entry


def main():
    root = pathlib.Path(sys.argv[1])
    complaints = list(check_samples())
    seen, sizes = 0, []
    for file in files_below(root):
        path = file.relative_to(root).as_posix()
        seen += 1
        text = file.read_text(encoding="utf-8")
        complaints += [f"{path}:{line}: {what}" for line, what in check(path, text)]
        sizes += function_sizes(text) if file.suffix == ".c" else []
    complaints += check_sizes(sizes)
    print(f"{seen} files and {len(sizes)} functions looked at, {len(complaints)} complaints", *complaints, sep="\n")
    return 1 if complaints or not seen else 0


if __name__ == "__main__":
    sys.exit(main())
