# Everything a newcomer needs, with Python >= 3.11 and make alone. `make help` lists the targets.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DEMO_DIR ?= demo
# Calls in real time hear it when the machine is busy with something else; what fails three times is broken.
AGAIN := --reruns 2

.PHONY: help demo test coverage lint types interop soak seeds bench fuzz campaign mutants model docs package clean
.DEFAULT_GOAL := help

help:
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 12

$(BIN)/.base: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or later is needed; this is " + sys.version.split()[0] + ". Set PYTHON=python3.x" if sys.version_info < (3, 11) else 0)'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[cli,trio]'
	@touch $@

$(BIN)/.test: $(BIN)/.base
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[cli,trio,test]'
	@touch $@

$(BIN)/.lint: $(BIN)/.test
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[lint]'
	@touch $@

$(BIN)/.interop: $(BIN)/.test
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[interop,fleet]'
	@touch $@

demo: $(BIN)/.base ## set up, then place a real call on the embedded server (DEMO_DIR=folder, ARGS=options)
	$(BIN)/sansio-sip demo --dir $(DEMO_DIR) $(ARGS)

test: $(BIN)/.test ## set up, then run the tests (ARGS=options of pytest)
	$(BIN)/python -m pytest -m 'not interop and not soak and not realtime' -n auto $(ARGS)
	$(BIN)/python -m pytest -m 'realtime and not interop and not soak' -n 2 $(AGAIN) $(ARGS)

coverage: $(BIN)/.test ## the same, saying which branches were not taken; it takes more than twice as long
	$(BIN)/python -m pytest -m 'not interop and not soak and not realtime' -n auto --cov --cov-report= $(ARGS)
	$(BIN)/python -m pytest -m 'realtime and not interop and not soak' $(AGAIN) --cov --cov-append --cov-report=term:skip-covered $(ARGS)

lint: $(BIN)/.lint ## style, import rules and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/towncrier build --draft --version next >/dev/null

interop: $(BIN)/.interop ## the tests against real peers; those that are absent are skipped with a reason
	$(BIN)/python -m pytest -m 'interop and not soak' $(AGAIN) $(ARGS)

soak: $(BIN)/.test ## long seeded runs, most of them in virtual time
	$(BIN)/python -m pytest -m soak --timeout 3600 $(ARGS)

bench: $(BIN)/.base ## benchmarks beside the peers, as ratios
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[bench]'
	$(BIN)/python -m benchmarks $(ARGS)

fuzz: $(BIN)/.test ## run each fuzz target for SECONDS (default 60)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[fuzz]'
	PYTHONPATH=tests:media $(BIN)/python -m fuzz --plant build/fuzz
	for target in $$($(BIN)/python -m fuzz --list); do $(BIN)/python -m fuzz $$target build/fuzz/$$target -max_total_time=$(or $(SECONDS),60) || exit 1; done

campaign: $(BIN)/.test ## fuzz all targets in turn for SECONDS (default 3600), go on where FOLDER (build/campaign) stands, print the table
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[fuzz]'
	PYTHONPATH=tests:media $(BIN)/python -m fuzz --campaign $(or $(FOLDER),build/campaign) --seconds $(or $(SECONDS),3600)
	$(BIN)/python -m fuzz --report $(or $(FOLDER),build/campaign)

seeds: $(BIN)/.test ## whole calls at 20 % loss from SEEDS (default 0:10000); what FILE (build/seeds.jsonl) has already is not run again
	@mkdir -p build
	PYTHONPATH=tests:media $(BIN)/python -m simulation $(or $(FILE),build/seeds.jsonl) --seeds $(or $(SEEDS),0:10000)

mutants: $(BIN)/.test ## change the transactions, dialogs, offers and answers in every way, and say which changes no test notices
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[mutants]'
	$(BIN)/mutmut run
	$(BIN)/mutmut results

model: $(BIN)/.test ## explore every order of events in pairs of machines, up to larger bounds than the tests
	PYTHONPATH=tests:media $(BIN)/python -m model

docs: $(BIN)/.base ## build the documentation into site/, strictly
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[docs]'
	$(BIN)/mkdocs build --strict --quiet

package: $(BIN)/.base ## build wheel and sdist into dist/, and try the wheel in an environment of its own
	$(BIN)/python -m pip install --quiet --disable-pip-version-check build
	rm -rf dist build/venv
	$(BIN)/python -m build --outdir dist >/dev/null
	$(PYTHON) -m venv build/venv
	build/venv/bin/python -m pip install --quiet --disable-pip-version-check "$$(echo dist/*.whl)[cli,trio]"
	cd build && venv/bin/sansio-sip demo --runtime trio

clean: ## remove what the targets above have made: environment, caches, and all of build/, with the hours of campaign and seeds
	rm -rf $(VENV) $(DEMO_DIR) dist build mutants site .peers .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage
