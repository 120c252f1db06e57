#!/usr/bin/env bash
# usage: run.sh CONFORMANCE_PROGRAM QCC WORK_FOLDER
# Other machines: a part of the conformance suite compiled for aarch64 and run under qemu-user; objects for targets that
# have no operating system here.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
program=$1 qcc=$2 folder=$3
mkdir -p "$folder/cross"

if ! command -v qemu-aarch64 >/dev/null || ! command -v aarch64-linux-gnu-gcc >/dev/null; then
    echo "qemu-user or gcc-aarch64-linux-gnu is not installed"
    [ "${CI:-}" = true ] && exit 1
    exit 77
fi
aarch64-linux-gnu-gcc -O1 -I"$root/runtime/include" "$here/run_model.c" -o "$folder/cross/run_model" -ldl
export QEMU_LD_PREFIX=/usr/aarch64-linux-gnu
for only in 'test_conv_*' 'test_convtranspose*' 'test_gemm_*' 'test_matmul_*' 'test_averagepool_2d*' 'test_maxpool_2d*' \
    'test_add*' 'test_exp*' 'test_tanh*' 'test_erf*' 'test_pow*' 'test_div*' 'test_clip*' 'test_reduce_max*' \
    'test_softmax*' 'test_layer_norm*' 'test_concat_*' 'test_transpose_*' 'test_slice*' 'test_gather_*' \
    'test_resize_upsample*'; do
    "$here/../conformance/run.sh" "$program" "$folder/suite" --suite node --only "$only" --target aarch64 \
        --runner "qemu-aarch64 $folder/cross/run_model"
done

for target in wasm32 armv7 thumbv7em thumbv8m riscv64; do
    "$qcc" "$root/examples/digits/digits.onnx" --target=$target -c -o "$folder/cross/digits-$target.o"
done
case $(od -An -tx1 -N4 "$folder/cross/digits-wasm32.o" | tr -d ' \n') in
0061736d) echo "wasm32: a WebAssembly object" ;;
*) echo "wasm32: not a WebAssembly object" && exit 1 ;;
esac
# e_machine of an ELF header: 40 is ARM, 243 RISC-V.
for pair in armv7:40 thumbv7em:40 thumbv8m:40 riscv64:243; do
    target=${pair%:*}
    machine=$(od -An -tu2 -j18 -N2 "$folder/cross/digits-$target.o" | tr -d ' ')
    [ "$machine" = "${pair#*:}" ] || { echo "$target: e_machine is $machine, not ${pair#*:}"; exit 1; }
    echo "$target: an object of its machine"
done
