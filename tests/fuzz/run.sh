#!/usr/bin/env bash
# Builds the harnesses and runs them, as many at once as there are cores, and prints a row for each:
#
#   tests/fuzz/run.sh                    10 million executions each
#   tests/fuzz/run.sh 100000 zone pem    100,000 of these two
#   tests/fuzz/run.sh --asan 5000 door   all of them under ASan too, and with comparisons traced
#
# The executions are made by the preset fuzz-fast (UBSan alone: some five times as many in a second); then every
# input that was kept runs once more by the preset fuzz (ASan and UBSan), of which the edges are.
#
# What they find and learn goes to build/fuzz/long/<name>, where the next run goes on from. Ends with 1 when one
# found something: an input that can be given to build/fuzz/tests/fuzz_<name> alone.
set -euo pipefail

cd -- "$(dirname -- "$(readlink -f -- "$0")")/../.."
executions=10000000
bulk=fuzz-fast
if [ "${1:-}" = "--asan" ]; then
    bulk=fuzz
    shift
fi
if [[ ${1:-} =~ ^[0-9]+$ ]]; then
    executions=$1
    shift
fi

cmake --preset fuzz >/dev/null </dev/null
list=build/fuzz/tests/fuzz/harnesses.txt
names=("$@")
[ "${#names[@]}" -gt 0 ] || mapfile -t names < <(awk '{print $1}' "$list")
for name in "${names[@]}"; do
    grep -q "^$name " "$list" || { printf 'tests/fuzz/run.sh: no harness "%s" in %s\n' "$name" "$list" >&2; exit 2; }
done

for preset in fuzz "$bulk"; do
    cmake --preset "$preset" >/dev/null </dev/null
    cmake --build --preset "$preset" --target "${names[@]/#/fuzz_}" >/dev/null </dev/null
done

run() { # PRESET NAME ARGUMENT…: a find's stack trace is made when it is run again, alone
    local folder=build/fuzz/long/$2
    ASAN_OPTIONS=malloc_context_size=2:quarantine_size_mb=16 MALLOC_TRIM_THRESHOLD_=100000000 \
        "build/$1/tests/fuzz_$2" "${@:3}" -timeout=30 -rss_limit_mb=2048 -reload=0 -print_final_stats=1 \
        -artifact_prefix="$folder/finds/" "$folder/corpus" "tests/fuzz/corpus/$2" </dev/null 2>&1
}
one() { # NAME EXECUTIONS
    local name=$1 folder=build/fuzz/long/$1 start ms status=0 max_len
    mkdir -p "$folder/corpus" "$folder/finds"
    max_len=$(awk -v name="$name" '$1 == name {print $2}' "$list")
    start=$(date +%s%N)
    run "$bulk" "$name" -runs="$2" -max_len="$max_len" >"$folder/log" || status=$?
    ms=$((($(date +%s%N) - start) / 1000000))
    run fuzz "$name" -runs=0 >"$folder/again.log" || status=$?
    awk -v name="$name" -v ms="$ms" \
        -v corpus="$(find "$folder/corpus" -type f | wc -l)" -v finds="$(find "$folder/finds" -type f | wc -l)" '
        FILENAME ~ /again/ {for (i = 1; i < NF; i++) if ($i == "cov:") covered = $(i + 1); next}
        $1 == "stat::number_of_executed_units:" {units = $2}
        END {
            ms = ms ? ms : 1
            printf "| `%s` | %d | %.0f | %.0f | %d | %d | %d |\n", name, units, ms / 1000, units * 1000 / ms, corpus, covered, finds
        }' "$folder/log" "$folder/again.log"
    return "$status"
}
export -f run one
export list bulk

printf '| harness | executions | seconds | exec/s | inputs kept | edges | finds |\n|---|---|---|---|---|---|---|\n'
result=0
printf '%s\n' "${names[@]}" | xargs -P "$(nproc)" -I '{}' bash -euo pipefail -c 'one "$1" "$2"' - '{}' "$executions" || result=1
exit "$result"
