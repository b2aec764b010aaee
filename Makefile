# Two commands on a fresh machine: `make repro`, `make test`. Each creates .venv from requirements.lock first.
PYTHON ?= python3
BIN := .venv/bin
export PATH := $(CURDIR)/$(BIN):$(PATH)
export TF_CPP_MIN_LOG_LEVEL ?= 3
export MLFLOW_DISABLE_TELEMETRY ?= true

.DEFAULT_GOAL := help
.PHONY: help repro test check ui bench times lock

help: ## say what there is
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /  make \1\t/' | expand -t 16

.venv/ready: requirements.lock pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	touch $@

repro: .venv/ready ## run the benchmark of conf/benchmark.yaml; what is done is not done again
	@mkdir -p work
	@flock --nonblock work/repro.lock true || echo "another make repro still runs here; waiting for it to end"
	flock work/repro.lock dvc --wait-for-lock repro

test: .venv/ready ## run the tests
	python -m pytest

check: .venv/ready ## lint, types and the floors of the house: what CI runs
	ruff check .
	ruff format --check .
	mypy
	lint-imports

ui: .venv/ready ## open the MLflow store at http://127.0.0.1:5000
	mlflow ui --backend-store-uri "$${MLFLOW_TRACKING_URI:-sqlite:///mlflow.db}"

bench: .venv/ready ## time this project beside a Keras loop and KerasTuner; hours
	python -m bench
	python -m bench --write-docs

times: .venv/ready ## where the time of the last `make repro` went
	python bench/times.py

lock: ## resolve requirements.lock anew; needs uv
	uv pip compile pyproject.toml --extra dev --universal --python-version 3.11 --generate-hashes \
	  --no-emit-index-url --no-annotate --no-header --output-file requirements.lock
