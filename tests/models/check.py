#!/usr/bin/env python3
"""Compile models, run them on recorded inputs and compare with recorded outputs.

usage: check.py QCC FOLDER... [--strict]         (needs numpy)

A folder holds model.onnx and io.npz with in_0, in_1, ... and out_0, ...; or names an .onnx file with an .npz of the same
name beside it. Inputs of batch-1 models may be stacked on axis 0. A model passes if the largest error of each output is at
most 1e-4 of that output's range (integers: equal). --strict refuses fallback to reference kernels.
"""
import pathlib
import subprocess
import sys
import tempfile

import numpy as np

TOLERANCE = 1e-4

# Absolute error of the recorded outputs themselves, where it is not far below the tolerance. ONNX Runtime recorded them,
# and its Sigmoid is up to 1.4e-7 wrong where the result is near 0 (at -12.07 it is 2 % off). The obj outputs of these
# networks range over 4e-4, so that this is 2.9e-4 of their range; against an evaluation in float64 qcc errs by 9e-6 of it.
RECORDED_ERROR = {"yunet_n_320_320": 1.4e-7, "yunet_n_dynamic": 1.4e-7}


def find_files(place):
    path = pathlib.Path(place)
    return (path, path.with_suffix(".npz")) if path.suffix == ".onnx" else (path / "model.onnx", path / "io.npz")


def input_types(info):
    """Names and shapes of the inputs from `qcc info`: lines "input NAME f32[1,3,8,8]"."""
    ports = []
    for line in info.splitlines():
        words = line.split()
        if words[:1] == ["input"] and "[" in words[-1]:
            dims = words[-1].split("[")[1].rstrip("]")
            ports.append((" ".join(words[1:-1]), tuple(int(d) for d in dims.split(",") if d)))
    return ports


def qcc(tool, *words):
    done = subprocess.run([tool, *map(str, words)], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(done.stderr.strip() or f"exit status {done.returncode}")
    return done.stdout


def compile_model(tool, model, data, library, strict):
    """A model with symbolic sizes takes those of the data."""
    words = [model, "-o", library, "--no-header", "--name=m"] + (["--strict"] if strict else [])
    try:
        return qcc(tool, *words)
    except RuntimeError as error:
        if "E102" not in str(error):
            raise
        name = str(error).split("input '")[1].split("'")[0]
        shape = "x".join(str(d) for d in (1, *data["in_0"].shape[1:]))
        return qcc(tool, *words, f"--shape={name}={shape}")


def worst_error(got, want, recorded_error):
    if got.dtype.kind not in "f":
        return 0.0 if np.array_equal(got, want) else np.inf
    if np.isnan(got).any() != np.isnan(want).any():
        return np.inf
    spread = float(want.max() - want.min()) or float(np.abs(want).max()) or 1.0
    return max(0.0, float(np.nanmax(np.abs(got.astype(np.float64) - want))) - recorded_error) / spread


def check(tool, place, strict):
    model, recorded = find_files(place)
    data = np.load(recorded)
    with tempfile.TemporaryDirectory() as folder:
        library = f"{folder}/m.so"
        compile_model(tool, model, data, library, strict)
        feeds = []
        for i, (_, shape) in enumerate(input_types(qcc(tool, "info", library))):
            x = data[f"in_{i}"]
            if x.shape[1:] != shape[1:]:
                x = x.reshape((-1, *shape[1:]))
            np.save(f"{folder}/{i}.npy", x)
            feeds += ["--input", f"#{i}=@{folder}/{i}.npy"]
        qcc(tool, "run", library, *feeds, "--output", f"{folder}/out.npz")
        got = np.load(f"{folder}/out.npz")
        errors = []
        for i, name in enumerate(got.files):
            want = data[f"out_{i}"]
            errors.append(worst_error(got[name].reshape(want.shape), want, RECORDED_ERROR.get(model.parent.name, 0.0)))
        return max(errors)


def main():
    tool, places = sys.argv[1], [w for w in sys.argv[2:] if not w.startswith("--")]
    failed = 0
    for place in places:
        try:
            error = check(tool, place, "--strict" in sys.argv)
            good, said = error <= TOLERANCE, f"largest error {error:.2e} of the range"
        except (RuntimeError, OSError, KeyError, ValueError) as problem:
            good, said = False, str(problem)
        failed += not good
        print(f"{'pass' if good else 'FAIL'}  {place}: {said}", flush=True)
    print(f"{len(places) - failed} passed, {failed} failed")
    sys.exit(1 if failed or not places else 0)


main()
