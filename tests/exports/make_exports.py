#!/usr/bin/env python3
"""Export three small networks from PyTorch on both of its ONNX paths, with inputs and ONNX Runtime's outputs.

usage: make_exports.py FOLDER       (needs torch, onnx, onnxscript, onnxruntime, numpy)

Writes NAME_script.onnx (torch.onnx.export with dynamo=False) and NAME_dynamo.onnx (dynamo=True) and for each a
NAME_x.npz with in_0 and out_0. Weights are random from a fixed seed: what is tested is what the exporters write, not what
the networks know.
"""
import pathlib
import sys
import warnings

import numpy as np
import onnxruntime
import torch
from torch import nn
from torch.nn import functional as F


class Residual(nn.Module):
    """Convolutions with shortcuts, one of them strided with a 1x1 projection."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(8)
        self.a = nn.Conv2d(8, 8, 3, padding=1)
        self.b = nn.Conv2d(8, 16, 3, stride=2, padding=1)
        self.project = nn.Conv2d(8, 16, 1, stride=2)
        self.fc = nn.Linear(16, 10)

    def forward(self, x):
        x = F.relu(self.norm(self.stem(x)))
        x = F.relu(x + self.a(x))
        x = F.relu(self.b(x) + self.project(x))
        return self.fc(x.mean((2, 3)))


class Depthwise(nn.Module):
    """Inverted residual blocks with HardSwish and squeeze-and-excite, as in the MobileNets."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, stride=2, padding=1)
        self.widen = nn.Conv2d(8, 24, 1, bias=False)
        self.norm = nn.BatchNorm2d(24)
        self.depth = nn.Conv2d(24, 24, 5, padding=2, groups=24)
        self.squeeze = nn.Conv2d(24, 6, 1)
        self.excite = nn.Conv2d(6, 24, 1)
        self.narrow = nn.Conv2d(24, 8, 1)
        self.fc = nn.Linear(8, 10)

    def forward(self, x):
        x = F.hardswish(self.stem(x))
        y = F.hardswish(self.depth(F.relu6(self.norm(self.widen(x)))))
        gate = F.hardsigmoid(self.excite(F.relu(self.squeeze(F.adaptive_avg_pool2d(y, 1)))))
        x = x + self.narrow(y * gate)
        x = F.max_pool2d(F.pad(x, (0, 1, 0, 1)), 3, 2)
        return F.log_softmax(self.fc(torch.flatten(F.adaptive_avg_pool2d(x, 1), 1)), 1)


class Block(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        self.heads = heads

    def forward(self, x):
        n, t, c = x.shape
        q, k, v = self.qkv(self.norm1(x)).reshape(n, t, 3, self.heads, c // self.heads).permute(2, 0, 3, 1, 4)
        y = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(n, t, c)
        x = x + self.out(y)
        return x + self.down(F.gelu(self.up(self.norm2(x))))


class Transformer(nn.Module):
    """A vision transformer: patches, a class token, learned positions, two blocks."""

    def __init__(self, width=32, heads=4):
        super().__init__()
        self.patch = nn.Conv2d(3, width, 4, stride=4)
        self.token = nn.Parameter(torch.randn(1, 1, width) * 0.1)
        self.place = nn.Parameter(torch.randn(1, 17, width) * 0.1)
        self.blocks = nn.ModuleList([Block(width, heads) for _ in range(2)])
        self.norm, self.fc = nn.LayerNorm(width), nn.Linear(width, 10)

    def forward(self, x):
        x = self.patch(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.token.expand(x.shape[0], -1, -1), x], 1) + self.place
        for block in self.blocks:
            x = block(x)
        return self.fc(self.norm(x)[:, 0])


def settle(net):
    """Batch statistics that are not the trivial ones."""
    for m in net.modules():
        if isinstance(m, nn.BatchNorm2d):
            nn.init.normal_(m.running_mean, 0, 0.2)
            nn.init.uniform_(m.running_var, 0.5, 2)
            nn.init.uniform_(m.weight, -1, 2)
            nn.init.normal_(m.bias, 0, 0.2)


def peer(file):
    """ONNX Runtime as written: its optimiser (1.31) merges Pad into MaxPool, which changes padding from 0 to -inf."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    return onnxruntime.InferenceSession(file, options)


def main():
    folder = pathlib.Path(sys.argv[1])
    warnings.filterwarnings("ignore")
    for name, make in (("residual", Residual), ("depthwise", Depthwise), ("transformer", Transformer)):
        torch.manual_seed(7)
        net = make()
        settle(net)
        net.eval()
        x = torch.randn(1, 3, 16, 16)
        for path, dynamo in (("script", False), ("dynamo", True)):
            file = folder / f"{name}_{path}.onnx"
            more = {"external_data": False} if dynamo else {"opset_version": 17}
            torch.onnx.export(net, (x,), str(file), input_names=["x"], output_names=["y"], dynamo=dynamo, **more)
            y = peer(file).run(None, {"x": x.numpy()})[0]
            np.savez(folder / f"{name}_{path}.npz", in_0=x.numpy(), out_0=y)
            print(f"{file.name}: {file.stat().st_size} bytes, output {y.ravel()[:3]}")


main()
