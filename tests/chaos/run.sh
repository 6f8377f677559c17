#!/usr/bin/env bash
# Whole rotations on three booted machines while faults strike them; checks that nothing is lost.
#
#   tests/chaos/run.sh --rotations 100 --report FILE [--seed S] [--faults-per-rotation K] [--secrets M]
#                        [--only KIND,…] [--minutes M] [--keep]
#
# Needs root on Debian 12. Installs what is missing, builds the release preset (or takes the programs in
# $SECRETS_ENCRYPT_BIN), and gets a kube-apiserver and a machine image, each once. The schedule of faults is drawn
# from the seed, which is printed; their timing depends on the machine. Exit 0 only when every rotation ended and
# nothing was lost; else journals are kept in a folder that is named. See docs/testing.md.
set -euo pipefail

top=$(dirname -- "$(readlink -f -- "$0")")/../..
"$top"/deploy/lab/install-packages.sh build run machines </dev/null
if [ -z "${SECRETS_ENCRYPT_BIN:-}" ]; then
    (cd "$top" && cmake --preset release && cmake --build --preset release --target \
        secrets-encrypt secrets-encrypt-agent secrets-encrypt-coordinator) </dev/null
fi
KUBE_APISERVER=$("$top"/deploy/lab/get-kube-apiserver.sh </dev/null)
export KUBE_APISERVER
"$top"/tests/machines/get-machine-image.sh </dev/null >/dev/null
exec /usr/bin/python3 -B "$top"/tests/chaos/chaos.py "$@"
