# `make run` opens the dashboard. `make test` checks and tests everything. Each first sets up a virtual environment in
# .venv, which is instant the second time. Works with GNU make 3.81 (macOS) and newer.
#
#   make run ARGS="thesis --runs /scratch/runs"     arguments for ddpm-tui
#   make run PYTHON=/opt/python3.13/bin/python3     a Python of your choice (3.11 or newer)
#   make run TORCH_INDEX=URL     another build of PyTorch
#   make bench ARGS="throughput --seconds 60"     one benchmark instead of all
#   make pictures ARGS="runs docs/pictures"     the images of the README, from finished runs

.DEFAULT_GOAL := help
.PHONY: help run setup check test faults bench pictures clean

VENV   ?= .venv
PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11; do \
	"$$p" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo "$$p" && break; done)
ARGS   ?=

# Three processes on two cores, because tests wait for screens and subprocesses a third of their time. A worker with
# more OpenMP threads than cores runs many times slower.
TEST_PROCESSES ?= 3
TEST_ARGS      ?=
FAULTS_ARGS    ?=

# Another index for PyTorch only, such as the one with the small CPU builds; empty means the default index.
TORCH_INDEX ?=

BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check install -c constraints.txt
unexport PYTHONPATH
unexport PYTHONHOME

help:
	@echo "make run     set up and open the dashboard (ARGS=... are passed on)"
	@echo "make test    set up, check and test everything"
	@echo "make faults  break runs some hundred times, in every way, and count losses (about twenty minutes)"
	@echo "make bench   set up and measure speed, compared with other libraries (ten minutes on a quiet machine)"
	@echo "make pictures ARGS=\"RUNS OUT\"  draw the images of the README from a folder of finished runs"
	@echo "make check   set up and run the static checks: ruff, mypy, import contracts"
	@echo "make setup   set up only, for running and for testing"
	@echo "make clean   remove the virtual environment and all caches (never runs/ or datasets/)"

run: $(VENV)/.ready-to-run
	@$(BIN)/ddpm-tui $(ARGS)

setup: $(VENV)/.ready-to-test

check: $(VENV)/.ready-to-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

test: check
	OMP_NUM_THREADS=1 $(BIN)/pytest -n $(TEST_PROCESSES) --dist worksteal $(TEST_ARGS)

faults: $(VENV)/.ready-to-test
	$(BIN)/python -m tests.faults $(FAULTS_ARGS)

bench: $(VENV)/.ready-to-bench
	@$(BIN)/python -m bench $(if $(ARGS),$(ARGS),all)

pictures: $(VENV)/.ready-to-run
	@$(BIN)/python -m tools.readme_pictures $(ARGS)

$(VENV)/.ready-to-run: pyproject.toml constraints.txt
	@if [ -z "$(PYTHON)" ]; then \
		echo "error: no Python 3.11 or newer found; install one, or name it: make run PYTHON=/path/to/python3" >&2; exit 2; fi
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "error: $(PYTHON) is not Python 3.11 or newer; name one: make run PYTHON=/path/to/python3" >&2; exit 2; }
	@echo "Setting up $(VENV), once; most of the time goes into downloading PyTorch."
	@[ -x $(BIN)/python ] && $(BIN)/python -m pip --version >/dev/null 2>&1 || "$(PYTHON)" -m venv $(VENV) || { \
		echo "error: $(PYTHON) cannot make a virtual environment; on Debian or Ubuntu: apt install python3-venv" >&2; exit 2; }
	@if [ -n "$(TORCH_INDEX)" ]; then \
		$(PIP) --retries 1 --timeout 15 --index-url "$(TORCH_INDEX)" torch 2>/dev/null \
		|| echo "$(TORCH_INDEX) did not answer; taking PyTorch from the default index."; fi
	@$(PIP) --quiet -e .
	@touch $@

$(VENV)/.ready-to-test: $(VENV)/.ready-to-run
	@$(PIP) --quiet -e '.[test]'
	@touch $@

# torchvision has to be of the same build as torch.
$(VENV)/.ready-to-bench: $(VENV)/.ready-to-run
	@if [ -n "$(TORCH_INDEX)" ]; then \
		$(PIP) --retries 1 --timeout 15 --index-url "$(TORCH_INDEX)" --no-deps torchvision 2>/dev/null \
		|| echo "$(TORCH_INDEX) did not answer; taking torchvision from the default index."; fi
	@$(PIP) --quiet -e '.[bench]'
	@touch $@

clean:
	rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache .import_linter_cache snapshot_report.html
	find core tui tests bench tools -name __pycache__ -type d -prune -exec rm -rf {} +
