# Two commands on a fresh machine: `make run` and `make test`. Each makes its own environment first.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: run test check bench lint types fuzz lock prompts docs clean phones

run: $(STAMP)            ## start the bridge with the room `demo`
	$(BIN)/visiopont demo

$(STAMP): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "Visiopont needs Python 3.11 or newer; $(PYTHON) is $$($(PYTHON) --version 2>&1). Try: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || { \
	  echo "The venv module is missing. Try: apt-get install python3-venv"; exit 1; }
	$(BIN)/pip install -q --require-hashes -r requirements.lock
	$(BIN)/pip install -q --no-deps --no-build-isolation -e .
	@touch $@

phones:                  ## what the interop tests need (as root), by apt
	@sh tests/phones.sh

test: $(STAMP) phones    ## everything, real phones included
	$(BIN)/python -m pytest

check: $(STAMP)          ## lint, types, architecture
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -q tests/test_architecture.py

bench: $(STAMP)          ## benchmarks, side by side in one run
	$(BIN)/python -m benchmarks

prompts: $(STAMP)        ## make the voice prompts from their texts (needs espeak-ng)
	$(BIN)/python -m bridge.conference.prompts.make

lock:                    ## renew requirements.lock (needs pip-tools)
	pip-compile -q --allow-unsafe --generate-hashes --no-emit-index-url --no-emit-trusted-host \
	  --no-emit-find-links --strip-extras --extra dev -o requirements.lock pyproject.toml

clean:
	rm -rf $(VENV) build *.egg-info .pytest_cache .mypy_cache .ruff_cache
