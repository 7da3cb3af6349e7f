# Two commands on a clean machine: `make quickstart`, `make test`. Needs Python 3.11, pip, make and gcc; nothing else by hand.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# A module is compiled when it is first imported, and kept: Ray starts many short processes. To compile all that is installed takes as
# long as installing it.
export PYTHONDONTWRITEBYTECODE =
WARM := $(BIN)/python -c "import actors.models.encoder, faiss, pipelines.whole_run, ray.data"
PIP := $(BIN)/python -m pip install --quiet --no-compile --disable-pip-version-check --constraint infra/constraints.txt

.PHONY: quickstart test lint check unit chaos memory audit clean

quickstart: $(VENV)/.quickstart ## SciFact end to end: embed, index, search, rerank, evaluate, report
	$(BIN)/raytrieve run quickstart

test: lint check unit ## everything CI runs

lint: $(VENV)/.test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

check: $(VENV)/.test
	$(BIN)/mypy
	$(BIN)/lint-imports

# Two files of tests at a time, since much of a cluster's time is waiting; one thread each, or they would wait for each other's.
unit: $(VENV)/.test
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses=2 --dist=loadfile --no-loadscope-reorder --durations=15

chaos: $(VENV)/.test ## every fault, not only CI's sample, and their table (one hour to two, three at most)
	OMP_NUM_THREADS=1 timeout --foreground --signal=INT --kill-after=5m 3h $(BIN)/python -m pytest tests/faults --all-kills --numprocesses=2 --dist=worksteal --verbose --durations=15

memory: $(VENV)/.test ## peak memory of 10 N passages over N; more than 1.10 is a failure
	$(BIN)/python -m benchmarks.memory

# torch first and alone: with the pinned CPU build installed, no other package pulls the CUDA one.
$(VENV)/.torch: infra/constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) torch
	touch $@

$(VENV)/.quickstart: $(VENV)/.torch pyproject.toml
	$(PIP) --editable ".[cpu,quickstart]"
	$(WARM)
	touch $@

# With what the quickstart needs, in one go: pip looks at all that is installed each time.
$(VENV)/.test: $(VENV)/.torch pyproject.toml
	$(PIP) --editable ".[cpu,quickstart,notebook,test]"
	$(WARM)
	touch $(VENV)/.quickstart $@

audit: $(VENV)/.test ## known vulnerabilities of what is pinned and installed; without network it says SKIPPED
	$(BIN)/python infra/audit.py

clean:
	rm -rf $(VENV) data .pytest_cache .mypy_cache .ruff_cache
