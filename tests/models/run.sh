#!/usr/bin/env bash
# usage: run.sh QCC VENV_FOLDER
# Compiles every float model of the data folder and the committed exports, compares with recorded outputs, and measures the
# stated accuracies; then operators of other domains and the quantized models, compiled and evaluated. Left out: silero_vad_16k (recurrent layers come later), style_candy (must be refused).
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
source "$here/../data.sh"
qcc=$1
python=$("$here/../venv.sh" "$2")

models=()
for model in "$data"/models/float/*/; do
    case $(basename "$model") in
    silero_vad_16k | style_candy) ;;
    *) models+=("$model") ;;
    esac
done
"$python" "$here/check.py" "$qcc" "${models[@]}" "$root"/tests/exports/*.onnx --strict
"$python" "$here/foreign.py" "$qcc"
"$python" "$here/dialects.py" "$qcc"
"$python" "$here/quantized.py" "$qcc" "$data" --strict
"$python" "$here/quantized.py" "$qcc" "$data" --reference
"$python" "$here/accuracy.py" "$qcc" "$data"

if "$qcc" "$data/models/float/style_candy/model.onnx" -o /dev/null 2>"$2/candy.txt"; then
    echo "style_candy was not refused"
    exit 1
fi
for op in Crop ImageScaler Affine; do
    grep -q "$op" "$2/candy.txt" || { echo "style_candy's refusal does not name $op"; exit 1; }
done
echo "style_candy is refused, naming Crop, ImageScaler and Affine"
