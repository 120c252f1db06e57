"""Exports models and holds the files against the originals.

usage: export.py QCC MODEL.onnx ...

Each exported file must satisfy ONNX's checker and give, in ONNX Runtime without its optimisations, the original's outputs.
Most are the same bits; a kernel of another version of an operator may round differently, which may be 1e-5 of an output's
range, or one step of 8 bits where the network quantizes. Models in dialects that ONNX Runtime cannot read are held against the
outputs recorded beside them (io.npz); what the compiler does not import is not exported.
"""

import pathlib
import subprocess
import sys
import tempfile

import numpy
import onnx
import onnxruntime

TYPES = {"tensor(float)": numpy.float32, "tensor(uint8)": numpy.uint8, "tensor(int8)": numpy.int8,
         "tensor(int64)": numpy.int64, "tensor(int32)": numpy.int32, "tensor(float16)": numpy.float16,
         "tensor(double)": numpy.float64, "tensor(bool)": numpy.bool_}


def session(path):
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 4
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def feeds_for(s):
    """Random inputs; dimensions without a size are 1, as the compiler has them."""
    random = numpy.random.default_rng(1)
    feeds = {}
    for port in s.get_inputs():
        shape = [d if isinstance(d, int) and d > 0 else 1 for d in port.shape]
        kind = TYPES[port.type]
        if numpy.issubdtype(kind, numpy.floating):
            feeds[port.name] = random.standard_normal(shape).astype(kind)
        else:
            feeds[port.name] = random.integers(0, 100, shape).astype(kind)
    return feeds


def symbolic(model):
    """Options that give every named dimension but the first of an input the size 1."""
    names = set()
    known = {t.name for t in model.graph.initializer}
    for port in model.graph.input:
        for i, d in enumerate(port.type.tensor_type.shape.dim):
            if port.name not in known and i and d.dim_param:
                names.add(d.dim_param)
    return [f"--dim={name}=1" for name in sorted(names)]


def check_recorded(s, path):
    """The first output for the first sample."""
    if not path.exists():
        return "checked"
    with numpy.load(path) as z:
        feeds = {}
        for i, port in enumerate(s.get_inputs()):
            rows = port.shape[0] if port.shape and isinstance(port.shape[0], int) else 1
            feeds[port.name] = z[f"in_{i}"][:rows].astype(TYPES[port.type])
        got = s.run(None, feeds)[0].astype(numpy.float64)
        want = z["out_0"].reshape(-1, *got.shape[1:])[: got.shape[0]]
    error = numpy.abs(got - want).max()
    return "equal" if error <= 1e-5 * max(numpy.ptp(want), 1) else f"WRONG: differs from the recorded output by {error}"


def check(qcc, path, folder):
    out = str(folder / "out.onnx")
    model = onnx.load(path)
    done = subprocess.run([qcc, "export", path, "-o", out, *symbolic(model)], capture_output=True, text=True)
    if done.returncode:
        return f"refused: {done.stderr.strip().splitlines()[0]}"
    onnx.checker.check_model(onnx.load(out), full_check=True)
    try:
        original = session(path)
        feeds = feeds_for(original)
        want = original.run(None, feeds)
    except Exception:  # a dialect that ONNX Runtime does not know
        return check_recorded(session(out), pathlib.Path(path).with_name("io.npz"))
    got, same = session(out).run(None, feeds), True
    for port, a, b in zip(original.get_outputs(), want, got):
        if a.shape != b.shape or a.dtype != b.dtype:
            return f"WRONG: output '{port.name}' is {b.dtype}{b.shape}, was {a.dtype}{a.shape}"
        a, b = a.astype(numpy.float64), b.astype(numpy.float64)
        error, most = numpy.abs(a - b).max(), 1e-5 * numpy.ptp(a)
        steps = numpy.diff(numpy.unique(a))
        if any("QuantizeLinear" in n.op_type for n in model.graph.node) and steps.size:
            most = max(most, 1.01 * steps.min())
        if not error <= most:
            return f"WRONG: output '{port.name}' differs by {error}"
        same = same and error == 0
    return "equal" if same else "equal but for rounding"


def main():
    qcc, *paths = sys.argv[1:]
    wrong = equal = 0
    with tempfile.TemporaryDirectory() as folder:
        for path in paths:
            said = check(qcc, path, pathlib.Path(folder))
            print(f"{pathlib.Path(path).parent.name}/{pathlib.Path(path).name}: {said}", flush=True)
            wrong += said.startswith("WRONG")
            equal += said.startswith("equal")
    print(f"{len(paths)} models, {equal} equal, {wrong} wrong")
    return 1 if wrong or not equal else 0


if __name__ == "__main__":
    sys.exit(main())
