#!/bin/sh
# usage: tools/throwaway-postgres.sh COMMAND…
# Runs the command with PORTREEVE_BUILD_DATABASE_URL naming a database that holds the schema and nothing else, in a
# cluster that lives as long as the command. Started by root it runs as the postgres account, as Postgres refuses root.
set -eu
cd "$(dirname "$0")/.."
. tools/env.sh

programs=$(find_postgres)
[ -n "$programs" ] || { echo "No Postgres from 15 on was found; run tools/setup.sh run." >&2; exit 1; }

# Short: the path of a Unix socket may have 107 bytes.
folder=$(mktemp -d /tmp/portreeve-sql.XXXXXX)
if [ "$(id -u)" -eq 0 ]; then
    chown postgres "$folder"
    as_postgres='setpriv --reuid=postgres --regid=postgres --clear-groups --no-new-privs'
else
    as_postgres=
fi

stop() {
    (cd / && $as_postgres "$programs/pg_ctl" -D "$folder/data" -m immediate -w stop >/dev/null 2>&1) || true
    rm -rf "$folder"
}
trap stop EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

(
    cd /
    $as_postgres "$programs/initdb" -D "$folder/data" -A trust -U postgres --encoding=UTF8 --locale=C.UTF-8 --no-sync
    $as_postgres "$programs/pg_ctl" -D "$folder/data" -l "$folder/log" -w \
        -o "-k $folder -c listen_addresses='' -c fsync=off" start
) >"$folder.log" 2>&1 || { cat "$folder.log" >&2; rm -f "$folder.log"; exit 1; }
rm -f "$folder.log"

# psql from the same folder, so that nothing of the caller's settings is used.
sql() {
    "$programs/psql" -qX -v ON_ERROR_STOP=1 -h "$folder" "$@"
}
sql -U postgres -d postgres -c 'create role portreeve_owner login' -c 'create role portreeve_app login' \
    -c 'create database portreeve owner portreeve_owner'
for migration in migrations/*.sql; do
    sql -U portreeve_owner -d portreeve -1 -f "$migration"
done

export PORTREEVE_BUILD_DATABASE_URL="postgres://portreeve_owner@localhost/portreeve?host=$folder"
"$@"
