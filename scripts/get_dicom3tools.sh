#!/bin/sh
# Put dciodvfy, the checker of DICOM objects, of the Debian package dicom3tools into the folder $1. Needs no root.
set -eu
target=$1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
if ! (cd "$work" && apt-get download --quiet dicom3tools) 2>"$work/log"; then
    cat "$work/log" >&2
    echo "apt-get cannot download dicom3tools: run 'sudo apt-get update', or get it from its author, David Clunie" >&2
    exit 1
fi
dpkg -x "$work"/*.deb "$work"
mkdir -p "$target"
cp "$work/usr/bin/dciodvfy" "$target/dciodvfy.partial"
mv "$target/dciodvfy.partial" "$target/dciodvfy"
