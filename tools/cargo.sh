#!/bin/sh
# usage: tools/cargo.sh ARGUMENT…
# Cargo, new enough, with the environment that every build here shares.
set -eu
cd "$(dirname "$0")/.."
. tools/env.sh

cargo=$(find_cargo)
[ -n "$cargo" ] || { echo "No Cargo from $rust_version on was found; run tools/setup.sh." >&2; exit 1; }
# Debian's Cargo must not meet the compiler of an older rustup toolchain, nor the other way round.
PATH="$(dirname "$cargo"):$PATH"
exec "$cargo" "$@"
