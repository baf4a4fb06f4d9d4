#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# needs.sh READELF PROGRAM: the highest symbol versions that the program needs of each library, in one line. Ends
# with 1 if they are more than glibc 2.34, or if one is of a distribution alone.
set -eu
needs=$("$1" -VW "$2" | sed -n '/^Version needs section/,$ s/.* Name: \([^ ]*\) .*/\1/p' | sort -uV)
highest=$(echo "$needs" | awk '{ family = $0; sub(/_[0-9.]+$/, "", family); last[family] = $0 }
  END { for (family in last) print last[family] }' | sort | tr '\n' ' ')
echo "${2##*/} needs $highest"
foreign=$(echo "$needs" | grep -vxE 'GLIBC_[0-9.]+|GCC_[0-9.]+|OPENSSL_3\.0\.0|LIBSYSTEMD_[0-9]+|LIBPROTOBUF_C_1\.[03]\.0|libjansson\.so\.4' || true)
[ -z "$foreign" ] || { echo "${2##*/}: not every distribution has: $foreign" >&2; exit 1; }
glibc=$(echo "$needs" | sed -n 's/^GLIBC_//p' | tail -1)
[ "$(printf '%s\n2.34\n' "$glibc" | sort -V | tail -1)" = 2.34 ] || { echo "${2##*/}: more than glibc 2.34: $glibc" >&2; exit 1; }
