#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# curl_stub.sh NM LIBCURL: the source of a library with the functions of that libcurl, all empty. Only the
# linker looks at it.
set -eu
"$1" -D --defined-only "$2" | sed -n 's/^[0-9a-f]* T \(curl_[a-z_0-9]*\).*/void \1(void);\nvoid \1(void) {}/p'
