# `make serve` and `make test` set everything up from scratch; what is up to date is left alone.
# Python for the virtual environment, 3.11 or newer.
PYTHON ?= python3
# Index of CPU builds of torch, used unless pip finds a wheel on this machine.
export TORCH_INDEX ?= https://download.pytorch.org/whl/cpu

BIN := .venv/bin
PIP := $(BIN)/pip
VERSION := $(shell sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml)
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: help serve install test test-fast test-slow check train-general train-seeds evaluate bench attacks soak fuzz explain release-check runbooks image lock licences messages clean

help: ## Show this help
	@awk -F ':.* ## ' '/^[a-z-]+:.* ## / {printf "%-15s %s\n", $$1, $$2}' Makefile

serve: .venv/serve.installed ## Serve on port 8000
	$(BIN)/sentiment serve

install: .venv/train.installed ## Install everything for training: .venv/bin/sentiment train

test: .venv/dev.installed ## Run the tests
	$(BIN)/pytest

test-fast: .venv/dev.installed ## Run the tests that start no process and no browser: a minute
	$(BIN)/pytest -m "not slow and not process and not exhaustive"

test-slow: .venv/dev.installed ## Run the tests that take minutes: rolling restarts, kills, memory over many requests
	$(BIN)/pytest -m slow

check: .venv/dev.installed ## Check style, types, import directions, licences and known vulnerabilities
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/pip-licenses > /dev/null
	$(BIN)/python tools/audit.py
	@tools/check-javascript.sh

train-general: .venv/train.installed ## Train the shipped model from the corpora in SENTIMENT_DATA
	$(BIN)/sentiment train --config zh-general --output model/artifacts/zh-general

# Each seed is a full fine-tuning run after the pre-training of train-general; the first one ships.
SEEDS := 18 19

train-seeds: .venv/train.installed ## Train the other seeds, from which evaluate shows the spread
	for seed in $(SEEDS); do \
	  $(BIN)/sentiment train --config zh-general --seed $$seed \
	    --output runs/zh-general/seed-$$seed || exit 1; \
	done
	for model in model/artifacts/zh-general $(SEEDS:%=runs/zh-general/seed-%); do \
	  $(BIN)/sentiment train --config chnsenticorp-official --from $$model \
	    --run runs/official/run --output runs/official/$$(basename $$model) || exit 1; \
	done

# PREVIOUS= and TEACHER= name an earlier release's artifact and a teacher to score as well.
evaluate: .venv/baselines.installed ## Score the model and other classifiers on the test splits
	$(BIN)/sentiment evaluate --baselines --card --figures docs/figures \
	  --document README.md --document README.zh-CN.md \
	  $(if $(PREVIOUS),--previous $(PREVIOUS)) $(if $(TEACHER),--teacher $(TEACHER)) \
	  $(patsubst %,--seed-model %,$(wildcard $(SEEDS:%=runs/zh-general/seed-%))) \
	  $(patsubst %,--official %,$(wildcard runs/official/zh-general $(SEEDS:%=runs/official/seed-%)))

# PREVIOUS= names an earlier release's artifact, whose speed the model's own is compared with.
bench: .venv/bench.installed .venv/frameworks.installed ## Compare the speed with other services; needs wrk and twenty-five minutes
	$(BIN)/python -m bench.serving --write $(if $(PREVIOUS),--previous $(PREVIOUS))
	$(BIN)/python -m bench.cores --write
	$(BIN)/python -m bench.growth --write

attacks: .venv/bench.installed ## Measure how long a well-behaved client waits during attacks
	$(BIN)/python -m bench.attacks --write

MINUTES := 60

soak: .venv/bench.installed ## Send an hour of mixed traffic and check that nothing grows
	$(BIN)/python -m bench.soak --minutes $(MINUTES) --write

# Takes ten minutes or more, with random seeds; turn what it finds into a test.
fuzz: .venv/dev.installed ## Send 100,000 broken requests, and fuzz the text pipeline
	$(BIN)/python -m bench.fuzz --requests 100000 --seed $$(date +%s)
	$(BIN)/pytest tests/test_fuzz.py tests/test_text.py tests/test_encoding.py \
	  tests/test_artifact_fuzz.py --hypothesis-profile=fuzz
	@if $(BIN)/python -c 'import atheris' 2>/dev/null || $(PIP) install --quiet \
	  --requirement requirements/fuzz.txt; then \
	  $(BIN)/python -m bench.fuzz_text -max_total_time=300; \
	else echo "no atheris for this Python; skipping coverage-guided fuzzing"; fi

explain: .venv/bench.installed ## Test explanations by deletion and measure their cost
	$(BIN)/python -m bench.explain --write

