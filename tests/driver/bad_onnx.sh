#!/usr/bin/env bash
# usage: bad_onnx.sh PYTHON QCC
# Runs bad_onnx.py on the data folder's bad-onnx.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
source "$here/../data.sh"
"$1" "$here/bad_onnx.py" "$2" "$data/bad-onnx/manifest.csv"
