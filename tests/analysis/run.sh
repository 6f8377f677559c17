#!/usr/bin/env bash
# Static analysis and instrumented runs over our own sources. Each ends with a count, and not with 0 when something was
# found. What is known not to be so stands, with its reason, in .clang-tidy and in tests/analysis/*.txt.
#
#   tests/analysis/run.sh cppcheck               half a minute
#   tests/analysis/run.sh analyzer               gcc's -fanalyzer, some minutes
#   tests/analysis/run.sh tidy [FOLDER…]         clang-tidy, 10 minutes and more; all folders, or these
#   tests/analysis/run.sh sanitize               unit tests, and those with an etcd, under ASan and UBSan
#   tests/analysis/run.sh threads                tests with threads under TSan
#   tests/analysis/run.sh valgrind [REGEX]       unit tests, or those with such a name, under memcheck
#
# JOBS says how many run at once (default: as many as there are cores). BUILD is a build folder that is there already,
# for cppcheck and tidy (default: build/debug, configured here).
set -euo pipefail
cd -- "$(dirname -- "$(readlink -f -- "$0")")/../.."

readonly ROOT=$PWD OUT=${BUILD:-$PWD/build}/analysis
jobs=${JOBS:-$(nproc)}

fail() { printf 'tests/analysis/run.sh: %s\n' "$1" >&2; exit 2; }
need() { command -v "$1" >/dev/null || fail "$1 is not installed (Debian: $2)"; }

# Prints the findings, one a line, sorted and each once; and how many there are.
count() { # NAME FILE
    sed -i "s|^$ROOT/||" "$2"
    sort -u -o "$2" "$2"
    cat "$2"
    local n
    n=$(wc -l <"$2")
    printf '%s: %s findings\n' "$1" "$n"
    [ "$n" -eq 0 ]
}

