#!/usr/bin/env python3
"""Operators of other domains that ONNX Runtime has kernels for: compiled, they give its results.

usage: foreign.py QCC         (needs numpy, onnx, onnxruntime)

Every row of frontend/foreign.def is used at least once. An output may differ by 1e-5 of its range.
"""
import pathlib
import re
import subprocess
import sys
import tempfile

import numpy as np
import onnx
import onnxruntime
from onnx import helper

TOLERANCE = 1e-5
OPERATORS = {"": 17, "com.microsoft": 1}
random = np.random.RandomState(7)


def f32(*shape):
    return random.randn(*shape).astype(np.float32)


def i64(values):
    return np.array(values, np.int64)


POSITIONS = i64([[0, 3, 1], [2, 2, 5]])
HEADS = {"num_heads": 2}
# operator, operands (None: absent), attributes, outputs ("": not wanted)
CASES = [
    ("Gelu", [f32(3, 5)], {}, "y"),
    ("FastGelu", [f32(3, 5), f32(5)], {}, "y"),
    ("FastGelu", [f32(3, 5)], {}, "y"),
    ("QuickGelu", [f32(3, 5)], {}, "y"),
    ("QuickGelu", [f32(3, 5)], {"alpha": 1.3}, "y"),
    ("BiasGelu", [f32(3, 5), f32(5)], {}, "y"),
    ("FusedMatMul", [f32(2, 3, 4), f32(2, 4, 5)], {"alpha": 0.5}, "y"),
    ("FusedMatMul", [f32(2, 4, 3), f32(2, 5, 4)], {"alpha": 0.5, "transA": 1, "transB": 1}, "y"),
    ("TransposeMatMul", [f32(3, 4), f32(5, 4)], {"transB": 1}, "y"),
    ("FusedGemm", [f32(3, 4), f32(4, 5), f32(5)],
     {"activation": "LeakyRelu", "activation_alpha": 0.3, "alpha": 2.0}, "y"),
    ("FusedGemm", [f32(3, 4), f32(5, 4), f32(5)], {"activation": "Relu", "transB": 1}, "y"),
    ("FusedConv", [f32(1, 4, 6, 6), f32(8, 4, 3, 3), f32(8)], {"activation": "Relu", "pads": [1, 1, 1, 1]}, "y"),
    ("FusedConv", [f32(1, 4, 6, 6), f32(8, 4, 3, 3), f32(8), f32(1, 8, 6, 6)],
     {"activation": "Clip", "activation_params": [-0.5, 0.5], "pads": [1, 1, 1, 1]}, "y"),
    ("FusedConv", [f32(1, 4, 6, 6), f32(8, 4, 3, 3), f32(8)],
     {"activation": "HardSigmoid", "activation_params": [0.3, 0.6]}, "y"),
    ("SimplifiedLayerNormalization", [f32(2, 3, 8), f32(8)], {"axis": -1, "epsilon": 1e-5}, "y"),
    ("SkipLayerNormalization", [f32(2, 3, 8), f32(2, 3, 8), f32(8), f32(8), f32(8)], {"epsilon": 1e-5}, "y,,,sum"),
    ("SkipLayerNormalization", [f32(2, 3, 8), f32(2, 3, 8), f32(8)], {}, "y"),
    ("SkipSimplifiedLayerNormalization", [f32(2, 3, 8), f32(2, 3, 8), f32(8), f32(8)], {"epsilon": 1e-5}, "y,,,sum"),
    ("Trilu", [f32(2, 3, 4), i64(1)], {"upper": 0}, "y"),
    ("GridSample", [f32(1, 2, 4, 5), f32(1, 3, 3, 2)], {"mode": "bicubic", "padding_mode": "border"}, "y"),
    ("RotaryEmbedding", [f32(2, 3, 8), POSITIONS, f32(9, 2), f32(9, 2)], {}, "y"),
    ("RotaryEmbedding", [f32(2, 3, 8), i64([4]), f32(9, 2), f32(9, 2)], {"interleaved": 1}, "y"),
    ("RotaryEmbedding", [f32(2, 2, 3, 4), POSITIONS, f32(9, 2), f32(9, 2)], {}, "y"),
    ("MultiHeadAttention", [f32(2, 3, 8), f32(2, 5, 8), f32(2, 5, 8), f32(24)], HEADS, "y"),
    ("MultiHeadAttention", [f32(2, 3, 8), f32(2, 5, 8), f32(2, 5, 12)], {**HEADS, "scale": 0.3}, "y"),
    ("MultiHeadAttention", [f32(2, 3, 8), f32(2, 3, 8), f32(2, 3, 8), f32(24), None, f32(1, 2, 3, 3)], HEADS, "y"),
    ("MultiHeadAttention", [f32(2, 3, 8), f32(2, 3, 8), f32(2, 3, 8), f32(24)], {**HEADS, "unidirectional": 1}, "y"),
    ("MultiHeadAttention",
     [f32(2, 3, 8), f32(2, 3, 8), f32(2, 3, 8), f32(24), None, None, f32(2, 2, 4, 4), f32(2, 2, 4, 4)],
     HEADS, "y,key,value"),
]


