#!/usr/bin/env bash
# Prints the path of a folder with a small Debian 12 system that machines boot from (see machines.py),
# made once by debootstrap and kept under the cache folder.
#
#   get-machine-image.sh             -> /var/cache/secrets-encrypt/machine-debian12-…
#   get-machine-image.sh openrc      -> one with OpenRC in place of systemd
#
# Everything but that one line goes to stderr. Needs root, and the packages of sections [machines] of
# deploy/packages.txt; what stands in the image is its section [machine-image] or [machine-image-openrc].
set -euo pipefail

here=$(dirname -- "$(readlink -f -- "$0")")
cache=${SECRETS_ENCRYPT_CACHE:-/var/cache/secrets-encrypt}
list=$here/../../deploy/packages.txt
case "${1:-}" in
'') section=[machine-image] name=machine-debian12 exclude= ;;
openrc) section=[machine-image-openrc] name=machine-debian12-openrc exclude=systemd,systemd-sysv,init ;;
*) printf 'usage: get-machine-image.sh [openrc]\n' >&2; exit 2 ;;
esac

say() { printf 'machine image: %s\n' "$*" >&2; }
die() { printf 'machine image: %s\n' "$*" >&2; exit 1; }

[ "$(id -u)" -eq 0 ] || die "run as root: a system is unpacked and its packages are configured in it"
. /etc/os-release
release=${VERSION_CODENAME:-}
[ "$release" = bookworm ] || die "machines are Debian 12 (bookworm) like the programs in them; this is ${release:-unknown}"

# The mirror and its keyring are read from the machine's own sources, so that whatever mirror it uses is used here too.
source_of() {
    apt-get indextargets --format "\$(RELEASE)|\$(COMPONENT)|\$(CREATED_BY)|\$($1)" 2>/dev/null |
        awk -F'|' -v r="$release" '$1==r && $2=="main" && $3=="Packages" {print $4; exit}'
}

keyring_of() { # the file that a sources entry names, if it names one; else debootstrap's own choice is used
    local sources=${1%:*} file
    file=$(grep -ioE 'signed-by[:=] *[^] ,]+' "$sources" 2>/dev/null | head -n 1 | sed -E 's/^[^:=]*[:=] *//')
    [ ! -r "$file" ] || echo "$file"
}

# Units that a machine in a test has no use for: they would only make a boot longer.
unused_units=(getty.target console-getty.service systemd-logind.service apt-daily.timer apt-daily-upgrade.timer
    dpkg-db-backup.timer e2scrub_all.timer e2scrub_reap.service fstrim.timer systemd-tmpfiles-clean.timer
    systemd-update-utmp.service systemd-update-utmp-runlevel.service systemd-random-seed.service
    ldconfig.service systemd-journal-catalog-update.service systemd-update-done.service
    systemd-sysusers.service systemd-hwdb-update.service systemd-network-generator.service systemd-networkd.service
    remote-fs.target first-boot-complete.target systemd-firstboot.service systemd-machine-id-commit.service
    systemd-user-sessions.service sys-fs-fuse-connections.mount dev-mqueue.mount dev-hugepages.mount)

# debootstrap unpacks everything and then gives up over the order of sysv-rc and OpenRC: the rest is configured here,
# and what debootstrap had put in place meanwhile (a start-stop-daemon that does nothing) is taken out.
finish_openrc() {
    local root=$1
    [ -x "$root/sbin/openrc-init" ] || return 1
    chroot "$root" env DEBIAN_FRONTEND=noninteractive dpkg --configure -a || return 1
    chroot "$root" dpkg-query -W -f '${db:Status-Abbrev} ${Package}\n' | grep -v '^ii' && return 1
    if [ -e "$root/sbin/start-stop-daemon.REAL" ]; then
        mv "$root/sbin/start-stop-daemon.REAL" "$root/sbin/start-stop-daemon" || return 1
    fi
    rm -rf "$root/debootstrap" "$root/usr/sbin/policy-rc.d"
    # What mounts, checks and sets in these levels is systemd-nspawn's part here.
    rm -f "$root"/etc/runlevels/{sysinit,boot,default}/*
}

build() {
    local folder=$1 mirror keyring packages unit
    mirror=$(source_of SITE)
    [ -n "$mirror" ] || die "the apt sources name no mirror for Debian $release main; add one"
    keyring=$(keyring_of "$(source_of SOURCESENTRY)")
    packages=$(awk -v s="$section" '/^\[/ {on = ($0 == s); next} on && NF && !/^#/ {print $1}' "$list" | paste -sd,)
    say "unpacking Debian 12 (half a minute, once)"
    local unpacked=
    debootstrap --variant=minbase ${keyring:+--keyring="$keyring"} --include="$packages" ${exclude:+--exclude="$exclude"} \
        "$release" "$folder/root" "$mirror" </dev/null >"$folder/log" 2>&1 && unpacked=1
    if [ "$section" = "[machine-image-openrc]" ]; then
        unpacked=
        finish_openrc "$folder/root" </dev/null >>"$folder/log" 2>&1 && unpacked=1
    fi
    if [ -z "$unpacked" ]; then
        tail -n 20 "$folder/log" >&2
        die "debootstrap failed, see above"
    fi
    rm -rf "$folder"/root/var/cache/apt/*.bin "$folder"/root/var/cache/apt/archives/*.deb \
        "$folder"/root/var/lib/apt/lists/* "$folder"/root/usr/share/{doc,man,locale}/* "$folder"/root/etc/resolv.conf
    [ "$section" = "[machine-image]" ] || return 0
    for unit in "${unused_units[@]}"; do
        ln -sf /dev/null "$folder/root/etc/systemd/system/$unit"
    done
    mkdir -p "$folder/root/etc/systemd/journald.conf.d" "$folder/root/var/log/journal"
    # Journals outlive a power-off, and no line is left out of them.
    printf '[Journal]\nStorage=persistent\nRateLimitIntervalSec=0\nSystemMaxUse=64M\nSyncIntervalSec=1s\n' \
        >"$folder/root/etc/systemd/journald.conf.d/machine.conf"
}

# The list is part of the name: another list makes another image.
sum=$(awk -v s="$section" '/^\[/ {on = ($0 == s); next} on' "$list" | cat - "$0" | sha256sum | cut -c1-12)
final=$cache/$name-$sum
mkdir -p "$cache"
exec 9>"$cache/machine.lock"
flock 9 # two runs at once: the second finds what the first made
if [ ! -d "$final" ]; then
    command -v debootstrap >/dev/null || die "debootstrap is missing (deploy/lab/install-packages.sh machines)"
    work=$(mktemp -d "$cache/machine.XXXXXX")
    trap 'rm -rf --one-file-system "$work"' EXIT
    chmod 755 "$work"
    build "$work"
    mv "$work/root" "$final"
fi
echo "$final"
