# `make serve` and `make test` need Python 3.11 to 3.14, pip and make; nothing else.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
BASE ?= main
export NO_MKDOCS_2_WARNING := 1
.DEFAULT_GOAL := help

$(VENV)/installed: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 15) and "qkvdocs needs Python 3.11 to 3.14: make PYTHON=python3.13 …")'
	@echo "Making the environment in $(VENV): a minute or two, once."
	@# --without-pip: Debian keeps ensurepip in a package of its own; the machine's pip serves as well.
	@$(PYTHON) -m venv --without-pip $(VENV)
	@$(PYTHON) -m pip --python $(BIN)/python install --quiet --disable-pip-version-check -e '.[site,test,check,mutants]'
	@touch $@

$(VENV)-parity/installed: pyproject.toml
	@echo "Making the environment in $(VENV)-parity, with torch and transformers."
	@$(PYTHON) -m venv --without-pip $(VENV)-parity
	@$(PYTHON) -m pip --python $(VENV)-parity/bin/python install --quiet --disable-pip-version-check -e '.[site,test,parity]'
	@touch $@

.PHONY: help serve build runtime offline artefacts changes test check format lesson ledger noise mutants heads parity pythons

help: ## list the commands
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

serve: $(VENV)/installed ## read the site; a saved edit of a lesson or of the package shows at once
	@$(BIN)/mkdocs serve $(SERVE)

build: $(VENV)/installed ## build the site into site/, checked; the exit code tells
	@$(BIN)/python -m qkvdocs build $(BUILD)

runtime: $(VENV)/installed ## fetch the Python that readers can run in the page (17 MB kept, 110 MB loaded, once)
	@$(BIN)/python -m qkvdocs runtime --pip "$(PYTHON) -m pip"

offline: build ## build the site into site-offline/ too, where it opens without a server
	@$(BIN)/python -m qkvdocs offline site site-offline

artefacts: build ## make in artefacts/ what is handed out: PDF, zips; previews in site/ (needs a Chromium)
	@$(BIN)/python -m qkvdocs artefacts site artefacts

changes: build ## show in changes/ what a reader would see changed since BASE (needs a Chromium)
	@rm -rf .cache/base && mkdir -p .cache/base && git archive -o .cache/base.tar $(BASE) && tar -x -C .cache/base -f .cache/base.tar
	@cd .cache/base && PYTHONPATH=$(CURDIR)/.cache/base $(CURDIR)/$(BIN)/python -m qkvdocs build -q
	@$(BIN)/python -m qkvdocs changes .cache/base/site site -o changes --ledgers .cache/base/tests/ledger tests/ledger $(if $(SUMMARY),--summary $(SUMMARY))

test: $(VENV)/installed ## run all tests; those in a browser where a Chromium is found
	@$(BIN)/pytest -n auto --dist loadscope $(TEST)

check: $(VENV)/installed ## format, lint, types
	@$(BIN)/ruff format --check . && $(BIN)/ruff check . && $(BIN)/mypy

format: $(VENV)/installed ## put the code in its form
	@$(BIN)/ruff format . && $(BIN)/ruff check --fix .

lesson: $(VENV)/installed ## write a new lesson that passes the checks: make lesson NAME=06-multi-head
	@$(BIN)/python -m qkvdocs lesson $(NAME)

ledger: $(VENV)/installed ## write what the pages show now into tests/ledger/
	@$(BIN)/python -m qkvdocs ledger --update

noise: $(VENV)/installed ## find shown digits that another processor could flip
	@$(BIN)/python -m qkvdocs noise $(NOISE)

pythons: $(VENV)/installed ## run the engine's tests and a build on the oldest and newest Python found; compare the sites
	@$(BIN)/python -m tests.pythons

mutants: $(VENV)/installed ## break the core and the page's script on purpose: the tests must notice (about ten minutes)
	@$(BIN)/python tests/core/mutants.py $(MUTANTS)
	@$(BIN)/python tests/figures/mutants_js.py

heads: $(VENV)/installed ## fetch two trained models (180 MB, once) and record their heads in docs/models/
	@$(BIN)/python -m tests.models.record "$(PYTHON) -m pip"

parity: $(VENV)-parity/installed ## compare with torch and transformers (downloads them; about three minutes)
	@HF_HUB_OFFLINE=1 $(VENV)-parity/bin/python -m pytest tests/parity -q -o addopts=--import-mode=importlib $(PARITY)
