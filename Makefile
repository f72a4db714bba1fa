# `make bench` and `make test` do all their own set-up on a fresh machine.
MODEL   ?= tally
TASK    ?= $(if $(filter tally,$(MODEL)),tally,math500)
N       ?= 16
METHODS ?=
JUDGE   ?=
LIMIT   ?= $(if $(filter tally,$(TASK)),100)
ARGS    ?=
PYTHON  ?= python3

BIN  := .venv/bin
DONE := .venv/.installed

.PHONY: setup bench test test-all check clean tally tally-check leaderboard

setup: $(DONE)

$(DONE): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[hf,lm-eval,inspect,train,postgresql,dask,ray,dev]'
	touch $@

bench: $(DONE)
	@$(BIN)/cat-bench run $(TASK) --model '$(MODEL)' --pool $(N) \
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

# The rows of the bundled model: its pool and its calls are published beside them.
leaderboard: $(DONE)
	$(BIN)/cat-bench run tally --model tally --pool 16 --limit 100 --out results/runs/tally
	$(BIN)/cat-bench leaderboard add results/runs/tally \
		--pool results/pools/tally.parquet --calls results/pools/tally-calls.parquet
	$(BIN)/cat-bench leaderboard check

clean:
	rm -rf .venv build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
