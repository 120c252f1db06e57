#!/usr/bin/env python3
"""usage: nets.py NET_EXPORT COUNT

Random quantized networks in ONNX Runtime, its optimisations off, beside the evaluator. Where all scales are powers of two
no code may differ. With other scales sums of floats are rounded where the evaluator's are exact, and a code next to a
threshold may fall on its other side: such codes are counted.
"""
import pathlib
import subprocess
import sys
import tempfile

import numpy
import onnxruntime


def run(path):
    """(elements, elements that differ) of all outputs; None where ONNX Runtime has no kernel for the network."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    try:
        session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except onnxruntime.capi.onnxruntime_pybind11_state.NotImplemented as e:
        print(f"{path.stem}: {str(e).splitlines()[0]}")
        return None
    arrays = numpy.load(path.with_suffix(".npz"))
    names = [o.name for o in session.get_outputs()]
    found = session.run(names, {i.name: arrays[i.name] for i in session.get_inputs()})
    total = differ = 0
    for name, got in zip(names, found):
        total += got.size
        differ += int(numpy.count_nonzero(got != arrays[name]))
    return total, differ


def compare(program, count, kind):
    ran = refused = total = differ = 0
    wrong = []
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([program, folder, "20000", str(count), kind], check=True)
        for path in sorted(pathlib.Path(folder).glob("*.onnx")):
            result = run(path)
            if result is None:
                refused += 1
                continue
            ran += 1
            total += result[0]
            differ += result[1]
            if result[1]:
                wrong.append(path.stem)
    print(f"{kind}: {ran} networks of {count} run in ONNX Runtime ({refused} have no kernel there), {differ} of {total} elements differ, "
          f"in {len(wrong)} networks: {' '.join(wrong[:8])}")
    return ran, len(wrong)


def main():
    program, count = sys.argv[1], int(sys.argv[2])
    ran, wrong = compare(program, count, "exact")
    others, _ = compare(program, count, "any")
    sys.exit(wrong > 0 or ran < count // 2 or others < count // 2)


main()
