# Each target creates .venv if it is missing and installs what it needs into it; PYTHON is the interpreter to create it with.
PYTHON ?= python3
BIN := .venv/bin
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt
PYTEST := $(BIN)/pytest --numprocesses=auto --maxprocesses=4 --dist=worksteal
PRESETS ?= default asan tsan
QUICK := '(null|order_net_fast)'|data_path.*1000
CORE := pyproject.toml constraints.txt CMakeLists.txt $(wildcard csrc/*.h csrc/*.cpp)

.PHONY: help install reproduce demo built-in-model records test gpu attack lint cpp-test tidy mutants bench bench-quick bench-compare clean
help:  ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 18

install: .venv/installed  ## .venv with pairnet and all its extras
reproduce: .venv/installed  ## train the paper's networks and print Table III
	$(BIN)/pairnet reproduce
demo: .venv/serve-installed  ## serve the built-in model, with a page to draw on (needs no torch)
	$(BIN)/pairnet serve
built-in-model: .venv/installed  ## train the model inside the package again
	$(BIN)/pairnet export --model order_net_xs --train --data mnist5k --with-digits --runs build/built-in \
	    --output pairnet/serving/order_net_xs.onnx --force
records: .venv/installed  ## write the tables of README.md and docs/ again from the records in docs/records
	$(BIN)/python docs/records/tables.py
test: .venv/test-installed  ## all tests, in up to four processes
	$(PYTEST)
gpu: .venv/installed  ## everything to learn from an NVIDIA GPU, in eight minutes; results in OUT (DEVICE=cpu: a small form)
	$(BIN)/python -m bench.on_gpu --out $(or $(OUT),build/gpu) --device $(or $(DEVICE),cuda) --minutes $(or $(MINUTES),8)
attack: .venv/test-installed  ## the long form of the tests with hostile files and arguments
	PAIRNET_ATTACK=long $(PYTEST) tests/attack tests/serving/server/test_shutdown.py
lint: .venv/dev-installed  ## ruff, mypy, import-linter and clang-format
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/clang-format --dry-run --Werror csrc/*.h csrc/*.cpp csrc/tests/*.cpp
cpp-test: .venv/dev-installed  ## the C++ tests, plain and with the sanitizers (needs doctest, in Debian the package doctest-dev)
	for preset in $(PRESETS); do \
	    $(BIN)/cmake --preset $$preset && $(BIN)/cmake --build --preset $$preset --parallel 2 && \
	    $(BIN)/ctest --preset $$preset || exit 1; \
	done
tidy: .venv/dev-installed  ## clang-tidy on the C++ core
	PATH="$(CURDIR)/$(BIN):$$PATH" cmake --preset tidy && $(BIN)/cmake --build --preset tidy --parallel 2
mutants: .venv/mutants-installed  ## plant bugs in a package and count those that its tests notice (PACKAGE=data, core, ...; hours)
	cd tests && PATH="$(CURDIR)/$(BIN):$$PATH" ../$(BIN)/python -m mutation $(PACKAGE) $(MUTANTS)
bench: .venv/bench-installed  ## measure this checkout: accuracy, size, speed (BENCH=REGEX selects benchmarks)
	$(BIN)/asv machine --yes
	$(BIN)/asv run --environment existing:$(BIN)/python --set-commit-hash HEAD --bench '$(or $(BENCH),.)'
	$(BIN)/pairnet bench-report --bench '$(or $(BENCH),.)'
bench-quick: .venv/bench-installed  ## run each cheap benchmark once on one variant, without saving results
	$(BIN)/asv machine --yes
	$(BIN)/asv check --environment existing:$(BIN)/python
	PAIRNET_BENCH_VARIANTS=order_net_fast PAIRNET_BENCH_REPEATS=1 \
	    $(BIN)/asv run --quick --dry-run --show-stderr --environment existing:$(BIN)/python --bench "$(QUICK)"
bench-compare: .venv/bench-installed  ## compare HEAD with BASE (main), each revision built in an environment of its own
	$(BIN)/asv machine --yes
	$(BIN)/asv continuous --factor 1.2 --bench '^(?!.*Charted).*($(BENCH))' $(or $(BASE),main) HEAD
clean:  ## remove .venv and everything that was built
	rm -rf .venv build

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit("pairnet needs Python 3.11 or newer, this is " + sys.version.split()[0]) if sys.version_info < (3, 11) else None'
	$(PYTHON) -m venv .venv
.venv/installed: .venv/bin/python $(CORE)
	$(INSTALL) --editable '.[all]'
	@touch $@
.venv/serve-installed: .venv/bin/python $(CORE)
	@echo "installing pairnet[serve] into .venv, for a minute or two"
	$(INSTALL) --editable '.[serve]'
	@touch $@
.venv/test-installed: .venv/installed
	$(INSTALL) 'pairnet[test]'
	@touch $@
.venv/dev-installed: .venv/installed
	$(INSTALL) 'pairnet[dev]'
	@touch $@
.venv/mutants-installed: .venv/installed
	$(INSTALL) 'pairnet[mutants]'
	@touch $@
.venv/bench-installed: .venv/installed
	$(INSTALL) 'pairnet[bench]'
	@touch $@
