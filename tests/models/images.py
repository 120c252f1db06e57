#!/usr/bin/env python3
"""The quantized models on all images of the data folder that they are for, beside ONNX Runtime.

usage: images.py QCC DATA [NAME...]        (needs numpy, onnx, onnxruntime)

Of each model of models/int8 that accuracy.py has images for: the compiled library and ONNX Runtime, its optimisations off, put
the same class first for every image (the lowest of equals). Output codes that differ are counted. Of up to MOST images that
have such codes the network is evaluated in real numbers too, rounded only at its quantizers (bounds.py), and it is counted
which of the two has the same output.

One image in thousands has its first place decided by how floats are rounded. It is let pass if both are shown: in real
numbers the network puts first what qcc does; and in ONNX Runtime's run of that image each layer's codes are within the bound
of float32's rounding. How ONNX Runtime with its optimisations, which sum integers, places images is printed beside it.
"""
import pathlib
import subprocess
import sys
import tempfile

import numpy as np
import onnx
import onnxruntime

import accuracy
import bounds

IMAGES = {accuracy.mnist: accuracy.all_digits}  # all that there are
MOST = 200


def run_qcc(tool, path, x):
    with tempfile.TemporaryDirectory() as folder:
        np.save(f"{folder}/x.npy", x)
        subprocess.run([tool, "run", path, "--strict", "--input", f"@{folder}/x.npy", "--output", f"{folder}/y.npz"],
                       check=True)
        out = np.load(f"{folder}/y.npz")
        return out[out.files[0]].reshape(len(x), -1)


def run_onnxruntime(session, x):
    name = session.get_inputs()[0].name
    return np.stack([session.run(None, {name: x[i : i + 1]})[0].ravel() for i in range(len(x))])


def places_differ(a, b):
    return np.nonzero(a.argmax(1) != b.argmax(1))[0]


def in_reals(model, feeds):
    return bounds.Reals(model, feeds, False).reals[model.graph.output[0].name].value.ravel()


def decided_by_rounding(model, feeds, first):
    """Whether real numbers put `first` first, and ONNX Runtime rounds its codes from the right ones' neighbourhood."""
    names = bounds.discrete_outputs(model, True)
    every = dict(zip(names, bounds.open_inside(model, names).run(names, feeds)))
    choices = bounds.Reals(model, {**feeds, **every}, False).choices
    within = all(np.all((c.least <= every[n]) & (every[n] <= c.most)) for n, c in choices.items())
    return within and in_reals(model, feeds).argmax() == first


def check(tool, path, x):
    model = onnx.load(path)
    plain = bounds.session(path)
    port = plain.get_inputs()[0].name
    got, want = run_qcc(tool, path, x), run_onnxruntime(plain, x)
    usual = run_onnxruntime(onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"]), x)
    places = places_differ(got, want)
    shown = [i for i in places if decided_by_rounding(model, {port: x[i : i + 1]}, got[i].argmax())]
    differ = got != want
    images = np.nonzero(differ.any(1))[0]
    reals = [(i, in_reals(model, {port: x[i : i + 1]})) for i in images[:MOST]]
    # Behind codes there may be float operators, which are near the real number.
    near = [sum(np.allclose(side[i], y, rtol=1e-5, atol=1e-6) for i, y in reals) for side in (got, want)]
    said = (f"first place differs {len(places)} of {len(x)} times (shown to be rounding: {len(shown)}; from optimised ONNX "
            f"Runtime's: {len(places_differ(got, usual))}); {np.count_nonzero(differ)} of {differ.size} values differ, of "
            f"{len(images)} images")
    if reals:
        said += f"; real numbers give the output of qcc for {near[0]}, that of ONNX Runtime for {near[1]} of {len(reals)}"
    return len(shown) == len(places), said


def main():
    tool, data, names = sys.argv[1], pathlib.Path(sys.argv[2]), sys.argv[3:]
    rows = [row for row in accuracy.QUANTIZED if row[0].startswith("int8/") and (not names or row[0][5:] in names)]
    failed = 0
    for name, images, prepare, *_ in rows:
        x = np.ascontiguousarray(prepare(IMAGES.get(images, images)(data)[0]), np.float32)
        good, said = check(tool, str(data / "models" / name / "model.onnx"), x)
        failed += not good
        print(f"{'pass' if good else 'FAIL'}  {name}: {said}", flush=True)
    print(f"{len(rows) - failed} passed, {failed} failed")
    sys.exit(1 if failed or not rows else 0)


main()
