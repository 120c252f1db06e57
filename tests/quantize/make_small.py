#!/usr/bin/env python3
"""Trains small.onnx, the float network that the tests quantize: three convolutions with batch normalisation on
Fashion-MNIST, exported as PyTorch has it, normalisation not folded.

usage: make_small.py DATA_FOLDER OUT.onnx     (needs torch and onnx; a few minutes on a CPU)
"""
import gzip
import pathlib
import sys

import numpy as np
import torch
from torch import nn

EPOCHS, BATCH = 2, 256


def load(folder, name):
    with gzip.open(folder / f"{name}-images-idx3-ubyte.gz") as f:
        x = np.frombuffer(f.read()[16:], np.uint8).reshape(-1, 1, 28, 28)
    with gzip.open(folder / f"{name}-labels-idx1-ubyte.gz") as f:
        y = np.frombuffer(f.read()[8:], np.uint8)
    return torch.tensor(x.astype(np.float32) / 255), torch.tensor(y.astype(np.int64))


def block(n_in, n_out, **how):
    return [nn.Conv2d(n_in, n_out, 3, padding=1, bias=False, **how), nn.BatchNorm2d(n_out), nn.ReLU()]


def main():
    folder = pathlib.Path(sys.argv[1]) / "fashion-mnist"
    torch.manual_seed(1)
    net = nn.Sequential(*block(1, 16), *block(16, 32, stride=2), *block(32, 32), nn.MaxPool2d(2), nn.Flatten(),
                        nn.Linear(32 * 7 * 7, 10))
    x, y = load(folder, "train")
    optimiser = torch.optim.AdamW(net.parameters(), 2e-3, weight_decay=1e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 4e-3, total_steps=EPOCHS * (len(x) // BATCH))
    for epoch in range(EPOCHS):
        order = torch.randperm(len(x))
        for i in range(len(x) // BATCH):
            pick = order[i * BATCH : (i + 1) * BATCH]
            loss = nn.functional.cross_entropy(net(x[pick]), y[pick])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
        print(f"epoch {epoch}: loss {loss.item():.3f}", flush=True)
    net.eval()
    x, y = load(folder, "t10k")
    with torch.no_grad():
        print(f"{(net(x).argmax(1) == y).sum().item()} of {len(y)} right")
    torch.onnx.export(net, (x[:1],), sys.argv[2], opset_version=17, dynamo=False, input_names=["x"], output_names=["y"],
                      training=torch.onnx.TrainingMode.PRESERVE, do_constant_folding=False,
                      dynamic_axes={"x": {0: "N"}, "y": {0: "N"}})


if __name__ == "__main__":
    main()
