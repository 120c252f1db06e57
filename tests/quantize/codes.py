"""Quantizes networks by every scheme, and holds the codes in ONNX Runtime against the reference's and the compiled model's.

usage: codes.py QCC [--images IDX.gz COUNT] MODEL.onnx ...

Models take random inputs, or images with pixels in [0, 1], the first of which are also what they are fitted to. Every quantizer of activations becomes an output too. The compiled model must give the reference's
bits. ONNX Runtime adds the products of a layer in an order of its own, in float32, so that a value next to a threshold may
fall on its other side: such codes are counted, each may be one level off, and up to the first of them all must be equal.
Of random inputs, files of the dialects qonnx and qdq must give the reference's outputs of the default one, where they can be written.
"""

import gzip
import pathlib
import subprocess
import sys
import tempfile

import numpy
import onnx
import onnxruntime

SCHEMES = ["hwgq:w1a2", "hwgq:w1a1", "hwgq:w2a3,nonuniform", "hwgq:w4a4,midpoint", "hwgq:w8a8", "pact:w2a2", "pact:w4a4",
           "pact:w1a8", "qn:w1a2", "qn:w2a2", "qn:w3a3", "qn:w3a2,narrow", "aqe:w1a1", "aqe:w2a2", "aqe:w3a3", "aqe:w4a4",
           "dorefa:w3a4", "xnor:w1a1", "twn:w2a8", "lsq:w8a8", "lsq:w4a4", "lsq:w2a8,affine", "lsq:w3a3,tensor"]
PAPERS = ["hwgq:w1a2", "hwgq:w1a1", "hwgq:w4a3", "pact:w2a2", "pact:w4a4", "pact:w5a5", "qn:w1a2", "qn:w2a2", "qn:w3a3",
          "aqe:w1a1", "aqe:w2a2", "aqe:w3a3"]  # held on images
SAMPLES = 16  # of random inputs
FITTED_TO = 64  # at most
MOST_OFF = 1e-3  # share of codes that may differ


def run(*words, good=(0,)):
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode not in good:
        sys.exit(f"{' '.join(words)}\n{done.stderr}")
    return done


def expose(path, out):
    """Makes every quantizer's output an output of the graph; returns their names with the quantizers' steps."""
    model = onnx.load(path)
    onnx.checker.check_model(model, full_check=True)
    constants = {t.name: onnx.numpy_helper.to_array(t) for t in model.graph.initializer}
    steps = {}
    for node in model.graph.node:
        if node.domain == "qcc" and node.input[0] not in constants:
            steps[node.output[0]] = float(constants[node.input[1]])
            if all(node.output[0] != o.name for o in model.graph.output):
                model.graph.output.append(onnx.helper.make_tensor_value_info(node.output[0], 1, None))
    onnx.save(model, out)
    return steps


def in_runtime(path, x):
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    names = [o.name for o in session.get_outputs()]
    rows = [session.run(None, {session.get_inputs()[0].name: x[i : i + 1]}) for i in range(len(x))]
    return {name: numpy.concatenate([row[i] for row in rows]) for i, name in enumerate(names)}


def in_qcc(qcc, path, folder, *more):
    run(qcc, "run", path, *more, "--input", f"@{folder}/x.npy", "--output", f"{folder}/y.npz")
    with numpy.load(f"{folder}/y.npz") as z:
        return {name: z[name] for name in z.files}


def compare(want, got, steps):
    """Codes that differ, all codes, and what is wrong."""
    off = total = 0
    for name, step in steps.items():
        codes = [numpy.rint(v[name].astype(numpy.float64) / step) for v in (want, got)]
        differ = int((codes[0] != codes[1]).sum())
        if differ and not off and numpy.unique(numpy.abs(codes[0] - codes[1])).size > 2:
            return off, total, f"codes of '{name}' differ by {numpy.unique(codes[0] - codes[1])}"
        off += differ
        total += codes[0].size
    return off, total, "" if off <= MOST_OFF * total else "too many codes differ"


def check_dialects(qcc, model, how, scheme, folder, want):
    said = []
    for dialect in ("qonnx", "qdq"):
        path = f"{folder}/{dialect}.onnx"
        done = run(qcc, "quantize", model, f"--scheme={scheme}", *how, f"--dialect={dialect}", "-o", path, good=(0, 1))
        if done.returncode:
            said.append(f"no {dialect}" if f"cannot be written in the dialect {dialect}" in done.stderr else done.stderr)
            continue
        got = in_qcc(qcc, path, folder, "--reference")
        equal = all(numpy.array_equal(want[name], got[name]) for name in got)
        said.append(dialect if equal else f"WRONG {dialect}")
    return ", ".join(said)


def check(qcc, model, scheme, folder, x):
    how = [f"--calibrate={folder}/x.npy", f"--samples={FITTED_TO}"]
    run(qcc, "quantize", model, f"--scheme={scheme}", *how, "-o", f"{folder}/q.onnx")
    steps = expose(f"{folder}/q.onnx", f"{folder}/all.onnx")
    reference = in_qcc(qcc, f"{folder}/all.onnx", folder, "--reference")
    compiled = in_qcc(qcc, f"{folder}/all.onnx", folder)
    if any(reference[name].tobytes() != compiled[name].tobytes() for name in reference):
        return "WRONG: the compiled model differs from the reference", False
    off, total, wrong = compare(reference, in_runtime(f"{folder}/all.onnx", x), steps)
    dialects = "" if len(x) > SAMPLES else check_dialects(qcc, model, how, scheme, folder, reference)
    good = not wrong and "WRONG" not in dialects
    return f"{off} of {total} codes differ in ONNX Runtime {wrong}; {dialects}", good


def read_images(path, count):
    with gzip.open(path) as f:
        x = numpy.frombuffer(f.read()[16:], numpy.uint8).reshape(-1, 1, 28, 28)
    return x[:count].astype(numpy.float32) / 255


def random_inputs(model):
    shape = [d.dim_value or 1 for d in onnx.load(model).graph.input[0].type.tensor_type.shape.dim]
    return numpy.random.default_rng(5).standard_normal([SAMPLES, *shape[1:]]).astype(numpy.float32)


def main():
    qcc, *models = sys.argv[1:]
    images = None
    if models[:1] == ["--images"]:
        images, models = read_images(models[1], int(models[2])), models[3:]
    good = True
    for model in models:
        x = random_inputs(model) if images is None else images
        with tempfile.TemporaryDirectory() as folder:
            numpy.save(f"{folder}/x.npy", x)
            for scheme in SCHEMES if images is None else PAPERS:
                said, fine = check(qcc, model, scheme, folder, x)
                print(f"{pathlib.Path(model).stem} {scheme}: {said}", flush=True)
                good = good and fine
    return 0 if good and models else 1


if __name__ == "__main__":
    sys.exit(main())
