# `make bench` and `make test` do all their own set-up on a fresh machine.
MODEL   ?= tally
TASK    ?= $(if $(filter tally counsel,$(MODEL)),$(MODEL),math500)
N       ?= 16
METHODS ?=
JUDGE   ?=
LIMIT   ?= $(if $(filter tally counsel,$(TASK)),100)
ARGS    ?=
PYTHON  ?= python3

BIN  := .venv/bin
DONE := .venv/.installed
LOCK := $(if $(shell command -v flock),flock Makefile)

.PHONY: help setup bench test test-all check clean tally tally-check counsel counsel-check leaderboard train verl-check

setup: $(DONE)

help:
	@echo "make bench [MODEL=$(MODEL)] [TASK=$(TASK)] [N=$(N)] [LIMIT=$(LIMIT)] [METHODS=] [JUDGE=] [ARGS=]"
	@echo "make setup | test | test-all | check | clean"
	@echo "make train | leaderboard | tally | tally-check | counsel | counsel-check | verl-check"

# -qq hides pip's deprecations, not its errors; the lock is for two that start at once.
$(DONE): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or later is needed: name one by PYTHON=")'
	@echo 'Setting up .venv, once: some minutes.'
	@$(LOCK) sh -c 'test -x $(BIN)/pip || $(PYTHON) -m venv .venv'
	@$(LOCK) $(BIN)/python -m pip install -qq --disable-pip-version-check -c constraints.txt -e '.[hf,lm-eval,inspect,train,postgresql,dask,ray,dev]'
	@touch $@

bench: $(DONE)
	@$(BIN)/cat-bench run '$(TASK)' --model '$(MODEL)' --pool $(N) \
		$(if $(METHODS),--method '$(METHODS)') $(if $(JUDGE),--judge '$(JUDGE)') \
		$(if $(LIMIT),--limit $(LIMIT)) $(ARGS)

check: $(DONE)
	$(BIN)/ruff format --check cat_bench tests
	$(BIN)/ruff check cat_bench tests
	$(BIN)/mypy
	$(BIN)/lint-imports

test: check
	$(BIN)/python -m pytest -q -n 2 -m 'not slow' $(ARGS)

test-all: check
	$(BIN)/python -m pytest -q -n 2 $(ARGS)

tally: $(DONE)
	$(BIN)/python -m cat_bench.tally.train $(ARGS)

tally-check: $(DONE)
	$(BIN)/python -m cat_bench.tally.check $(ARGS)

counsel: $(DONE)
	$(BIN)/python -m cat_bench.counsel.train $(ARGS)

counsel-check: $(DONE)
	$(BIN)/python -m cat_bench.counsel.check $(ARGS)

# The bundled model trained by every recipe, three seeds each, and measured before and after; then
# on its hardest problems alone, where the majority is mostly wrong; then the model of `counsel`, where
# there is no final answer.
train: $(DONE)
	OMP_NUM_THREADS=1 $(BIN)/python -m cat_bench.tally.study --out results/training $(ARGS)
	OMP_NUM_THREADS=1 $(BIN)/python -m cat_bench.tally.study --level 4 --out results/training-hard $(ARGS)
	OMP_NUM_THREADS=1 $(BIN)/python -m cat_bench.tally.study --task counsel --out results/training-counsel $(ARGS)

# The reward under verl, which wants libraries of its own; no GPU is used, nothing is trained.
verl-check:
	test -x .venv-verl/bin/python || $(PYTHON) -m venv .venv-verl
	.venv-verl/bin/python -m pip install --quiet --disable-pip-version-check \
		'verl==0.9.1' 'torch==2.13.0' -r recipes/verl/requirements.txt pytest pytest-asyncio
	.venv-verl/bin/python -m pip install --quiet --disable-pip-version-check --no-deps -e .
	.venv-verl/bin/python -m pytest -q tests/rl/verl_check.py $(ARGS)

# The rows of the bundled model: its pool and its calls are published beside them.
leaderboard: $(DONE)
	$(BIN)/cat-bench run tally --model tally --pool 16 --limit 100 --out results/runs/tally
	$(BIN)/cat-bench leaderboard add results/runs/tally \
		--pool results/pools/tally.parquet --calls results/pools/tally-calls.parquet
	$(BIN)/cat-bench leaderboard check

clean:
	rm -rf .venv build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
