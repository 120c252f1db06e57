#!/usr/bin/env bash
# usage: run.sh BUILD_FOLDER SECONDS [--merge]
# Runs every fuzz target of a build with QCC_FUZZ for so long, from its committed corpus; what is found anew stays in
# BUILD_FOLDER/fuzz. A crash, a hang of 5 seconds or 1 GiB is a failure, and the input is kept there.
# With --merge the committed corpus is chosen anew among old and new inputs: of those under 1 KiB, the 400 that together
# reach the most of the program. It is a start for the fuzzer and a quick test of what it has seen, so it stays small.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
build=$1 seconds=$2
export ASAN_OPTIONS=${ASAN_OPTIONS:-} UBSAN_OPTIONS=${UBSAN_OPTIONS:-print_stacktrace=1}
limits=(-timeout=5 -rss_limit_mb=1024 -max_len=8192)
most_inputs=400 most_bytes=1024

# merge TARGET FROM TO: those of FROM that reach all that FROM does, counting edges and not how often they are taken;
# TO.control says what each reaches.
merge() {
    rm -rf "$3" "$3.control"
    mkdir "$3"
    "$1" "${limits[@]}" -set_cover_merge=1 -use_counters=0 -merge_control_file="$3.control" "$3" "$2" >"$work/log.txt" 2>&1
}

choose_corpus() {
    rm -rf "$work/small"
    mkdir "$work/small"
    find "$here/corpus_$name" "$work/found" -type f -size "-${most_bytes}c" -exec cp -t "$work/small" {} +
    merge "$target" "$work/small" "$work/covering"
    merge "$target" "$work/covering" "$work/again"
    rm -rf "$here/corpus_$name"
    mkdir "$here/corpus_$name"
    python3 "$here/cover.py" "$work/again.control" $most_inputs "$here/corpus_$name"
}

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
    if [ "${3:-}" = --merge ]; then choose_corpus; fi
done
