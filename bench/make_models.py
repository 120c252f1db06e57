#!/usr/bin/env python3
"""Writes the networks that bench/compare measures, with random weights from a fixed seed: the same bytes every time.

usage: make_models.py FOLDER [NAME...]

Each is the published architecture at batch 1, batch normalisations folded, as exporters write them. Weights are drawn
so that activations keep their magnitude (He et al. 2015), for denormals and infinities would distort times.
"""
import os
import sys

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


class Net:
    """A graph being built: every method adds a layer and returns its output's name."""

    def __init__(self, name, shape):
        self.name = name
        self.rng = np.random.default_rng(20240501)
        self.nodes, self.weights = [], []
        self.input = helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)

    def weight(self, shape, fan_in):
        name = f"w{len(self.weights)}"
        data = self.rng.standard_normal(shape) * np.sqrt(2.0 / fan_in)
        self.weights.append(numpy_helper.from_array(data.astype(np.float32), name))
        return name

    def constant(self, data):
        name = f"w{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(np.asarray(data), name))
        return name

    def add(self, op, inputs, n_out=1, **attrs):
        outs = [f"v{len(self.nodes)}_{i}" if n_out > 1 else f"v{len(self.nodes)}" for i in range(n_out)]
        self.nodes.append(helper.make_node(op, inputs, outs, name=f"{op}_{len(self.nodes)}", **attrs))
        return outs if n_out > 1 else outs[0]

    def conv(self, x, cin, cout, k, stride=1, groups=1, pad=None):
        pad = k // 2 if pad is None else pad
        fan_in = cin // groups * k * k
        inputs = [x, self.weight((cout, cin // groups, k, k), fan_in), self.weight((cout,), 100.0)]
        return self.add("Conv", inputs, kernel_shape=[k, k], strides=[stride, stride], pads=[pad] * 4, group=groups)

    def relu(self, x):
        return self.add("Relu", [x])

    def relu6(self, x):
        low, high = self.constant(np.float32(0)), self.constant(np.float32(6))
        return self.add("Clip", [x, low, high])

    def linear(self, x, cin, cout):
        return self.add("Gemm", [x, self.weight((cout, cin), cin), self.weight((cout,), 100.0)], transB=1)

    def matmul(self, x, cin, cout):
        product = self.add("MatMul", [x, self.weight((cin, cout), 2 * cin)])
        return self.add("Add", [product, self.weight((cout,), 100.0)])

    def max_pool(self, x, k, stride, pad, ceil=0):
        return self.add("MaxPool", [x], kernel_shape=[k, k], strides=[stride, stride], pads=[pad] * 4, ceil_mode=ceil)

    def pooled(self, x):
        return self.add("Flatten", [self.add("GlobalAveragePool", [x])], axis=1)

    def save(self, folder, out, shape):
        y = helper.make_tensor_value_info(out, TensorProto.FLOAT, shape)
        graph = helper.make_graph(self.nodes, self.name, [self.input], [y], self.weights)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)
        onnx.checker.check_model(model)
        onnx.save(model, os.path.join(folder, self.name + ".onnx"))


def resnet18(folder):
    """He et al., Deep Residual Learning, 2015."""
    n = Net("resnet18", [1, 3, 224, 224])
    x = n.max_pool(n.relu(n.conv("x", 3, 64, 7, 2)), 3, 2, 1)
    cin = 64
    for cout in (64, 128, 256, 512):
        for block in range(2):
            stride = 2 if block == 0 and cout > 64 else 1
            y = n.conv(n.relu(n.conv(x, cin, cout, 3, stride)), cout, cout, 3)
            short = n.conv(x, cin, cout, 1, stride) if stride == 2 else x
            x = n.relu(n.add("Add", [y, short]))
            cin = cout
    n.save(folder, n.linear(n.pooled(x), 512, 1000), [1, 1000])


def mobilenetv2(folder):
    """Sandler et al., MobileNetV2, 2018."""
    n = Net("mobilenetv2", [1, 3, 224, 224])
    x, cin = n.relu6(n.conv("x", 3, 32, 3, 2)), 32
    plan = [(1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1)]
    for expand, cout, repeats, first in plan:
        for i in range(repeats):
            stride, wide = first if i == 0 else 1, cin * expand
            y = n.relu6(n.conv(x, cin, wide, 1)) if expand > 1 else x
            y = n.conv(n.relu6(n.conv(y, wide, wide, 3, stride, wide)), wide, cout, 1)
            x = n.add("Add", [x, y]) if stride == 1 and cin == cout else y
            cin = cout
    x = n.relu6(n.conv(x, cin, 1280, 1))
    n.save(folder, n.linear(n.pooled(x), 1280, 1000), [1, 1000])


def squeezenet(folder):
    """Iandola et al., SqueezeNet, 2016; version 1.1."""
    n = Net("squeezenet", [1, 3, 224, 224])
    x, cin = n.max_pool(n.relu(n.conv("x", 3, 64, 3, 2, pad=0)), 3, 2, 0, 1), 64
    for i, (narrow, wide) in enumerate([(16, 64), (16, 64), (32, 128), (32, 128), (48, 192), (48, 192), (64, 256), (64, 256)]):
        if i in (2, 4):
            x = n.max_pool(x, 3, 2, 0, 1)
        s = n.relu(n.conv(x, cin, narrow, 1))
        x = n.add("Concat", [n.relu(n.conv(s, narrow, wide, 1)), n.relu(n.conv(s, narrow, wide, 3))], axis=1)
        cin = 2 * wide
    n.save(folder, n.pooled(n.relu(n.conv(x, cin, 1000, 1))), [1, 1000])


def transformer(folder, dim=192, heads=3, depth=6, tokens=196):
    """The encoder of a small vision transformer: DeiT-tiny (Touvron et al. 2021) at half its depth."""
    n = Net("transformer", [1, 3, 224, 224])

    def shape(x, dims, perm=None):
        x = n.add("Reshape", [x, n.constant(np.array(dims, np.int64))])
        return n.add("Transpose", [x], perm=perm) if perm else x

    def norm(x):
        return n.add("LayerNormalization", [x, n.constant(np.ones(dim, np.float32)), n.weight((dim,), 100.0)], axis=-1)

    def attention(x):
        q, k, v = (shape(n.matmul(x, dim, dim), [1, tokens, heads, dim // heads], p)
                   for p in ([0, 2, 1, 3], [0, 2, 3, 1], [0, 2, 1, 3]))
        scores = n.add("Mul", [n.add("MatMul", [q, k]), n.constant(np.float32((dim // heads) ** -0.5))])
        mixed = n.add("MatMul", [n.add("Softmax", [scores], axis=-1), v])
        merged = shape(n.add("Transpose", [mixed], perm=[0, 2, 1, 3]), [1, tokens, dim])
        return n.matmul(merged, dim, dim)

    patches = n.add("Conv", ["x", n.weight((dim, 3, 16, 16), 768), n.weight((dim,), 100.0)], kernel_shape=[16, 16],
                    strides=[16, 16])
    x = n.add("Transpose", [shape(patches, [1, dim, tokens])], perm=[0, 2, 1])
    x = n.add("Add", [x, n.weight((1, tokens, dim), 2.0)])
    for _ in range(depth):
        x = n.add("Add", [x, attention(norm(x))])
        hidden = n.add("Gelu", [n.matmul(norm(x), dim, 4 * dim)])
        x = n.add("Add", [x, n.matmul(hidden, 4 * dim, dim)])
    pooled = n.add("ReduceMean", [norm(x), n.constant(np.array([1], np.int64))], keepdims=0)
    n.save(folder, n.linear(pooled, dim, 1000), [1, 1000])


MODELS = {f.__name__: f for f in (resnet18, mobilenetv2, squeezenet, transformer)}


def main():
    if len(sys.argv) < 2 or any(name not in MODELS for name in sys.argv[2:]):
        sys.exit(__doc__.split("\n\n")[1] + "\nmodels: " + " ".join(MODELS))
    os.makedirs(sys.argv[1], exist_ok=True)
    for name in sys.argv[2:] or MODELS:
        MODELS[name](sys.argv[1])


if __name__ == "__main__":
    main()
