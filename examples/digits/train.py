#!/usr/bin/env python3
"""Train the networks of the examples and write them as ONNX.

usage: train.py FOLDER dense|depthwise EPOCHS OUT.onnx      (needs torch, numpy, onnx)

The folder holds the four idx files of MNIST or Fashion-MNIST, gzipped. The networks: three 3x3 convolutions (the last two
depthwise-separable for "depthwise") with batch normalisation and ReLU, two max-poolings, a global average and one linear
layer; input "image" is [N,1,28,28] with 0 = paper, 1 = ink. Seeds are fixed; the result still depends on the torch
version and the machine, so the trained files are committed:
    digits/digits.onnx   train.py MNIST dense 16 digits.onnx
    embed/second.onnx    train.py FASHION-MNIST depthwise 8 second.onnx
"""
import gzip
import sys

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F


def read_idx(path, skip):
    with gzip.open(path) as f:
        return np.frombuffer(f.read()[skip:], np.uint8)


def load(folder, name):
    x = read_idx(f"{folder}/{name}-images-idx3-ubyte.gz", 16).reshape(-1, 1, 28, 28)
    y = read_idx(f"{folder}/{name}-labels-idx1-ubyte.gz", 8)
    return torch.tensor(x, dtype=torch.float32) / 255, torch.tensor(y, dtype=torch.int64)


def block(inputs, outputs):
    return [nn.Conv2d(inputs, outputs, 3, padding=1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()]


def separable(inputs, outputs):
    return [nn.Conv2d(inputs, inputs, 3, padding=1, groups=inputs, bias=False), nn.BatchNorm2d(inputs), nn.ReLU6(),
            nn.Conv2d(inputs, outputs, 1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU6()]


def network(kind):
    layer = separable if kind == "depthwise" else block
    return nn.Sequential(
        *block(1, 16), nn.MaxPool2d(2), *layer(16, 32), nn.MaxPool2d(2), *layer(32, 64),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10))


def jitter(x):
    """Random small rotations, scalings and shifts, so that digits drawn by others are met."""
    n = len(x)
    angle = (torch.rand(n) - 0.5) * 0.5
    scale = 1 + (torch.rand(n) - 0.5) * 0.4
    shift = (torch.rand(n, 2) - 0.5) * 0.25
    c, s = torch.cos(angle) * scale, torch.sin(angle) * scale
    theta = torch.stack([torch.stack([c, -s, shift[:, 0]], 1), torch.stack([s, c, shift[:, 1]], 1)], 1)
    return F.grid_sample(x, F.affine_grid(theta, x.shape, align_corners=False), align_corners=False)


def accuracy(net, x, y):
    net.eval()
    with torch.no_grad():
        hits = sum((net(x[i:i + 1000]).argmax(1) == y[i:i + 1000]).sum().item() for i in range(0, len(x), 1000))
    return hits / len(x)


def main():
    folder, kind, epochs, out = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4]
    torch.manual_seed(1)
    x, y = load(folder, "train")
    test_x, test_y = load(folder, "t10k")
    net = network(kind)
    steps = epochs * (len(x) // 128)
    opt = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9, weight_decay=5e-4, nesterov=True)
    schedule = torch.optim.lr_scheduler.OneCycleLR(opt, 0.1, total_steps=steps)
    for epoch in range(epochs):
        net.train()
        order = torch.randperm(len(x))
        for i in range(0, len(x) - 127, 128):
            batch = order[i:i + 128]
            loss = F.cross_entropy(net(jitter(x[batch])), y[batch])
            opt.zero_grad()
            loss.backward()
            opt.step()
            schedule.step()
        print(f"epoch {epoch + 1}: test accuracy {accuracy(net, test_x, test_y):.4f}", flush=True)
    net.eval()
    torch.onnx.export(net, torch.zeros(1, 1, 28, 28), out, dynamo=False, opset_version=17,
                      input_names=["image"], output_names=["scores"], training=torch.onnx.TrainingMode.PRESERVE,
                      do_constant_folding=False, dynamic_axes={"image": {0: "N"}, "scores": {0: "N"}})


main()
