#!/bin/sh
# usage: tools/demo.sh
# The server with the demonstration fleet, on ./data unless PORTREEVE_DATA_DIR says otherwise.
set -eu
cd "$(dirname "$0")/.."

# For root, Postgres runs under the account `postgres`, which cannot reach a clone below /root: then the data goes to a
# folder that it can reach, one per clone.
if [ -z "${PORTREEVE_DATA_DIR:-}" ] && [ "$(id -u)" = 0 ] && id postgres >/dev/null 2>&1 &&
    ! setpriv --reuid=postgres --regid=postgres --clear-groups test -x "$PWD"; then
    PORTREEVE_DATA_DIR=/var/lib/portreeve-demo-$(printf %s "$PWD" | cksum | cut -d ' ' -f 1)
    export PORTREEVE_DATA_DIR
    echo "Postgres cannot reach $PWD, so the data is kept in $PORTREEVE_DATA_DIR"
fi
exec tools/built.sh portreeve-server demo
