#!/usr/bin/env bash
# Installs what the tests need, builds, and runs them through ctest. On Debian 12, as root where packages
# are missing.
#
#   tests/run.sh                 everything
#   tests/run.sh unit cluster    only the tests with one of these labels
set -euo pipefail

cd -- "$(dirname -- "$(readlink -f -- "$0")")/.."

labels=()
for label in "$@"; do
    [[ $label =~ ^[a-z0-9_-]+$ ]] || { printf 'tests/run.sh: not a label: %s\n' "$label" >&2; exit 2; }
    labels+=("$label")
done
cluster= machines= fuzz= # most labels do without API servers, booted machines and fuzzers
[ "${#labels[@]}" -gt 0 ] || cluster=1 machines=1 fuzz=1
for label in "${labels[@]}"; do
    case "$label" in
    unit | model | analysis) ;;
    fuzz) fuzz=1 ;;
    chaos | cluster) cluster=1 machines=1 ;;
    *) cluster=1 ;;
    esac
done

say() { printf '== %s (%s s)\n' "$1" "$SECONDS"; }

say "packages"
deploy/lab/install-packages.sh build run test ${machines:+machines} </dev/null
say "build"
cmake --preset release -DSECRETS_ENCRYPT_FUZZERS="${fuzz:+$PWD/build/fuzz}" </dev/null
cmake --build --preset release </dev/null
if [ -n "$fuzz" ]; then # by another compiler; ctest finds them by the variable above
    say "build: fuzzers"
    cmake --preset fuzz </dev/null
    cmake --build --preset fuzz --target fuzzers </dev/null
fi
if [ -n "$cluster" ]; then
    say "kube-apiserver"
    KUBE_APISERVER=$(deploy/lab/get-kube-apiserver.sh </dev/null)
    export KUBE_APISERVER
fi
if [ -n "$machines" ]; then
    say "machine images"
    tests/machines/get-machine-image.sh </dev/null >/dev/null
    tests/machines/get-machine-image.sh openrc </dev/null >/dev/null
fi
say "tests: ${labels[*]-all}"
select=()
if [ "${#labels[@]}" -gt 0 ]; then
    select=(-L "^($(IFS='|'; echo "${labels[*]}"))\$")
fi
# One more than there are cores: tests wait for servers to come up, but with many at once all of them crawl
# (seen on 2 cores: 3 jobs end in 8 minutes; 6 jobs had not done half of the work after 7). Each may take a gigabyte.
jobs=$(($(nproc) + 1))
room=$(awk '/^MemAvailable:/ {print int($2 / 1048576)}' /proc/meminfo)
[ "$jobs" -le "${room:-$jobs}" ] || jobs=$((room > 1 ? room : 1))
cd build/release
exec ctest --output-on-failure --no-tests=error -j"$jobs" "${select[@]}" </dev/null
