#!/usr/bin/env python3
"""Operators of other domains that ONNX Runtime has kernels for: compiled, they give its results.

usage: foreign.py QCC         (needs numpy, onnx, onnxruntime)

Every row of frontend/foreign.def whose domain ONNX Runtime has is used at least once. An output may differ by 1e-5 of its
range; codes, whose scales here are powers of 2, not at all, but for those behind an exponential by one.
"""
import pathlib
import re
import subprocess
import sys
import tempfile

import numpy as np
import onnx
import onnxruntime
from onnx import helper, numpy_helper

TOLERANCE = 1e-5
OPERATORS = {"": 17, "com.microsoft": 1}
random = np.random.RandomState(7)


def f32(*shape):
    return random.randn(*shape).astype(np.float32)


def i64(values):
    return np.array(values, np.int64)


def u8(*shape):
    return random.randint(0, 256, shape).astype(np.uint8)


def i8(*shape):
    return random.randint(-128, 128, shape).astype(np.int8)


def i32(*shape):
    return random.randint(-9999, 9999, shape).astype(np.int32)


def scale(*values):
    return np.array(values if len(values) > 1 else values[0], np.float32)


def zero(elem, *values):
    return np.array(values if len(values) > 1 else values[0], elem)


U, S = np.uint8, np.int8


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
# The same on codes: operands behind the first are constants.
CODES = [
    ("QuantizeLinear", [f32(3, 4), scale(0.0625, 0.125, 0.25), zero(S, 0, 1, -2)], {"axis": 0}, "y"),
    ("DequantizeLinear", [u8(3, 4), scale(0.0625), zero(U, 7)], {}, "y"),
    ("QLinearAdd", [u8(3, 4), scale(0.5), zero(U, 9), u8(4), scale(0.25), zero(U, 3), scale(1), zero(U, 77)], {}, "y"),
    ("QLinearMul", [u8(3, 4), scale(0.5), zero(U, 9), u8(4), scale(0.25), zero(U, 3), scale(16), zero(U, 77)], {}, "y"),
    ("QLinearSigmoid", [u8(3, 40), scale(0.0625), zero(U, 128), scale(2**-8), zero(U, 0)], {}, "y"),
    ("QLinearLeakyRelu", [i8(3, 40), scale(0.0625), zero(S, 5), scale(0.0625), zero(S, -9)], {"alpha": 0.25}, "y"),
    ("QLinearAveragePool", [u8(1, 3, 6, 6), scale(0.5), zero(U, 9), scale(0.25), zero(U, 3)],
     {"kernel_shape": [2, 2], "strides": [2, 1]}, "y"),
    ("QLinearAveragePool", [u8(1, 6, 6, 3), scale(0.5), zero(U, 9), scale(0.25), zero(U, 3)],
     {"kernel_shape": [2, 2], "channels_last": 1}, "y"),
    ("QLinearGlobalAveragePool", [u8(1, 3, 4, 4), scale(0.5), zero(U, 9), scale(0.5), zero(U, 3)], {}, "y"),
    ("QLinearGlobalAveragePool", [u8(1, 4, 4, 3), scale(0.5), zero(U, 9), scale(0.5), zero(U, 3)],
     {"channels_last": 1}, "y"),
    ("QLinearConcat", [scale(0.5), zero(U, 3), u8(2, 3), scale(0.5), zero(U, 3), u8(2, 2), scale(0.25), zero(U, 9)],
     {"axis": 1}, "y"),
    ("QLinearConv", [u8(1, 2, 5, 5), scale(0.5), zero(U, 9), u8(4, 2, 3, 3), scale(0.25), zero(U, 130), scale(64),
                     zero(U, 99), i32(4)], {"pads": [1, 1, 1, 1]}, "y"),
    ("QGemm", [u8(3, 8), scale(0.5), zero(U, 9), i8(8, 4), scale(0.25), zero(S, 0), i32(4), scale(64), zero(U, 99)],
     {"alpha": 2.0}, "y"),
    ("QGemm", [u8(3, 8), scale(0.5), zero(U, 9), i8(4, 8), scale(1, 2, 4, 0.25), zero(S, 0, 0, 0, 0), i32(4)],
     {"transB": 1}, "y"),
    ("MatMulIntegerToFloat", [u8(2, 3, 8), i8(8, 4), scale(0.5), scale(1, 2, 4, 0.25), zero(U, 9), zero(S, 0), f32(4)],
     {}, "y"),
    ("DynamicQuantizeMatMul", [f32(2, 8), i8(8, 4), scale(0.25), zero(S, 3), f32(4)], {}, "y"),
    ("MatMulNBits", [f32(2, 40), u8(5, 3, 8), f32(15)], {"K": 40, "N": 5, "bits": 4, "block_size": 16}, "y"),
    ("MatMulNBits", [f32(2, 40), u8(5, 3, 8), f32(15), u8(10)], {"K": 40, "N": 5, "bits": 4, "block_size": 16}, "y"),
    ("MatMulNBits", [f32(2, 40), u8(5, 3, 16), f32(15), u8(15)], {"K": 40, "N": 5, "bits": 8, "block_size": 16}, "y"),
]


