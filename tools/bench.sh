#!/bin/sh
# usage: tools/bench.sh [NAME…]
# Runs the benches of these names, or all, one after the other, and writes docs/benchmarks.md from their figures. Ends with 1
# when one of them passed twice a limit.
set -eu
cd "$(dirname "$0")/.."
. tools/env.sh

# A bench starts what lies beside it: here the server as it is shipped, not the one of the release build.
programs=$CARGO_TARGET_DIR/measured
figures=$CARGO_TARGET_DIR/benchmarks
[ $# -gt 0 ] || set -- store wire history zabbix prometheus streams storm scale outage soak latency

mkdir -p "$figures" "$programs"
ln -f "$CARGO_TARGET_DIR"/release/bench_* "$CARGO_TARGET_DIR/release/portreeve-agent" \
    "$CARGO_TARGET_DIR/server/portreeve-server" "$programs"
failed=
for name; do
    echo "== $name"
    "$programs/bench_$name" --keep "$figures" || failed="$failed $name"
done
"$programs/bench_report" "$figures" docs
[ -z "$failed" ] || { echo "Failed:$failed" >&2; exit 1; }
