#!/usr/bin/env python3
"""usage: nets.py QCC NET_EXPORT COUNT

Random quantized networks in ONNX Runtime, its optimisations off, beside the evaluator. Where all scales are powers of two
no output may differ. With other scales sums of floats are rounded where the evaluator's are exact, and a code next to a
threshold may fall on its other side. So all codes inside of such networks are looked at: each that ONNX Runtime gives, and
each that the evaluator gives, must be one that the exact value of its layer, from the same run's codes in front of that,
may have within the bound of float32's rounding (../models/bounds.py). Where codes differ for the first time a threshold
then lies within the bound; where they differ behind that, codes in front do. Outputs that are floats must be within the
bound of the exact value themselves.
"""
import pathlib
import subprocess
import sys
import tempfile

import numpy
import onnx
import onnxruntime
from onnx import helper

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "models"))
import bounds  # noqa: E402

# Of the codes may lie within the bound of a threshold. Many do: half of the scales are powers of two, which put sums on them.
SHARP = 0.1


def run(path):
    """(elements, elements that differ) of all outputs; None where ONNX Runtime has no kernel for the network."""
    try:
        session = bounds.session(path)
    except onnxruntime.capi.onnxruntime_pybind11_state.NotImplemented as e:
        print(f"{path.stem}: {str(e).splitlines()[0]}")
        return None
    arrays = numpy.load(path.with_suffix(".npz"))
    names = [o.name for o in session.get_outputs()]
    found = session.run(names, {i.name: arrays[i.name] for i in session.get_inputs()})
    total = differ = 0
    for name, got in zip(names, found):
        total += got.size
        differ += int(numpy.count_nonzero(got != arrays[name]))
    return total, differ


def opened(model, names):
    """The model with the tensors `names` as outputs seen_K too, as floats, which all of them fit."""
    whole = onnx.ModelProto()
    whole.CopyFrom(model)
    for k, name in enumerate(names):
        whole.graph.node.append(helper.make_node("Cast", [name], [f"seen_{k}"], to=onnx.TensorProto.FLOAT))
        whole.graph.output.append(helper.make_empty_tensor_value_info(f"seen_{k}"))
    return whole


def evaluate(qcc, path, arrays):
    """The evaluator's outputs for the opened file; codes that the network has as outputs anyway are as recorded."""
    words = [f"--input={i.name}=@{path.with_suffix('.npz')}:{i.name}" for i in onnx.load(path).graph.input]
    found = path.with_suffix(".out.npz")
    subprocess.run([qcc, "run", "--reference", path.with_suffix(".seen.onnx"), *words, "--output", found], check=True)
    out = numpy.load(found)
    for name in out.files:
        if name in arrays.files and out[name].dtype.kind != "f" and not numpy.array_equal(out[name], arrays[name]):
            raise RuntimeError(f"{path.stem}: with more outputs '{name}' is another")
    return out


class Tally:
    """Codes inside of networks: differ between the two runs; doubtful, within the bound of a threshold in either; first, that
    differ though the exact values do not; outside, of the bound: what must not be. And floats that are outputs."""

    def __init__(self):
        self.codes = self.differ = self.doubtful = self.first = self.outside = self.floats = self.floats_differ = 0

    def add(self, seen, choices):
        differ = seen[0] != seen[1]
        doubtful = [c.least < c.most for c in choices]
        self.codes += differ.size
        self.differ += int(numpy.count_nonzero(differ))
        self.doubtful += int(numpy.count_nonzero(doubtful[0] | doubtful[1]))
        self.first += int(numpy.count_nonzero(differ & (choices[0].exact == choices[1].exact)))
        for got, c in zip(seen, choices):
            self.outside += int(numpy.count_nonzero((got < c.least) | (got > c.most)))

    def add_floats(self, seen, reals):
        self.floats += seen[0].size
        self.floats_differ += int(numpy.count_nonzero(seen[0] != seen[1]))
        for got, r in zip(seen, reals):
            self.outside += int(numpy.count_nonzero(numpy.abs(got - r.value) > r.error))


def look_inside(qcc, path, tally):
    """Whether all is within the bounds."""
    model = onnx.load(path)
    arrays = numpy.load(path.with_suffix(".npz"))
    feeds = {i.name: arrays[i.name] for i in model.graph.input}
    names = bounds.discrete_outputs(model, True)
    whole = opened(model, names)
    onnx.save(whole, path.with_suffix(".seen.onnx"))
    session = bounds.session(whole)
    ports = [o.name for o in session.get_outputs()]
    runs = [dict(zip(ports, session.run(ports, feeds))), evaluate(qcc, path, arrays)]
    seen = [{name: run[f"seen_{k}"] for k, name in enumerate(names)} for run in runs]
    walks = [bounds.Reals(model, {**feeds, **side}, False) for side in seen]
    before = tally.outside
    for name in names:
        tally.add([side[name] for side in seen], [walk.choices[name] for walk in walks])
    for name in {o.name for o in model.graph.output} - set(names):
        tally.add_floats([run[name].astype(float) for run in runs], [walk.reals[name] for walk in walks])
    return tally.outside == before


def compare(program, count, kind, judge):
    """judge: of a network and whether its outputs differ, whether it is right. Numbers of networks: run, wrong."""
    ran = total = differ = 0
    wrong, differing = [], []
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([program, folder, "20000", str(count), kind], check=True)
        paths = sorted(pathlib.Path(folder).glob("net_*.onnx"))
        for path in paths:
            result = run(path)
            if result is None:
                continue
            ran += 1
            total += result[0]
            differ += result[1]
            if result[1]:
                differing.append(path.stem)
            if not judge(path, result[1] > 0):
                wrong.append(path.stem)
    print(f"{kind}: {ran} networks of {count} run in ONNX Runtime ({len(paths) - ran} have no kernel there), {differ} of {total} "
          f"output elements differ, in {len(differing)} networks; {len(wrong)} networks wrong {' '.join(wrong[:8])}")
    return ran, len(wrong)


def main():
    qcc, program, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
    tally = Tally()
    ran, wrong = compare(program, count, "exact", lambda path, differs: not differs)
    others, also = compare(program, count, "any", lambda path, differs: look_inside(qcc, path, tally))
    print(f"inside of the latter: {tally.codes} codes, {tally.doubtful} within the bound of a threshold, {tally.differ} differ, "
          f"{tally.first} of them from equal exact values; {tally.floats_differ} of {tally.floats} floats at the end differ; "
          f"outside the bounds lie {tally.outside}")
    sys.exit(wrong > 0 or also > 0 or ran < count // 2 or others < count // 2 or tally.doubtful > SHARP * tally.codes)


main()
