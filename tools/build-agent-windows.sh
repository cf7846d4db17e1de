#!/bin/sh
# Builds portreeve-agent.exe, and the small helpers that its Wine tests run, for x86_64-win7-windows-gnu: one binary
# from Server 2008 R2 to 2025. That target needs a compiler that builds std itself, so this uses Debian's rustc-web
# (PORTREEVE_WINDOWS_RUSTC and PORTREEVE_WINDOWS_CARGO name another one, such as a nightly with rust-src) and a target
# folder of its own: two compilers in one folder would rebuild everything at each turn.
#
# usage: tools/build-agent-windows.sh [check]
#   check   only type-check, warnings denied: what `make check` runs, as there is no clippy for this target.
set -eu
cd "$(dirname "$0")/.."

target=x86_64-win7-windows-gnu
rustc=${PORTREEVE_WINDOWS_RUSTC:-/usr/bin/rustc}
cargo=${PORTREEVE_WINDOWS_CARGO:-/usr/bin/cargo}
folder=${PORTREEVE_WINDOWS_TARGET:-${CARGO_TARGET_DIR:-target}/windows}

missing=
command -v x86_64-w64-mingw32-gcc >/dev/null || missing="$missing gcc-mingw-w64-x86-64"
[ -x "$rustc" ] || missing="$missing rustc-web"
[ -x "$cargo" ] || missing="$missing cargo-web"
if [ -x "$rustc" ] && [ ! -f "$("$rustc" --print sysroot)/lib/rustlib/src/rust/library/Cargo.lock" ]; then
    missing="$missing rust-web-src"
fi
if [ -n "$missing" ]; then
    echo "The Windows agent cannot be built here. Missing Debian packages:$missing" >&2
    echo "Install them (apt-get install$missing) and run this again." >&2
    exit 1
fi

# rustc-web is a stable compiler: RUSTC_BOOTSTRAP lets it build std. The C code of ring needs the cross compiler named,
# or cc builds objects for this machine and the link fails.
export RUSTC="$rustc" RUSTC_BOOTSTRAP=1 CARGO_TARGET_DIR="$folder"
export CC_x86_64_win7_windows_gnu=x86_64-w64-mingw32-gcc AR_x86_64_win7_windows_gnu=x86_64-w64-mingw32-ar
# A toolchain file or a rustup shim must not replace the compiler chosen above.
unset RUSTUP_TOOLCHAIN RUSTFLAGS
# Panics name their source file. Without where this machine keeps it the names are the same everywhere, and shorter.
sources=${CARGO_HOME:-$HOME/.cargo}/registry/src
for source in "$sources"/*/ "$("$rustc" --print sysroot)/lib/rustlib/src/rust/library/"; do
    remap="${remap:-} --remap-path-prefix=$source="
done
export CARGO_TARGET_X86_64_WIN7_WINDOWS_GNU_RUSTFLAGS="$remap"

# Instead of std's default features: a stripped program has no names for a backtrace, and unwinding ends it anyway.
build_std="-Zbuild-std=std,panic_abort -Zbuild-std-features=optimize_for_size"
if [ "${1:-}" = check ]; then
    echo "Checking the agent for $target with $("$rustc" --version)"
    exec "$cargo" check --locked --target "$target" $build_std -p portreeve-agent --bins --examples --profile agent \
        -Zwarnings --config 'build.warnings="deny"'
fi

echo "Building portreeve-agent.exe for $target with $("$rustc" --version); the first time takes some minutes"
"$cargo" build --locked --target "$target" $build_std -p portreeve-agent --bins --examples --profile agent
exe=$folder/$target/agent/portreeve-agent.exe
echo "Built $exe: $(stat -c %s "$exe") bytes"
