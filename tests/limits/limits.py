#!/usr/bin/env python3
"""What compiling costs: time and memory for a large model, and memory for one of 100 MB with external data.

usage: limits.py QCC RESNET18.onnx

Fails if ResNet-18 takes 10 s or 1 GiB, or the 100 MB model 4 times its size. Memory is the most that was resident of
any process started, the linker among them, the mapped model file included.
"""
import pathlib
import subprocess
import sys
import tempfile

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

MIB = 1 << 20


def large_model(folder, layers=6, width=2048):
    """Fully connected layers; 6 of 2048x2048 are 100.7 MB."""
    rng = np.random.default_rng(1)
    nodes, weights = [], []
    for i in range(layers):
        w = rng.standard_normal((width, width), dtype=np.float32) * np.float32(0.02)
        weights.append(numpy_helper.from_array(w, f"w{i}"))
        nodes.append(helper.make_node("MatMul", [f"x{i}", f"w{i}"], [f"y{i}"]))
        nodes.append(helper.make_node("Relu", [f"y{i}"], [f"x{i + 1}"]))
    shape = [1, width]
    graph = helper.make_graph(nodes, "large", [helper.make_tensor_value_info("x0", TensorProto.FLOAT, shape)],
                              [helper.make_tensor_value_info(f"x{layers}", TensorProto.FLOAT, shape)], weights)
    path = folder / "large.onnx"
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, path, save_as_external_data=True, location="large.data", size_threshold=0)
    return path, sum(f.stat().st_size for f in folder.iterdir())


def compile_cost(tool, model, output):
    """Seconds, and bytes of the largest process, in a process of its own so that the maximum is this command's."""
    code = ("import resource, subprocess, sys, time; t = time.time(); subprocess.run(sys.argv[1:], check=True, "
            "stdout=subprocess.DEVNULL); print(time.time() - t, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)")
    done = subprocess.run([sys.executable, "-c", code, tool, str(model), "-O2", "-o", str(output)], check=True,
                          capture_output=True, text=True)
    seconds, kib = done.stdout.split()
    return float(seconds), int(kib) * 1024


def main():
    tool, resnet = sys.argv[1:3]
    good = True
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        seconds, memory = compile_cost(tool, resnet, folder / "resnet.so")
        print(f"ResNet-18: {seconds:.2f} s, {memory / MIB:.0f} MiB")
        good = good and seconds < 10 and memory < 1024 * MIB
        (folder / "large").mkdir()
        model, size = large_model(folder / "large")
        seconds, memory = compile_cost(tool, model, folder / "large.so")
        print(f"{size / 1e6:.0f} MB with external data: {seconds:.2f} s, {memory / MIB:.0f} MiB, {memory / size:.2f} times")
        good = good and memory < 4 * size
    print("within the limits" if good else "OVER THE LIMITS")
    sys.exit(0 if good else 1)


main()
