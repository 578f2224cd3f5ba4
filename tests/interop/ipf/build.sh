#!/usr/bin/env bash
# Builds the judge if its sources are newer than what is built. The network is asked only when the local Maven
# repository does not hold everything yet.
set -euo pipefail
cd "$(dirname "$0")"
stamp=target/built
if [ -f "$stamp" ] && [ -z "$(find pom.xml src -newer "$stamp" -print -quit)" ]; then
    exit 0
fi
mkdir -p target
log=target/build.log
if mvn -B -o package >"$log" 2>&1 || mvn -B package >"$log" 2>&1; then
    touch "$stamp"
else
    echo "the build of the IPF judge failed, see $PWD/$log" >&2
    tail -n 20 "$log" >&2
    exit 1
fi
