#!/usr/bin/env bash
# usage: run.sh BUILD_FOLDER SECONDS [--merge]
# Runs every fuzz target of a build with QCC_FUZZ for so long, from its committed corpus; what is found anew stays in
# BUILD_FOLDER/fuzz. A crash, a hang of 5 seconds or 1 GiB is a failure, and the input is kept there. With --merge the
# committed corpus is replaced by the smallest part of old and new inputs that reaches as much.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
build=$1 seconds=$2
export ASAN_OPTIONS=${ASAN_OPTIONS:-} UBSAN_OPTIONS=${UBSAN_OPTIONS:-print_stacktrace=1}
limits=(-timeout=5 -rss_limit_mb=1024 -max_len=8192)

for target in "$build"/tests/fuzz_*; do
    [ -x "$target" ] && [ -f "$target" ] || continue
    name=${target##*/fuzz_} work=$build/fuzz/${target##*/fuzz_}
    mkdir -p "$work/found" "$work/failed"
    if ! "$target" "${limits[@]}" -max_total_time="$seconds" -artifact_prefix="$work/failed/" -print_final_stats=1 \
        "$work/found" "$here/corpus_$name" >"$work/log.txt" 2>&1; then
        tail -n 60 "$work/log.txt"
        echo "fuzz_$name: see $work/failed"
        exit 1
    fi
    grep -E 'number_of_executed_units|new_units_added' "$work/log.txt" | sed "s/^/fuzz_$name: /"
    if [ "${3:-}" = --merge ]; then
        rm -rf "$work/merged"
        mkdir "$work/merged"
        "$target" "${limits[@]}" -merge=1 "$work/merged" "$here/corpus_$name" "$work/found" >"$work/log.txt" 2>&1
        rm -rf "$here/corpus_$name"
        mv "$work/merged" "$here/corpus_$name"
    fi
done