def make_model(op, domain, operands, attrs, outputs, first_only):
    given = {f"x{i}": x for i, x in enumerate(operands) if x is not None}
    names = [f"x{i}" if x is not None else "" for i, x in enumerate(operands)]
    node = helper.make_node(op, names, outputs, domain=domain, **attrs)
    feeds = {k: v for k, v in given.items() if not first_only or k == "x0"}
    inputs = [helper.make_tensor_value_info(k, helper.np_dtype_to_tensor_dtype(v.dtype), v.shape)
              for k, v in feeds.items()]
    results = [helper.make_empty_tensor_value_info(y) for y in outputs if y]
    constants = [numpy_helper.from_array(v, k) for k, v in given.items() if k not in feeds]
    graph = helper.make_graph([node], op, inputs, results, constants)
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


def compare(op, name, got, want):
    if got.shape != want.shape or got.dtype != want.dtype:
        raise RuntimeError(f"'{name}' is {got.dtype}{got.shape}, wanted {want.dtype}{want.shape}")
    error = np.abs(got.astype(np.float64) - want).max()
    if want.dtype.kind == "f" and not error / np.ptp(want) <= TOLERANCE:
        raise RuntimeError(f"'{name}' is off by {error / np.ptp(want):.1e} of its range")
    if want.dtype.kind != "f" and error > (1 if op == "QLinearSigmoid" else 0):
        raise RuntimeError(f"'{name}' is off by {error} codes in {np.count_nonzero(got != want)} places")


def check(tool, domain, op, operands, attrs, outputs, first_only):
    outputs = outputs.split(",")
    model, feeds = make_model(op, domain, operands, attrs, outputs, first_only)
    with tempfile.TemporaryDirectory() as folder:
        onnx.save(model, f"{folder}/m.onnx")
        session = onnxruntime.InferenceSession(f"{folder}/m.onnx", providers=["CPUExecutionProvider"])
        wanted = session.run(None, feeds)
        got = run_qcc(tool, folder, feeds)
        for name, want in zip([y for y in outputs if y], wanted):
            compare(op, name, got[name], want)


def main():
    table = pathlib.Path(__file__).resolve().parents[2] / "frontend" / "foreign.def"
    rows = re.findall(r'^(?:FOREIGN|BARE)\("(.*?)", *"(.*?)"', table.read_text(), re.M)
    domains = {op: domain for domain, op in rows if domain in OPERATORS}
    failed = sorted(domains.keys() - {case[0] for case in CASES + CODES})
    for op in failed:
        print(f"FAIL  {op}: no case uses this row")
    for i, (op, *rest) in enumerate(CASES + CODES):
        try:
            check(sys.argv[1], domains[op], op, *rest, i >= len(CASES))
        except RuntimeError as problem:
            failed.append(op)
            print(f"FAIL  {op} {rest[1]}: {problem}")
    print(f"foreign operators: {len(CASES + CODES)} cases, {len(failed)} failed")
    sys.exit(1 if failed else 0)


main()