# Drops the findings that a list names: "id", or "id:file".
without() { # LIST
    awk -v list="$1" '
        BEGIN { while ((getline line < list) > 0) if (line !~ /^#|^$/) known[line] = 1 }
        { file = $0; sub(/:.*/, "", file); id = $0; sub(/^.*\[-?W?/, "", id); sub(/\].*/, "", id)
          if (!(id in known) && !((id ":" file) in known)) print }'
}

configure() { cmake --preset "$1" </dev/null >/dev/null; }

# The build folder whose list of commands a checker reads. Generated headers have to be there before.
commands() {
    if [ -z "${BUILD-}" ]; then
        configure debug
        ninja -C build/debug -j"$jobs" etcd_proto api_proto </dev/null >/dev/null
    fi
    printf '%s\n' "${BUILD:-build/debug}"
}

run_cppcheck() {
    need cppcheck cppcheck
    local status=0 build
    build=$(commands)
    mkdir -p "$OUT/cppcheck"
    # With a define of ours it looks at the build's own configuration alone, as it is compiled.
    cppcheck --project="$build/compile_commands.json" --cppcheck-build-dir="$OUT/cppcheck" -i build -j"$jobs" \
        --std=c11 --library=posix --library=gnu --enable=warning,portability,performance --inline-suppr --quiet \
        --suppressions-list=tests/analysis/cppcheck.txt -D__cppcheck__ -DPROTOBUF_C_VERSION_NUMBER=1004001 \
        --template='{file}:{line}: {severity}: {message} [{id}]' --error-exitcode=0 2>"$OUT/cppcheck.txt" || status=$?
    [ "$status" -eq 0 ] || { cat "$OUT/cppcheck.txt"; fail "cppcheck ended with $status"; }
    # Whether its own list matches a file depends on where the tree stands: the same list once more.
    sed "s|^$ROOT/||" "$OUT/cppcheck.txt" | without tests/analysis/cppcheck.txt >"$OUT/cppcheck.left"
    mv "$OUT/cppcheck.left" "$OUT/cppcheck.txt"
    count cppcheck "$OUT/cppcheck.txt"
}

# Objects that are up to date say nothing, so all of ours are built anew.
run_analyzer() {
    configure analyze
    ninja -C build/analyze -t clean </dev/null >/dev/null
    ninja -C build/analyze -j"$jobs" secrets-encrypt secrets-encrypt-agent secrets-encrypt-coordinator \
        </dev/null >"$OUT/analyzer.log" || { tail -20 "$OUT/analyzer.log"; fail "the build of the preset 'analyze' failed"; }
    sed "s|^$ROOT/||" "$OUT/analyzer.log" | grep -- '\[-Wanalyzer' | grep -v '^build/' |
        without tests/analysis/analyzer.txt >"$OUT/analyzer.txt" || true
    count analyzer "$OUT/analyzer.txt"
}

run_tidy() {
    need clang-tidy clang-tidy
    local folders=("$@") status=0 build
    build=$(commands)
    [ "${#folders[@]}" -gt 0 ] || folders=(lib agent coordinator cli tests)
    # One file at a time: for a second one it says of every va_list that nobody began it.
    find "${folders[@]}" -name '*.c' -not -path 'tests/fuzz/*' -print0 | sort -z |
        xargs -0 -n 1 -P "$jobs" clang-tidy -p "$build" --quiet --extra-arg=-Wno-unknown-warning-option \
            --extra-arg=-DSECRETS_ENCRYPT_ANALYZE >"$OUT/tidy.log" 2>"$OUT/tidy.err" || status=$?
    sed "s|^$ROOT/||" "$OUT/tidy.log" | grep -E '^[^ ]+:[0-9]+:[0-9]+: (warning|error):' |
        without tests/analysis/tidy.txt >"$OUT/tidy.txt" || true
    [ "$status" -eq 0 ] || grep -q 'warning: ' "$OUT/tidy.log" || { tail -20 "$OUT/tidy.err"; fail "clang-tidy ended with $status"; }
    count tidy "$OUT/tidy.txt"
}

built() { # PRESET
    configure "$1"
    cmake --build --preset "$1" -j "$jobs" </dev/null >"$OUT/$1.log" || { tail -20 "$OUT/$1.log"; fail "the build failed"; }
}

tests_of() { # PRESET SELECTION…
    local preset=$1 status=0
    shift
    (cd "build/$preset" && ctest --no-tests=error --output-on-failure -j"$jobs" "$@" </dev/null) | tee "$OUT/$preset.tests" |
        grep -E '^[0-9]+% tests|^\s+[0-9]+ - |Total Test time' || status=$?
    grep -q '^100% tests passed' "$OUT/$preset.tests" || { printf 'what failed: %s\n' "$OUT/$preset.tests"; return 1; }
}

# Not the package: of its programs nobody wants the sanitizers' names of source files to be gone.
run_sanitize() {
    built sanitize
    export UBSAN_OPTIONS=print_stacktrace=1 ASAN_OPTIONS=detect_stack_use_after_return=1
    tests_of sanitize -L '^unit$' -E '^package_'
    tests_of sanitize -R '^cluster_(etcd|store)|^cluster_api_feed$|^cli_requests$'
}

# Of what has threads: the door, the page's server, the probes and the engine that touches objects (against a server of
# the test's own), the alert gate, the agent's drivers; and over a fake etcd (tests/lib/fake_*.c) all of lib/etcd, the
# API's reader, the jobs and the datastore engine. Nothing over gRPC: its libraries hand things over by atomics that
# ThreadSanitizer does not see, as they are not built with it, and every one of them is reported.
threaded=(
    base_log base_secret_heap metrics_process
    door_numbers door_notes door_unix_socket door_listen door_certificates door_names door_hostile door_limits
    http_server http_streams
    kube_kube kube_session kube_probe kube_touch coordinator_maintenance agent_static_pod agent_owned
    etcd_pager fake_etcd_kv fake_etcd_lease fake_etcd_watch fake_etcd_election fake_etcd_many fake_etcd_writes
    fake_api_feed fake_coordinator_job fake_proofs_values fake_reencrypt_datastore fake_reencrypt_fenced
)

run_threads() {
    configure tsan
    ninja -C build/tsan -j"$jobs" "${threaded[@]/#/test_}" </dev/null >"$OUT/tsan.log" ||
        { tail -20 "$OUT/tsan.log"; fail "the build of the preset 'tsan' failed"; }
    export TSAN_OPTIONS="suppressions=$ROOT/tests/analysis/tsan.txt second_deadlock_stack=1"
    tests_of tsan -R "^($(IFS='|'; echo "${threaded[*]}"))\$"
}

# Each program of a unit test; not the failing allocator's, whose time grows with the square, nor those that take more
# than two minutes so: they look at every state of something, or derive keys, which is slow on purpose.
run_valgrind() {
    need valgrind valgrind
    configure debug
    local names name n=0 bad=0
    # a unit test in C is the program test_<name>
    names=$(comm -12 <(cd build/debug && ctest -N -L '^unit$' -R "${1:-.}" </dev/null | sed -n 's/^ *Test *#[0-9]*: //p' | sort) \
        <(ninja -C build/debug -t targets all | sed -n 's|^tests/test_\([^:]*\): .*|\1|p' | sort) |
        grep -vE '^(alloc_.*|rotation_random|cluster_refresh|crypto_seal.*)$')
    # shellcheck disable=SC2086 # names of tests are words
    ninja -C build/debug -j"$jobs" $(printf 'test_%s ' $names) </dev/null >"$OUT/debug.log" ||
        { tail -20 "$OUT/debug.log"; fail "the build of the preset 'debug' failed"; }
    for name in $names; do
        n=$((n + 1))
        timeout 300 valgrind --quiet --error-exitcode=99 --leak-check=full --errors-for-leak-kinds=definite \
            --show-leak-kinds=definite --suppressions=tests/analysis/valgrind.supp --child-silent-after-fork=yes \
            "build/debug/tests/test_$name" </dev/null >"$OUT/valgrind.$name.log" 2>&1 && continue
        bad=$((bad + 1))
        printf '%s: %s\n' "$name" "$OUT/valgrind.$name.log"
    done
    printf 'valgrind: %s of %s programs with findings\n' "$bad" "$n"
    [ "$bad" -eq 0 ]
}

case "${1-}" in
cppcheck | analyzer | tidy | sanitize | threads | valgrind) ;;
*) fail "which one? cppcheck, analyzer, tidy, sanitize, threads or valgrind" ;;
esac
mkdir -p "$OUT"
"run_$1" "${@:2}"
