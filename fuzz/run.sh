#!/bin/sh
# Runs every fuzz target for SECONDS (60 unless told), or those named behind it:
#
#   fuzz/run.sh [SECONDS [TARGET ...]]
#
# Fails when a target finds anything; the input is then in fuzz/artifacts/TARGET/.
# A stable toolchain will do: only coverage is measured, no sanitizer is used.
set -eu
cd "$(dirname "$0")/.."

seconds=${1:-60}
[ $# -gt 0 ] && shift
export RUSTC_BOOTSTRAP=1 RUST_BACKTRACE=0

if ! cargo fuzz --version >/dev/null 2>&1; then
    cargo install cargo-fuzz --locked
fi
# Compiles libFuzzer, which takes a C++ compiler (CXX names another than c++).
if ! cargo fuzz build -s none; then
    echo "fuzz: the targets do not build; libFuzzer needs a C++ compiler: is c++ installed?" >&2
    exit 2
fi

failed=
for target in ${*:-$(cargo fuzz list)}; do
    mkdir -p "fuzz/corpus/$target"
    echo "== $target"
    # The newly found inputs go to corpus/, the first folder; the seeds are only read.
    if ! cargo fuzz run -s none "$target" "fuzz/corpus/$target" "fuzz/seeds/$target" -- \
        -max_total_time="$seconds" -timeout=10 -rss_limit_mb=1024 -print_final_stats=1; then
        failed="$failed $target"
    fi
done

if [ -n "$failed" ]; then
    echo "fuzz: findings in:$failed (inputs in fuzz/artifacts/)" >&2
    exit 1
fi
echo "fuzz: no findings"
