#!/usr/bin/env bash
# usage: run.sh QCC VENV_FOLDER NET_EXPORT
# Exports the committed models, and those of the data folder, and runs the files in ONNX Runtime beside the originals; then
# quantizes committed ones by every scheme and counts codes, of a small trained network (make_small.py) on 1000 images; then
# measures what is left of two networks' accuracy; then compares random quantized networks, and all levels of x86-64 and,
# where there is a cross compiler and qemu-user, aarch64.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
source "$here/../data.sh"
python=$("$here/../venv.sh" "$2")

"$python" "$here/export.py" "$1" "$here"/../exports/*.onnx "$data"/models/*/*/model.onnx
"$python" "$here/codes.py" "$1" "$here"/../exports/{residual,depthwise}_script.onnx
"$python" "$here/codes.py" "$1" --images "$data/fashion-mnist/t10k-images-idx3-ubyte.gz" 1000 "$here/small.onnx"
"$python" "$here/accuracy.py" "$1" "$data"
"$python" "$here/nets.py" "$1" "$3" 100

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
runner=()
if command -v qemu-aarch64 aarch64-linux-gnu-gcc >/dev/null; then
    aarch64-linux-gnu-gcc -O1 -I"$here/../../runtime/include" "$here/../cross/run_model.c" -o "$folder/run_model" -ldl
    runner=(qemu-aarch64 "$folder/run_model")
fi
QEMU_LD_PREFIX=/usr/aarch64-linux-gnu "$python" "$here/cpus.py" "$1" "$data" "${runner[@]}"
