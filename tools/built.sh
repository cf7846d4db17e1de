#!/bin/sh
# usage: tools/built.sh PROGRAM [ARGUMENT…]
# A program of ours as the last build left it. Not `cargo run`: that builds for one crate what was built for all.
set -eu
cd "$(dirname "$0")/.."
. tools/env.sh

program=$1
shift
exec "$CARGO_TARGET_DIR/debug/$program" "$@"
