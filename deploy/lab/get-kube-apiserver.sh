#!/usr/bin/env bash
# Prints the path of a real kube-apiserver: $KUBE_APISERVER, else the one on PATH, else one built
# once from Debian's own `kubernetes` source package and kept under the cache folder.
#
#   get-kube-apiserver.sh            -> /var/cache/secrets-encrypt/kube-apiserver-<version>/kube-apiserver
#
# Everything but that one line goes to stderr. Needs root only for missing packages.
set -euo pipefail

cache=${SECRETS_ENCRYPT_CACHE:-/var/cache/secrets-encrypt}

say() { printf 'kube-apiserver: %s\n' "$*" >&2; }
die() { printf 'kube-apiserver: %s\n' "$*" >&2; exit 1; }

if [ -n "${KUBE_APISERVER:-}" ]; then
    [ -x "$KUBE_APISERVER" ] || die "KUBE_APISERVER=$KUBE_APISERVER is not an executable file"
    echo "$KUBE_APISERVER"
    exit 0
fi
if command -v kube-apiserver >/dev/null 2>&1; then
    command -v kube-apiserver
    exit 0
fi

# The release and the mirror are read from the machine's own sources, so that whatever mirror it
# uses is used here too; the deb-src line stands in a private file and leaves those sources alone.
mirror_line() {
    local release=$1 uri
    uri=$(apt-get indextargets --format '$(SITE)|$(RELEASE)|$(COMPONENT)|$(CREATED_BY)' 2>/dev/null |
        awk -F'|' -v r="$release" '$2==r && $3=="main" && $4=="Packages" {print $1; exit}')
    [ -n "$uri" ] || die "the apt sources name no mirror for Debian $release main; add one, or set KUBE_APISERVER"
    echo "deb-src $uri $release main"
}

heartbeat() { # one dot of life every 15 seconds while a long step runs
    local what=$1 t=0
    while sleep 15; do
        t=$((t + 15))
        say "$what ($t s)"
    done
}

build() {
    local work=$1 release line apt src pulse
    release=$(. /etc/os-release && echo "${VERSION_CODENAME:-}")
    [ "$release" = bookworm ] || die "built from source on Debian 12 (bookworm) only, this is ${release:-unknown}; set KUBE_APISERVER"
    line=$(mirror_line "$release")
    mkdir -p "$work/lists/partial" "$work/cache/archives/partial"
    echo "$line" >"$work/src.list"
    apt=(apt-get -qq -o Dir::Etc::sourcelist="$work/src.list" -o Dir::Etc::sourceparts=/dev/null
        -o Dir::State::lists="$work/lists" -o Dir::Cache="$work/cache" -o APT::Sandbox::User=root)
    say "fetching Debian's source package (34 MB)"
    "${apt[@]}" update >&2
    (cd "$work" && "${apt[@]}" source kubernetes >&2)
    src=$(find "$work" -maxdepth 1 -type d -name 'kubernetes-*' | head -n 1)
    [ -n "$src" ] || die "the source package did not unpack in $work"
    say "building; about 3 minutes on 2 cores, once"
    heartbeat building & pulse=$!
    trap 'kill "$pulse" 2>/dev/null || true' RETURN
    mkdir -p "$src/.go/src/k8s.io"
    ln -sfn ../../.. "$src/.go/src/k8s.io/kubernetes"
    if ! (cd "$src" && env -u GOFLAGS HOME="$work/home" GOCACHE="$work/gocache" GOPATH="$src/.go" CGO_ENABLED=0 \
        make WHAT=cmd/kube-apiserver >"$work/build.log" 2>&1); then
        tail -n 20 "$work/build.log" >&2
        die "the build failed, see above"
    fi
    mv "$src/_output/bin/kube-apiserver" "$work/kube-apiserver"
}

need=()
for pair in dpkg-source:dpkg-dev go:golang-go rsync:rsync jq:jq make:make gcc:gcc; do
    command -v "${pair%%:*}" >/dev/null 2>&1 || need+=("${pair#*:}")
done

mkdir -p "$cache"
exec 9>"$cache/lock"
flock 9 # two runs at once: the second finds what the first built
final=$cache/kube-apiserver-debian12
if [ ! -x "$final/kube-apiserver" ]; then
    if [ "${#need[@]}" -gt 0 ]; then
        say "installing ${need[*]}"
        DEBIAN_FRONTEND=noninteractive apt-get -qq update >&2
        DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends "${need[@]}" >&2
    fi
    work=$(mktemp -d "$cache/build.XXXXXX")
    trap 'chmod -R u+w "$work" 2>/dev/null; rm -rf "$work"' EXIT
    build "$work"
    mkdir -p "$final"
    mv "$work/kube-apiserver" "$final/kube-apiserver.new"
    mv "$final/kube-apiserver.new" "$final/kube-apiserver"
fi
echo "$final/kube-apiserver"
