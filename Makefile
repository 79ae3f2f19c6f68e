# Stepline: the commands a person runs, and the ones that .ci/run runs. `make help` lists them.

SHELL := /bin/sh
.DEFAULT_GOAL := help

VENV := .venv
BIN := $(VENV)/bin
# The first of these that is Python 3.11 or 3.12; or name one: make demo PYTHON=/path/to/python
PYTHON ?= $(shell for python in python3 python3.12 python3.11; do \
	"$$python" -c 'import sys; sys.exit(sys.version_info[:2] not in ((3, 11), (3, 12)))' 2>/dev/null \
	&& echo "$$python" && break; done)
PIP_INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check
# For locking; the same for both locks.
COMPILE := uv pip compile pyproject.toml --universal --python-version 3.11 --generate-hashes \
	--no-header --no-annotate --no-emit-index-url --quiet --no-config
PACKAGES := config steps producer workers

.PHONY: help
help: ## List these commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: demo
demo: $(VENV)/.installed ## Install into .venv and run the view switch on real workers (DEMO_ARGS="...")
	$(BIN)/python -m examples.view_switch $(DEMO_ARGS)

.PHONY: test
test: $(VENV)/.installed-dev check ## All checks and tests, with coverage (TIERS="unit integration acceptance faults")
	$(BIN)/python -m dev.tiers $(TIERS)

.PHONY: check
check: $(VENV)/.installed-dev ## Lint, format, types and import arrows
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -q tests/unit/test_architecture.py

.PHONY: test-unit
test-unit: $(VENV)/.installed-dev ## The unit tests alone, without coverage (PYTEST_ARGS="-k name")
	$(BIN)/python -m pytest tests/unit $(PYTEST_ARGS)

.PHONY: test-faults
test-faults: $(VENV)/.installed-dev ## Break everything once, on purpose: 20 minutes (PYTEST_ARGS="-k name")
	$(BIN)/python -m pytest tests/faults $(PYTEST_ARGS)

.PHONY: soak
soak: $(VENV)/.installed-dev ## Random kills under a steady load, for MINUTES (10); SEED=n: the same kills again
	$(BIN)/python -m dev.soak $(or $(MINUTES),10) $(SEED)

.PHONY: bench
bench: $(VENV)/.installed-dev ## Compare with plain Celery, or with a commit: COMPARE=HEAD~1 (BENCH_ARGS="...")
	$(BIN)/python -m bench $(if $(COMPARE),'--compare=$(COMPARE)') $(BENCH_ARGS)

.PHONY: format
format: $(VENV)/.installed-dev ## Mend what can be mended by machine
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

.PHONY: lock
lock: ## Pin the newest allowed dependencies with their hashes (needs uv)
	$(COMPILE) --upgrade --group build -o requirements.lock
	$(COMPILE) --upgrade --group build --group dev -c requirements.lock -o requirements-dev.lock

.PHONY: clean
clean: ## Remove .venv, caches and reports
	rm -rf $(VENV) build *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis .coverage .coverage.* reports
	find $(PACKAGES) tests dev examples bench -name __pycache__ -type d -prune -exec rm -rf {} + 2>/dev/null || true

# The stamps: older than a lock or than pyproject.toml means install, else there is nothing to do.
$(VENV)/.installed: requirements.lock pyproject.toml | $(VENV)/bin/python
	$(PIP_INSTALL) --require-hashes -r requirements.lock
	$(PIP_INSTALL) --no-deps --no-build-isolation -e .
	@touch $@

$(VENV)/.installed-dev: requirements-dev.lock $(VENV)/.installed
	$(PIP_INSTALL) --require-hashes -r requirements-dev.lock
	@touch $@

$(VENV)/bin/python:
	@if [ -z "$(PYTHON)" ] || ! "$(PYTHON)" -c 'import sys; sys.exit(sys.version_info[:2] not in ((3, 11), (3, 12)))'; then \
		echo "Stepline needs Python 3.11 or 3.12, and '$(or $(PYTHON),python3)' is none." >&2; \
		echo "Install one and name it: make $(or $(MAKECMDGOALS),demo) PYTHON=/path/to/python3.12" >&2; \
		exit 2; \
	fi
	@"$(PYTHON)" -m venv $(VENV) || { rm -rf $(VENV); \
		echo "'$(PYTHON) -m venv' failed; on Debian and Ubuntu: apt-get install python3-venv" >&2; exit 2; }
