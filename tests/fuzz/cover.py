#!/usr/bin/env python3
"""usage: cover.py MERGE_CONTROL_FILE MOST FOLDER

Copies to FOLDER at most MOST of the inputs that a merge by libFuzzer has looked at: one after the other that which reaches
the most that none before it did (greedy set cover), while there is one. The control file says what each reaches:
the number of inputs, how many of them were there before, their paths, and lines "FT INDEX FEATURE...".
"""
import shutil
import sys

control, most, folder = sys.argv[1], int(sys.argv[2]), sys.argv[3]
with open(control) as f:
    lines = f.read().splitlines()
paths = lines[2 : 2 + int(lines[0])]
reaches = {}
for line in lines[2 + len(paths) :]:
    kind, *numbers = line.split()
    if kind == "FT":
        reaches[int(numbers[0])] = set(map(int, numbers[1:]))

reached = set()
for _ in range(most):
    best = max(reaches, key=lambda i: len(reaches[i] - reached), default=None)
    if best is None or not reaches[best] - reached:
        break
    reached |= reaches.pop(best)
    shutil.copy(paths[best], folder)
everything = reached.union(*reaches.values())
print("%d of %d features" % (len(reached), len(everything)))
