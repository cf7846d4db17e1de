#!/bin/sh
# Builds the agent's own code for this machine in the profile that is shipped to Windows: what is measured is then what runs.
set -eu
cd "$(dirname "$0")/.."

exec tools/cargo.sh build --locked --profile agent -p portreeve-agent --example report_domain_controller
