#!/bin/sh
# usage: tools/queries.sh write|check
# Has the compiler read every query against the schema of migrations/. `write` puts what it learned into .sqlx, from
# which all other builds are checked; `check` lints at the same time and demands that .sqlx is what was learned.
set -eu
cd "$(dirname "$0")/.."
. tools/env.sh

if [ -z "${PORTREEVE_BUILD_DATABASE_URL:-}" ] || [ -z "${PORTREEVE_QUERIES:-}" ]; then
    PORTREEVE_QUERIES=$(mktemp -d)
    trap 'rm -rf "$PORTREEVE_QUERIES"' EXIT
    export PORTREEVE_QUERIES
    tools/throwaway-postgres.sh "$0" "$1"
    exit
fi

export SQLX_OFFLINE=false SQLX_OFFLINE_DIR="$PORTREEVE_QUERIES"
# A crate that is current is not compiled, and a query that is not compiled is not learned.
touch server/src/lib.rs server/src/main.rs tests/src/lib.rs
case $1 in
    write)
        tools/cargo.sh check --workspace --all-targets
        rm -rf .sqlx
        mkdir .sqlx
        cp "$PORTREEVE_QUERIES"/*.json .sqlx/
        ;;
    check)
        tools/cargo.sh clippy --locked --workspace --all-targets -- -D warnings
        if ! diff -rq "$PORTREEVE_QUERIES" .sqlx; then
            echo "The queries in .sqlx are not those of the code: run 'make gen' and commit what it writes." >&2
            exit 1
        fi
        ;;
esac
