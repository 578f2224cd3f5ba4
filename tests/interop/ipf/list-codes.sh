#!/usr/bin/env bash
# Prints every code that a broker's code file must list for the suite to pass: what codes-used.txt holds.
set -euo pipefail
sed -n -E '/^unlisted/d; s/^([a-z]+\.)?([A-Za-z]+) *= */\2 | /p' "$(dirname "$0")/codes.properties" | LC_ALL=C sort -u
