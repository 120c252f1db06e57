#!/usr/bin/env python3
"""Compares quantized convolutions of qcc, by width, with ONNX Runtime's at 8 bits.

usage: layers.py --qcc PATH [--threads 1,2] [--rounds N] [--seconds S] [--march CPU] [--models FOLDER] [SCHEME...]
(schemes: w1a2 ...)

For each size of 3x3 layer of ResNet-18, a network of four such layers with codes between them: quantize, then four times
convolution, Relu, quantize; in QDQ form. Weights of w bits: {-1,1}, {-1,0,1}, or two's complement; activations of a bits
are unsigned. The peer runs the same network with 8-bit weights and activations, whatever the scheme: it has nothing
below. Timed as bench/compare does. Outputs of qcc are compared with those of the peer on the very same network; codes
differ by a step where float32 rounding decides.
"""
import math
import os
import sys
import tempfile

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

import compare

SIZES = ((56, 64), (28, 128), (14, 256), (7, 512))
LAYERS = 4
MOST_APART = 0.02  # share of codes that may differ


class Chain:
    def __init__(self, size, channels, w_bits, a_bits):
        self.rng = np.random.default_rng(size * 100 + w_bits * 10 + a_bits)
        self.nodes, self.init = [], []
        self.top = 2**a_bits - 1
        x = self.quantize("x", self.constant("s0", np.float32(4.0 / self.top)))
        for i in range(LAYERS):
            x = self.layer(i, x, channels, w_bits)
        self.node("DequantizeLinear", [x, "s_last", "zero"], "y")
        shape = [1, channels, size, size]
        ports = [helper.make_tensor_value_info(n, TensorProto.FLOAT, shape) for n in ("x", "y")]
        graph = helper.make_graph(self.nodes, "layers", ports[:1], ports[1:], self.init)
        self.model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)

    def constant(self, name, value):
        self.init.append(numpy_helper.from_array(np.asarray(value), name))
        return name

    def node(self, op, inputs, name, **attrs):
        self.nodes.append(helper.make_node(op, inputs, [name], **attrs))
        return name

    def quantize(self, x, scale):
        if not any(i.name == "zero" for i in self.init):
            self.constant("zero", np.uint8(0))
            self.constant("top", np.uint8(self.top))
        self.scale = scale
        x = self.node("QuantizeLinear", [x, scale, "zero"], f"{x}_q")
        return x if self.top == 255 else self.node("Clip", [x, "zero", "top"], f"{x}_c")

    def weights(self, channels, bits):
        shape = (channels, channels, 3, 3)
        if bits == 1:
            return (self.rng.integers(0, 2, shape) * 2 - 1).astype(np.int8)
        low = -1 if bits == 2 else -(2 ** (bits - 1))
        return self.rng.integers(low, 2 ** (bits - 1), shape).astype(np.int8)

    def layer(self, i, x, channels, w_bits):
        w = self.weights(channels, w_bits)
        self.constant(f"w{i}", w)
        # Uneven scales, for with even ones many sums lie exactly between two codes.
        scale = self.rng.uniform(0.9, 1.1, channels) / math.sqrt(9 * channels) / max(1.0, float(w.std()))
        self.constant(f"ws{i}", scale.astype(np.float32))
        self.constant(f"wz{i}", np.zeros(channels, np.int8))
        dx = self.node("DequantizeLinear", [x, self.scale, "zero"], f"x{i}")
        dw = self.node("DequantizeLinear", [f"w{i}", f"ws{i}", f"wz{i}"], f"dw{i}", axis=0)
        y = self.node("Conv", [dx, dw], f"conv{i}", pads=[1, 1, 1, 1])
        y = self.node("Relu", [y], f"relu{i}")
        name = "s_last" if i == LAYERS - 1 else f"s{i + 1}"
        return self.quantize(y, self.constant(name, np.float32(4.0 / self.top)))


def measure(size, channels, scheme, folder, args):
    w_bits, a_bits = (int(v) for v in scheme[1:].split("a"))
    paths = {}
    for name, bits in ((scheme, (w_bits, a_bits)), ("w8a8", (8, 8))):
        paths[name] = os.path.join(folder, f"{name}_{size}.onnx")
        onnx.save(Chain(size, channels, *bits).model, paths[name])
    ours, same, peer = compare.Ours(args.qcc, paths[scheme], folder, args.march), compare.Theirs(paths[scheme]), None
    got, want = ours.outputs(same.feeds)[0], same.outputs()[0]
    apart = float(np.mean(got != want))
    if apart > MOST_APART:
        sys.exit(f"{scheme}, {size}x{size}x{channels}: {100 * apart:.1f} % of the codes differ")
    peer = compare.Theirs(paths["w8a8"])
    ratios = []
    for threads in args.threads:
        mine, theirs, ratio = compare.race(ours, peer, threads, args)
        ratios.append(ratio)
        print(f"{scheme:6s} {size:3d}x{size}x{channels:<4d} {threads:7d} {mine / LAYERS:10.1f} {theirs / LAYERS:14.1f} "
              f"{ratio:7.2f} {100 * apart:8.3f} %", flush=True)
    return ratios


def main():
    p = compare.arguments(__doc__, "1", 5, 0.2)
    p.add_argument("--models", help="folder in which the networks are left")
    p.add_argument("schemes", nargs="*")
    args = p.parse_args()
    print(f"{'scheme':6s} {'layer':11s} {'threads':>7s} {'qcc us':>10s} {'w8a8 peer us':>14s} {'ratio':>7s} {'codes apart':>10s}")
    for scheme in args.schemes or ("w8a8", "w4a4", "w2a2", "w1a2", "w1a1"):
        with tempfile.TemporaryDirectory() as folder:
            if args.models:
                os.makedirs(args.models, exist_ok=True)
            table = [measure(size, channels, scheme, args.models or folder, args) for size, channels in SIZES]
        for line in compare.thread_means(table, args.threads):
            print(f"{scheme}, {line}")


if __name__ == "__main__":
    main()
