# `make serve` and `make test` need Python 3.11 to 3.14, pip and make; nothing else.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
BASE ?= main
WORKERS ?= auto
export NO_MKDOCS_2_WARNING := 1
QUICK := tests/core tests/clinic tests/wild tests/test_numbers.py tests/engine/pages \
  --ignore tests/wild/test_browser.py --ignore tests/clinic/test_coincidences.py --ignore tests/engine/pages/test_live.py \
  --ignore tests/engine/pages/test_ahead.py --ignore tests/engine/pages/test_recall.py
.DEFAULT_GOAL := help

# uv where it is there: it takes seconds where pip takes a minute.
UV := $(shell command -v uv)

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 15) and "qkvdocs needs Python 3.11 to 3.14: make PYTHON=python3.13 …")'
	@echo "Making the environment in $(VENV)."
	@# --without-pip: Debian keeps ensurepip in a package of its own; the machine's pip serves as well.
	@$(if $(UV),$(UV) venv --quiet --python $(PYTHON) $(VENV),$(PYTHON) -m venv --without-pip $(VENV))

# What the site needs comes first; tests, linters and mutation tools are added by the commands that use them.
$(VENV)/has-%: pyproject.toml | $(VENV)/bin/python
	@echo "Installing what “$*” needs: once."
	@$(if $(UV),$(UV) pip install --quiet --python $(BIN)/python,$(PYTHON) -m pip --python $(BIN)/python install --quiet --no-compile --disable-pip-version-check) -e '.[$*]'
	@touch $@

# By pip: it knows where a small torch lies.
$(VENV)-parity/installed: pyproject.toml
	@echo "Making the environment in $(VENV)-parity, with torch and transformers."
	@$(PYTHON) -m venv --without-pip $(VENV)-parity
	@$(PYTHON) -m pip --python $(VENV)-parity/bin/python install --quiet --disable-pip-version-check -e '.[site,test,parity]'
	@touch $@

.PHONY: help serve build runtime browsers offline artefacts deploy changes test audit quick guards check format lesson claims ledger noise evaluate mutants heads costs parity pythons

help: ## list the commands
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

serve: $(VENV)/has-site ## read the site; a saved edit of a lesson or of the package shows at once
	@$(BIN)/mkdocs serve $(SERVE)

build: $(VENV)/has-site $(if $(BUILDER),$(VENV)/has-test) ## build the site into site/, checked; the exit code tells; with BUILDER=zensical, by Material's successor
	@$(BIN)/python -m qkvdocs build $(if $(BUILDER),--builder $(BUILDER)) $(BUILD)

runtime: $(VENV)/has-site ## fetch the Python and the model that readers can run in the page (125 MB kept, 190 MB loaded, once)
	@$(BIN)/python -m qkvdocs runtime --pip "$(PYTHON) -m pip"

browsers: ## install, by apt-get, what is missing of the browsers that tests drive: Chromium, Firefox, WebKit
	@has() { for name; do command -v "$$name" >/dev/null && return; done; false; }; set --; \
	has chromium chromium-browser google-chrome || set -- chromium; \
	has firefox-esr firefox || set -- "$$@" firefox-esr; \
	has WebKitWebDriver && has Xvfb && /usr/bin/python3 -c 'import gi; gi.require_version("WebKit2", "4.1")' 2>/dev/null \
	  || set -- "$$@" webkit2gtk-driver xvfb gir1.2-webkit2-4.1 python3-gi; \
	[ $$# = 0 ] || { as=$$([ "$$(id -u)" = 0 ] || echo sudo); $$as apt-get update -qq \
	  && $$as apt-get install -y -qq --no-install-recommends "$$@" >/dev/null; }

offline: build ## build the site into site-offline/ too, where it opens without a server
	@$(BIN)/python -m qkvdocs offline site site-offline

artefacts: $(VENV)/has-test build ## make in artefacts/ what is handed out: PDFs, a deck for Anki, zips; previews in site/ (needs a Chromium)
	@$(BIN)/python -m qkvdocs artefacts site artefacts

