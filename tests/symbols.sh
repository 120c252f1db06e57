#!/usr/bin/env bash
# usage: symbols.sh QCC
# What compiled models need from outside is at most memcpy, memmove and memset, and all that they define carries the
# model's name: as objects and as libraries, for the committed exports and examples.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
wrong=0 models=0

# check_names FILE NM_OPTION...
check_names() {
    local file=$1 outside foreign
    shift
    outside=$(nm "$@" --undefined-only "$file" | awk '{print $NF}' | sed 's/@.*//' |
        grep -vxE 'memcpy|memmove|memset|_GLOBAL_OFFSET_TABLE_' || true)
    foreign=$(nm "$@" --defined-only --extern-only "$file" | awk '{print $NF}' | grep -v '^m_' || true)
    [ -z "$outside$foreign" ] && return
    echo "$model: $(basename "$file") needs: $outside; defines: $foreign" | tr '\n' ' '
    wrong=1
}

for model in "$root"/tests/exports/*.onnx "$root"/examples/*/*.onnx; do
    "$1" "$model" --name m -O1 -c -o "$work/m.o" >/dev/null 2>&1
    "$1" "$model" --name m -O1 -o "$work/m.so" >/dev/null 2>&1
    check_names "$work/m.o"
    check_names "$work/m.so" -D
    models=$((models + 1))
done
echo "$models models"
[ $models -gt 5 ] && exit $wrong
exit 1
