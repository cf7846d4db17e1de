#!/bin/sh
# usage: tools/bench.sh [NAME…]
# Runs the benches of these names, or all, one after the other out of the release build, and writes docs/benchmarks.md from
# their figures. Ends with 1 when one of them passed twice a limit.
set -eu
cd "$(dirname "$0")/.."
. tools/env.sh

programs=$CARGO_TARGET_DIR/release
figures=$CARGO_TARGET_DIR/benchmarks
[ $# -gt 0 ] || set -- store wire history zabbix prometheus streams storm scale outage soak latency

mkdir -p "$figures"
failed=
for name; do
    echo "== $name"
    "$programs/bench_$name" --keep "$figures" || failed="$failed $name"
done
"$programs/bench_report" "$figures" docs
[ -z "$failed" ] || { echo "Failed:$failed" >&2; exit 1; }
