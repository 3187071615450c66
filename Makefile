# Everything the project can do, one sentence a target: `make help`.

PYTHON ?= python3
VENV := .venv
PY := $(VENV)/bin/python
READY := $(VENV)/.ready
# Two more processes than processors: tests wait at times.
PROCESSES ?= $(shell expr $$(getconf _NPROCESSORS_ONLN) + 2)
export PIP_DISABLE_PIP_VERSION_CHECK := 1
# Hundreds of processes would compile the modules anew, each for itself.
export PYTHONDONTWRITEBYTECODE :=

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

.PHONY: help
help: ## Show this list.
	@if [ -t 1 ]; then bold='\033[1;36m'; plain='\033[0m'; else bold=; plain=; fi; \
	awk -F ':.*## ' -v bold="$$bold" -v plain="$$plain" \
	  '/^[a-z0-9-]+:.*## / { printf "%smake %-12s%s %s\n", bold, $$1, plain, $$2 }' $(firstword $(MAKEFILE_LIST))

.PHONY: install
install: $(READY) ## Set up everything in .venv, if it is not up to date already.

$(READY): constraints.txt pyproject.toml
	@command -v $(PYTHON) >/dev/null || \
	  { echo "$(PYTHON) not found: install Python 3.11 or newer, or name one with make PYTHON=…" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "$(PYTHON) is $$($(PYTHON) -V 2>&1), 3.11 or newer is needed: name one with make PYTHON=…" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || \
	  { echo "$(PYTHON) has no venv module: install it (Debian, Ubuntu: apt install python3-venv)" >&2; exit 1; }
	@echo "Setting up $(VENV): about a minute, only when the pinned packages change."
	@$(PYTHON) -m venv $(VENV)
	@$(PY) -m pip install --quiet --require-hashes -r constraints.txt
	@$(PY) -m pip install --quiet --no-deps --no-build-isolation -e .
	@touch $@

.PHONY: demo
demo: install ## Analyse the sample documents end to end and print the report.
	@$(PY) -m examples.screener.demo

.PHONY: demo-serve
demo-serve: install ## Run the demo and leave the application open for a look in the browser.
	@$(PY) -m examples.screener.demo --serve

.PHONY: tools
tools: install ## Build the programs that some tests run, from pinned Go modules, into .tools.
	@$(PY) -m tools.build

.PHONY: up
up: ## Bring up application, databases and dashboards with Docker Compose, and print their addresses.
	@$(PYTHON) -m tools.compose.up

.PHONY: down
down: ## End what `make up` started; its data stay in volumes.
	@docker compose --profile '*' down

.PHONY: stack
stack: tools ## Run the same programs without Docker, as processes, until Ctrl-C.
	@$(PY) -m tests.stack

.PHONY: verify-stack
verify-stack: tools ## Prove docker-compose.yml on a Docker engine, with images built here where there is no registry.
	@$(PY) -m tests.stack.proof --local-images

.PHONY: verify-live
verify-live: install ## Prove it with the real images, Grafana included; needs Docker and the internet.
	@$(PY) -m tests.stack.proof

.PHONY: test
test: install ## Run all checks and tests, on SQLite and one PostgreSQL.
	@$(MAKE) --no-print-directory --jobs 2 --output-sync lint types contracts compiled
	$(PY) -m pytest --numprocesses $(PROCESSES) --dist loadfile --no-loadscope-reorder
	@echo "All checks and all tests passed."

.PHONY: test-all
test-all: export TEST_MATRIX := all
test-all: test ## The same with every database, openai, installer and Python, as CI does.

.PHONY: e2e
e2e: tools ## See every alert fire and end, in a live system with its incidents; about five minutes.
	@$(PY) -m tests.live --write
	@$(PY) docs/alerts.py

.PHONY: lint
lint: install ## Check style and formatting.
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .

.PHONY: format
format: install ## Format the code and repair what can be repaired.
	$(PY) -m ruff check --fix .
	$(PY) -m ruff format .

.PHONY: types
types: install ## Check the types, strictly.
	$(PY) -m mypy

.PHONY: contracts
contracts: install ## Check who imports whom.
	$(VENV)/bin/lint-imports

.PHONY: compiled
compiled: install ## Compile the tests once; in a fresh checkout every process would do it for itself.
	@$(PY) -m pytest --collect-only --quiet --quiet >/dev/null || true

.PHONY: bench
bench: install ## Run every benchmark; each ends with one line of JSON.
	@for file in $(wildcard benchmarks/[a-z]*.py); do \
	  $(PY) -m benchmarks.$$(basename $$file .py) || exit 1; \
	done

.PHONY: soak
soak: install ## Analyse 2,400 times while processes are killed and the database fails; ends with JSON.
	@$(PY) -m tests.soak

.PHONY: docs
docs: install ## Write what is generated of pages and configuration, and show the release notes to come.
	@$(PY) docs/picture.py
	@$(PY) docs/settings.py
	@$(PY) docs/cli.py
	@$(PY) docs/api.py
	@$(PY) docs/usage_fields.py
	@$(PY) docs/host_tables.py
	@$(PY) docs/alerts.py
	@$(PY) -m grafana.write
	@$(PY) docs/dashboards.py
	@$(PY) -m collector.redaction
	@$(PY) -m tools.compose.prometheus
	@$(PY) -m flask telemetry catalogue
	@$(PY) -m towncrier build --draft --version next

.PHONY: dashboards
dashboards: install ## Write the dashboards for Grafana from their builders.
	@$(PY) -m grafana.write

.PHONY: pictures
pictures: tools ## Draw the dashboards without Grafana, from a generated year; needs Node and Chromium.
	@$(PY) -m tools.preview

.PHONY: lock
lock: install ## Pin what pyproject.toml asks for, with hashes; UPGRADE=1 takes the newest versions.
	$(VENV)/bin/uv pip compile pyproject.toml --all-extras --group dev --python-version 3.11 --generate-hashes \
	  $(if $(UPGRADE),--upgrade) --custom-compile-command "make lock" --quiet --output-file constraints.txt

.PHONY: clean
clean: ## Remove what the other targets made: environment, caches, demo data; not .tools.
	rm -rf $(VENV) build demo-data dist .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
