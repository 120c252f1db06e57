#!/usr/bin/env bash
# usage: run.sh QCC VENV_FOLDER
# Time and memory of compiling: ResNet-18, and a model of 100 MB with external data (limits.py); bytes of constants in
# libraries of few bits (size.py), of CNV too where the data folder is there.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
python=$("$here/../venv.sh" "$2")
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"$python" "$here/../../bench/make_models.py" "$folder" resnet18
"$python" "$here/limits.py" "$1" "$folder/resnet18.onnx"
"$python" "$here/size.py" "$1" resnet18 "$folder/resnet18.onnx"
source "$here/../data.sh"
"$python" "$here/size.py" "$1" cnv "$data/models/lowbit/bnnpynq_cnv_w1a1_cifar10_qonnx/model.onnx"
