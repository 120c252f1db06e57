#!/usr/bin/env bash
# usage: run.sh CONFORMANCE_PROGRAM WORK_FOLDER [OPTION...]
# Unpacks the ONNX backend suite of the data folder into WORK_FOLDER, once, and runs it with the given options.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
source "$here/../data.sh"
program=$1 folder=$2
shift 2
suite=$data/onnx-conformance
mkdir -p "$folder"
exec 9>"$folder.lock"
flock 9
if [ ! -f "$folder/unpacked" ]; then
    tar -xJf "$suite/onnx-1.23dev-backend-test-data.tar.xz" -C "$folder"
    touch "$folder/unpacked"
fi
flock -u 9
exec "$program" "$folder" "$suite/index_onnx1.23dev.csv" "$@"
