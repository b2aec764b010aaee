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
.PHONY: help doctor weights new repro report cluster ui dashboard plots FORCE

help: ## say what there is
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1\t/' | expand -t 20

.venv/ready: FORCE
	@python=$$(sh pipelines/find_python.sh $(PYTHON)) && PYTHONPATH=src "$$python" pipelines/install.py $(GPU)

doctor: .venv/ready ## say what is ready for the benchmark of conf/benchmark.yaml, and what it would cost
	@backbench doctor

weights: .venv/ready ## fetch the weights that conf/benchmark.yaml names, and verify them
	python pipelines/weights.py

new: .venv/ready ## make a folder of your own, DIR=…, for a benchmark on a copy of IMAGES=…, with a file LABELS=… if any
	@python -m backbench.cli.new_project "$(DIR)" "$(IMAGES)" $(if $(LABELS),"$(LABELS)")

# Without JOBS, cores, memory and GPUs decide how many cells run at once; it changes no result.
repro: .venv/ready ## run the benchmark of conf/benchmark.yaml, JOBS cells at once; what is done is not done again
	@python -m backbench.cli.repro_lock work/repro.lock python -m backbench.cli.run_benchmark $(if $(JOBS),--jobs $(JOBS))

report: .venv/ready ## write report/index.html and what MLflow lacks, from results that are there
	@python -m backbench.cli.run_benchmark --report

WORKERS ?=
cluster: .venv/ready ## run one scheduler with the workers of WORKERS=local or slurm, for `workers: address`; Ctrl-C ends it
	@python pipelines/cluster.py $(if $(WORKERS),workers=$(WORKERS))

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

# Tests and whatever else it takes to develop backbench; a folder that `make new` made has none.
-include developing.mk
