#!/bin/sh
# usage: tools/step.sh HEADING COMMAND…
# Prints what is being done, does it, and says how long it took or that it failed.
set -u
cd "$(dirname "$0")/.."

heading=$1
shift
printf '\n── %s\n' "$heading"
started=$(date +%s)
"$@"
status=$?
seconds=$(($(date +%s) - started))
if [ "$status" -ne 0 ]; then
    echo "── $heading: failed (exit $status) after ${seconds} s" >&2
    exit "$status"
fi
echo "── $heading: done in ${seconds} s"
