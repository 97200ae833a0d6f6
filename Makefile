# The course's commands. `make book` and `make test` set up .venv by themselves, once.

PYTHON ?= $(shell command -v python3 || command -v python)

# Programs that a tool calls by name are the environment's own.
RUN := PATH="$(CURDIR)/.venv/bin:$$PATH" .venv/bin/python

.DEFAULT_GOAL := help
.PHONY: help environment book test lessons seeds budgets mutants release grade bench lint lock clean

help: ## this list
	@sed -n 's/^\([a-z]*\):.*## /  make \1#/p' $(MAKEFILE_LIST) | awk -F'#' '{ printf "%-16s %s\n", $$1, $$2 }'

environment:
	@test -n "$(PYTHON)" || { echo "No python3 on the PATH. Install Python 3.11 or newer, or name it: make PYTHON=/path/to/python3.11"; exit 1; }
	@"$(PYTHON)" tools/environment.py

book: environment ## build the book into _build/html
	@$(RUN) -m tools.book

test: environment ## run every test and every notebook
	@$(RUN) -m pytest -n 2 --dist loadfile $(ARGS)

lessons: environment ## execute the notebooks in place (LESSON=03 for one lesson)
	@$(RUN) -m tools.lessons $(LESSON)

seeds: environment ## execute the notebooks under GENLIB_SEED=0..4, keeping nothing
	@$(RUN) -m tools.lessons --seeds 5 $(LESSON)

budgets: environment ## execute the notebooks with three times the training, keeping nothing
	@$(RUN) -m tools.lessons --budget 3 $(LESSON)

mutants: environment ## change one printed formula after another, and see a test fail (ARGS="05 gate")
	@$(RUN) -m tools.mutants $(ARGS)

release: environment ## write the exercises for students into _build/release (LESSON=03 for one lesson)
	@$(RUN) -m tools.release $(LESSON)

grade: environment ## grade SUBMISSIONS=folder into _build/grades (LESSON=, SEED=, BY_HAND=)
	@test -n "$(SUBMISSIONS)" || { echo "Name the folder of submissions: make grade SUBMISSIONS=path/to/folder"; exit 1; }
	@$(RUN) -m tools.grade "$(SUBMISSIONS)" $(if $(LESSON),--lesson $(LESSON)) $(if $(SEED),--seed "$(SEED)") $(if $(BY_HAND),--by-hand "$(BY_HAND)") $(ARGS)

bench: environment ## measure the kernels against their peers
	@SCIPY_ARRAY_API=1 $(RUN) -m tests.benchmarks $(ARGS)

lint: environment ## check style and formatting
	@$(RUN) -m ruff check .
	@$(RUN) -m ruff format --check .

lock: environment ## resolve pyproject.toml anew into requirements.lock
	@$(RUN) -m tools.lock

clean: ## remove what was built (not .venv)
	rm -rf _build .pytest_cache .ruff_cache
	find genlib lessons tests tools book -name __pycache__ -type d -prune -exec rm -rf {} +
