# Two commands on a fresh machine: `make repro`, `make test`. Each creates .venv from a lock first.
# The Python to make .venv with, such as python3.12, and GPU=yes or GPU=no; without them what fits is found.
PYTHON ?=
GPU ?=
BIN := .venv/bin
SHELL := bash
.SHELLFLAGS := -o pipefail -c
export PATH := $(CURDIR)/$(BIN):$(PATH)
export MLFLOW_DISABLE_TELEMETRY ?= true

.DEFAULT_GOAL := help
.PHONY: help doctor weights repro report cluster test test-system test-all faults check ui dashboard plots bench times pretrain transfer lock FORCE

help: ## say what there is
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1\t/' | expand -t 20

.venv/ready: FORCE
	@python=$$(sh pipelines/find_python.sh $(PYTHON)) && PYTHONPATH=src "$$python" pipelines/install.py $(GPU)

doctor: .venv/ready ## say what is ready for the benchmark of conf/benchmark.yaml, and what it would cost
	@backbench doctor

weights: .venv/ready ## fetch the weights that conf/benchmark.yaml names, and verify them
	python pipelines/weights.py

# Without JOBS, cores, memory and GPUs decide how many cells run at once; it changes no result.
repro: .venv/ready ## run the benchmark of conf/benchmark.yaml, JOBS cells at once; what is done is not done again
	@python -m backbench.cli.repro_lock work/repro.lock python -m backbench.cli.run_benchmark $(if $(JOBS),--jobs $(JOBS))

report: .venv/ready ## write report/index.html and what MLflow lacks, from results that are there
	@python -m backbench.cli.run_benchmark --report

WORKERS ?=
cluster: .venv/ready ## run one scheduler with the workers of WORKERS=local or slurm, for `workers: address`; Ctrl-C ends it
	@python pipelines/cluster.py $(if $(WORKERS),workers=$(WORKERS))

# A process per core, of up to four. How long each test took is kept in work/tests.
PYTEST := python -m pytest --numprocesses logical --maxprocesses 4 --durations 15
test: .venv/ready ## run the tests
	$(PYTEST) --dist worksteal --junitxml work/tests/test.xml

test-system: .venv/ready ## run the tests that start engines, browsers, whole benchmarks and other backends
	$(PYTEST) --dist loadgroup --no-loadscope-reorder -m "system and not every_backbone" --junitxml work/tests/system.xml

# In parts, a process each: what TensorFlow keeps of every model that it ever ran would not fit into memory.
PARTS ?= 12
test-all: .venv/ready ## run all tests, and the contract over every backbone; an hour or two
	rm -rf work/contract
	for part in $$(seq $(PARTS)); do \
	  python -m pytest -m "" --part $$part/$(PARTS) --junitxml work/contract/$$part.xml || exit; \
	done
	python -m tests.support.contract_table work/contract/*.xml docs/backbones.md

faults: .venv/ready ## break what a run leans on, and write the table of docs/reliability.md
	@mkdir -p work/faults
	python -m pytest tests/faults -m system --junitxml work/faults/tests.xml
	python -m tests.faults.table work/faults/*.xml docs/reliability.md

check: .venv/ready ## lint, types and the order of the rooms: what CI runs
	ruff check .
	ruff format --check .
	mypy
	lint-imports

ui: .venv/ready ## open the MLflow store at http://127.0.0.1:5000
	@python -m backbench.cli.mlflow_ui

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

BACKBONE ?= mobilenet_v2_slim
pretrain: .venv/ready ## make the formula weights of BACKBONE=… again: half an hour to two hours; resumes
	python -m pretraining backbone=$(BACKBONE)

transfer: .venv/ready ## measure what formula weights are worth against random ones, what the table lacks of it
	python -m pretraining.transfer

LOCKING = uv pip compile pyproject.toml --extra dev --extra hub --extra jax --extra dashboard --extra cluster \
  --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate --no-header
lock: ## resolve requirements.lock anew, and the same versions with CUDA; needs uv
	$(LOCKING) --output-file requirements.lock
	$(LOCKING) --extra cuda --constraint requirements.lock --output-file requirements.cuda.lock
