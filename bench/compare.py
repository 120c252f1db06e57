#!/usr/bin/env python3
"""Compares the speed of qcc with that of ONNX Runtime.

usage: compare.py --qcc PATH [--threads 1,2] [--rounds N] [--seconds S] [--march CPU] [MODEL.onnx...]

Both run in turn in one process tree, in interleaved rounds that take turns in going first, so that what disturbs one
disturbs the other. Both get the same input and number of threads, buffers bound beforehand, and 3 runs to warm up; a
round takes the median of many runs. Printed are the medians over the rounds, of the times and of the ratio of each
round: the peer's time by ours, above 1 qcc is ahead. Outputs are compared too: a fast wrong answer is no answer.

Without models: the networks of make_models.py and, from the data folder (QCC_DATA) where that is present, ResNet-20 and
SqueezeNet as they were trained. The geometric mean is over the convolution networks.
"""
import argparse
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
WARM_UP = 3
LEAST_RUNS = 11
MOST_ERROR = 1e-4  # of the output's range


def run(command):
    done = subprocess.run(command, capture_output=True, text=True, errors="replace")
    if done.returncode:
        sys.exit(f"{' '.join(command)}: exit {done.returncode}\n{done.stderr}")
    return done.stdout


class Ours:
    def __init__(self, qcc, model, folder, march):
        self.qcc, self.library = qcc, os.path.join(folder, "model.so")
        start = time.perf_counter()
        run([qcc, model, "-o", self.library] + ([f"-march={march}"] if march else []))
        self.compile_seconds = time.perf_counter() - start
        self.arrays, self.result = os.path.join(folder, "in.npz"), os.path.join(folder, "out.npz")

    def outputs(self, feeds):
        np.savez(self.arrays, **feeds)
        run([self.qcc, "run", self.library, f"--input=@{self.arrays}", "--output", self.result])
        return [v for _, v in sorted(np.load(self.result).items())]

    def microseconds(self, threads, runs):
        text = run([self.qcc, "bench", f"--threads={threads}", f"--repeat={runs}", f"--warmup={WARM_UP}",
                    f"--input=@{self.arrays}", self.library])
        return float(re.search(r"median ([0-9.]+) us", text).group(1))


class Theirs:
    def __init__(self, model):
        self.model, self.bound = model, {}
        session = self.session(1)
        rng = np.random.default_rng(7)
        shapes = {i.name: [d if isinstance(d, int) else 1 for d in i.shape] for i in session.get_inputs()}
        self.feeds = {name: rng.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()}

    def session(self, threads):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        return onnxruntime.InferenceSession(self.model, options, ["CPUExecutionProvider"])

    def outputs(self):
        session = self.session(1)
        names = [o.name for o in session.get_outputs()]
        return [v for _, v in sorted(zip(names, session.run(names, self.feeds)))]

    def bind(self, threads):
        """A session with its input and output in place: what is timed is the network, not the Python round it."""
        session = self.session(threads)
        binding = session.io_binding()
        for name, value in self.feeds.items():
            binding.bind_ortvalue_input(name, onnxruntime.OrtValue.ortvalue_from_numpy(value))
        for output in session.get_outputs():
            binding.bind_output(output.name)
        return session, binding

    def microseconds(self, threads, runs):
        if threads not in self.bound:
            self.bound[threads] = self.bind(threads)
        session, binding = self.bound[threads]
        times = []
        for i in range(WARM_UP + runs):
            start = time.perf_counter()
            session.run_with_iobinding(binding)
            times.append(time.perf_counter() - start)
        return 1e6 * statistics.median(times[WARM_UP:])


def difference(ours, theirs):
    """The largest error, relative to the range of the output."""
    worst = 0.0
    for a, b in zip(ours, theirs):
        worst = max(worst, float(np.abs(a - b).max() / max(float(b.max() - b.min()), 1e-30)))
    return worst


def race(ours, theirs, threads, args):
    """Medians over the rounds: our microseconds, the peer's, the ratio."""
    runs = max(LEAST_RUNS, int(1e6 * args.seconds / theirs.microseconds(threads, LEAST_RUNS)))
    rounds = []
    for i in range(args.rounds):
        order = (ours, theirs) if i % 2 == 0 else (theirs, ours)
        took = {side: side.microseconds(threads, runs) for side in order}
        rounds.append((took[ours], took[theirs], took[theirs] / took[ours]))
    return [statistics.median(column) for column in zip(*rounds)]


def measure(name, model, args):
    ratios = []
    with tempfile.TemporaryDirectory() as folder:
        ours, theirs = Ours(args.qcc, model, folder, args.march), Theirs(model)
        error = difference(ours.outputs(theirs.feeds), theirs.outputs())
        if not error <= MOST_ERROR:
            sys.exit(f"{name}: the outputs differ by {error:.1e} of their range")
        for threads in args.threads:
            mine, peer, ratio = race(ours, theirs, threads, args)
            ratios.append(ratio)
            print(f"{name:16s} {threads:7d} {mine:10.0f} {peer:14.0f} {ratio:7.2f} {error:9.1e} {ours.compile_seconds:10.1f}",
                  flush=True)
    return ratios


def default_models(folder):
    """Names and files."""
    run([sys.executable, os.path.join(HERE, "make_models.py"), folder])
    models = {n: os.path.join(folder, n + ".onnx") for n in ("resnet18", "mobilenetv2", "squeezenet", "transformer")}
    data = os.environ.get("QCC_DATA", os.path.join(HERE, "..", "..", "shared", "data"))
    for name, trained in (("resnet20", "resnet20_cifar10"), ("squeezenet", "squeezenet1.1_fp32")):
        path = os.path.join(data, "models", "float", trained, "model.onnx")
        if os.path.exists(path):
            models[name] = path
        else:
            print(f"{name}: there is no {path}: " + ("random weights instead" if name in models else "skipped"))
    return models


def arguments(doc, threads, rounds, seconds):
    p = argparse.ArgumentParser(description=doc.split("\n\n")[0])
    p.add_argument("--qcc", required=True)
    p.add_argument("--threads", default=threads, type=lambda s: [int(t) for t in s.split(",")])
    p.add_argument("--rounds", default=rounds, type=int)
    p.add_argument("--seconds", default=seconds, type=float, help="how long one side of one round runs")
    p.add_argument("--march", help="the CPU that qcc compiles for")
    return p


def thread_means(table, threads):
    """A line for each number of threads; table: networks by numbers of threads."""
    for i, n in enumerate(threads):
        ratios = [row[i] for row in table]
        yield (f"{n} thread{'s' if n > 1 else ''}, {len(table)} networks: geometric mean {statistics.geometric_mean(ratios):.2f}, "
               f"least {min(ratios):.2f}")


def main():
    p = arguments(__doc__, "1,2", 9, 0.3)
    p.add_argument("models", nargs="*")
    args = p.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        models = {os.path.splitext(os.path.basename(m))[0]: m for m in args.models} or default_models(folder)
        print(f"onnxruntime {onnxruntime.__version__}, {args.rounds} rounds")
        print(f"{'model':16s} {'threads':>7s} {'qcc us':>10s} {'onnxruntime us':>14s} {'ratio':>7s} {'error':>9s} {'compile s':>10s}")
        table = {name: measure(name, path, args) for name, path in models.items()}
    conv = [ratios for name, ratios in table.items() if name not in NOT_CONVOLUTIONAL]
    for line in thread_means(conv, args.threads):
        print(f"convolution networks, {line}")


if __name__ == "__main__":
    main()
