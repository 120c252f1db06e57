#!/usr/bin/env python3
"""usage: transcript.py [--update] [--sanitized] QCC MODELS_FOLDER TRANSCRIPT...

Replays transcripts of the command. A line "$ COMMAND" is run by bash in a fresh folder (one for each transcript) that
holds the test models, arrays f32_2.npy, f32_4.npy, f32_3.npy and i64_2.npy, and both.npz with two of them as x and z; what
follows is all that it says, standard output and error, and "[STATUS]" where its exit status
is not 0. Lines before the first command, and between an empty line and the next command, are comments. --update writes
what was found into the transcript instead.
"""
import os
import resource
import shutil
import subprocess
import struct
import sys
import tempfile
import zipfile

MOST_MEMORY = 64 << 30  # above what a machine has mapped by itself, below what no machine has


def parse(text):
    """[(comment, command, expected)], and the comment at the end."""
    cases, comment, lines = [], [], text.splitlines()
    at = 0
    while at < len(lines):
        if not lines[at].startswith("$ "):
            comment.append(lines[at])
            at += 1
            continue
        command, expected = lines[at][2:], []
        at += 1
        while at < len(lines) and lines[at] and not lines[at].startswith("$ "):
            expected.append(lines[at])
            at += 1
        cases.append((comment, command, expected))
        comment = []
    return cases, comment


def environment(qcc):
    env = {k: v for k, v in os.environ.items() if k not in ("QCC_FLAGS", "NO_COLOR")}
    env["PATH"] = os.path.dirname(os.path.abspath(qcc)) + ":" + env["PATH"]
    env["LC_ALL"] = "C"
    options = env.get("ASAN_OPTIONS", "")
    env["ASAN_OPTIONS"] = options + ":allocator_may_return_null=1:max_allocation_size_mb=%d" % (MOST_MEMORY >> 20)
    return env


def npy(code, values):
    """A NumPy array of one dimension, as bytes: the file format's version 1."""
    kind = {"f": "<f4", "q": "<i8"}[code]
    head = "{'descr': '%s', 'fortran_order': False, 'shape': (%d,), }" % (kind, len(values))
    head = head.ljust(117) + "\n"
    return b"\x93NUMPY\1\0" + struct.pack("<H", len(head)) + head.encode() + struct.pack("<%d%s" % (len(values), code), *values)


def make_arrays(folder):
    arrays = {"f32_2": npy("f", [-1, 2]), "f32_3": npy("f", [1, 2, 3]), "f32_4": npy("f", [-1, 2, 3, -4]), "i64_2": npy("q", [1, 2])}
    for name, data in arrays.items():
        with open(os.path.join(folder, name + ".npy"), "wb") as f:
            f.write(data)
    with zipfile.ZipFile(os.path.join(folder, "both.npz"), "w") as z:
        z.writestr("x.npy", arrays["f32_2"])
        z.writestr("z.npy", arrays["i64_2"])


def run(command, folder, env, sanitized):
    def limit():
        if not sanitized:
            resource.setrlimit(resource.RLIMIT_AS, (MOST_MEMORY, MOST_MEMORY))

    done = subprocess.run(["bash", "-c", command], cwd=folder, env=env, preexec_fn=limit, stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=120)
    said = done.stdout.decode(errors="replace").splitlines()
    said = [line for line in said if "AddressSanitizer failed to allocate" not in line and "WARNING: AddressSan" not in line]
    return said + ["[%d]" % done.returncode] * (done.returncode != 0)


def replay(path, qcc, models, update, sanitized):
    with open(path) as f:
        cases, end = parse(f.read())
    wrong, out = 0, []
    with tempfile.TemporaryDirectory() as folder:
        for name in os.listdir(models):
            shutil.copy(os.path.join(models, name), folder)
        make_arrays(folder)
        env = environment(qcc)
        for comment, command, expected in cases:
            found = run(command, folder, env, sanitized)
            out += comment + ["$ " + command] + found
            if found != expected:
                wrong += 1
                if not update:
                    print("%s: $ %s\nexpected\n%s\nfound\n%s\n" % (path, command, "\n".join(expected), "\n".join(found)))
    if update:
        with open(path, "w") as f:
            f.write("\n".join(out + end) + "\n")
    print("%s: %d commands, %d %s" % (path, len(cases), wrong, "updated" if update else "wrong"))
    return wrong == 0 or update


def main():
    flags = {a for a in sys.argv[1:] if a.startswith("--")}
    qcc, models, *paths = [a for a in sys.argv[1:] if not a.startswith("--")]
    good = [replay(p, qcc, models, "--update" in flags, "--sanitized" in flags) for p in paths]
    sys.exit(0 if all(good) else 1)


main()
