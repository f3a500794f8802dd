# Everything happens in .venv, which each target makes for itself; PYTHON chooses the interpreter it is made with.
PYTHON ?= python3
BIN := .venv/bin
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt
QUICK := '(null|order_net_fast)'|data_path.*1000
CORE := pyproject.toml constraints.txt CMakeLists.txt $(wildcard csrc/*.h csrc/*.cpp)

.PHONY: help install reproduce test test-site lint cpp-test tidy bench bench-quick bench-compare clean
help:  ## what there is to make
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 18

install: .venv/installed  ## .venv with pairnet in it
reproduce: .venv/installed  ## train the paper's networks and print Table III
	$(BIN)/pairnet reproduce
test: .venv/test-installed  ## all tests
	$(BIN)/pytest
test-site: .venv/test-installed .venv/bench-installed build/site/node_modules  ## the pages of asv publish in a browser (needs chromium and npm)
	$(BIN)/pytest tests/test_site.py
lint: .venv/dev-installed  ## ruff, mypy and clang-format
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/clang-format --dry-run --Werror csrc/*.h csrc/*.cpp csrc/tests/*.cpp
cpp-test: .venv/dev-installed  ## the C++ tests, plain and under the sanitizers (needs doctest: Debian's doctest-dev)
	for preset in default asan tsan; do \
	    $(BIN)/cmake --preset $$preset && $(BIN)/cmake --build --preset $$preset --parallel 2 && \
	    $(BIN)/ctest --preset $$preset || exit 1; \
	done
tidy: .venv/dev-installed  ## clang-tidy over the C++ core
	PATH="$(CURDIR)/$(BIN):$$PATH" cmake --preset tidy && $(BIN)/cmake --build --preset tidy --parallel 2
bench: .venv/bench-installed  ## measure this checkout: accuracy, size, speed (BENCH=REGEX for some of it)
	$(BIN)/asv machine --yes
	$(BIN)/asv run --environment existing:$(BIN)/python --set-commit-hash HEAD --bench '$(or $(BENCH),.)'
	$(BIN)/pairnet bench-report --bench '$(or $(BENCH),.)'
bench-quick: .venv/bench-installed  ## does each cheap benchmark run? one pass over one variant, nothing is kept
	$(BIN)/asv machine --yes
	$(BIN)/asv check --environment existing:$(BIN)/python
	PAIRNET_BENCH_VARIANTS=order_net_fast PAIRNET_BENCH_REPEATS=1 \
	    $(BIN)/asv run --quick --dry-run --show-stderr --environment existing:$(BIN)/python --bench "$(QUICK)"
bench-compare: .venv/bench-installed  ## what got worse since BASE (main), each revision built anew
	$(BIN)/asv machine --yes
	$(BIN)/asv continuous --factor 1.2 --bench '^(?!.*Charted).*($(BENCH))' $(or $(BASE),main) HEAD
clean:  ## forget .venv and everything built
	rm -rf .venv build

.venv/bin/python:
	$(PYTHON) -c 'import sys; sys.exit("pairnet needs Python 3.11 or newer, this is " + sys.version.split()[0]) if sys.version_info < (3, 11) else None'
	$(PYTHON) -m venv .venv
.venv/installed: .venv/bin/python $(CORE)
	$(INSTALL) --editable .
	@touch $@
.venv/test-installed: .venv/installed
	$(INSTALL) --editable '.[test]'
	@touch $@
.venv/dev-installed: .venv/installed
	$(INSTALL) --editable '.[dev]'
	@touch $@
.venv/bench-installed: .venv/installed
	$(INSTALL) --editable '.[bench]'
	@touch $@
build/site/node_modules:  # what asv's pages take from the network
	npm install --silent --no-audit --no-fund --prefix build/site jquery@3.3.1 flot@0.8.3 flot-orderbars@1.0.0 \
	    stupid-table-plugin@1.1.3 blueimp-md5@2.19.0 bootstrap@3.1.1
