# Two commands on a fresh machine: `make repro`, `make test`. Each creates .venv from requirements.lock first.
PYTHON ?= python3
BIN := .venv/bin
# Cells computed at once: one per core, but one in all where a GPU would be shared.
JOBS ?= $(if $(wildcard /dev/nvidia0),1,$(shell nproc))
SHELL := bash
.SHELLFLAGS := -o pipefail -c
export PATH := $(CURDIR)/$(BIN):$(PATH)
export TF_CPP_MIN_LOG_LEVEL ?= 3
export MLFLOW_DISABLE_TELEMETRY ?= true

.DEFAULT_GOAL := help
.PHONY: help doctor weights repro cells report test test-all faults check ui dashboard plots bench times lock

help: ## say what there is
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1\t/' | expand -t 16

.venv/ready: requirements.lock pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	touch $@

doctor: .venv/ready ## say what is ready for the benchmark of conf/benchmark.yaml, and what it would cost
	@backbench doctor

# A cell's stages run one after another, JOBS cells side by side; what one fails at does not stop the others.
# Each process computes with the threads of conf/benchmark.yaml, so JOBS changes no result.
CELLS = dvc stage list --name-only | sed -n 's/^embed@//p'
REPRO = dvc --wait-for-lock repro

weights: .venv/ready ## fetch the weights that conf/benchmark.yaml names, and verify them
	python pipelines/weights.py

repro: .venv/ready ## run the benchmark of conf/benchmark.yaml, JOBS cells at once; what is done is not done again
	@python -m backbench.repro_lock work/repro.lock $(MAKE) --no-print-directory cells

cells:
	@python -m backbench.command validate > /dev/null
ifneq ($(JOBS),1)
	$(REPRO) prepare baseline
	$(CELLS) | xargs -P $(JOBS) -I CELL $(REPRO) -s embed@CELL sweep@CELL train@CELL | cat
endif
	$(REPRO)
	@test -e report/index.html || $(MAKE) --no-print-directory report

report: .venv/ready ## write report/index.html and what MLflow lacks, from results that are there
	$(REPRO) --force --single-item compare

# In the order of their files, so that the long ones do not come last.
test: .venv/ready ## run the tests, a process per core, of up to four
	python -m pytest --numprocesses logical --maxprocesses 4 --dist loadgroup --no-loadscope-reorder

# In parts, a process each: what TensorFlow keeps of every model that it ever ran would not fit into memory.
PARTS ?= 12
test-all: .venv/ready ## run the tests, and the contract over every backbone; an hour or two
	rm -rf work/contract
	for part in $$(seq $(PARTS)); do \
	  python -m pytest -m "" --part $$part/$(PARTS) --junitxml work/contract/$$part.xml || exit; \
	done
	python -m tests.contract_table work/contract/*.xml docs/backbones.md

faults: .venv/ready ## break what a run leans on, and write the table of docs/reliability.md
	@mkdir -p work/faults
	python -m pytest tests/faults --junitxml work/faults/tests.xml
	python -m tests.faults.table work/faults/*.xml docs/reliability.md

check: .venv/ready ## lint, types and the floors of the house: what CI runs
	ruff check .
	ruff format --check .
	mypy
	lint-imports

ui: .venv/ready ## open the MLflow store at http://127.0.0.1:5000
	mlflow ui --backend-store-uri "$${MLFLOW_TRACKING_URI:-sqlite:///mlflow.db}"

DASHBOARD_PORT ?= 8080
DASHBOARD = work/dashboard.db
dashboard: .venv/ready ## open every cell's study in optuna-dashboard at http://127.0.0.1:8080
	python pipelines/dashboard.py
	@echo "optuna-dashboard at http://127.0.0.1:$(DASHBOARD_PORT); end it with Ctrl-C"
	@optuna-dashboard --server wsgiref --quiet --port $(DASHBOARD_PORT) sqlite:///$(DASHBOARD)

plots: .venv/ready ## DVC's plots of the whole benchmark, as a page that needs no network: work/plots/index.html
	@python pipelines/plots_page.py
	dvc plots show --html-template work/plots/template.html --out work/plots \
	  results/leaderboard.csv results/trials.csv results/training.csv results/confusion.csv

bench: .venv/ready ## time this project beside a Keras loop and KerasTuner; hours
	python -m bench
	python -m bench --write-docs

times: .venv/ready ## where the time of the last `make repro` went
	python bench/times.py

lock: ## resolve requirements.lock anew; needs uv
	uv pip compile pyproject.toml --extra dev --extra hub --extra jax --extra dashboard --extra cluster --universal --python-version 3.11 --generate-hashes \
	  --no-emit-index-url --no-annotate --no-header --output-file requirements.lock
