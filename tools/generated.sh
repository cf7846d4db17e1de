#!/bin/sh
# usage: tools/generated.sh write|check
# Every committed file that a program writes, but for .sqlx (tools/queries.sh). `check` writes them too, and fails when
# one was not what it should have been; the mended files then lie there to be looked at and committed.
set -eu
cd "$(dirname "$0")/.."
. tools/env.sh

files="proto/src/generated docs/facts.schema.json docs/catalog.schema.json docs/rules.md docs/openapi.json
    web/src/api/schema.d.ts"

before=$(mktemp -d)
trap 'rm -rf "$before"' EXIT
for file in $files; do
    if [ -e "$file" ]; then
        mkdir -p "$before/$(dirname "$file")"
        cp -R "$file" "$before/$file"
    fi
done

# The tests that compare these files write them when they are told to.
UPDATE=1 tools/cargo.sh test --quiet --locked --workspace -- generated_code_is_current \
    the_published_schema the_reference_is_that_of_the_rules the_committed_document_is_current
tools/web.sh gen

[ "$1" = check ] || exit 0
stale=
for file in $files; do
    diff -r "$before/$file" "$file" >/dev/null 2>&1 || stale="$stale $file"
done
if [ -n "$stale" ]; then
    echo "These generated files were stale and have been written again:$stale" >&2
    echo "Look at them and commit them; 'make gen' writes them all." >&2
    exit 1
fi
