# Sourced by the scripts beside it: finds the compiler and Node that are new enough, and sets what every build shares.
# Changes nothing on the machine; tools/setup.sh does that.

rust_version=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)
# The pins that stand in for a system's Node that Vite cannot use (Debian 12 has 18).
node_version=22.23.3
npm_version=11.19.1
node_folder=${XDG_CACHE_HOME:-$HOME/.cache}/portreeve/node-$node_version

# version_reaches HAVE WANTED: compares dotted numbers.
version_reaches() {
    [ "$(printf '%s\n%s\n' "$2" "$1" | sort -V | head -n 1)" = "$2" ]
}

# The first Cargo that is new enough: the one in PATH, rustup's, Debian's. Empty: none.
find_cargo() {
    for candidate in "$(command -v cargo || true)" "$HOME/.cargo/bin/cargo" /usr/bin/cargo; do
        [ -x "$candidate" ] || continue
        version=$("$candidate" --version 2>/dev/null | cut -d ' ' -f 2)
        if [ -n "$version" ] && version_reaches "$version" "$rust_version"; then
            echo "$candidate"
            return
        fi
    done
}

# node_suffices NODE: whether Vite accepts this Node: 20.19 and later of 20, or 22.12 and later.
node_suffices() {
    version=$("$1" --version 2>/dev/null) || return 1
    version=${version#v}
    case $version in
        20.*) version_reaches "$version" 20.19 ;;
        *) version_reaches "$version" 22.12 ;;
    esac
}

# The folder that holds a Node and an npm that are new enough. Empty: none.
find_node() {
    system=$(command -v node || true)
    if [ -n "$system" ] && node_suffices "$system" && command -v npm >/dev/null; then
        dirname "$system"
    elif [ -x "$node_folder/bin/node" ] && node_suffices "$node_folder/bin/node"; then
        echo "$node_folder/bin"
    fi
}

# The programs of the newest Postgres from 15 on. Empty: none.
find_postgres() {
    for folder in $(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -rV); do
        version=${folder%/bin}
        if [ -x "$folder/initdb" ] && [ "${version##*/}" -ge 15 ]; then
            echo "$folder"
            return
        fi
    done
    if initdb=$(command -v initdb) && version_reaches "$(initdb --version | grep -oE '[0-9.]+' | head -n 1)" 15; then
        dirname "$initdb"
    fi
}

export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-$PWD/target}"
# Queries are checked against the committed .sqlx; only tools/queries.sh asks a database.
export SQLX_OFFLINE="${SQLX_OFFLINE:-true}"
# A server without its dashboard is never what these commands want.
export PORTREEVE_REQUIRE_WEB=1
export npm_config_fund=false npm_config_audit=false npm_config_update_notifier=false
