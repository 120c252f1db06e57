#!/usr/bin/env python3
"""Each layer of the quantized models of the data folder by itself, beside ONNX Runtime's.

usage: layers.py QCC DATA [NAME...]        (needs numpy, onnx, onnxruntime)

ONNX Runtime, its optimisations off, gives all codes of a model of models/int8 on the samples of its io.npz. The model is then
cut at every quantizer: its codes become an output, and what reads them reads an input instead, which gets ONNX Runtime's.
So the compiled library computes each layer from the same codes as ONNX Runtime. Codes that differ are counted. A model passes
if none differs by more than one, none where the standard leaves no choice of rounding, and each code of both is one that the
layer's exact value in real numbers may have within the bound of float32's rounding (bounds.py): where two codes differ, a
threshold lies within that bound. For qcc the bound is the one of sums that are exact.
"""
import pathlib
import subprocess
import sys
import tempfile

import numpy as np
import onnx
from onnx import helper

import bounds

SHARP = 0.01, 0.0005  # of the codes may lie within the bound of a threshold: of any order of summation, and of exact sums


def qcc(*words):
    done = subprocess.run([str(w) for w in words], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(done.stderr.strip().splitlines()[0])


def cut(model, codes):
    """The model with an input code_K in the place of the K-th of `codes`, and what it computes for it as output made_K."""
    parts = onnx.ModelProto()
    parts.CopyFrom(model)
    number = {name: k for k, name in enumerate(codes)}
    for node in parts.graph.node:
        for i, name in enumerate(node.input):
            if name in number:
                node.input[i] = f"code_{number[name]}"
        for i, name in enumerate(node.output):
            if name in number:
                node.output[i] = f"made_{number[name]}"
    del parts.graph.value_info[:]
    for name, k in number.items():
        elem = helper.np_dtype_to_tensor_dtype(codes[name].dtype)
        parts.graph.input.append(helper.make_tensor_value_info(f"code_{k}", elem, codes[name].shape))
        parts.graph.output.append(helper.make_empty_tensor_value_info(f"made_{k}"))
    return parts


def run_qcc(tool, model, feeds, codes, folder):
    words = []
    for name, x in [*feeds.items(), *((f"code_{k}", x) for k, x in enumerate(codes.values()))]:
        np.save(f"{folder}/{name}.npy", x)
        words += ["--input", f"{name}=@{folder}/{name}.npy"]
    qcc(tool, "run", f"{folder}/m.so", *words, "--output", f"{folder}/out.npz")
    made = np.load(f"{folder}/out.npz")
    outputs = {port.name: made[port.name] for port in model.graph.output if port.name in made.files}
    return {name: made[f"made_{k}"] for k, name in enumerate(codes)}, outputs


class Tally:
    """layers, codes of all samples; of these doubtful: within ONNX Runtime's bound of a threshold; differ; ours: qcc's
    within its own bound of a threshold; exact: codes that differ where qcc has the exact value's. wrong: what must not be."""

    def __init__(self):
        self.layers = self.codes = self.doubtful = self.differ = self.ours = self.exact = 0
        self.wrong = []

    def add(self, name, want, got, wide, narrow):
        off = np.abs(got.astype(int) - want)
        self.codes += want.size
        self.doubtful += np.count_nonzero(wide.least < wide.most)
        self.ours += np.count_nonzero(narrow.least < narrow.most)
        self.differ += np.count_nonzero(off)
        self.exact += np.count_nonzero((off > 0) & (got == narrow.exact))
        outside = [np.count_nonzero((v < c.least) | (v > c.most)) for v, c in ((want, wide), (got, narrow))]
        if off.max() > (0 if wide.defined else 1) or any(outside):
            self.wrong.append(f"'{name}': {np.count_nonzero(off)} differ, by {off.max()} at most; outside the bound are "
                              f"{outside[0]} of ONNX Runtime and {outside[1]} of qcc")

    def add_output(self, name, got, real):
        """Floats behind the last codes."""
        if np.any(np.abs(got - real.value) > real.error):
            self.wrong.append(f"output '{name}' is further from its value than rounding can bring it")

    def verdict(self):
        if self.doubtful > SHARP[0] * self.codes or self.ours > SHARP[1] * self.codes:
            self.wrong.append("the bound is too wide to say anything")
        said = (f"{self.layers} layers, {self.codes} codes, {self.doubtful} within the bound of a threshold ({self.ours} "
                f"within that of exact sums), {self.differ} differ, of which qcc has the exact value's {self.exact} times")
        return not self.wrong, "; ".join([said, *self.wrong])


def check_sample(tool, model, feeds, every, folder, tally):
    casts = {node.output[0] for node in model.graph.node if node.op_type == "Cast"}  # here from codes to codes
    codes = {name: every[name] for name in bounds.discrete_outputs(model, False) if name not in casts}
    if not tally.codes:
        onnx.save(cut(model, codes), f"{folder}/parts.onnx")
        qcc(tool, f"{folder}/parts.onnx", "-o", f"{folder}/m.so", "--no-header", "--name=m", "--strict")
    made, outputs = run_qcc(tool, model, feeds, codes, folder)
    wide = bounds.Reals(model, {**feeds, **every}, False).choices
    ours = bounds.Reals(model, {**feeds, **every}, True)
    tally.layers = len(codes)
    for name, want in codes.items():
        tally.add(name, want, made[name], wide[name], ours.choices[name])
    for name, got in outputs.items():
        tally.add_output(name, got.astype(np.float64), ours.reals[name])


def check(tool, place):
    model = onnx.load(place / "model.onnx")
    data = np.load(place / "io.npz")
    fixed = {t.name for t in model.graph.initializer}
    ports = [i.name for i in model.graph.input if i.name not in fixed]
    names = bounds.discrete_outputs(model, True)
    inside = bounds.open_inside(model, names)
    tally = Tally()
    with tempfile.TemporaryDirectory() as folder:
        for k in range(len(data["in_0"])):
            feeds = {name: data[f"in_{i}"][k : k + 1] for i, name in enumerate(ports)}
            every = dict(zip(names, inside.run(names, feeds)))
            check_sample(tool, model, feeds, every, folder, tally)
    return tally.verdict()


def main():
    tool, data, names = sys.argv[1], pathlib.Path(sys.argv[2]) / "models/int8", sys.argv[3:]
    places = [p for p in sorted(data.iterdir()) if not names or p.name in names]
    failed = 0
    for place in places:
        try:
            good, said = check(tool, place)
        except (RuntimeError, NotImplementedError) as problem:
            good, said = False, str(problem)
        failed += not good
        print(f"{'pass' if good else 'FAIL'}  {place.name}: {said}", flush=True)
    print(f"{len(places) - failed} passed, {failed} failed")
    sys.exit(1 if failed or not places else 0)


if __name__ == "__main__":
    main()
