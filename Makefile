# make demo          the incident of this field, from the first record to the page, on this machine
# make test          lint, types, import rules and every test
# make faults        kills, full disks, stopped processes at their full size (about half an hour); attacks: ten thousand at once
# make simulate      SEEDS=1-20000: so many histories; simulate-mutations: would it find what is broken?
# make bench         what it costs; bench-peers: against whom; bench-growth: as the store grows
# make lock          resolve the dependencies again

PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip --disable-pip-version-check --quiet

.PHONY: demo test lint types imports tests faults attacks simulate simulate-mutations bench bench-peers bench-growth lock clean
.DEFAULT_GOAL := test

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Forewarn needs Python 3.11 or newer: make PYTHON=/path/to/python3.11 $(MAKECMDGOALS)" >&2; exit 3; }
	$(PYTHON) -m venv $(VENV)

# The locked packages of a user; then this project, as it stands in the tree.
$(VENV)/.demo: requirements.lock pyproject.toml | $(BIN)/python
	@echo "Installing the locked packages into $(VENV) (about a minute the first time) ..."
	$(PIP) install --require-hashes -r requirements.lock
	$(PIP) install --no-deps -e .
	@touch $@

$(VENV)/.dev: requirements-dev.lock pyproject.toml | $(BIN)/python
	@echo "Installing the locked packages for development into $(VENV) ..."
	$(PIP) install --require-hashes -r requirements-dev.lock
	$(PIP) install --no-deps -e .
	@touch $@ $(VENV)/.demo

demo: $(VENV)/.demo
	$(BIN)/forewarn demo

test: lint types imports tests

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.dev
	$(BIN)/mypy

imports: $(VENV)/.dev
	$(BIN)/lint-imports

tests: $(VENV)/.dev
	$(BIN)/python -m pytest $(PYTEST)

faults: $(VENV)/.dev
	$(BIN)/python -m pytest --thorough tests/system/test_random_kills.py tests/system/test_stopped_or_full.py tests/sdk/test_faults_*.py

attacks: $(VENV)/.dev
	$(BIN)/python -m pytest --thorough -rP tests/collector/gateway/test_attacks.py

SEEDS ?= 1-20000
simulate: $(VENV)/.dev
	$(BIN)/python -m tests.simulation --seeds $(SEEDS)

simulate-mutations: $(VENV)/.dev
	$(BIN)/python -m tests.simulation --mutations

bench: $(VENV)/.dev
	$(BIN)/python benchmarks/sdk_overhead.py
	$(BIN)/python benchmarks/acknowledged_call.py
	$(BIN)/python benchmarks/call_to_page.py
	$(BIN)/python benchmarks/sink_throughput.py
	$(BIN)/python benchmarks/sink_throughput.py --sustained
	$(BIN)/python benchmarks/memory.py

bench-peers: $(VENV)/.dev
	$(BIN)/python benchmarks/sdk_peers.py
	$(BIN)/python benchmarks/synced_record.py

bench-growth: $(VENV)/.dev
	$(BIN)/python benchmarks/store_growth.py

lock: $(VENV)/.dev
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/uv pip compile --quiet --universal --generate-hashes --no-header --no-annotate --python-version 3.11 --extra all -o requirements.lock pyproject.toml
	$(BIN)/uv pip compile --quiet --universal --generate-hashes --no-header --no-annotate --python-version 3.11 --extra all --group dev -o requirements-dev.lock pyproject.toml

clean:
	rm -rf $(VENV) .venv-peers .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
