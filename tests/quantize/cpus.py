#!/usr/bin/env python3
"""Holds what quantized networks give on different CPUs side by side.

usage: cpus.py QCC DATA [AARCH64_RUNNER WORD...]      (needs numpy, onnx)

Networks of integers from DATA/models/lowbit must give the same bits at every level of x86-64 that this machine has, with
one thread and with two, and on aarch64, where a command is given that runs a library for it (tests/cross/run_model.c under
an emulator). Networks that are float in part, quantized here with some layers kept, may differ there: codes that
fall on the other side of a threshold behind a float layer are counted, at most MOST_CODES of all and by one level; where
none does, the floats agree within TOLERANCE of the range.
"""
import pathlib
import subprocess
import sys
import tempfile

import numpy as np

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "models"))
from codes import expose, run
from quantized import NUMPY, ports

LEVELS = [("x86-64-v4", {"avx512f", "avx512bw", "avx512vl"}), ("x86-64-v3", {"avx2", "fma"}),
          ("x86-64-v2", {"sse4_2", "popcnt"}), ("x86-64", set())]
INTEGER = ["bnnpynq_cnv_w1a1_cifar10_std", "bnnpynq_cnv_w2a2_cifar10_qonnx", "bnnpynq_lfc_w1a1_mnist_std", "TFC_2W2A",
           "deeploy_MLPerf_ImageClassification", "deeploy_MLPerf_KeywordSpotting", "dory_dscnn_test",
           "dory_Residual_connection_test_1"]
# float networks, the scheme, the layers that stay float
MIXED = [("resnet20_cifar10", "lsq:w4a4", ["layer1*"]),
         ("resnet20_cifar10", "hwgq:w2a2", ["layer3*", "logits"]),
         ("alibaba_ic_mobilenet", "lsq:w8a8", ["Conv_*2"])]
TOLERANCE = 1e-4
MOST_CODES = 1e-4  # share of codes that may differ between levels, by one


def cpus():
    with open("/proc/cpuinfo", encoding="ascii") as f:
        have = set(next(line for line in f if line.startswith(("flags", "Features"))).split())
    return ["native", *(name for name, wanted in LEVELS if wanted <= have and {"sse2"} <= have)]


def outputs(qcc, library, feed, folder, threads):
    run(qcc, "run", library, *feed, f"--threads={threads}", "--output", f"{folder}/y.npz")
    with np.load(f"{folder}/y.npz") as z:
        return {name: z[name] for name in z.files}


def compile_for(qcc, model, library, *flags):
    run(qcc, str(model), "-o", library, "--no-header", "--name=m", "--strict", *flags)


def feed_of(qcc, place, folder):
    """The recorded inputs, the first sample of each, as files and as words of the command."""
    words = []
    with np.load(place / "io.npz") as data:
        for i, (elem, shape) in enumerate(ports(run(qcc, "info", str(place / "model.onnx")).stdout, "input")):
            np.save(f"{folder}/in_{i}.npy", data[f"in_{i}"].astype(NUMPY[elem]).reshape((-1, *shape[1:]))[:1])
            words += ["--input", f"#{i}=@{folder}/in_{i}.npy"]
    return words


def on_aarch64(qcc, model, runner, want, folder):
    compile_for(qcc, model, f"{folder}/arm.so", "--target=aarch64")
    for i, path in enumerate(sorted(pathlib.Path(folder).glob("in_*.npy"))):
        np.load(path).tofile(f"{folder}/in_{i}.bin")
    run(*runner, f"{folder}/arm.so", folder)
    return all(pathlib.Path(f"{folder}/out_{i}.bin").read_bytes() == v.tobytes() for i, v in enumerate(want.values()))


def check_integer(qcc, place, runner):
    with tempfile.TemporaryDirectory() as folder:
        feed, model, want, wrong = feed_of(qcc, place, folder), place / "model.onnx", None, []
        for cpu in cpus():
            compile_for(qcc, model, f"{folder}/m.so", f"-march={cpu}")
            for threads in (1, 2):
                got = outputs(qcc, f"{folder}/m.so", feed, folder, threads)
                want = want or got
                if any(want[name].tobytes() != got[name].tobytes() for name in want):
                    wrong.append(f"{cpu} with {threads} threads")
        if runner and not on_aarch64(qcc, model, runner, want, folder):
            wrong.append("aarch64")
        levels = ", ".join(cpus() + ["aarch64"] * bool(runner))
        said = f"differs on {', '.join(wrong)}" if wrong else f"the same bits on {levels}"
        print(f"{place.name}: {said}", flush=True)
        return not wrong


def check_mixed(qcc, model, scheme, keep):
    rng = np.random.default_rng(7)
    with tempfile.TemporaryDirectory() as folder:
        np.save(f"{folder}/x.npy", rng.standard_normal((32, 3, 32, 32)).astype(np.float32))
        run(qcc, "quantize", str(model), f"--scheme={scheme}", *(f"--keep={k}" for k in keep),
            f"--calibrate={folder}/x.npy", "-o", f"{folder}/q.onnx")
        steps, want, good, said = expose(f"{folder}/q.onnx", f"{folder}/all.onnx"), None, True, []
        for cpu in cpus():
            compile_for(qcc, f"{folder}/all.onnx", f"{folder}/m.so", f"-march={cpu}")
            got = outputs(qcc, f"{folder}/m.so", ["--input", f"@{folder}/x.npy"], folder, 1)
            want = want or got
            differ = total = most = 0
            for name, step in steps.items():
                codes = [np.rint(v[name].astype(np.float64) / step) for v in (want, got)]
                off = np.abs(codes[0] - codes[1])
                differ, total, most = differ + np.count_nonzero(off), total + off.size, max(most, off.max())
            floats = [name for name in want if name not in steps]
            error = max(float(np.abs(want[n] - got[n]).max() / np.ptp(want[n])) for n in floats)
            good = good and differ <= MOST_CODES * total and most <= 1 and (error <= TOLERANCE or differ > 0)
            said.append(f"{cpu} {differ} (outputs {error:.1e} off)")
        print(f"{pathlib.Path(model).parent.name} {scheme}, {', '.join(keep)} float: of {total} codes differ from native: "
              + ", ".join(said[1:]), flush=True)
        return good


def main():
    qcc, data, runner = sys.argv[1], pathlib.Path(sys.argv[2]), sys.argv[3:]
    good = [check_integer(qcc, data / "models/lowbit" / name, runner) for name in INTEGER]
    for name, scheme, keep in MIXED:
        good.append(check_mixed(qcc, data / "models/float" / name / "model.onnx", scheme, keep))
    return 0 if all(good) else 1


if __name__ == "__main__":
    sys.exit(main())
