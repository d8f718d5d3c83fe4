# Every target does its own set-up. What is downloaded or built is kept in $XDG_CACHE_HOME/moorage.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

export XDG_CACHE_HOME ?= $(HOME)/.cache
CACHE := $(XDG_CACHE_HOME)/moorage
VENV := $(CACHE)/venv-$(shell sha256sum requirements/dev.lock | cut -c1-16)
export PYTHONPATH := core:operator:csi:cli:moorfs:tests/e2e
export PYTHONUNBUFFERED := 1
PY := $(VENV)/bin/python
PROTO := csi/generate.py

.PHONY: help demo test down check fix generate bench conformance posix fuzz

help: ## This list
	@grep -E '^[a-z-]+:.*## ' Makefile | sed -E 's/:.*## /\t/' | expand -t 14

$(VENV)/.ready: requirements/dev.lock
	@echo "· Python packages (once)" >&2
	@mkdir -p $(CACHE) && python3 -m venv $(VENV)
	@$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.lock >&2
	@touch $@

demo: $(VENV)/.ready ## Start a cluster, install Moorage, show pods on two nodes sharing a volume and a bucket
	@$(PY) -m harness.demo

test: $(VENV)/.ready ## Unit, API and e2e tests on a fresh cluster, which is removed at the end
	@$(PY) -m harness.prepare
	@$(PY) -m pytest -n 3 --no-loadscope-reorder tests/e2e tests/api tests/unit

down: $(VENV)/.ready ## Remove the cluster and everything it left
	@$(PY) -m cluster down

check: $(VENV)/.ready ## Linters, types, import contracts, generated files, chart
	@$(PY) -m harness.check

fix: $(VENV)/.ready ## Format and mend what ruff can
	@$(PY) -m ruff check --fix --quiet . && $(PY) -m ruff format --quiet .

generate: $(VENV)/.ready ## Write the CRDs and the gRPC stubs anew
	@$(PY) -m moorage.crd crds charts/moorage/crds
	@$(PY) $(PROTO)

bench: $(VENV)/.ready ## Measure; writes build/bench.json
	@$(PY) -m bench.scale
	@PYTHONPATH=$(PYTHONPATH):tests/unit/moorfs $(PY) -m bench.object
	@$(PY) -m harness.prepare --keep
	@$(PY) -m bench

conformance: $(VENV)/.ready ## csi-sanity and Kubernetes' External Storage suite, all of both; writes docs/conformance.md
	@$(PY) -m conformance

posix: $(VENV)/.ready ## pjdfstest and fsx on shared, local and object volumes and on a plain XFS (needs cargo); writes docs/posix*.md
	@PYTHONPATH=$(PYTHONPATH):tests/unit/moorfs $(PY) -m posixsuite

fuzz: $(VENV)/.ready ## Random operations on object mounts compared with a local disk, and random deaths under writers; over an hour and a half
	@for road in "nodes" "compare" "compare --server" "compare --kills" "compare --kills --server" "compare --kills --old" \
	    "compare --kills --parts" "crash" "crash --server" "crash --old"; do \
	  PYTHONPATH=$(PYTHONPATH):tests/unit/moorfs $(PY) -m $$road --seconds $${SECONDS_EACH:-600}; done
