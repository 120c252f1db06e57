#!/usr/bin/env python3
"""Compares the speed of qcc with that of ONNX Runtime.

usage: compare.py --qcc PATH [--threads 1,2] [--rounds N] [--march CPU] [MODEL.onnx...]

Both run in turn in one process tree, in interleaved rounds, so that what disturbs one disturbs the other; each round
gives a median of many runs, and the median over the rounds counts. The ratio is the peer's time by ours: above 1, qcc
is ahead. Outputs are compared too: a fast wrong answer is no answer. Without models: the networks of make_models.py and
ResNet-20 from the data folder (QCC_DATA), where that is present; the geometric mean is over convolution networks.
"""
import argparse
import math
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time

import numpy as np
import onnxruntime

HERE = os.path.dirname(os.path.abspath(__file__))
NOT_CONVOLUTIONAL = ("transformer",)


def run(command):
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{' '.join(command)}: exit {done.returncode}\n{done.stderr}")
    return done.stdout


class Ours:
    def __init__(self, qcc, model, folder, march):
        name = os.path.splitext(os.path.basename(model))[0]
        self.qcc, self.library = qcc, os.path.join(folder, name + ".so")
        start = time.perf_counter()
        run([qcc, model, "-o", self.library] + ([f"-march={march}"] if march else []))
        self.compile_seconds = time.perf_counter() - start

    def microseconds(self, threads):
        text = run([self.qcc, "bench", "--threads", str(threads), self.library])
        return float(re.search(r"median ([0-9.]+) us", text).group(1))

    def outputs(self, feeds, folder):
        arrays = os.path.join(folder, "in.npz")
        result = os.path.join(folder, "out.npz")
        np.savez(arrays, **feeds)
        run([self.qcc, "run", self.library, "--input", arrays, "--output", result])
        return [v for _, v in sorted(np.load(result).items())]


class Theirs:
    def __init__(self, model):
        self.model, self.sessions = model, {}

    def session(self, threads):
        if threads not in self.sessions:
            options = onnxruntime.SessionOptions()
            options.intra_op_num_threads = threads
            options.inter_op_num_threads = 1
            options.log_severity_level = 3
            self.sessions[threads] = onnxruntime.InferenceSession(self.model, options, ["CPUExecutionProvider"])
        return self.sessions[threads]

    def feeds(self):
        rng = np.random.default_rng(7)
        shapes = {i.name: [d if isinstance(d, int) else 1 for d in i.shape] for i in self.session(1).get_inputs()}
        return {name: rng.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()}

    def microseconds(self, threads, feeds):
        session, times = self.session(threads), []
        for _ in range(3):
            session.run(None, feeds)
        end = time.perf_counter() + 1.0
        while len(times) < 11 or time.perf_counter() < end:
            start = time.perf_counter()
            session.run(None, feeds)
            times.append(time.perf_counter() - start)
        return 1e6 * statistics.median(times)


def difference(ours, theirs):
    """The largest error, relative to the range of the output."""
    worst = 0.0
    for a, b in zip(ours, theirs):
        worst = max(worst, float(np.abs(a - b).max() / max(float(b.max() - b.min()), 1e-30)))
    return worst


def measure(model, args, folder):
    name = os.path.splitext(os.path.basename(model))[0]
    ours, theirs = Ours(args.qcc, model, folder, args.march), Theirs(model)
    feeds = theirs.feeds()
    names = [o.name for o in theirs.session(1).get_outputs()]
    expected = [v for _, v in sorted(zip(names, theirs.session(1).run(None, feeds)))]
    error = difference(ours.outputs(feeds, folder), expected)
    ratios = []
    for threads in args.threads:
        rounds = [(ours.microseconds(threads), theirs.microseconds(threads, feeds)) for _ in range(args.rounds)]
        mine, peer = (statistics.median(column) for column in zip(*rounds))
        ratios.append(peer / mine)
        print(f"{name:24s} {threads:7d} {mine:12.0f} {peer:14.0f} {peer / mine:7.2f} {error:9.1e} {ours.compile_seconds:9.1f}",
              flush=True)
    return ratios


def default_models(folder):
    run([sys.executable, os.path.join(HERE, "make_models.py"), folder])
    data = os.environ.get("QCC_DATA", os.path.join(HERE, "..", "..", "shared", "data"))
    resnet20 = os.path.join(data, "models", "float", "resnet20_cifar10", "model.onnx")
    names = ["resnet18", "mobilenetv2", "squeezenet", "transformer"]
    models = [os.path.join(folder, n + ".onnx") for n in names]
    if os.path.exists(resnet20):
        link = os.path.join(folder, "resnet20.onnx")
        os.symlink(os.path.abspath(resnet20), link)
        models.insert(1, link)
    else:
        print(f"skipped: ResNet-20, for there is no {resnet20}")
    return models


def main():
    p = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    p.add_argument("--qcc", required=True)
    p.add_argument("--threads", default="1,2", type=lambda s: [int(t) for t in s.split(",")])
    p.add_argument("--rounds", default=5, type=int)
    p.add_argument("--march", help="the CPU that qcc compiles for")
    p.add_argument("models", nargs="*")
    args = p.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        models = args.models or default_models(folder)
        print(f"{'model':24s} {'threads':>7s} {'qcc us':>12s} {'onnxruntime us':>14s} {'ratio':>7s} {'error':>9s} {'compile s':>9s}")
        table = {m: measure(m, args, folder) for m in models}
    conv = [r for m, r in table.items() if os.path.splitext(os.path.basename(m))[0] not in NOT_CONVOLUTIONAL]
    for i, threads in enumerate(args.threads):
        mean = math.exp(statistics.fmean(math.log(r[i]) for r in conv))
        print(f"geometric mean over {len(conv)} convolution networks, {threads} thread{'s' if threads > 1 else ''}: "
              f"{mean:.2f}, least {min(r[i] for r in conv):.2f}")


if __name__ == "__main__":
    main()
