#!/usr/bin/env bash
# usage: int8.sh QCC VENV_FOLDER
# The int8 models of the data folder beside ONNX Runtime: each layer by itself, then the first places of all images.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
source "$here/../data.sh"
python=$("$here/../venv.sh" "$2")

"$python" "$here/layers.py" "$1" "$data"
"$python" "$here/images.py" "$1" "$data"
