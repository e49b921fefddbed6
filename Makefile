# Everything is installed into $(VENV), from the hash-locked lists in requirements/.
SUPPORTED = import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 15))
VENV ?= .venv
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
	$$p -c '$(SUPPORTED)' 2>/dev/null && echo $$p && break; done)
BIN = $(VENV)/bin
# What looks at the supply chain needs more packages than all the rest: they stay by themselves.
AUDIT = $(VENV)-audit
SHORT = -m "not slow"
# Three files at once, on two cores as well: much of the suite waits for real terminals, networks and
# clocks. A process that dies is a failure; with another in its place the rest would wait for ever
# (pytest-xdist, issue 1378).
PYTEST = $(BIN)/python -m pytest -n 3 --dist loadfile --max-worker-restart 0

.PHONY: demo test test-short lint bench bench-compare fuzz fuzz-long faults model audit wheel sbom lock \
	translations docs picture clean

demo: $(VENV)/.run
	@$(BIN)/fantom-trio --demo

test: lint
	$(PYTEST)

test-short: $(VENV)/.test
	$(PYTEST) $(SHORT)

lint: $(VENV)/.test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	@$(MAKE) --no-print-directory audit

# Known vulnerabilities of what a user installs; one line where there is nobody to ask.
audit: $(VENV)/.test
	@$(BIN)/python .ci/audit.py $(MAKE) --silent $(AUDIT)/.made -- \
		$(AUDIT)/bin/pip-audit --require-hashes --disable-pip \
		--progress-spinner off --format json -r requirements/run.txt

bench: $(VENV)/.test
	$(BIN)/python -m benchmarks $(ROWS)

# This tree beside another commit, the same measuring in turn: make bench-compare BASE=v0.1.0
bench-compare: $(VENV)/.test
	$(BIN)/python -m benchmarks --compare \
		$(or $(BASE),$(error say which commit: make bench-compare BASE=…)) $(ROWS)

# Ten minutes of every harness; what it reaches and finds stays in .fuzz.
FUZZ_SECONDS ?= 600
fuzz: $(VENV)/.fuzz
	$(BIN)/python -m tests.fuzz --seconds $(FUZZ_SECONDS) --processes 2

# The tests that are marked so, with many more cases.
fuzz-long: $(VENV)/.test
	HYPOTHESIS_PROFILE=fuzz $(BIN)/python -m pytest -m fuzz

# What takes its time in the world, too: outages of a minute, two people a minute apart, a flood of
# 20,000 and a million messages. Needs root.
faults: $(VENV)/.test
	HYPOTHESIS_PROFILE=fuzz $(BIN)/python -m pytest -s tests/system/test_faults.py \
		tests/system/test_firewalls.py tests/system/test_flood.py

# Every state of the protocol's models, and the attacks on their weakened variants.
model: $(VENV)/.test
	$(BIN)/python -m tests.model

# The same bytes wherever and whenever it is built: no file in it has a time of its own.
wheel: $(VENV)/.test
	@mkdir -p dist
	@SOURCE_DATE_EPOCH=315532800 $(BIN)/python -c \
		"from flit_core import buildapi; print('dist/' + buildapi.build_wheel('dist'))"

# The software bill of materials (CycloneDX), beside the wheel: what is installed with it.
SBOM ?= dist/fantom-trio.cdx.json
sbom: $(AUDIT)/.made
	@mkdir -p $(dir $(SBOM))
	@PYTHONWARNINGS=ignore $(AUDIT)/bin/cyclonedx-py requirements requirements/run.txt \
		--pyproject pyproject.toml --output-reproducible --of JSON -o $(SBOM)
	@echo $(SBOM)

# The message catalogues: new texts into the .po files, and the .mo files from them.
translations: $(VENV)/.test
	$(BIN)/python -m tests.repl.catalogues

# The man page, from the table of options and the registry of commands.
docs: $(VENV)/.run
	$(BIN)/python -m fantom_trio.manual > docs/fantom-trio.1.new
	mv docs/fantom-trio.1.new docs/fantom-trio.1

# A real session on two terminals, drawn for the README.
picture: $(VENV)/.test
	$(BIN)/python -m tests.picture

# --no-emit-*: the lists name packages and hashes, never a host.
LOCK = $(VENV)-lock/bin/pip-compile --quiet --generate-hashes --all-build-deps --allow-unsafe \
	--strip-extras --upgrade --no-emit-index-url --no-emit-trusted-host \
	--no-emit-find-links --no-emit-options
lock:
	$(PYTHON) -m venv $(VENV)-lock
	$(VENV)-lock/bin/pip install --quiet pip-tools
	CUSTOM_COMPILE_COMMAND="make lock" $(LOCK) -o requirements/run.txt pyproject.toml
	CUSTOM_COMPILE_COMMAND="make lock" $(LOCK) --extra test -o requirements/test.txt pyproject.toml
	CUSTOM_COMPILE_COMMAND="make lock" $(filter-out --all-build-deps,$(LOCK)) \
		-o requirements/audit.txt requirements/audit.in
	CUSTOM_COMPILE_COMMAND="make lock" $(filter-out --all-build-deps,$(LOCK)) \
		-o requirements/fuzz.txt requirements/fuzz.in

clean:
	rm -rf $(VENV) $(VENV)-lock $(AUDIT) dist .fuzz .mypy_cache .ruff_cache .pytest_cache .hypothesis

# A stamp each for what a user needs and what a developer needs.
INSTALL = $(BIN)/python -m pip --disable-pip-version-check install --quiet
$(VENV)/.run: requirements/run.txt pyproject.toml | $(VENV)/.made
	@echo "installing what fantom-trio needs into $(VENV) …"
	@$(INSTALL) --require-hashes -r requirements/run.txt
	@$(INSTALL) --no-build-isolation --no-deps -e .
	@touch $@

$(VENV)/.test: requirements/test.txt pyproject.toml | $(VENV)/.made
	@echo "installing what the tests need into $(VENV) …"
	@$(INSTALL) --require-hashes -r requirements/test.txt
	@$(INSTALL) --no-build-isolation --no-deps -e .
	@touch $@

$(VENV)/.fuzz: requirements/fuzz.txt $(VENV)/.test
	@$(INSTALL) --require-hashes -r requirements/fuzz.txt || \
		echo "no atheris for this machine: make fuzz goes on without it" >&2
	@touch $@

$(AUDIT)/.made: requirements/audit.txt | $(VENV)/.made
	@echo "installing what looks at the supply chain into $(AUDIT) …"
	@$(BIN)/python -m venv --clear $(AUDIT)
	@$(AUDIT)/bin/python -m pip --disable-pip-version-check install --quiet --require-hashes \
		-r requirements/audit.txt
	@touch $@

$(VENV)/.made:
	@$(or $(PYTHON),false) -c '$(SUPPORTED)' 2>/dev/null || { echo "fantom-trio needs Python 3.11 or newer: install it, or name one with make PYTHON=/path/to/python3.11" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { echo "$(PYTHON) has no venv: on Debian and Ubuntu install it with 'apt install python3-venv'" >&2; exit 1; }
	@$(PYTHON) -m venv --clear $(VENV)
	@touch $@
