#!/usr/bin/env bash
# usage: run.sh QCC WORK_FOLDER [--sweep]
# Compiled models under valgrind: no byte is read before it is written, none outside of a buffer, none is lost. The
# committed exports and examples; with --sweep also the float models of the data folder, as far as they are small.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
qcc=$1 work=$2
mkdir -p "$work"

models=("$root"/tests/exports/*.onnx "$root"/examples/*/*.onnx)
if [ "${3:-}" = --sweep ]; then
    source "$here/../data.sh"
    while read -r model; do models+=("$model"); done < <(find "$data/models/float" -name model.onnx -size -100k | sort)
fi

# What valgrind can run: not more than AVX2.
march=()
if [ "$(uname -m)" = x86_64 ]; then
    march=(-march=x86-64)
    grep -q ' avx2 .* *\bfma\b\|\bfma\b.* avx2 ' /proc/cpuinfo && march=(-march=x86-64-v3)
fi

cc -std=gnu11 -O1 -g -Wall -Wextra -Werror -I"$root/runtime/include" "$here/run_once.c" -o "$work/run_once" -ldl
wrong=0
for model in "${models[@]}"; do
    for level in -O0 -O2; do
        "$qcc" "$model" "${march[@]}" $level --name m -o "$work/m.so" >/dev/null 2>"$work/said.txt" || {
            cat "$work/said.txt"
            exit 1
        }
        if valgrind -q --error-exitcode=99 --leak-check=full "$work/run_once" "$work/m.so" m_qcc_model 2>"$work/said.txt"; then
            echo "${model#"$root"/} $level: clean"
        else
            echo "${model#"$root"/} $level: status $?"
            head -n 40 "$work/said.txt"
            wrong=$((wrong + 1))
        fi
    done
done
exit $((wrong > 0))
