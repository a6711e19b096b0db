# `make run` and `make test` do everything, set-up included; `make help` lists the rest.

PYTHON ?= python3
VENV = .venv
HOST = 127.0.0.1
PORT = 8080
WORKERS = auto
PYTEST_ARGS =
DIST = dist
SECONDS = 60
MINUTES = 10
FIGURES = docs/benchmarks

PACKAGES = waitress-parser waitress-buffers waitress-core waitress-cli waitress
PLATFORMS = linux darwin win32
INTERPRETERS = python3.10 python3.11 python3.12 python3.13 python3.14 python3.15 pypy3 python3.13t

BIN = $(VENV)/bin
# The newest version of a package with native code may have no wheel for every interpreter: take the newest wheel.
PIP_INSTALL = $(BIN)/python -m pip install --quiet --disable-pip-version-check --prefer-binary

.DELETE_ON_ERROR:
.PHONY: help run test typecheck $(PLATFORMS:%=typecheck-%) lint format pytest test-tls test-side-by-side test-all test-windows test-ecosystem fuzz soak soak-workers bench figures generated docs dist bump clean

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' Makefile | expand -t 16

run: $(VENV)/packages.stamp ## serve the example application on HOST:PORT
	@cd docs/examples && exec $(abspath $(BIN))/waitress-serve --listen=$(HOST):$(PORT) tour:application

# The tests wait for a part of their time; the other checks run meanwhile, by what the tests leave of the processors. What
# they report comes last, where it is seen.
test: $(VENV)/checks.stamp ## all checks: lint, typecheck, pytest
	@mkdir -p .mypy_cache; \
	nice $(MAKE) --no-print-directory --keep-going lint typecheck >.mypy_cache/report.txt 2>&1 & others=$$!; \
	trap "kill $$others" INT TERM; failed=0; \
	$(MAKE) --no-print-directory pytest || failed=1; \
	wait $$others || failed=1; \
	cat .mypy_cache/report.txt; exit $$failed

# At once: each platform has a cache of its own, as what mypy keeps of a module depends on the platform.
typecheck: $(VENV)/checks.stamp ## mypy --strict, for each of PLATFORMS
	@$(MAKE) --no-print-directory --jobs $(PLATFORMS:%=typecheck-%)

$(PLATFORMS:%=typecheck-%): typecheck-%:
	$(BIN)/mypy --strict --platform $* --cache-dir .mypy_cache/$*

lint: $(VENV)/checks.stamp ## ruff: rules and format; import-linter: which package or folder may import which
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/lint-imports --no-cache --no-logo

format: $(VENV)/checks.stamp ## ruff: rewrite the files
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

pytest: $(VENV)/tests.stamp ## the test suite alone: PYTEST_ARGS="tests/parser -x", WORKERS=0 for one process
	$(BIN)/python -m pytest --numprocesses=$(WORKERS) $(PYTEST_ARGS)

test-tls: $(VENV)/tests.stamp ## the functional tests a second time, over TLS
	$(BIN)/python -m pytest --numprocesses=$(WORKERS) --tls tests/functional $(PYTEST_ARGS)

test-side-by-side: $(VENV)/tests.stamp ## the same with two workers in each server's process: PYTHON=python3.13t VENV=.venvs/free-threaded
	PYTHON_GIL=0 $(BIN)/python -m pytest --numprocesses=$(WORKERS) --side-by-side tests/functional $(PYTEST_ARGS)

# The commands of pyenv run the interpreter of each version only if all versions are selected. PYTHON_GIL=0 keeps a
# free-threaded interpreter without the lock even if native code of a framework asks for it.
test-all: ## the test suite on each of INTERPRETERS that is installed
	@PYENV_VERSION=$$(pyenv versions --bare 2>/dev/null | paste -sd:); [ -z "$$PYENV_VERSION" ] || export PYENV_VERSION; \
	missing=; failed=; \
	for python in $(INTERPRETERS); do \
	    if $$python -c 'import ensurepip, venv' 2>/dev/null; then \
	        echo "== $$python: $$($$python -VV)"; \
	        case $$python in *t) gil=PYTHON_GIL=0;; *) gil=;; esac; \
	        env $$gil $(MAKE) --no-print-directory pytest PYTHON=$$python VENV=.venvs/$$python \
	            || failed="$$failed $$python"; \
	    else missing="$$missing $$python"; fi; \
	done; \
	[ -z "$$missing" ] || echo "Not found, so not tested:$$missing"; \
	[ -z "$$failed" ] || { echo "Failed:$$failed"; exit 1; }

test-windows: .venvs/windows/made.stamp ## the tests on CPython for Windows, under Wine: PYTEST_ARGS="tests/parser"
	$(BIN)/python .ci/windows.py test .venvs/windows $(PYTEST_ARGS)

