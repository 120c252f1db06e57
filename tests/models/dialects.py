#!/usr/bin/env python3
"""Operators of QONNX, FINN and Deeploy, compiled and evaluated, against their definitions written in numpy.

usage: dialects.py QCC         (needs numpy, onnx)

Every row of frontend/foreign.def of these domains is used at least once. Results must be equal.
"""
import pathlib
import re
import subprocess
import sys
import tempfile

import numpy as np
import onnx
from onnx import helper, numpy_helper

F = np.float32
GENERAL, LAST, DEEPLOY = "qonnx.custom_op.general", "qonnx.custom_op.channels_last", "PACTOps"
random = np.random.RandomState(11)
HALF = F(0.5)
ROUNDING = {
    "ROUND": np.rint,
    "HALF_EVEN": np.rint,
    "CEIL": np.ceil,
    "FLOOR": np.floor,
    "UP": lambda v: np.sign(v) * np.ceil(np.abs(v)),
    "DOWN": np.trunc,
    "HALF_UP": lambda v: np.sign(v) * np.floor(np.abs(v) + HALF),
    "HALF_DOWN": lambda v: np.sign(v) * np.ceil(np.abs(v) - HALF),
}


def f32(*shape, times=3.0):
    return (random.randn(*shape) * times).astype(F)


def whole(*shape, least, most):
    return random.randint(least, most + 1, shape).astype(F)


def code_range(bits, signed, narrow):
    if signed:
        return F(-(2 ** (bits - 1)) + narrow), F(2 ** (bits - 1) - 1)
    return F(0), F(2**bits - 1 - narrow)


# ---- definitions: operands and attributes to the result --------------------------------------------------------------


def quant(x, scale, zero, bits, signed=1, narrow=0, rounding_mode="ROUND"):
    v = x / scale + F(zero)
    if bits == 1 and signed:
        v = np.where(v >= 0, F(1), F(-1))
    else:
        v = ROUNDING[rounding_mode](np.clip(v, *code_range(int(bits), signed, narrow)))
    return (v - F(zero)) * scale


def bipolar_quant(x, scale):
    return np.where(x >= 0, F(1), F(-1)) * scale


def trunc(x, scale, zero, in_bits, *rest, rounding_mode="FLOOR", signed=1, narrow=0):
    v = np.rint(x / scale + F(zero))
    if len(rest) == 1:
        v = ROUNDING[rounding_mode](v / F(2.0 ** (in_bits - rest[0])))
        return (v - F(zero)) * scale
    out_scale, out_bits = rest
    by = F(2.0) ** np.rint(np.log2(out_scale / scale))
    v = ROUNDING[rounding_mode](np.clip(v / by, *code_range(int(out_bits), signed, narrow)))
    return (v - F(zero) / by) * out_scale


def multi_threshold(x, thresholds, out_scale=1.0, out_bias=0.0, data_layout="NCHW", out_dtype=""):
    v = np.moveaxis(x, -1, 1) if data_layout.endswith("C") else x
    t = thresholds.reshape(1, thresholds.shape[0], *[1] * (v.ndim - 2), thresholds.shape[1])
    n = (v[..., None] >= t).sum(-1).astype(F)
    y = F(out_scale) * n + F(out_bias)
    return np.moveaxis(y, 1, -1) if data_layout.endswith("C") else y


def xnor_popcount(a, b):
    return (a[:, :, None] == b[None]).sum(1).astype(F)


