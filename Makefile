# The commands of the README and the developer's shortcuts. Each does all its set-up; no logic lives here.

PYTHON ?= python3
CORES ?= 2
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
CLUSTER := $(VENV)/.cluster
TESTS := $(VENV)/.tests
# One process runs all tests of a file, so that shared fixtures are made once; the long workflow tests come first.
PYTEST = $(BIN)/pytest -n $(CORES) --dist loadfile --no-loadscope-reorder
CHECKED := Snakefile workflow/Snakefile workflow/rules/*.smk

.PHONY: demo test test-slow test-slurm test-unit cluster check report docs clean help

help: ## what there is
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /: /'

demo: $(READY) ## run the default config: a small simulated genome, from FASTA to report
	$(BIN)/snakemake --cores $(CORES)
	@echo "The report: results/report/index.html"

test: $(TESTS) ## run every test but the slow ones; the end lists what was skipped, and the command to enable it
	$(PYTEST)

test-slow: $(TESTS) ## run the tests that take more than a minute each
	$(PYTEST) -m slow

test-unit: $(TESTS) ## run the unit tests only
	$(PYTEST) tests/unit

test-slurm: $(CLUSTER) ## run the workflow on a temporary SLURM on this machine: needs root, and apt to download SLURM
	$(BIN)/pytest -m cluster --durations=0 tests/cluster

check: $(CLUSTER) ## style, types, walls, lint, documents in step, dry-run of every example and profile
	$(BIN)/ruff format --check scripts tools tests
	$(BIN)/ruff check scripts tools tests
	$(BIN)/mypy
	PYTHONPATH=scripts $(BIN)/lint-imports
	$(BIN)/snakefmt --check $(CHECKED)
	$(BIN)/snakemake --lint
	$(BIN)/python tools/document_config.py --check
	$(BIN)/python tools/document_rules.py --check
	$(BIN)/pytest tests/workflow/test_dry_run.py

cluster: $(CLUSTER) ## install Snakemake's plugins for SLURM and Kubernetes

report: $(READY) ## Snakemake's own report of the last run, with provenance: report.zip
	$(BIN)/snakemake --report report.zip

docs: $(READY) ## regenerate config/README.md, the JSON schema, docs/rules.md and docs/rerun-matrix.md
	$(BIN)/python tools/document_config.py
	$(BIN)/python tools/document_rules.py

clean: ## remove results, logs and the virtual environment (downloads stay)
	rm -rf results logs .scratch .snakemake $(VENV)

# uv resolves and installs in seconds. torch is pinned without a build: a directory in PIP_FIND_LINKS is searched first;
# Linux gets the CUDA build unless UV_TORCH_BACKEND=cpu (or auto) asks for another.
INSTALL = UV_FIND_LINKS="$${UV_FIND_LINKS-$$PIP_FIND_LINKS}" $(BIN)/uv pip install --quiet --compile-bytecode \
	--python $(BIN)/python --constraint constraints.txt
$(READY): requirements.txt constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(None if (3, 11) <= sys.version_info[:2] <= (3, 13) else "error: Python 3.11, 3.12 or 3.13 is needed, this is %d.%d; name one with: make PYTHON=python3.12 ..." % sys.version_info[:2])'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet uv
	$(INSTALL) --requirement requirements.txt
	touch $@

$(CLUSTER): requirements-cluster.txt $(READY)
	$(INSTALL) --requirement requirements-cluster.txt
	touch $@

$(TESTS): requirements-tests.txt $(CLUSTER)
	$(INSTALL) --requirement requirements-tests.txt
	touch $@