deploy: $(VENV)/has-site $(VENV)/has-test $(VENV)/has-check ## do here, in clones, what the workflow would do on main; the site ends in deploy/published. With BACK=1, put the one before back
	@$(BIN)/python -m tests.workflow --into deploy $(if $(BACK),--back) $(if $(SITE_URL),--set SITE_URL=$(SITE_URL)) $(if $(EDIT_URI),--set EDIT_URI=$(EDIT_URI))

changes: $(VENV)/has-test build ## show in changes/ what a reader would see changed since BASE (needs a Chromium)
	@rm -rf .cache/base && mkdir -p .cache/base && git archive -o .cache/base.tar $(BASE) && tar -x -C .cache/base -f .cache/base.tar
	@cd .cache/base && PYTHONPATH=$(CURDIR)/.cache/base $(CURDIR)/$(BIN)/python -m qkvdocs build -q
	@$(BIN)/python -m qkvdocs changes .cache/base/site site -o changes --ledgers .cache/base/tests/ledger tests/ledger $(if $(SUMMARY),--summary $(SUMMARY))

test: $(VENV)/has-site $(VENV)/has-test $(VENV)/has-check ## run all tests that need neither browser nor built site; with TEST=…, just these
	@$(BIN)/pytest -n $(WORKERS) --dist loadscope $(if $(TEST),$(TEST),-m "not site")

audit: $(VENV)/has-site $(VENV)/has-test $(VENV)/has-check ## run all tests that need a browser or the built site (needs Chromium, Firefox and WebKit: make browsers)
	@$(BIN)/pytest -n $(WORKERS) --dist loadscope -m site

quick: $(VENV)/has-site $(VENV)/has-test $(VENV)/has-check ## run tests of the subject and of running pages: half a minute, for the loop while writing
	@$(BIN)/pytest -n $(WORKERS) -q $(QUICK)

guards: $(VENV)/has-site $(VENV)/has-test ## break each rule of the engine on purpose: the test named in tests/guards.toml must notice (some minutes)
	@$(BIN)/python -m tests.guards $(GUARDS)

check: $(VENV)/has-site $(VENV)/has-test $(VENV)/has-check ## format, lint, types
	@$(BIN)/ruff format --check . && $(BIN)/ruff check . && $(BIN)/mypy

format: $(VENV)/has-site $(VENV)/has-check ## put the code in its form
	@$(BIN)/ruff format . && $(BIN)/ruff check --fix .

lesson: $(VENV)/has-site ## write a new lesson that passes the checks: make lesson NAME=06-multi-head
	@$(BIN)/python -m qkvdocs lesson $(NAME)

claims: $(VENV)/has-site ## say how many comparisons the check of claims sees, and its false alarms
	@$(BIN)/python -m qkvdocs claims

ledger: $(VENV)/has-site ## write what the pages show now into tests/ledger/
	@$(BIN)/python -m qkvdocs ledger --update

noise: $(VENV)/has-site ## find shown digits that another processor could flip
	@$(BIN)/python -m qkvdocs noise $(NOISE)

pythons: $(VENV)/has-site ## run the engine's tests and a build on the oldest and newest Python found; compare the sites
	@$(BIN)/python -m tests.pythons

mutants: $(VENV)/has-site $(VENV)/has-test $(VENV)/has-mutants ## break the core and the page's script on purpose: the tests must notice (about ten minutes)
	@$(BIN)/python -m tests.mutants $(MUTANTS)
	@$(BIN)/python tests/figures/mutants_js.py

evaluate: $(VENV)/has-site $(VENV)/has-test $(VENV)/has-mutants ## run whole what tests take a tenth of, where its record is old (minutes)
	@$(BIN)/python -m tests.evaluate $(EVALUATE)

heads: $(VENV)/has-site $(VENV)/has-test ## fetch two trained models (180 MB, once) and record their heads in docs/models/
	@$(BIN)/python -m tests.models.record "$(PYTHON) -m pip"

costs: $(VENV)/has-site $(VENV)/has-test ## break these models in every way that the clinic knows, and record what it costs (half an hour)
	@$(BIN)/python -m tests.models.costs "$(PYTHON) -m pip"

parity: $(VENV)-parity/installed ## compare with torch and transformers (downloads them; about three minutes, more where the trained models are there)
	@HF_HUB_OFFLINE=1 $(VENV)-parity/bin/python -m pytest tests/parity -q -o addopts=--import-mode=importlib $(PARITY)