release-check: .venv/serve.installed ## Run the release check: sentences that the model must classify correctly
	$(BIN)/sentiment release-check

# The address of the folder docs/ where operators read it.
DOCS := https://git.example.com/zh-sentiment/blob/main/docs

runbooks: ## Let the alerts link to your copy of docs/operations.md: DOCS=https://...
	sed -i.bak 's|runbook_url: .*/operations.md|runbook_url: $(DOCS)/operations.md|' $(ALERTS)
	rm $(ALERTS:%=%.bak)

ALERTS := deploy/prometheus/alerts.yml deploy/prometheus/alerts.test.yml \
  deploy/kubernetes/monitoring/prometheusrule.yaml

image: ## Build the Docker image
	docker build --tag zh-sentiment:$(VERSION) --tag zh-sentiment .

lock: .venv/dev.installed ## Pin the newest versions that pyproject.toml allows; UPGRADE= keeps current ones
	$(PIP) install --quiet pip-tools==7.6.2
	$(SERVING) --output-file requirements/serve.txt pyproject.toml
	$(LOCK) --constraint requirements/serve.txt --extra torch \
	  --output-file requirements/torch.txt pyproject.toml
	$(LOCK) --constraint requirements/torch.txt --extra train \
	  --output-file requirements/train.txt pyproject.toml
	$(LOCK) --constraint requirements/train.txt --extra train --extra baselines \
	  --output-file requirements/baselines.txt pyproject.toml
	$(LOCK) --constraint requirements/baselines.txt --extra train --extra baselines --extra bench \
	  --output-file requirements/bench.txt pyproject.toml
	$(SERVING) --constraint requirements/serve.txt --extra tables \
	  --output-file requirements/tables.txt pyproject.toml
	$(LOCK) --constraint requirements/train.txt --constraint requirements/tables.txt \
	  --extra train --extra tables \
	  --output-file requirements/dev.txt pyproject.toml requirements/dev.in
	$(SERVING) --constraint requirements/dev.txt --constraint requirements/bench.txt --extra ray \
	  --output-file requirements/ray.txt pyproject.toml
	$(LOCK) --output-file requirements/sbom.txt requirements/sbom.in
	$(LOCK) --output-file requirements/clients.txt requirements/clients.in
	$(LOCK) --output-file requirements/frameworks.txt requirements/frameworks.in
	# Remove the warnings that torch and pip are left out.
	sed -i.bak -e '/^#/d' -e '/^$$/d' requirements/*.txt
	rm requirements/*.bak

UPGRADE := --upgrade
# Hashes cover every file of a release, for all systems. No lock contains torch, whose CPU build comes
# from another index or a local file with another hash, or pip, which belongs to the environment.
LOCK := $(BIN)/pip-compile --quiet $(UPGRADE) --strip-extras --generate-hashes \
  --unsafe-package torch --unsafe-package pip --no-header --no-annotate --no-emit-index-url \
  --no-emit-trusted-host --no-emit-find-links --constraint requirements/torch.in
# Serving segments with rjieba alone; jieba, which has no wheel, comes with torch.
SERVING := $(LOCK) --unsafe-package jieba

messages: .venv/dev.installed ## Compile the words of the command line in other languages
	$(BIN)/pybabel compile --directory service/locale --domain sentiment

licences: .venv/dev.installed ## List the licences of serving packages in docs/licences.md
	sed -i.bak '/^|/d' docs/licences.md
	rm docs/licences.md.bak
	$(BIN)/pip-licenses --order name --format markdown --packages torch \
	  $$(sed -n 's/==.*//p' requirements/torch.txt) | sed 's/+cpu//' >> docs/licences.md

clean: ## Remove the virtual environment and caches
	rm -rf .venv .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis build \
	  *.egg-info

# One environment; each lock includes the ones before it, so installing one never undoes another.
.venv/%.installed: requirements/%.txt pyproject.toml
	@tools/set-up.sh "$(PYTHON)" $* $(if $(filter $*,$(WITH_TORCH)),--torch)

# What generates clients, and the frameworks that the benchmark serves our model with, want other
# versions than the rest: each has an environment of its own.
.venv/clients.installed: .venv/dev.installed
.venv/frameworks.installed: .venv/bench.installed
.venv/clients.installed .venv/frameworks.installed: .venv/%.installed: requirements/%.txt
	@echo installing $<
	@$(BIN)/python -m venv .venv/$*
	@tools/install.sh .venv/$*/bin/pip $<
	@touch $@

# These need torch, which no lock contains.
WITH_TORCH := torch train baselines bench dev
$(WITH_TORCH:%=.venv/%.installed): requirements/torch.in
