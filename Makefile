# `make start` and `make test` do all their set-up themselves; they need Python 3.11
# and make. `make` alone lists the targets.

PYTHON ?= python3.11
# Not ".venv": tox-uv leaves a file of that name.
VENV ?= venv
INSTANCE ?= instance
PORT ?= 8080
PYTEST_ARGS ?=
# Processes that share the tests; see tests/conftest.py.
PYTEST_SHARED = --numprocesses 2 --dist loadgroup
SOAK_ARGS ?=
BENCH_ARGS ?=
RESTAPI_ARGS ?=
ATTACK_ARGS ?=

BIN := $(VENV)/bin
INSTALLED := $(VENV)/installed
LOCALES := collective/background/locales
AXE := node_modules/axe-core/axe.min.js
SITE := $(INSTANCE)/var/site-created

# uv writes no bytecode unless asked to: the first start would be twice as long.
UV_INSTALL = $(BIN)/uv pip install --quiet --python $(BIN)/python \
	--compile-bytecode --constraint constraints.txt
UV_TOX = $(BIN)/uv tool run --quiet --constraints constraints.txt --with tox-uv tox
FREEZE = $(BIN)/uv pip compile --quiet --upgrade --no-header --no-annotate \
	--python-version 3.11 \
	--no-emit-package collective-background --no-emit-package countries-demo
# Plone 6.1 does not say itself with which releases it goes: newer ones of its parts
# are Plone 6.2's. So they are those of a day before these came out,
# with the last Products.CMFPlone 6.1 and the test tools of today.
FREEZE_61 = $(FREEZE) --exclude-newer 2026-03-01 \
	--exclude-newer-package Products.CMFPlone=2026-11-01 \
	--exclude-newer-package pytest-plone=2026-11-01 \
	--exclude-newer-package zope.pytestlayer=2026-11-01

.PHONY: help
help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 14

.PHONY: install
install: $(INSTALLED) ## create venv/ with Plone, the add-on and the example add-on

$(BIN)/uv: constraints.txt
	@echo "== Creating $(VENV)/ with $$($(PYTHON) --version)"
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/pip install --quiet --constraint constraints.txt uv
	@touch $@

$(INSTALLED): $(BIN)/uv setup.py demo/setup.py constraints.txt
	@echo "== Installing Plone, collective.background and the example into $(VENV)/"
	@$(UV_INSTALL) --editable '.[test,observability]' --editable demo ruff
	@touch $@

.PHONY: create-site
create-site: $(SITE) ## create the instance and its Plone site, if there is none

$(INSTANCE)/etc/zope.conf: | $(INSTALLED)
	@echo "== Creating a Zope instance in $(INSTANCE)/"
	@$(BIN)/mkwsgiinstance --dir $(INSTANCE) --skelsrc demo/skeleton --user admin:admin

$(SITE): | $(INSTANCE)/etc/zope.conf
	@echo "== Creating a Plone site (this is done once)"
	@$(BIN)/zconsole run $(INSTANCE)/etc/zope.conf demo/create_site.py
	@touch $@

.PHONY: start
start: $(INSTALLED) $(SITE) ## serve the site on http://localhost:8080 (or PORT=...)
	@echo "== Starting http://localhost:$(PORT)/Plone (Ctrl-C stops it)"
	@echo "   editors:       editor1 / editor1-demo, editor2 / editor2-demo"
	@echo "   administrator: admin / admin"
	@exec $(BIN)/runwsgi $(INSTANCE)/etc/zope.ini http_port=$(PORT)

# The browser itself is the system's, "chromium" of Debian or Ubuntu.
$(AXE): package.json package-lock.json
	@if command -v npm >/dev/null; then \
		echo "== Installing axe-core into node_modules/"; \
		npm ci --loglevel=error --ignore-scripts --no-audit --no-fund && touch $@; \
	else \
		echo "== Without npm: the tests of accessibility will be skipped"; \
	fi

.PHONY: test
test: $(INSTALLED) $(AXE) ## run the whole test suite
	@echo "== Running the tests"
	@$(BIN)/pytest $(PYTEST_SHARED) $(PYTEST_ARGS)

.PHONY: test-fast
test-fast: $(INSTALLED) ## run the tests that start no processes and no browser
	@echo "== Running the fast tests"
	@$(BIN)/pytest $(PYTEST_SHARED) -m "not slow" $(PYTEST_ARGS)

.PHONY: soak
soak: $(INSTALLED) ## kill, freeze, cut off instances, and see what can be trusted
	@PYTHONPATH=tests $(BIN)/python -m soak $(SOAK_ARGS)

RESTAPI := restapi
RESTAPI_BIN := $(RESTAPI)/venv/bin

$(RESTAPI)/installed: | $(INSTALLED)
	@echo "== Installing plone.restapi from its source distribution into $(RESTAPI)/"
	@mkdir -p $(RESTAPI)
	@$(BIN)/pip download --quiet --no-deps --no-binary :all: --no-build-isolation \
		--dest $(RESTAPI) $$(grep '^plone.restapi==' constraints.txt)
	@tar --extract --gzip --directory $(RESTAPI) --file $(RESTAPI)/plone*.tar.gz
	@mv $(RESTAPI)/plone*-*/ $(RESTAPI)/sources
	@$(BIN)/uv venv --quiet --python $(BIN)/python $(RESTAPI)/venv
	@$(BIN)/uv pip install --quiet --python $(RESTAPI_BIN)/python --compile-bytecode \
		--constraint constraints.txt --editable '.[testing]' zope.testrunner \
		--editable '$(RESTAPI)/sources[test]'
	@touch $@

.PHONY: restapi
restapi: $(RESTAPI)/installed ## run the tests of plone.restapi, with each write as a task
	@$(RESTAPI_BIN)/python -m scripts.restapi $(RESTAPI)/sources $(RESTAPI_ARGS)
.PHONY: attack
attack: $(INSTALLED) ## let one member attack a site, and see what others notice
	@PYTHONPATH=tests $(BIN)/python -m attack $(ATTACK_ARGS)

.PHONY: bench
bench: $(INSTALLED) ## measure, and print a table (BENCH_ARGS="--only conflicts": a part; --quick)
	@$(BIN)/python -m benchmarks $(BENCH_ARGS)

.PHONY: format
format: $(INSTALLED) ## format the Python files
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

.PHONY: lint
lint: $(INSTALLED) ## check the Python files
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .

.PHONY: screenshots
screenshots: $(INSTALLED) ## make the pictures of the documentation anew
	@$(BIN)/python -m scripts.screenshots

.PHONY: i18n
i18n: $(INSTALLED) ## collect the texts to translate, for all languages
	@cd src && ../$(BIN)/i18ndude rebuild-pot --wrap --no-line-numbers \
		--pot $(LOCALES)/collective.background.pot collective/background
	@cd src && ../$(BIN)/i18ndude sync --wrap \
		--pot $(LOCALES)/collective.background.pot $(LOCALES)/*/LC_MESSAGES/*.po

.PHONY: freeze
freeze: $(BIN)/uv ## resolve the frozen versions anew
	@echo "== Resolving constraints.txt and constraints-6.1.txt"
	@echo "Products.CMFPlone==6.2.*" | $(FREEZE) --output-file constraints.txt requirements.in -
	@printf '%s\n' "Products.CMFPlone==6.1.*" "setuptools<82" "-e .[test]" \
		| $(FREEZE_61) --output-file constraints-6.1.txt -

# Buildout cannot read constraints; this is the same in its own words.
versions.cfg: constraints.txt
	@(echo "[versions]"; sed 's/==/ = /' $<) > $@

.PHONY: buildout
buildout: $(BIN)/uv ## install with buildout, as bin/instance (takes minutes when cold)
	@$(UV_TOX) run -e buildout

.PHONY: clean
clean: ## remove what was installed and built; instance/ with its data stays
	@rm -rf venv venv312 $(RESTAPI) .tox .venv node_modules build dist src/*.egg-info demo/src/*.egg-info
	@rm -rf client/build client/*.egg-info
	@rm -rf bin develop-eggs eggs parts .installed.cfg versions.cfg
