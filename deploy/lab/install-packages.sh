#!/usr/bin/env bash
# Installs what is missing of the given sections of deploy/packages.txt:
#
#   install-packages.sh build run test
#   install-packages.sh --missing build run     only prints the names of those that are missing
#
# Debian only; needs root when something is missing. No service that a package brings is started: a lab
# starts its own etcd.
set -euo pipefail

list=$(dirname -- "$(readlink -f -- "$0")")/../packages.txt
only_print=
if [ "${1:-}" = --missing ]; then
    only_print=1
    shift
fi

die() { printf 'install-packages: %s\n' "$*" >&2; exit 1; }

command -v dpkg-query >/dev/null || die "this is not a Debian system; install by hand what $list names"

wanted=()
for section in "$@"; do
    grep -qx "\[$section\]" "$list" || die "no section [$section] in $list"
    mapfile -t -O "${#wanted[@]}" wanted < <(
        awk -v want="[$section]" '/^\[/ {on = ($0 == want); next} on && NF && !/^#/ {print $1}' "$list")
done
missing=()
for package in "${wanted[@]}"; do
    case "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null || true)" in
    installed) ;;
    *) [[ " ${missing[*]-} " == *" $package "* ]] || missing+=("$package") ;;
    esac
done
if [ -n "$only_print" ]; then
    [ "${#missing[@]}" -eq 0 ] || printf '%s\n' "${missing[@]}"
    exit 0
fi
[ "${#missing[@]}" -gt 0 ] || exit 0
[ "$(id -u)" -eq 0 ] || die "run as root: these packages are missing: ${missing[*]}"

policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
    trap 'rm -f "$policy"' EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod 755 "$policy"
fi
export DEBIAN_FRONTEND=noninteractive
apt=(apt-get -q -y --no-install-recommends -o DPkg::Lock::Timeout=300)
printf 'installing %s\n' "${missing[*]}"
if ! "${apt[@]}" install "${missing[@]}" </dev/null; then
    "${apt[@]}" update </dev/null # the lists were missing or too old
    "${apt[@]}" install "${missing[@]}" </dev/null
fi
if [[ " ${missing[*]} " == *" etcd-server "* ]] && command -v systemctl >/dev/null; then
    systemctl --quiet disable etcd 2>/dev/null || true
fi
