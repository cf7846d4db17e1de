#!/bin/sh
# usage: tools/web.sh build|lint|test|browser|gen
# The dashboard's own commands, with the packages of its lock file installed first when they are not.
set -eu
cd "$(dirname "$0")/.."
. tools/env.sh

node=$(find_node)
[ -n "$node" ] || { echo "No Node from 20.19 or 22.12 on was found; run tools/setup.sh run." >&2; exit 1; }
PATH="$node:$PATH"
cd web

# npm writes this copy of the lock file when an installation is complete.
if [ ! -f node_modules/.package-lock.json ] || [ package-lock.json -nt node_modules/.package-lock.json ]; then
    echo "Installing the dashboard's packages"
    npm ci --silent
fi

case $1 in
    build)
        # Cargo embeds dist/ again whenever it changes, so it is only written when its sources did.
        newer=$(find . -path ./node_modules -prune -o -path ./dist -prune -o -type f -newer dist/index.html -print 2>/dev/null | head -n 1)
        if [ -f dist/index.html ] && [ -z "$newer" ]; then
            echo "The dashboard is current"
        else
            npm run --silent build
        fi
        ;;
    lint) npm run --silent check ;;
    *) npm run --silent "$1" ;;
esac
