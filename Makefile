# make help lists the targets. Each does all of its set-up; what is done already is not done again.
.DEFAULT_GOAL := help

# The first Python that fits pyproject.toml; the lock files are made with 3.11. Another one: make PYTHON=/path/to/python
PYTHON ?= $(shell for python in python3.11 python3 python3.12 python3.13; do \
	"$$python" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null \
	&& { echo "$$python"; break; }; done)
VENV := .venv
BIN := $(VENV)/bin
WORKERS ?= 3

.PHONY: help
help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: demo
demo: $(VENV)/.run ## See it work: console, worker and a registry of sample images (PORT=8000, DATABASE=small)
	@exec $(BIN)/python -m demo --end-with-parent $(if $(PORT),--port $(PORT)) $(if $(filter small,$(DATABASE)),--database small)

.PHONY: run
run: $(VENV)/.run ## Run the console for real use; the README has the settings
	@exec $(BIN)/python manage.py serve

.PHONY: install
install: $(VENV)/.run ## Set up without starting, as for a service

.PHONY: check
check: $(VENV)/.dev node_modules/.installed ## Check style, types and migrations
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/djhtml --tabwidth 2 --check templates
	@! LC_ALL=C.UTF-8 grep -rnE '.{161,}' templates || { echo "These lines of templates have more than 160 characters." >&2; exit 1; }
	$(BIN)/mypy
	node_modules/.bin/tsc
	$(BIN)/python manage.py makemigrations --check --dry-run --settings tests.settings

.PHONY: test
test: $(VENV)/.dev ## Run all checks and tests, browser tests included (WORKERS=3)
	@.ci/install-test-programs
	@$(MAKE) --no-print-directory check
	@# Many tests wait rather than work, hence more WORKERS than processors. Hundreds of processes are started: without
	@# bytecode each would compile the project.
	@# Browsers and workers share the machine: what fails is run once more, alone, so that a moment's load fails nothing.
	@# What passes then is printed as a flake.
	@# A run that did not come to its end (any code but 1) stays failed.
	PYTHONDONTWRITEBYTECODE= $(BIN)/pytest -n $(WORKERS) --dist worksteal || { \
		[ $$? -eq 1 ] || exit 2; \
		echo "Failed with others beside; once more, alone:" >&2; \
		PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest -p tests.flakes --last-failed --last-failed-no-failures none --maxfail 10; }

.PHONY: screenshots
screenshots: $(VENV)/.dev ## Take pictures of every page, wide and narrow, light and dark (tests/e2e/screenshots)
	@.ci/install-test-programs
	TALLYMAN_SCREENSHOTS=1 $(BIN)/pytest tests/e2e -k screenshot

.PHONY: messages
messages: $(VENV)/.dev ## Gather the texts to translate into locale/, and compile what is translated
	@command -v msgfmt xgettext >/dev/null || .ci/apt-install gettext
	$(BIN)/python manage.py makemessages --settings tests.settings
	$(BIN)/python manage.py compilemessages --ignore=$(VENV) --settings tests.settings

.PHONY: lock
lock: $(VENV)/.dev ## Lock the newest versions that pyproject.toml allows
	$(BIN)/pip-compile --upgrade $(PIP_COMPILE) --output-file=requirements.lock pyproject.toml
	$(BIN)/pip-compile --upgrade $(PIP_COMPILE) --allow-unsafe --extra=dev --constraint=requirements.lock \
		--output-file=requirements-dev.lock pyproject.toml

PIP_COMPILE := --quiet --strip-extras --generate-hashes --no-emit-index-url --no-emit-find-links \
	--no-emit-trusted-host --no-emit-options

.PHONY: sbom
sbom: $(VENV)/.dev ## Write the software bill of materials of Tallyman itself (tallyman.cdx.json, CycloneDX)
	$(BIN)/cyclonedx-py requirements requirements.lock --pyproject pyproject.toml --mc-type application \
		--output-reproducible --of JSON -o tallyman.cdx.json

.PHONY: release-dump
release-dump: $(VENV)/.dev ## Keep a database of this version for the upgrade tests (REPLACE=1 until it is published)
	@.ci/install-test-programs
	$(BIN)/python -m tests.upgrade.make_dump $(if $(REPLACE),--replace)

.PHONY: audit
audit: $(VENV)/.dev ## Look for unsafe code, and (needs a network) for known vulnerabilities of the locked packages
	$(BIN)/bandit --quiet --configfile pyproject.toml -r console registries inventory scanning
	$(BIN)/pip-audit --require-hashes --disable-pip -r requirements.lock

.PHONY: clean
clean: ## Remove everything that was made, but not the data folder of the console
	rm -rf $(VENV) staticfiles tallyman.cdx.json data/demo .mypy_cache .ruff_cache .pytest_cache .hypothesis test-results \
		node_modules
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# The stamps are written last, so that an interrupted installation is taken up again.
$(VENV)/.run: requirements.lock
	@$(call install,$<)

$(VENV)/.dev: requirements-dev.lock
	@$(call install,$<)

# TypeScript checks the types of the scripts in static/js; nothing of it is part of the console.
node_modules/.installed: package-lock.json
	@command -v npm >/dev/null || .ci/apt-install nodejs npm
	@npm ci --silent --no-audit --no-fund && touch $@

define install
	if [ -z "$(PYTHON)" ]; then \
		echo "There is no Python 3.11, 3.12 or 3.13 here. On Debian 12: sudo apt-get install -y python3 python3-venv" >&2; \
		exit 1; fi; \
	$(BIN)/python -m pip --version >/dev/null 2>&1 || { \
		echo "Making the virtual environment $(VENV) ..."; \
		$(PYTHON) -m venv --clear $(VENV) || { \
			echo "Python has no venv module here. On Debian: sudo apt-get install -y python3-venv" >&2; exit 1; }; }; \
	echo "Installing the packages of $(1), once; this takes a minute or two ..."; \
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r $(1) && touch $@
endef
