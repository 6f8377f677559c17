#!/usr/bin/env bash
# Rotates the encryption key of a real cluster, from nothing, on this machine: installs packages, builds,
# gets a kube-apiserver, starts etcd, API servers, agents and coordinators on loopback, makes Secrets,
# rotates their key, counts and reads back every one, and cleans up. For a fresh Debian 12, as root.
set -euo pipefail

here=$(dirname -- "$(readlink -f -- "$0")")

usage() {
    cat <<'TEXT'
usage: deploy/quickstart.sh [--servers N] [--secrets N] [--keep] [--report FILE]
       deploy/quickstart.sh --stop DIR

  --servers N    API servers, 1 to 15 (default 3; each takes about 220 MB)
  --secrets N    Secrets of 1 KB to make and re-encrypt (default 500)
  --keep         leave everything running and print how to look at it
  --report FILE  write what was seen as JSON
  --stop DIR     take down what --keep left running
  --help         this text
TEXT
}

bad() { printf 'quickstart: %s (see --help)\n' "$*" >&2; exit 2; }

servers=3 secrets=500 keep= report= stop=
number() { # name value least most
    [[ $2 =~ ^[0-9]{1,7}$ ]] && ((10#$2 >= $3 && 10#$2 <= $4)) || bad "$1 takes a number from $3 to $4, not '$2'"
}
while [ $# -gt 0 ]; do
    flag=$1 value=
    case "$flag" in
    --*=*) value=${flag#*=} flag=${flag%%=*} && shift ;;
    --servers | --secrets | --report | --stop)
        [ $# -ge 2 ] || bad "$flag needs a value"
        value=$2 && shift 2 ;;
    *) shift ;;
    esac
    case "$flag" in
    --servers) number "$flag" "$value" 1 15 && servers=$((10#$value)) ;;
    --secrets) number "$flag" "$value" 1 1000000 && secrets=$((10#$value)) ;;
    --report) [ -n "$value" ] && report=$value || bad "--report needs a file name" ;;
    --stop) [ -n "$value" ] && stop=$value || bad "--stop needs a folder" ;;
    --keep) [ -z "$value" ] && keep=--keep || bad "--keep takes no value" ;;
    --help | -h) usage; exit 0 ;;
    *) bad "unknown flag '$flag'" ;;
    esac
done
if [ -n "$report" ]; then
    folder=$(dirname -- "$report")
    [ -d "$folder" ] && [ -w "$folder" ] && [ ! -d "$report" ] || bad "--report: cannot write '$report'"
fi

if [ -n "$stop" ]; then
    [ -d "$stop" ] || { printf 'quickstart: no such folder: %s\n' "$stop" >&2; exit 1; }
    exec /usr/bin/python3 "$here/lab/lab.py" --stop "$stop"
fi

# Step 1 is in shell, because a fresh machine has no Python either; the rest is in quickstart.py.
printf '\nsecrets-encrypt: rotate the key of %s API server%s with %s Secrets, here\n\n' \
    "$servers" "$([ "$servers" = 1 ] || echo s)" "$secrets"
QUICKSTART_STARTED=$(date +%s.%N)
export QUICKSTART_STARTED

line() { printf ' %2s  %-44s %s\n' "$1" "$2" "$3"; }
missing=$("$here/lab/install-packages.sh" --missing build run)
if [ -z "$missing" ]; then
    line 1 "packages" "all installed"
else
    count=$(wc -l <<<"$missing")
    log=$(mktemp)
    set -m # a process group of its own, so that it can be ended as a whole
    "$here/lab/install-packages.sh" build run >"$log" 2>&1 </dev/null &
    job=$!
    set +m
    trap 'kill -TERM -- -"$job" 2>/dev/null || true; wait "$job" 2>/dev/null || true; rm -f "$log"; echo; exit 130' INT TERM
    begin=$SECONDS told=$SECONDS
    while kill -0 "$job" 2>/dev/null; do
        if [ -t 1 ]; then
            printf '\r %2s  %-44s %s s ' 1 "packages: installing $count" "$((SECONDS - begin))"
        elif ((SECONDS - told >= 15)); then
            told=$SECONDS
            line 1 "packages: installing $count" "… $((SECONDS - begin)) s"
        fi
        sleep 1
    done
    [ ! -t 1 ] || printf '\r\033[K'
    trap - INT TERM
    if ! wait "$job"; then
        tail -n 20 "$log" >&2
        rm -f "$log"
        printf 'quickstart: the packages could not be installed, see above\n' >&2
        exit 1
    fi
    rm -f "$log"
    line 1 "packages" "$count installed, $((SECONDS - begin)) s"
fi

exec /usr/bin/python3 "$here/lab/quickstart.py" --servers "$servers" --secrets "$secrets" $keep \
    ${report:+--report "$report"}
