# SPDX-License-Identifier: Apache-2.0
# config/example.toml becomes the file that packages install: a key that the administrator does not
# set follows the defaults of each version.
s/^([a-z_]+ = )/#\1/
/^\[shim\]/ i \
# Keys that are commented out have the values shown.\

