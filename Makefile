# The commands of README.md and .ci/run.  `make help` lists them.
PY ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
SHELL := /bin/sh
C_SOURCES := $(shell find iris_readout -path iris_readout/python -prune -o -type f -print)

.PHONY: help demo test test-offline test-c fuzz lint bench acceptance docs lock clean

help:  ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' Makefile

# One environment for everything; made once, refreshed when what it is built from changes.
$(VENV)/.ok: pyproject.toml constraints.txt $(C_SOURCES)
	@$(PY) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python >= 3.11 is needed; name one with PY=python3.12"; exit 1; }
	@test -x $(BIN)/python || $(PY) -m venv $(VENV)
	@$(BIN)/python -m pip install -qq -c constraints.txt 'pip' 'scikit-build-core>=0.11' 'cmake>=3.20' 'ninja'
	@$(BIN)/python -m pip install -qq -c constraints.txt --no-build-isolation -e '.[test]'
	@touch $@

$(VENV)/.lint: $(VENV)/.ok
	@$(BIN)/python -m pip install -qq -c constraints.txt --no-build-isolation -e '.[test,lint]'
	@touch $@

$(VENV)/.docs: $(VENV)/.ok
	@$(BIN)/python -m pip install -qq -c constraints.txt --no-build-isolation -e '.[test,docs]'
	@touch $@

# The C library and command with no Python in them, as a detector controller builds them.
build/c/.ok: $(VENV)/.ok $(C_SOURCES)
	@PATH="$(abspath $(BIN)):$$PATH" cmake -S iris_readout -B build/c -G Ninja -DIRIS_WERROR=ON > build-c.log 2>&1 || { cat build-c.log; rm -f build-c.log; exit 1; }
	@grep -h 'iris-readout' build-c.log || true
	@rm -f build-c.log
	@PATH="$(abspath $(BIN)):$$PATH" cmake --build build/c > build-c.log 2>&1 || { cat build-c.log; rm -f build-c.log; exit 1; }
	@rm -f build-c.log
	@touch $@

demo: $(VENV)/.ok build/c/.ok  ## simulate a night, reduce it, compare it with the truth
	@$(BIN)/iris-drs demo --out demo

test: $(VENV)/.ok build/c/.ok  ## C tests, then the Python suite
	@PATH="$(abspath $(BIN)):$$PATH" ctest --test-dir build/c --output-on-failure -j 2
	@PATH="$(abspath $(BIN)):$$PATH" IRIS_READOUT_COMMAND="$(abspath build/c/tools/iris-readout)" $(BIN)/python -m pytest -n 2

# A network namespace without interfaces: as root, else as a user that may map itself to root.
OFFLINE = $$(if unshare -n true 2>/dev/null; then echo unshare -n; elif unshare -rn true 2>/dev/null; then echo unshare -rn; fi)

test-offline: $(VENV)/.ok build/c/.ok  ## the Python suite with the network cut (TESTS="tests/contract" for a part)
	@cut="$(OFFLINE)"; test -n "$$cut" || { echo "this system lets nobody make a network namespace: run it as root, or where user namespaces are allowed"; exit 1; }; \
	echo "$$cut: no network from here"; \
	PATH="$(abspath $(BIN)):$$PATH" IRIS_READOUT_COMMAND="$(abspath build/c/tools/iris-readout)" $$cut $(BIN)/python -m pytest -n 2 $(TESTS)

# One build for each sanitizer; those of addresses and of undefined behaviour go together.
test-c: $(VENV)/.ok build/c/.ok  ## C tests, plain and under the address, undefined-behaviour and thread sanitizers
	@PATH="$(abspath $(BIN)):$$PATH" ctest --test-dir build/c --output-on-failure -j 2
	@export PATH="$(abspath $(BIN)):$$PATH"; for kind in address thread; do \
	  cmake -S iris_readout -B build/$$kind -G Ninja -DCMAKE_BUILD_TYPE=RelWithDebInfo -DIRIS_SANITIZE=$$kind > /dev/null || exit 1; \
	  cmake --build build/$$kind > build-c.log 2>&1 || { cat build-c.log; rm -f build-c.log; exit 1; }; \
	  rm -f build-c.log; \
	  ctest --test-dir build/$$kind --output-on-failure -j 2 || exit 1; \
	done

SECONDS ?= 60
fuzz: $(VENV)/.ok  ## fuzz the C library and the command for SECONDS=60 each; needs clang
	@export PATH="$(abspath $(BIN)):$$PATH"; \
	cmake -S iris_readout -B build/fuzz -G Ninja -DCMAKE_BUILD_TYPE=RelWithDebInfo -DCMAKE_C_COMPILER=clang -DIRIS_FUZZ=ON > build-c.log 2>&1 \
	  && cmake --build build/fuzz >> build-c.log 2>&1 || { cat build-c.log; rm -f build-c.log; exit 1; }
	@rm -f build-c.log
	@sh iris_readout/tests/fuzz/run.sh build/fuzz $(SECONDS)

lint: $(VENV)/.lint  ## style, types and import rules
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

$(VENV)/.bench: $(VENV)/.ok
	@$(BIN)/python -m pip install -qq -c constraints.txt --no-build-isolation -e '.[test,bench]' || $(BIN)/python -m pip install -qq --no-build-isolation -e '.[test]'
	@touch $@

bench: $(VENV)/.bench build/c/.ok  ## time the readout against its peers, and a night from L0 to L2, in one run
	@$(BIN)/python benchmarks/readout.py --json build/bench.json $(BENCH)

acceptance: $(VENV)/.ok build/c/.ok  ## the table of figures against simulated truth (ACCEPTANCE=--quick: the short form)
	@$(BIN)/iris-drs acceptance --out build/acceptance $(ACCEPTANCE)

docs: $(VENV)/.docs  ## build the documentation, warnings are errors
	@$(BIN)/python -m sphinx -W -q -b html docs docs/_build/html
	@echo docs/_build/html/index.html

lock: pyproject.toml  ## refresh constraints.txt (no URLs in it)
	@$(BIN)/python -m pip install -qq uv
	@$(BIN)/uv pip compile --universal --python-version 3.11 --all-extras --no-annotate --no-header --no-emit-index-url -q pyproject.toml -o constraints.txt

clean:  ## remove what was built
	@rm -rf build demo $(VENV)
