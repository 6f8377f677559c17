#!/usr/bin/env bash
# Measures the engines, what they could reach at most, other tools' loops, and what clients feel of each, on real
# etcds and kube-apiservers in a folder of its own.
#
#   tests/bench/run.sh --report FILE [--only SECTION,…] [--runs N] [--large] [--quick]
#
# Prints a table and writes JSON. Installs what is missing (root, Debian 12), builds the release preset (or takes the
# programs in $SECRETS_ENCRYPT_BIN), and gets a kube-apiserver once. Exit 0 unless a result was wrong: an object
# that is not there, does not open, differs, or stands under another key. See docs/performance.md.
set -euo pipefail

top=$(dirname -- "$(readlink -f -- "$0")")/../..
"$top"/deploy/lab/install-packages.sh build run </dev/null
if [ -z "${SECRETS_ENCRYPT_BIN:-}" ]; then
    (cd "$top" && cmake --preset release && cmake --build --preset release --target \
        secrets-encrypt secrets-encrypt-agent secrets-encrypt-coordinator secrets_bench) </dev/null
fi
KUBE_APISERVER=$("$top"/deploy/lab/get-kube-apiserver.sh </dev/null)
export KUBE_APISERVER
exec /usr/bin/python3 -B "$top"/tests/bench/bench.py "$@"
