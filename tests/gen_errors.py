#!/usr/bin/env python3
"""Writes docs/errors.md from base/diag.def, or checks that it is up to date.

usage: gen_errors.py ROOT [--write]
"""

import pathlib
import re
import sys

ROW = re.compile(r'^DIAG\((\w+),\s*([EWN]),\s*(\d+),\s*"(.*)"\)$', re.M)
WORD = {"E": "error", "W": "warning", "N": "note"}
RANGES = ["Files and memory", "The command line", "The structure of the ONNX file", "Operators and shapes",
          "Passes and lowering", "Code generation and linking", "The text form"]

HEAD = """# Diagnostics

Written by `tests/gen_errors.py --write` from `base/diag.def`; numbers are for ever.

    model.onnx: node 'conv1' (Conv #12): error E305: what was found, what was wanted
        note: the operands, with their types
        hint: one action, where there is an obvious one

`#12` is the node's index in its graph. The command exits with 0 if all is well (warnings and notes do not count), 1 if the
model or the command is wrong, 2 if a file or memory failed, 70 if qcc itself is mistaken.
"""


def page(table):
    rows = ROW.findall(table)
    if len(rows) != table.count("\nDIAG("):
        sys.exit("base/diag.def has a row that is not understood")
    out = [HEAD]
    for digit, title in enumerate(RANGES):
        here = [r for r in rows if int(r[2]) // 100 == digit]
        if here:
            out.append(f"\n## {title}\n\n| number | | name | meaning |\n|---|---|---|---|\n")
        out += [f"| {sev}{int(no):03d} | {WORD[sev]} | {symbol} | {text} |\n" for symbol, sev, no, text in here]
    return "".join(out)


def main():
    root = pathlib.Path(sys.argv[1])
    target = root / "docs" / "errors.md"
    text = page((root / "base" / "diag.def").read_text(encoding="utf-8"))
    if sys.argv[2:] == ["--write"]:
        target.parent.mkdir(exist_ok=True)
        target.write_text(text, encoding="utf-8")
    elif not target.exists() or target.read_text(encoding="utf-8") != text:
        sys.exit("docs/errors.md is not what base/diag.def says: run tests/gen_errors.py ROOT --write")


if __name__ == "__main__":
    main()
