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
