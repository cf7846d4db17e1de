#!/bin/sh
# usage: tools/demo.sh
# The server with the demonstration fleet, on ./data unless PORTREEVE_DATA_DIR says otherwise. It serves the agent's
# package if `make agent-msi` left one.
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
. tools/env.sh
# The agent's package, where one was built: the server gives it to whoever adds a host.
package=${PORTREEVE_WINDOWS_TARGET:-$CARGO_TARGET_DIR/windows}/x86_64-win7-windows-gnu/agent/portreeve-agent.msi
if [ -z "${PORTREEVE_AGENT_DIR:-}" ] && [ -f "$package" ]; then
    PORTREEVE_AGENT_DIR=$(dirname "$package")
    export PORTREEVE_AGENT_DIR
fi
exec tools/built.sh portreeve-server demo
