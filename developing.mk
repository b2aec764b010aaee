# What it takes to develop backbench; the Makefile reads it.
.PHONY: test test-system test-all faults check bench times pretrain transfer lock

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