# In a separate environment, because the requirements of Zope would restrict the versions for the other tests.
test-ecosystem: ## the server with frameworks, clients and proxies that people use
	@$(MAKE) --no-print-directory VENV=.venvs/ecosystem .venvs/ecosystem/ecosystem.stamp
	@$(MAKE) --no-print-directory VENV=.venvs/ecosystem pytest PYTEST_ARGS="tests/ecosystem -m '' $(PYTEST_ARGS)"

fuzz: $(VENV)/tests.stamp ## search for input that breaks a guarantee: SECONDS=60
	$(PIP_INSTALL) "atheris >=2.3"
	$(BIN)/python tests/fuzz/fuzz.py $(SECONDS)

soak: $(VENV)/tests.stamp ## load with resets, uploads and slow readers, drains, a check for leaks: MINUTES=10
	$(BIN)/python -m tests.soak.soak $(MINUTES)

.PHONY: soak-workers
soak-workers: $(VENV)/tests.stamp ## workers reloaded, replaced and killed under load, then twice the load that fits
	$(BIN)/python -m tests.soak.workers
	$(BIN)/python -m tests.soak.overload

# In an environment without the test requirements, some of which have hooks that Python runs at each start.
bench: ## the benchmarks, about half an hour: CASES="hello16" ROUNDS=5 OUTPUT=result.json
	@$(MAKE) --no-print-directory VENV=.venvs/bench .venvs/bench/packages.stamp
	.venvs/bench/bin/python -m tests.benchmarks.bench $(if $(CASES),--cases $(CASES)) $(if $(ROUNDS),--rounds $(ROUNDS)) \
	    $(if $(OUTPUT),--output $(OUTPUT))

figures: $(VENV)/packages.stamp ## make the tables and the chart of the documentation from FIGURES/result.json
	$(BIN)/python -m tests.benchmarks.report $(FIGURES)/result.json $(FIGURES)/tables.md
	$(BIN)/python -m tests.benchmarks.chart $(FIGURES)/result.json $(FIGURES)/chart.svg

generated: $(VENV)/packages.stamp ## write the files that are made from the table of settings
	$(BIN)/python .ci/generate.py

# --fresh-env: another build would not repeat the warnings of unchanged pages, nor notice a change of the settings.
docs: $(VENV)/tests.stamp ## the documentation as web pages; a warning is an error
	$(BIN)/python -m sphinx -W --keep-going --quiet --fresh-env docs docs/_build/html
	@echo "The pages are in docs/_build/html: open $(abspath docs/_build/html/index.html)"

dist: $(VENV)/tests.stamp ## wheel and sdist of each package, reproducible, into DIST
	$(BIN)/python .ci/release.py dist $(DIST)

bump: $(VENV)/pyvenv.cfg ## set a version: PACKAGE=waitress-core VERSION=1.1.0
	$(BIN)/python .ci/release.py bump $(PACKAGE) $(VERSION)
	@rm -f $(VENV)/packages.stamp

clean: ## remove everything that the other targets make
	rm -rf .venv .venvs dist docs/_build .mypy_cache .pytest_cache .ruff_cache .hypothesis .fuzz
	find packages tests docs -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/pyvenv.cfg:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' \
	    || { echo "$(PYTHON) is not Python 3.10 or later; name one that is: make PYTHON=python3.12"; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null \
	    || { echo "$(PYTHON) cannot make virtual environments; on Debian and Ubuntu: apt-get install python3-venv"; exit 1; }
	$(PYTHON) -m venv --clear $(VENV)

$(VENV)/packages.stamp: $(VENV)/pyvenv.cfg $(PACKAGES:%=packages/%/pyproject.toml)
	$(PIP_INSTALL) $(PACKAGES:%=--editable packages/%)
	@touch $@

$(VENV)/tests.stamp: $(VENV)/packages.stamp tests/requirements.txt tests/requirements-tls.txt docs/requirements.txt
	$(PIP_INSTALL) --requirement tests/requirements.txt
	@if $(BIN)/python -c 'import sys; sys.exit(sys.abiflags == "t" and sys.version_info < (3, 14))'; then \
	    $(PIP_INSTALL) --requirement tests/requirements-tls.txt; fi
	@touch $@

.venvs/windows/made.stamp: .ci/windows.py .ci/windows-python.txt $(VENV)/tests.stamp
	$(BIN)/python .ci/windows.py make .venvs/windows
	@touch $@

$(VENV)/checks.stamp: $(VENV)/tests.stamp tests/requirements-checks.txt
	$(PIP_INSTALL) --requirement tests/requirements-checks.txt
	@touch $@

$(VENV)/ecosystem.stamp: $(VENV)/tests.stamp tests/ecosystem/requirements.txt
	$(PIP_INSTALL) --requirement tests/ecosystem/requirements.txt
	@touch $@