def make_model(op, domain, operands, attrs, outputs):
    feeds = {f"x{i}": x for i, x in enumerate(operands) if x is not None}
    names = [f"x{i}" if x is not None else "" for i, x in enumerate(operands)]
    node = helper.make_node(op, names, outputs, domain=domain, **attrs)
    inputs = [helper.make_tensor_value_info(k, helper.np_dtype_to_tensor_dtype(v.dtype), v.shape)
              for k, v in feeds.items()]
    results = [helper.make_tensor_value_info(y, onnx.TensorProto.FLOAT, None) for y in outputs if y]
    graph = helper.make_graph([node], op, inputs, results)
    sets = [helper.make_opsetid(*pair) for pair in OPERATORS.items()]
    return helper.make_model(graph, opset_imports=sets, ir_version=8), feeds


def run_qcc(tool, folder, feeds):
    words = []
    for name, x in feeds.items():
        np.save(f"{folder}/{name}.npy", x)
        words += ["--input", f"{name}=@{folder}/{name}.npy"]
    words = [tool, "run", f"{folder}/m.onnx", *words, "--output", f"{folder}/y.npz"]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(done.stderr.strip())
    return np.load(f"{folder}/y.npz")


def check(tool, domain, op, operands, attrs, outputs):
    outputs = outputs.split(",")
    model, feeds = make_model(op, domain, operands, attrs, outputs)
    with tempfile.TemporaryDirectory() as folder:
        onnx.save(model, f"{folder}/m.onnx")
        session = onnxruntime.InferenceSession(f"{folder}/m.onnx", providers=["CPUExecutionProvider"])
        wanted = session.run(None, feeds)
        got = run_qcc(tool, folder, feeds)
        for name, want in zip([y for y in outputs if y], wanted):
            if got[name].shape != want.shape:
                raise RuntimeError(f"'{name}' is {got[name].shape}, wanted {want.shape}")
            error = np.abs(got[name].astype(np.float64) - want).max() / np.ptp(want)
            if not error <= TOLERANCE:
                raise RuntimeError(f"'{name}' is off by {error:.1e} of its range")


def main():
    table = pathlib.Path(__file__).resolve().parents[2] / "frontend" / "foreign.def"
    rows = re.findall(r'^FOREIGN\("(.*?)", *"(.*?)"', table.read_text(), re.M)
    domains = {op: domain for domain, op in rows}
    failed = sorted(domains.keys() - {case[0] for case in CASES})
    for op in failed:
        print(f"FAIL  {op}: no case uses this row")
    for op, *rest in CASES:
        try:
            check(sys.argv[1], domains[op], op, *rest)
        except RuntimeError as problem:
            failed.append(op)
            print(f"FAIL  {op} {rest[1]}: {problem}")
    print(f"foreign operators: {len(CASES)} cases, {len(failed)} failed")
    sys.exit(1 if failed else 0)


main()
