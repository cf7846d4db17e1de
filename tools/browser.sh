#!/bin/sh
# usage: tools/browser.sh
# Visits every page of the dashboard in a real browser, with a server of its own and the demonstration fleet behind it.
set -eu
cd "$(dirname "$0")/.."
. tools/env.sh

folder=$(mktemp -d /tmp/portreeve-browser.XXXXXX)
# Postgres runs under an account of its own, and must be able to walk to its data.
chmod 755 "$folder"
server=
stop() {
    [ -z "$server" ] || { kill "$server" 2>/dev/null && wait "$server" || true; }
    rm -rf "$folder"
}
trap stop EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

tools/built.sh portreeve-server demo --data-dir "$folder/data" \
    --http 127.0.0.1:0 --agents 127.0.0.1:0 --enroll 127.0.0.1:0 >"$folder/out" 2>"$folder/log" &
server=$!

seconds=0
until grep -q '^Portreeve is ready: ' "$folder/out"; do
    if ! kill -0 "$server" 2>/dev/null || [ "$seconds" -ge 90 ]; then
        echo "The server did not become ready:" >&2
        tail -n 40 "$folder/log" >&2
        exit 1
    fi
    sleep 1
    seconds=$((seconds + 1))
done

PORTREEVE_URL=$(sed -n 's/^Portreeve is ready: //p' "$folder/out")
PORTREEVE_PASSWORD=$(cat "$folder/data/demo-password")
export PORTREEVE_URL PORTREEVE_PASSWORD PORTREEVE_NAME=demo
tools/web.sh browser || {
    echo "The end of the server's log:" >&2
    tail -n 40 "$folder/log" >&2
    exit 1
}
