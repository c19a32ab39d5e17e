# The commands of the project. `make help` lists them.
#   SLURM=24.11 (default) or 26.05 chooses the Slurm release of the local cluster.

SHELL       := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

SLURM ?= 24.11
export SLURM
# The environment's USER is whoever runs make; only a USER given to make names a Slurm user.
ifneq ($(origin USER),command line)
USER := alice
endif

PYTHON ?= python3
ROOT   := $(if $(filter 0,$(shell id -u)),,sudo --preserve-env=SLURM)
RUN    := .venv/bin/python
LOCAL  := $(ROOT) $(RUN) -m local
PYTEST := $(ROOT) $(RUN) -m pytest
TOOLS  := .local/tools/.ready

.PHONY: help setup demo up down status token access-check test test-unit test-real lint format bench faults soak clean \
  deploy-requirements cluster-config deploy-cluster deploy-api verify-on-aws

help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 22

setup: .venv/.ready ## install what the local stack needs: Debian packages, .venv

.local/.packages: local/install-packages
	@$(ROOT) local/install-packages >&2
	@mkdir -p .local && touch $@

.venv/.ready: requirements-dev.txt src/requirements.txt | .local/.packages
	@echo "installing Python packages into .venv (about 40 s cold) ..." >&2
	@[ -x .venv/bin/python ] || $(PYTHON) -m venv .venv
	@.venv/bin/python -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt >&2
	@touch $@

# Environments of their own: checkov pins a boto3 of its own, and none may get in the way of the stack's.
.local/tools/.ready: requirements-tools.txt requirements-deploy.txt requirements-checkov.txt requirements-openapi.txt | .local/.packages
	@echo "installing linters and fuzzer into .local/tools, checkov and openapi (about 2 min cold) ..." >&2
	@for tool in tools checkov openapi; do \
	  [ -x .local/$$tool/bin/python ] || $(PYTHON) -m venv .local/$$tool; \
	  .local/$$tool/bin/python -m pip install --quiet --disable-pip-version-check -r requirements-$$tool.txt >&2; \
	done
	@touch $@

demo: setup ## from nothing to a finished job, with curl
	@$(LOCAL) up >&2
	@local/demo

up: setup ## start the stack on this machine, or heal it; writes .local/env
	@$(LOCAL) up

down: setup ## stop all of it
	@$(LOCAL) down

status: setup ## what runs, and where
	@$(LOCAL) status

token: setup ## USER=alice: print a Slurm token, nothing else
	@$(RUN) -m local token $(USER)

test: lint test-unit test-real ## everything, set-up included

test-unit: setup $(TOOLS) ## the unit tests alone; PYTEST_OPTIONS are pytest's
	@$(RUN) -m pytest tests/unit --numprocesses=auto $(PYTEST_OPTIONS)

test-real: setup $(TOOLS) ## the tests against the running stack alone; PYTEST_OPTIONS as above
	@$(PYTEST) tests/real --durations=40 --durations-min=5 $(PYTEST_OPTIONS)

lint: setup $(TOOLS) ## ruff, mypy, shellcheck, cfn-lint, sam, parliament, checkov, ParallelCluster's schema, our own asserts
	@local/lint

format: setup ## let ruff mend what it can
	@$(RUN) -m ruff check --fix . && $(RUN) -m ruff format .

bench: setup ## ratios measured in one run
	@$(LOCAL) up >&2
	@$(ROOT) $(RUN) -m bench

faults: setup ## the fault table: what users see of each fault, what is lost, how it heals
	@$(LOCAL) up >&2
	@$(ROOT) $(RUN) -m bench.faults

soak: setup ## load and faults at full size
	@$(LOCAL) up >&2
	@$(ROOT) $(RUN) -m bench.soak

# Deploying needs none of the local stack, nor Debian: the AWS, SAM and ParallelCluster command lines, and this.
ifeq ($(origin DEPLOY_PYTHON),undefined)
DEPLOY_PYTHON := .local/deploy/bin/python
DEPLOY_READY  := .local/deploy/.ready
endif
export STACK API_STACK CLUSTER OPTIONS DEPLOY_PYTHON

.local/deploy/.ready: requirements-deploy.txt
	@echo "installing ParallelCluster's schema into .local/deploy (about 1 min cold) ..." >&2
	@[ -x .local/deploy/bin/python ] || $(PYTHON) -m venv .local/deploy
	@.local/deploy/bin/python -m pip install --quiet --disable-pip-version-check -r requirements-deploy.txt >&2
	@touch $@

deploy-requirements: ## STACK=, API_STACK=, OPTIONS=: on AWS, what cluster and API stand on
	@deploy/deploy requirements

cluster-config: $(DEPLOY_READY) ## STACK=, CLUSTER=, OPTIONS=: write CLUSTER.yaml from the stack's outputs, and check it
	@deploy/deploy cluster_config

deploy-cluster: $(DEPLOY_READY) ## the same, and create the cluster on AWS
	@deploy/deploy cluster

deploy-api: ## STACK=, API_STACK=, CLUSTER=, OPTIONS=: on AWS, the API
	@deploy/deploy api

access-check: $(DEPLOY_READY) ## FILE=access.yaml: is an access document valid, and if not, what is wrong on which line
	@[ -n "$(FILE)" ] || { echo "say which document: make access-check FILE=access.yaml" >&2; exit 2; }
	@PYTHONPATH=src $(DEPLOY_PYTHON) -m slurm_gateway.access check "$(FILE)"

verify-on-aws: $(DEPLOY_READY) ## API=URL, API_STACK=: what could not be seen without AWS, seen there
	@$(DEPLOY_PYTHON) -m deploy.verify "$(API)" $(if $(API_STACK),--stack "$(API_STACK)")

clean: ## stop the stack and remove all that was built
	@if [ -x .venv/bin/python ]; then $(LOCAL) down; fi
	@$(ROOT) rm -rf --one-file-system .local .venv .aws-sam
