#!/usr/bin/env python3
"""Every row of base/diag.def is provoked by some test that knows its exact text: usage: diagnostics.py ROOT

Such texts stand in the files that tests compare with what was said, and in the table of test_ir_text.c.
"""
import pathlib
import re
import sys

ROW = re.compile(r"^DIAG\((\w+),\s*([EWN]),\s*(\d+),", re.M)
SAID = re.compile(r"\b(?:error|warning|note) ([EWN]\d{3}): .")
GOLDEN = ["tests/bad/*.diag", "tests/models/*.qir", "tests/driver/*.txt", "tests/test_ir_text.c"]

root = pathlib.Path(sys.argv[1])
rows = {sev + f"{int(no):03d}": symbol for symbol, sev, no in ROW.findall((root / "base/diag.def").read_text())}
said = {number for pattern in GOLDEN for path in root.glob(pattern) for number in SAID.findall(path.read_text())}
missing = sorted(set(rows) - said)
for number in missing:
    print(f"no test provokes {number}, {rows[number]}")
for number in sorted(said - set(rows)):
    print(f"tests expect {number}, which base/diag.def lacks")
sys.exit(1 if missing or said - set(rows) or len(rows) < 20 else 0)
