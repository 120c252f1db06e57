#!/usr/bin/env bash
# usage: run.sh CMAKE BUILD_FOLDER WORK_FOLDER
# Installs the tree into a fresh prefix and uses it as a stranger would: examples/embed through find_package, a plain
# compile through pkg-config, and a look at what a compiled model needs from outside.
set -euo pipefail
cmake=$1 build=$2 work=$3
root=$(cd "$(dirname "$0")/../.." && pwd)
rm -rf "$work"
mkdir -p "$work"
"$cmake" --install "$build" --prefix "$work/prefix" >"$work/install.log"
PATH=$work/prefix/bin:$PATH
hash -r
qcc --version

"$cmake" -G Ninja -S "$root/examples/embed" -B "$work/embed" -DCMAKE_PREFIX_PATH="$work/prefix" >"$work/embed.log"
"$cmake" --build "$work/embed" >>"$work/embed.log" || { cat "$work/embed.log"; exit 1; }
"$work/embed/embed"

# A model with its weights in a file of its own, by what generators there are: compiled again when that changes, and only then.
mkdir -p "$work/outside"
cp "$build/tests/models/external.onnx" "$build/tests/models/weights.bin" "$work/outside"
cat >"$work/outside/CMakeLists.txt" <<'END'
cmake_minimum_required(VERSION 3.25)
project(outside LANGUAGES C)
find_package(qcc CONFIG REQUIRED)
add_library(outside STATIC outside.c)
qcc_add_model(outside MODEL external.onnx)
END
echo 'int outside;' >"$work/outside/outside.c"
generators=(Ninja)
command -v make >/dev/null && generators+=("Unix Makefiles")
for generator in "${generators[@]}"; do
    rm -rf "$work/outside/build"
    "$cmake" -G "$generator" -S "$work/outside" -B "$work/outside/build" -DCMAKE_PREFIX_PATH="$work/prefix" >"$work/outside.log"
    object=$work/outside/build/qcc/outside/external.o
    "$cmake" --build "$work/outside/build" >>"$work/outside.log" || { cat "$work/outside.log"; exit 1; }
    made=$(stat -c %y "$object")
    "$cmake" --build "$work/outside/build" >>"$work/outside.log"
    [ "$made" = "$(stat -c %y "$object")" ] || { echo "$generator: compiled again, though nothing changed"; exit 1; }
    sleep 1
    touch "$work/outside/weights.bin"
    "$cmake" --build "$work/outside/build" >>"$work/outside.log"
    [ "$made" != "$(stat -c %y "$object")" ] || { echo "$generator: not compiled again with other weights"; exit 1; }
done

cd "$work"
qcc "$root/examples/digits/digits.onnx" -c -o digits.o
qcc "$root/examples/digits/digits.onnx" -o digits.so
outside=$(nm -u digits.o | awk '{print $2}' | grep -vxE 'memcpy|memmove|memset|_GLOBAL_OFFSET_TABLE_' || true)
[ -z "$outside" ] || { echo "digits.o needs from outside: $outside"; exit 1; }
outside=$(nm -D -u digits.so | awk '{print $2}' | grep -vE '^(memcpy|memmove|memset)(@|$)' || true)
[ -z "$outside" ] || { echo "digits.so needs from outside: $outside"; exit 1; }
other=$(nm -D --defined-only digits.so | awk '{print $3}' | grep -v '^digits_' || true)
[ -z "$other" ] || { echo "digits.so defines symbols without its name: $other"; exit 1; }

mkdir -p again && (cd again && qcc "$root/examples/digits/digits.onnx" -o digits.so)
cmp digits.so again/digits.so
cmp digits.h again/digits.h

PKG_CONFIG_PATH=$(dirname "$(find "$work/prefix" -name qcc.pc)")
export PKG_CONFIG_PATH
# shellcheck disable=SC2046
cc -O2 -I. $(pkg-config --cflags qcc) "$root/examples/digits/classify.c" digits.o $(pkg-config --libs qcc) -lm -o classify
./classify "$root"/examples/digits/samples/*.pgm | tee classify.out
for digit in 0 1 2 3 4 5 6 7 8 9; do
    grep -q "/$digit.pgm: looks like a $digit," classify.out || { echo "digit $digit is taken for another"; exit 1; }
done
