#!/usr/bin/env python3
"""Measure accuracies of compiled models on the images of the data folder, against those that data/README.md states.

usage: accuracy.py QCC DATA_FOLDER [GLOB]        (needs numpy)

Passes if each model gets at least the stated number of images right, less 2: the statement is rounded. Networks of integers
between input and output get exactly as many right as stated.
"""
import fnmatch
import gzip
import pathlib
import subprocess
import sys
import tempfile

import numpy as np

# Means and standard deviations of the channels that models were trained with.
IMAGENET = (np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225]))
CIFAR = (np.array([0.4914, 0.4822, 0.4465]), np.array([0.2023, 0.1994, 0.2010]))


def mnist(data, n=2000):
    with gzip.open(data / "mnist/t10k-images-idx3-ubyte.gz") as f:
        x = np.frombuffer(f.read()[16:], np.uint8).reshape(-1, 1, 28, 28)
    with gzip.open(data / "mnist/t10k-labels-idx1-ubyte.gz") as f:
        y = np.frombuffer(f.read()[8:], np.uint8)
    return x[:n].astype(np.float32), y[:n]


def cifar(data):
    raw = np.fromfile(data / "cifar10/test_batch_first1000.bin", np.uint8).reshape(-1, 3073)
    return raw[:, 1:].reshape(-1, 3, 32, 32).astype(np.float32), raw[:, 0]


def keywords(data):
    q = np.fromfile(data / "kws/kws01_mfcc_int8_1000x49x10.bin", np.int8).reshape(-1, 49, 10)
    y = np.fromfile(data / "kws/kws01_labels_u8.bin", np.uint8)
    return ((q.astype(np.float32) - 83) * np.float32(0.5847029)), y


def standard(x, channels):
    mean, std = (v.reshape(1, 3, 1, 1) for v in channels)
    return ((x / 255 - mean) / std).astype(np.float32)


# model, images, what is done to them, images right as stated
STATED = [
    ("resnet20_cifar10", cifar, lambda x: standard(x, IMAGENET), 915),
    ("resnet8_cifar10_float", cifar, lambda x: x, 881),
    ("alibaba_ic_mobilenet", cifar, lambda x: standard(x, CIFAR), 825),
    ("tinymaix_cifar10_f", cifar, lambda x: x / 255, 755),
    ("dscnn_kws_float", keywords, lambda x: x.reshape(-1, 1, 49, 10), 901),
    ("alibaba_kws", keywords, lambda x: x.reshape(-1, 49, 10, 1), 908),
    ("mnist-8", mnist, lambda x: x, 1968),
    ("mnist_cnn_pytorch", mnist, lambda x: x, 1973),
    ("mnist_pytorch_onnx2c", mnist, lambda x: x.reshape(-1, 784) / 255, 1791),
    ("tinymaix_mnist_dw_f", mnist, lambda x: x / 255, 1818),
    ("tinymaix_mnist_resnet_f", mnist, lambda x: x / 255, 1948),
]
MARGIN = 2


def all_digits(data):
    return mnist(data, 10000)


def signs(x):
    return np.where(x.reshape(-1, 784) > 127, 1, -1)


def eighths(x):
    """[-1, 1) in steps of 1/128."""
    return np.clip(np.rint((x / 255 * 2 - 1) * 128), -128, 127) / 128


# folder and model, images, what is done to them, images right as stated, whether exactly
QUANTIZED = [
    ("lowbit/TFC_1W1A", all_digits, lambda x: x / 255, 9296, True),
    ("lowbit/TFC_2W2A", all_digits, lambda x: x / 255, 9660, True),
    ("lowbit/finn_tfc_w1a1", all_digits, lambda x: x, 9296, True),
    ("lowbit/bnnpynq_lfc_w1a1_mnist_std", all_digits, signs, 9834, True),
    ("lowbit/bnnpynq_cnv_w1a1_cifar10_std", cifar, eighths, 805, True),
    ("lowbit/bnnpynq_cnv_w1a1_cifar10_qonnx", cifar, eighths, 805, True),
    ("lowbit/bnnpynq_cnv_w2a2_cifar10_std", cifar, eighths, 853, True),
    ("lowbit/bnnpynq_cnv_w2a2_cifar10_qonnx", cifar, eighths, 853, True),
    ("int8/resnet8_cifar10_int8", cifar, lambda x: x, 877, False),
    ("int8/tinymaix_cifar10_q", cifar, lambda x: x / 255, 753, False),
    ("int8/dscnn_kws_int8", keywords, lambda x: x.reshape(-1, 1, 49, 10), 902, False),
    ("int8/tinymaix_mnist_dw_q", mnist, lambda x: x / 255, 1812, False),
    ("int8/tinymaix_mnist_resnet_q", mnist, lambda x: x / 255, 1948, False),
    ("int8/mnist_dynquant", mnist, lambda x: x / 255, 1968, False),
]
MODELS = [(f"float/{name}", *row, False) for name, *row in STATED] + QUANTIZED


def right(tool, model, x, y):
    with tempfile.TemporaryDirectory() as folder:
        np.save(f"{folder}/x.npy", np.ascontiguousarray(x, np.float32))
        subprocess.run([tool, "run", model, "--strict", "--input", f"@{folder}/x.npy", "--output", f"{folder}/y.npz"],
                       check=True)
        out = np.load(f"{folder}/y.npz")
        out = out[out.files[0]].reshape(len(y), -1)
        return int(((out.argmax(1) if out.shape[1] > 1 else out[:, 0]) == y).sum())


def main():
    tool, data = sys.argv[1], pathlib.Path(sys.argv[2])
    wanted = [row for row in MODELS if len(sys.argv) < 4 or fnmatch.fnmatch(row[0].split("/")[1], sys.argv[3])]
    failed = 0
    for name, images, prepare, stated, exactly in wanted:
        x, y = images(data)
        hits = right(tool, str(data / "models" / name / "model.onnx"), prepare(x), y)
        good = hits == stated if exactly else hits >= stated - MARGIN
        failed += not good
        print(f"{'pass' if good else 'FAIL'}  {name}: {hits} of {len(y)} right, stated {stated}", flush=True)
    print(f"{len(wanted) - failed} passed, {failed} failed")
    sys.exit(1 if failed or not wanted else 0)


if __name__ == "__main__":
    main()
