#!/usr/bin/env bash
# usage: run.sh QCC WORK_FOLDER
# Exports the networks of make_exports.py afresh with today's PyTorch, on both of its paths, compiles them and compares with
# ONNX Runtime.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
qcc=$1 folder=$2
python=$("$here/../venv.sh" "$folder/venv-torch" "$here/requirements.txt")
rm -rf "$folder/exports"
mkdir -p "$folder/exports"
"$python" "$here/make_exports.py" "$folder/exports"
"$python" "$here/../models/check.py" "$qcc" "$folder"/exports/*.onnx --strict
