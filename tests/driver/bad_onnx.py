#!/usr/bin/env python3
"""usage: bad_onnx.py QCC MANIFEST

Compiles every model of bad-onnx with the command, as far as an object file. It must do as the manifest says, within 5
seconds of processor time and 1 GiB, and what it refuses it must name: file, node and operator, what was found, and the
operands where one of them is wrong. Quantized dialects come later: their rows must only not crash.
"""
import csv
import fnmatch
import os
import re
import signal
import sys
import tempfile

SECONDS, HANGS, KIB, CRASHED = 5, 60, 1 << 20, 99
DIALECTS = ["semantic/q_*", "semantic/qonnx_*", "semantic/multithreshold_*", "semantic/qlinear*", "semantic/*int4*"]
ERROR = re.compile(r"^(?P<file>\S+): (?P<node>node ('.*' \((\S+ )?#\d+\)|(\S+ )?#\d+): )?error E(?P<number>\d{3}): .+", re.M)


def run(qcc, model, folder):
    """Exit status (negative: a signal), what was said, seconds, KiB."""
    said = os.path.join(folder, "said.txt")
    child = os.fork()
    if child == 0:
        out = os.open(said, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(out, 1)
        os.dup2(out, 2)
        signal.alarm(HANGS)
        os.execv(qcc, [qcc, model, "-c", "-o", os.path.join(folder, "m.o")])
    _, status, usage = os.wait4(child, 0)
    with open(said, errors="replace") as f:
        return os.waitstatus_to_exitcode(status), f.read(), usage.ru_utime + usage.ru_stime, usage.ru_maxrss


def refusal(model, said):
    """What is wrong with how it was refused, or None."""
    errors = [e for e in ERROR.finditer(said)]
    if not errors:
        return "refused without a located error"
    for e in errors:
        number = int(e["number"])
        if e["file"] != model:
            return "an error is located elsewhere: " + e["file"]
        if 301 <= number <= 308 and not e["node"]:
            return "an error of an operator names no node"
        if number in (304, 305, 306) and "note: operand" not in said:
            return "an error of an operand shows none"
    return None


def judge(qcc, model, expect, folder):
    status, said, seconds, kib = run(qcc, model, folder)
    if status not in (0, 1):
        return "exit status %d\n%s" % (status, said[-2000:])
    if seconds > SECONDS:
        return "it took %.1f s" % seconds
    if kib > KIB:
        return "it took %d KiB" % kib
    if (expect == "accept" and status) or (expect == "reject" and not status):
        return "status %d, but the manifest says %s\n%s" % (status, expect, said[-2000:])
    return refusal(model, said) if status else None


def main():
    qcc, manifest = sys.argv[1:]
    for name in ("ASAN_OPTIONS", "UBSAN_OPTIONS"):
        os.environ[name] = os.environ.get(name, "") + ":exitcode=%d" % CRASHED
    with open(manifest, newline="") as f:
        rows = list(csv.DictReader(f))
    wrong = 0
    with tempfile.TemporaryDirectory() as folder:
        for row in rows:
            expect = "nocrash" if any(fnmatch.fnmatch(row["file"], d) for d in DIALECTS) else row["expect"]
            why = judge(qcc, os.path.join(os.path.dirname(manifest), row["file"]), expect, folder)
            if why:
                wrong += 1
                print("%s: %s" % (row["file"], why))
    print("%d models, %d wrong" % (len(rows), wrong))
    sys.exit(1 if wrong or len(rows) < 600 else 0)


main()
