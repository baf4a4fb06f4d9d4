#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# debug.sh FOLDER PROGRAM...: the debug information that packages do not carry, as FOLDER/cri-resolved-debug.tar.xz.
# Unpacked at /, debuggers find it by build id, whichever package the program came with.
set -eu
folder=$1
shift
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
for program; do
  id=$(readelf -n "$program" | sed -n 's/.*Build ID: //p')
  rest=${id#??}
  home=$work/usr/lib/debug/.build-id/${id%"$rest"}
  mkdir -p "$home"
  objcopy --only-keep-debug "$program" "$home/$rest.debug"
  chmod 644 "$home/$rest.debug"
done
find "$work" -type d -exec chmod 755 {} +
tar --sort=name --mtime="@$SOURCE_DATE_EPOCH" --owner=0 --group=0 --numeric-owner -C "$work" \
  -cJf "$folder/cri-resolved-debug.tar.xz" usr
