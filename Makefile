# PYTHON=python3.12 make install: any Python from 3.11 on.
PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.installed

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help install demo test test-slow check docs golden audit bench clean

help: ## Show the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

install: $(STAMP) ## Create .venv with the pinned dependencies

$(STAMP): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[dev]'
	touch $@

demo: $(STAMP) ## Pretrain, fine-tune, score and use a small encoder, in a few minutes
	$(BIN)/bertctl demo

test: $(STAMP) ## Run the tests
	$(BIN)/pytest -q -n auto

test-slow: $(STAMP) ## Run the tests that train for longer
	$(BIN)/pytest -q -m "slow and not gpu"

check: $(STAMP) ## Lint, formatting, types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy --strict bert_cli

docs: $(STAMP) ## Write docs/errors.md from the source
	$(BIN)/python docs/errors.py

golden: $(STAMP) ## Write tests/golden/messages.txt anew, to be read as a diff
	BERTCTL_GOLDEN=write $(BIN)/pytest -q -n 0 tests/cli/test_bad_input.py

audit: ## Look the pinned versions up among known vulnerabilities; needs a network
	$(PYTHON) -m venv .venv/audit
	.venv/audit/bin/python -m pip install --quiet 'pip-audit>=2.9'
	.venv/audit/bin/pip-audit --strict --no-deps --disable-pip -r constraints.txt

bench: $(STAMP) ## Measure against the incumbent; BERTCTL_DATA=FOLDER has sst2/, rte/, wnut17/ and more
	$(BIN)/python -m benchmarks

clean: ## Remove .venv and everything built or cached
	rm -rf .venv build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