def windows(v, kernel, stride):
    n = [(size - kernel) // stride + 1 for size in v.shape[2:]]
    return np.stack([v[:, :, i : i + n[0] * stride : stride, j : j + n[1] * stride : stride]
                     for i in range(kernel) for j in range(kernel)])


def quant_avg_pool(x, kernel, stride, ibits, obits, signed=0, data_layout="NCHW"):
    v = np.moveaxis(x, -1, 1) if data_layout == "NHWC" else x
    most = (2**ibits - 1) * kernel * kernel
    y = (windows(v, kernel, stride).sum(0).astype(np.int64) >> max(0, most.bit_length() - obits)).astype(F)
    return np.moveaxis(y, 1, -1) if data_layout == "NHWC" else y


def pool_last(x, kernel_shape, strides):
    return np.moveaxis(windows(np.moveaxis(x, -1, 1), kernel_shape[0], strides[0]).max(0), 1, -1)


def mean_last(x, kernel_shape, strides):
    v = windows(np.moveaxis(x, -1, 1), kernel_shape[0], strides[0])
    return np.moveaxis(v.sum(0) / F(len(v)), 1, -1)


def global_mean_last(x):
    return x.sum((1, 2), keepdims=True) / F(x.shape[1] * x.shape[2])


def conv_last(x, w, group=1):
    """A kernel of one place."""
    parts = [p @ q.reshape(q.shape[0], -1).T for p, q in zip(np.split(x, group, -1), np.split(w, group, 0))]
    return np.concatenate(parts, -1)


def batch_norm_last(x, gamma, beta, mean, var, epsilon):
    return (x - mean) / np.sqrt(var + F(epsilon)) * gamma + beta


def requant_shift(x, mul, add, div, n_levels_out=256, signed=1):
    low = -n_levels_out // 2 if signed else 0
    v = x.astype(np.int64) * mul.astype(np.int64) + add.astype(np.int64) + (int(div) >> 1)
    return np.clip(v >> (int(div).bit_length() - 1), low, low + n_levels_out - 1).astype(F)


# ---- cases: operator, domain, definition, operands (those behind the first are constants), attributes --------------------

S = F
CASES = []


def case(op, domain, definition, operands, exact=True, **attrs):
    CASES.append((op, domain, definition, [np.asarray(x, F) for x in operands], attrs, exact))


for mode in ROUNDING:
    x = np.concatenate([np.arange(-9, 9, 0.25, F), f32(57)])
    case("Quant", GENERAL, quant, [x, S(0.5), S(0), S(4)], rounding_mode=mode)
    case("IntQuant", "onnx.brevitas", quant, [x, S(0.3), S(1), S(3)], rounding_mode=mode.lower(), signed=0)
for bits in range(1, 17):
    for signed, narrow in ((0, 0), (0, 1), (1, 0), (1, 1)):
        x = f32(2, 3, 5, times=2.0**bits / 4)
        case("Quant", "finn.custom_op.general", quant, [x, S(0.37), S(0), S(bits)], signed=signed, narrow=narrow)
case("Quant", "", quant, [f32(2, 3, 4, 5), f32(1, 3, 1, 1) ** 2 + F(0.1), S(2), S(4)], signed=0)
case("Quant", GENERAL, quant, [f32(7, 5), F(0.1) + f32(7, 1) ** 2, f32(7, 1), S(5)])
case("Quant", GENERAL, quant, [f32(99, times=1e9), S(0.7), S(0), S(32)])
case("BipolarQuant", GENERAL, bipolar_quant, [f32(5, 7), S(0.25)])
case("BipolarQuant", "", bipolar_quant, [f32(5, 7), np.abs(f32(5, 1))])
for mode in ROUNDING:
    case("Trunc", GENERAL, trunc, [whole(77, least=-128, most=127) * F(0.25), S(0.25), S(0), S(8), S(5)], rounding_mode=mode)
    case("Trunc", GENERAL, trunc, [whole(77, least=-128, most=127) * F(0.25), S(0.25), S(4), S(8), S(1), S(4)],
         rounding_mode=mode, narrow=1)
case("Trunc", "", trunc, [whole(2, 3, 9, least=0, most=255), np.array([[1], [2], [4]]), S(0), S(8),
                          np.array([[8], [4], [4]]), S(3)], signed=0)
for count in (1, 3, 7, 15, 255):
    t = np.sort(f32(6, count, times=5), 1)
    case("MultiThreshold", GENERAL, multi_threshold, [f32(3, 6, 4, 5, times=6), t])
    case("MultiThreshold", GENERAL, multi_threshold, [f32(3, 4, 5, 6, times=6), t], data_layout="NHWC", out_bias=-2.0)
    case("MultiThreshold", "", multi_threshold, [f32(9, 6, times=6), t[:1]], out_scale=0.3, out_bias=-0.1)
    case("MultiThreshold", GENERAL, multi_threshold, [f32(9, 6, times=6), t], data_layout="NC", out_scale=2.0, out_bias=-1.0)
case("XnorPopcountMatMul", GENERAL, xnor_popcount, [whole(5, 37, least=0, most=1), whole(37, 9, least=0, most=1)])
case("QuantAvgPool2d", GENERAL, quant_avg_pool, [whole(1, 5, 9, 9, least=0, most=15)], kernel=3, stride=2, ibits=4, obits=4)
case("QuantAvgPool2d", GENERAL, quant_avg_pool, [whole(1, 8, 8, 3, least=-8, most=7)], kernel=4, stride=4, ibits=4, obits=4,
     signed=1, data_layout="NHWC")
case("MaxPoolNHWC", GENERAL, pool_last, [f32(1, 6, 6, 5)], kernel_shape=[2, 2], strides=[2, 2])
case("MaxPool", LAST, pool_last, [f32(2, 7, 7, 5)], kernel_shape=[3, 3], strides=[2, 2])
case("AveragePool", LAST, mean_last, [whole(1, 6, 6, 5, least=-9, most=9)], kernel_shape=[2, 2], strides=[2, 2])
case("GlobalAveragePool", LAST, global_mean_last, [whole(1, 4, 4, 5, least=-9, most=9)])
case("Conv", LAST, conv_last, [whole(1, 5, 6, 8, least=-9, most=9), whole(4, 1, 1, 8, least=-9, most=9)])
case("Conv", LAST, conv_last, [whole(1, 5, 6, 8, least=-9, most=9), whole(8, 1, 1, 1, least=-9, most=9)], group=8)
case("BatchNormalization", LAST, batch_norm_last,
     [f32(1, 3, 4, 5), f32(5), f32(5), f32(5), np.abs(f32(5))], exact=False, epsilon=1e-3)
for signed, levels in ((0, 16), (1, 256)):
    case("RequantShift", DEEPLOY, requant_shift,
         [whole(1, 6, 5, 7, least=-30000, most=30000), whole(6, 1, 1, least=-900, most=900),
          whole(6, 1, 1, least=-9e6, most=9e6)], div=65536.0, n_levels_out=levels, signed=signed)
case("RequantShift", "", requant_shift, [whole(3, 50, least=-999, most=999), S(3), S(0)], div=8.0)


def make_model(op, domain, operands, attrs):
    names = [f"x{i}" for i in range(len(operands))]
    if op == "Quant" or op == "IntQuant":
        attrs = {"signed": 1, "narrow": 0, "rounding_mode": "ROUND", **attrs}
    node = helper.make_node(op, names, ["y"], domain=domain, **attrs)
    value = helper.make_tensor_value_info("x0", onnx.TensorProto.FLOAT, operands[0].shape)
    constants = [numpy_helper.from_array(v, n) for n, v in zip(names[1:], operands[1:])]
    graph = helper.make_graph([node], "g", [value], [helper.make_empty_tensor_value_info("y")], constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def run(tool, folder, *words):
    words = [tool, "run", f"{folder}/m.onnx", *words, "--input", f"x0=@{folder}/x.npy", "--output", f"{folder}/y.npz"]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(done.stderr.strip().split("\n")[0])
    return np.load(f"{folder}/y.npz")["y"]


def check(tool, op, domain, definition, operands, attrs, exact):
    named = {**attrs, "rounding_mode": attrs["rounding_mode"].upper()} if "rounding_mode" in attrs else attrs
    want = definition(*operands, **named)
    with tempfile.TemporaryDirectory() as folder:
        onnx.save(make_model(op, domain, operands, attrs), f"{folder}/m.onnx")
        np.save(f"{folder}/x.npy", operands[0])
        for words in ([], ["--reference"]):
            got = run(tool, folder, *words)
            if got.shape != want.shape or want.dtype != F:
                raise RuntimeError(f"{got.shape}, wanted {want.dtype}{want.shape}")
            close = np.array_equal(got, want) if exact else np.abs(got - want).max() <= 1e-5 * np.ptp(want)
            if not close:
                raise RuntimeError(f"{np.count_nonzero(got != want)} of {want.size} values differ {' '.join(words)}")


def main():
    table = pathlib.Path(__file__).resolve().parents[2] / "frontend" / "foreign.def"
    rows = re.findall(r'^(?:FOREIGN|BARE)\("(.*?)", *"(.*?)"', table.read_text(), re.M)
    wanted = {op for domain, op in rows if domain in (GENERAL, LAST, DEEPLOY)}
    failed = sorted(wanted - {one[0] for one in CASES})
    for op in failed:
        print(f"FAIL  {op}: no case uses this row")
    for one in CASES:
        try:
            check(sys.argv[1], *one)
        except RuntimeError as problem:
            failed.append(one[0])
            print(f"FAIL  {one[0]} {[x.shape for x in one[3]]} {one[4]}: {problem}")
    print(f"operators of quantized dialects: {len(CASES)} cases, {len(failed)} failed")
    sys.exit(1 if failed or not wanted else 0)


main()
