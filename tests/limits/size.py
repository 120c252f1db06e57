#!/usr/bin/env python3
"""Whether a library is as large as the weights of its network are wide.

usage: size.py QCC resnet18|cnv MODEL.onnx

Constants in the file, as `qcc info` counts them, by the sum of weights times bits: at most 1.05, and no less than 1. ResNet-18 with random
weights is quantized to 1-bit weights and 2-bit activations, its first and last layers to 8 bits; CNV (FINN's, 1 bit
throughout) is taken as it is.
"""
import pathlib
import re
import subprocess
import sys
import tempfile

import numpy as np
import onnx

MOST = 1.05
CPUS = ("native", "x86-64-v3")
UNITS = {"B": 1, "KiB": 1 << 10, "MiB": 1 << 20}


def layer_sizes(path):
    """Weights of each layer in order."""
    graph = onnx.load(path).graph
    count = {i.name: int(np.prod(i.dims)) for i in graph.initializer}
    for n in graph.node:  # weights behind quantizers of their own
        if n.op_type in ("BipolarQuant", "Quant") and n.input[0] in count:
            count[n.output[0]] = count[n.input[0]]
    return [count[n.input[1]] for n in graph.node if n.op_type in ("Conv", "Gemm", "MatMul")]


def constant_bytes(tool, library):
    text = subprocess.run([tool, "info", str(library)], check=True, capture_output=True, text=True).stdout
    found = re.search(r"weights ([\d.]+) (\w+), prepared ([\d.]+ \w+)", text)
    return float(found[1]) * UNITS[found[2]], found[3]


def check(tool, what, model, bits, folder):
    good = True
    for cpu in CPUS:
        subprocess.run([tool, str(model), f"-march={cpu}", "-o", str(folder / "m.so")], check=True,
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        found, prepared = constant_bytes(tool, folder / "m.so")
        print(f"{what}, {cpu}: {found / 1024:.1f} KiB of constants, weights are {bits / 8192:.1f} KiB, "
              f"ratio {found * 8 / bits:.3f}; prepared {prepared}")
        good = good and bits <= found * 8 <= MOST * bits
    return good


def quantized_resnet(tool, model, folder):
    images = np.random.default_rng(1).standard_normal((1, 3, 224, 224), dtype=np.float32)
    np.savez(folder / "images.npz", x=images)
    path = folder / "resnet18_w1a2.onnx"
    subprocess.run([tool, "quantize", model, "--scheme=hwgq:w1a2", f"--calibrate={folder / 'images.npz'}", "-o", str(path)],
                   check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return path


def main():
    tool, kind, model = sys.argv[1:]
    n = layer_sizes(model)
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        if kind == "resnet18":
            good = check(tool, "ResNet-18 W1A2", quantized_resnet(tool, model, folder), sum(n) + 7 * (n[0] + n[-1]), folder)
        else:
            good = check(tool, "CNV W1A1", model, sum(n), folder)
    print("within the limits" if good else "OVER THE LIMITS")
    sys.exit(0 if good else 1)


main()
