#!/bin/sh
# usage: tools/server.sh SUBCOMMAND [ARGUMENT…]
# The server as built, on the data folder of `make run`.
set -eu
cd "$(dirname "$0")/.."
. tools/env.sh
exec "$CARGO_TARGET_DIR/debug/portreeve-server" "$@"
