#!/bin/sh
# Put Colin27 (T1 head, its brain, the AAL atlas) of the Debian package mricron-data into the folder $1. Needs no root.
set -eu
target=$1
if ! command -v apt-get >/dev/null || ! command -v dpkg >/dev/null; then
    echo "Colin27 comes from a Debian package, and this is no Debian. Give a head MR of your own: make demo INPUT=scan.nii.gz" >&2
    exit 1
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
fetch() { (cd "$work" && apt-get download --quiet mricron-data); }
if ! fetch 2>"$work/log"; then
    # The lists of packages may be missing on a fresh machine; only root can get them.
    if [ "$(id -u)" = 0 ]; then apt-get update --quiet >/dev/null 2>&1 && fetch 2>"$work/log" || true; fi
fi
if ! ls "$work"/*.deb >/dev/null 2>&1; then
    cat "$work/log" >&2
    echo "apt-get cannot download mricron-data: run 'sudo apt-get update', or make demo INPUT=scan.nii.gz" >&2
    exit 1
fi
dpkg -x "$work"/*.deb "$work"
mkdir -p "$target"
for name in aal ch2bet ch2; do
    cp "$work/usr/share/mricron/templates/$name.nii.gz" "$target/$name.partial"
    mv "$target/$name.partial" "$target/$name.nii.gz"
done
