"""Quantizes two networks at several widths and counts how many of 1000 CIFAR images each gets right.

usage: accuracy.py QCC DATA_FOLDER

Each network is quantized by qcc from 64 training images (or without any), compiled, and run; beside it ONNX Runtime's own
static quantization to 8 bits on the same images. Fails if W8A8 is more than 5 images behind float, or more than 3 behind ONNX
Runtime. The other rows are a measurement, printed as it comes.
"""

import pathlib
import subprocess
import sys
import tempfile

import numpy
import onnx
import onnx.version_converter
import onnxruntime
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

IMAGENET = ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
CIFAR = ([0.4914, 0.4822, 0.4465], [0.2023, 0.1994, 0.2010])
MODELS = [("resnet20_cifar10", IMAGENET), ("alibaba_ic_mobilenet", CIFAR)]
CALIBRATE = 64
BEHIND_FLOAT, BEHIND_OTHER = 5, 3

# What is asked for, and whether samples are given.
ROWS = [("lsq:w8a8", True), ("lsq:w8a8", False), ("lsq:w4a8", True), ("lsq:w4a4", True), ("pact:w4a4", True),
        ("qn:w4a4", True), ("hwgq:w4a4", False), ("hwgq:w4a4", True), ("lsq:w3a3", True), ("qn:w3a3", True),
        ("lsq:w2a2", True), ("hwgq:w2a2", False), ("hwgq:w1a2", False), ("hwgq:w1a2", True), ("aqe:w2a2", True),
        ("twn:w2a8", True)]


def images(path, channels):
    mean, deviation = (numpy.array(v).reshape(1, 3, 1, 1) for v in channels)
    raw = numpy.fromfile(path, numpy.uint8).reshape(-1, 3073)
    x = (raw[:, 1:].reshape(-1, 3, 32, 32) / 255 - mean) / deviation
    return numpy.ascontiguousarray(x, numpy.float32), raw[:, 0]


class Reader(CalibrationDataReader):
    def __init__(self, name, x):
        self.feeds = iter([{name: x[i : i + 1]} for i in range(len(x))])

    def get_next(self):
        return next(self.feeds, None)


def quiet(*words):
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(words)}\n{done.stderr}")
    return done.stdout


def compiled_right(qcc, model, folder, x, labels):
    numpy.save(f"{folder}/x.npy", x)
    quiet(qcc, "run", model, "--input", f"@{folder}/x.npy", "--output", f"{folder}/y.npz")
    out = numpy.load(f"{folder}/y.npz")
    return int((out[out.files[0]].reshape(len(labels), -1).argmax(1) == labels).sum())


def runtime_right(model, x, labels):
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return sum(int(session.run(None, {name: x[i : i + 1]})[0].reshape(-1).argmax() == labels[i]) for i in range(len(x)))


def other_static(model, folder, calibrate, x, labels):
    proto = onnx.load(model)
    if proto.opset_import[0].version < 13:  # the first with a scale for each channel
        proto = onnx.version_converter.convert_version(proto, 13)
    onnx.save(proto, f"{folder}/newer.onnx")
    quant_pre_process(f"{folder}/newer.onnx", f"{folder}/prepared.onnx", skip_symbolic_shape=True)
    name = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"]).get_inputs()[0].name
    quantize_static(f"{folder}/prepared.onnx", f"{folder}/static.onnx", Reader(name, calibrate), quant_format=QuantFormat.QDQ,
                    per_channel=True, activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8)
    return runtime_right(f"{folder}/static.onnx", x, labels)


def measure(qcc, data, name, channels):
    x, labels = images(data / "cifar10/test_batch_first1000.bin", channels)
    calibrate = images(data / "cifar10/data_batch_1.bin", channels)[0][:CALIBRATE]
    model = str(data / "models/float" / name / "model.onnx")
    with tempfile.TemporaryDirectory() as folder:
        numpy.save(f"{folder}/c.npy", calibrate)
        plain, other = compiled_right(qcc, model, folder, x, labels), other_static(model, folder, calibrate, x, labels)
        print(f"{name}: float {plain}, ONNX Runtime static W8A8 {other}", flush=True)
        good = True
        for i, (scheme, sampled) in enumerate(ROWS):
            how = [f"--calibrate={folder}/c.npy"] if sampled else [f"--input-range={calibrate.min()},{calibrate.max()}"]
            quiet(qcc, "quantize", model, f"--scheme={scheme}", *how, "-o", f"{folder}/q.onnx")
            hits = compiled_right(qcc, f"{folder}/q.onnx", folder, x, labels)
            wrong = i == 0 and (hits < plain - BEHIND_FLOAT or hits < other - BEHIND_OTHER)
            print(f"  {scheme:12} {'samples  ' if sampled else 'data-free'} {hits:5}{'  TOO FEW' if wrong else ''}", flush=True)
            good = good and not wrong
    return good


def main():
    qcc, data = sys.argv[1], pathlib.Path(sys.argv[2])
    return 0 if all([measure(qcc, data, name, channels) for name, channels in MODELS]) else 1


if __name__ == "__main__":
    sys.exit(main())
