#!/bin/sh
# Builds portreeve-server as it is shipped, and says where it lies. It needs nothing beside it but Postgres.
set -eu
cd "$(dirname "$0")/.."
. tools/env.sh

tools/cargo.sh build --locked --profile server --workspace --bin portreeve-server
echo "$CARGO_TARGET_DIR/server/portreeve-server"
