# Portreeve's commands. `make run` and `make test` are all that a fresh clone needs; both set up what is missing on a
# Debian machine (as root or with sudo), and say what they do while they do it.
#
# Everything that Cargo builds goes to one folder, and in one profile but for what is measured or shipped; set CARGO_TARGET_DIR to
# have it elsewhere, and PORTREEVE_DATA_DIR to keep the data of `make run` elsewhere than ./data.

.DEFAULT_GOAL := help
.PHONY: help run test check gen web server agent-windows agent-msi bench bench-agent bench-rules
.NOTPARALLEL:

step := tools/step.sh

help: ## List these commands
	@sed -n 's/^\([a-z-]*\):.*## /  make \1\t/p' $(MAKEFILE_LIST) | expand -t 22

run: ## Start the server on its own Postgres with a demonstration fleet
	@tools/setup.sh run
	@$(step) 'Build the dashboard' tools/web.sh build
	@$(step) 'Build the server (minutes at first, seconds later)' tools/cargo.sh build --locked --workspace --bins
	@tools/demo.sh

test: ## Run every test: Rust, Windows agent under Wine, dashboard, browser
	@tools/setup.sh test
	@$(step) 'Build the dashboard' tools/web.sh build
	@$(step) 'Test the dashboard' tools/web.sh test
	@$(step) 'Build the Windows agent' tools/build-agent-windows.sh
	@$(step) 'Build the workspace' tools/cargo.sh build --locked --workspace --all-targets
	@$(step) 'Test the workspace' tools/cargo.sh test --locked --workspace
	@$(step) 'Build the agent as it is shipped' tools/build-agent-native.sh
	@$(step) 'Hold the agent to its budgets' tools/built.sh agent_budget

check: ## Format, lints, types, generated files, tidiness
	@tools/setup.sh check
	@$(step) 'Format' tools/cargo.sh fmt --all --check
	@$(step) 'Build the dashboard' tools/web.sh build
	@$(step) 'Lint the dashboard' tools/web.sh lint
	@$(step) 'Lint the workspace against a database' tools/queries.sh check
	@$(step) 'Check the Windows agent' tools/build-agent-windows.sh check
	@$(step) 'Build the workspace' tools/cargo.sh build --locked --workspace --all-targets
	@$(step) 'Compare generated files' tools/generated.sh check
	@$(step) 'Tidiness' tools/cargo.sh test --locked --workspace --test tidy --test migrations --test scaling

gen: ## Write every generated file again
	@tools/setup.sh gen
	@$(step) 'Read the queries against a database' tools/queries.sh write
	@$(step) 'Build the workspace' tools/cargo.sh build --workspace --all-targets
	@$(step) 'Write generated files' tools/generated.sh write

web: ## Build the dashboard; the next build of the server embeds it
	@tools/setup.sh run
	@$(step) 'Build the dashboard' tools/web.sh build

server: ## Build portreeve-server as it is shipped (a quarter of an hour at first)
	@tools/setup.sh server
	@$(step) 'Build the dashboard' tools/web.sh build
	@$(step) 'Build the server, optimised as one whole' tools/build-server.sh

agent-windows: ## Build portreeve-agent.exe (Server 2008 R2 and later)
	@tools/setup.sh agent-windows
	@$(step) 'Build the Windows agent' tools/build-agent-windows.sh

agent-msi: ## Build portreeve-agent.msi, which installs it as a service
	@tools/setup.sh agent-msi
	@$(step) 'Build the Windows agent' tools/build-agent-windows.sh
	@$(step) 'Build its package' tools/build-agent-msi.sh

bench: ## Measure everything that docs/benchmarks.md tells, beside Zabbix and Prometheus (an hour and a half)
	@tools/setup.sh bench
	@$(step) 'Build the dashboard' tools/web.sh build
	@$(step) 'Build the benches' tools/cargo.sh build --locked --workspace --bins --release
	@$(step) 'Build the server as it is shipped' tools/build-server.sh
	@$(step) 'Measure' tools/bench.sh

bench-agent: ## Measure what the agent costs against its budgets, and Zabbix agent 2 beside it
	@tools/setup.sh bench-agent
	@$(step) 'Build the dashboard' tools/web.sh build
	@$(step) 'Build the Windows agent' tools/build-agent-windows.sh
	@$(step) 'Build the workspace' tools/cargo.sh build --locked --workspace --all-targets
	@$(step) 'Build the agent as it is shipped' tools/build-agent-native.sh
	@$(step) 'Measure' tools/built.sh agent_budget --compare

bench-rules: ## Measure what judging a host costs, with this catalog and with one ten times as large
	@tools/setup.sh bench-rules
	@$(step) 'Measure' tools/cargo.sh run --locked --quiet --release -p rules --example judge_hosts
