# SPDX-License-Identifier: Apache-2.0
# The Debian changelog in rpm's words: the date and the version stand in one line, above the entries.
/^[a-z]/ { version = $2; gsub(/[()]/, "", version); entries = "" }
/^  \* / { sub(/^  \* /, "- "); entries = entries $0 "\n" }
/^    / { entries = entries "  " substr($0, 5) "\n" }
/^ -- / {
  split($0, half, ">  ")
  sub(/^ -- /, "", half[1])
  split(half[2], date, /,? /) # Tue, 24 Nov 2026
  printf "* %s %s %s %s %s> - %s-1\n%s\n", date[1], date[3], date[2], date[4], half[1], version, entries
}
