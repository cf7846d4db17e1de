#!/bin/sh
# Packs portreeve-agent.exe, which tools/build-agent-windows.sh built, as an MSI package beside it.
#
# usage: tools/build-agent-msi.sh [--version X.Y.Z] [--output FILE]
#   --version   the default is that of Cargo.toml. Windows Installer compares it to tell an upgrade.
set -eu
cd "$(dirname "$0")/.."

version=$(sed -n '/^\[workspace.package\]/,/^\[/s/^version = "\(.*\)"/\1/p' Cargo.toml)
folder=${PORTREEVE_WINDOWS_TARGET:-${CARGO_TARGET_DIR:-target}/windows}/x86_64-win7-windows-gnu/agent
exe=$folder/portreeve-agent.exe
msi=$folder/portreeve-agent.msi
while [ $# -gt 0 ]; do
    case $1 in
        --version) version=$2 ;;
        --output) msi=$2 ;;
        *) echo "usage: tools/build-agent-msi.sh [--version X.Y.Z] [--output FILE]" >&2; exit 2 ;;
    esac
    shift 2
done

for tool in wixl msibuild; do
    command -v "$tool" >/dev/null || {
        echo "The package cannot be built here: $tool is missing (Debian packages wixl and msitools)." >&2
        exit 1
    }
done
[ -f "$exe" ] || { echo "$exe does not exist: run tools/build-agent-windows.sh first" >&2; exit 1; }

# wixl finds files beside its description only.
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cp agent/windows/agent.wxs "$exe" "$work"
fresh=$work/portreeve-agent.msi
(cd "$work" && wixl -a x64 -D Version="$version" -o "$fresh" agent.wxs)

# change SQL: what wixl 0.101 has no words for.
change() {
    msibuild "$fresh" -q "$1"
}

# The token stays out of the log, and so does the proxy, whose address may hold a password: as a property (MsiHiddenProperties) and as an argument of Configure (8192, hide
# target, added to 3090: deferred, not impersonated, program of the package). Secure properties reach the elevated part
# of an installation.
change "INSERT INTO \`Property\` (\`Property\`, \`Value\`) VALUES ('MsiHiddenProperties', 'ENROLL_TOKEN;PROXY')"
change "UPDATE \`Property\` SET \`Value\` = 'WIX_DOWNGRADE_DETECTED;WIX_UPGRADE_DETECTED;SERVER_URL;AGENTS_PORT;PROXY;ENROLL_TOKEN' \
WHERE \`Property\` = 'SecureCustomProperties'"
change "UPDATE \`CustomAction\` SET \`Type\` = 11282 WHERE \`Action\` = 'Configure'"
# Setting a property is nothing that could impersonate: 51 alone.
change "UPDATE \`CustomAction\` SET \`Type\` = 51 WHERE \`Action\` = 'ForgetToken'"
# wixl puts it behind the last action; there the removal of the older product would stop the service of the newer one.
change "UPDATE \`InstallExecuteSequence\` SET \`Sequence\` = 1401 WHERE \`Action\` = 'RemoveExistingProducts'"
# A package of the same version replaces the one that is installed, too (512: maximum inclusive; 1: migrate features).
change "DELETE FROM \`Upgrade\` WHERE \`ActionProperty\` = 'WIX_UPGRADE_DETECTED'"
upgrade_code=$(msiinfo export "$fresh" Property | tr -d '\r' | sed -n 's/^UpgradeCode\t//p')
change "INSERT INTO \`Upgrade\` (\`UpgradeCode\`, \`VersionMax\`, \`Attributes\`, \`ActionProperty\`) \
VALUES ('$upgrade_code', '$version', 513, 'WIX_UPGRADE_DETECTED')"

mv "$fresh" "$msi"
echo "Built $msi: version $version, $(stat -c %s "$msi") bytes"
