# make run    everything on this machine, in one terminal (PORT=8000 DATA_DIR=./data LITE=1)
# make test   all tests but the long ones (make slow, make chaos, make deid)
# make bench  all benchmarks (ONLY="web load" for some)
PYTHON ?= python3
PORT ?= 8000
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --disable-pip-version-check --no-input -q -c constraints.txt
READY := $(if $(LITE),$(VENV)/.ready-lite,$(VENV)/.ready)

ifdef DATA_DIR
export DATA_DIR
endif
export CHAOS_KILLS CHAOS_ANSWERS
# Compiled modules are kept: otherwise each of many processes compiles them all again.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: run setup test lint types contracts migrations check starter slow chaos promises deid bench security sbom clean

run: $(READY)
	@exec $(BIN)/python manage.py up --port $(PORT) $(if $(HOST),--host $(HOST)) $(if $(filter 0,$(DEMO)),--no-demo)

setup: $(READY)

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "leukoweb needs Python 3.11 or newer; this is " + sys.version.split()[0] + ". Try: make $(MAKECMDGOALS) PYTHON=python3.12")'
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); echo "No virtual environment could be made. On Debian and Ubuntu: apt-get install python3-venv"; exit 1; }

$(VENV)/.ready: pyproject.toml constraints.txt | $(BIN)/python
	@echo "Installing everything into $(VENV) (with PyTorch: several GB; a few minutes the first time) ..."
	@$(PIP) -e '.[ai,dev]'
	@touch $@ $(VENV)/.ready-lite

$(VENV)/.ready-lite: pyproject.toml constraints.txt | $(BIN)/python
	@echo "Installing into $(VENV), without PyTorch ..."
	@$(PIP) -e .
	@touch $@

# Tests on SQLite (without the long ones: slow, chaos, deid), then those that concern the database on PostgreSQL too. Three processes for two cores,
# because tests with a browser wait half of their time; they share the files in alphabetical order, so that the long ones
# (browser) come first and all end together.
TEST_PROCESSES ?= 3
PYTEST := $(BIN)/python -m pytest -n $(TEST_PROCESSES) --dist loadfile --no-loadscope-reorder
test: $(VENV)/.ready
	$(PYTEST) -m "not slow and not faults and not deid"
	@$(BIN)/python -m tests.support.postgres $(PYTEST) -m "both_databases and not slow and not faults and not deid" \
	  $$(grep -rl both_databases tests --include='test_*.py' | sort); \
	  status=$$?; if [ $$status -eq 77 ]; then echo "PostgreSQL tests skipped"; else exit $$status; fi

slow: $(VENV)/.ready
	$(BIN)/python -m pytest -m slow

# Kills processes, wipes the broker, cuts the network, fills the disk (hours); rows 1 and 20 of docs/promises.md at their full numbers.
# Smaller: make chaos CHAOS_KILLS=20 CHAOS_ANSWERS=1000
chaos: $(VENV)/.ready
	$(BIN)/python -m pytest -m faults -s

# docs/promises.md, row by row, with the long forms (hours).
promises: $(VENV)/.ready
	@$(BIN)/python -m tests.support.promises

# The search for burnt-in text, with its extra.
deid: $(VENV)/.ready
	@$(PIP) -e '.[ai,dev,deid]'
	$(BIN)/python -m pytest -m deid

lint: $(VENV)/.ready
	$(BIN)/ruff check .

types: $(VENV)/.ready
	$(BIN)/mypy leukoweb cases inference reader_study

contracts: $(VENV)/.ready
	$(BIN)/lint-imports

migrations: $(VENV)/.ready
	$(BIN)/python manage.py makemigrations --check --dry-run

check: lint types contracts migrations test

# The three small phantom-trained models that ship with the repository, made again from nothing.
starter: $(VENV)/.ready
	$(BIN)/python -m inference.starter_training --out inference/starter

# Benchmarks (all, or ONLY="web upload"), their results as JSON, and the tables of docs/performance.md made from them.
RESULTS ?= benchmarks/results
bench: $(VENV)/.ready
	$(BIN)/python -m benchmarks --results $(RESULTS) --only $(ONLY)
	$(BIN)/python -m benchmarks.results --results $(RESULTS)

# Static rules of this project and of bandit, and the bill of materials. In an environment of their own: their pins are not ours.
TOOLS := $(VENV)-security
$(TOOLS)/.ready: | $(BIN)/python
	@$(PYTHON) -m venv $(TOOLS)
	@$(TOOLS)/bin/python -m pip install --disable-pip-version-check --no-input -q semgrep==1.185.0 bandit==1.9.4
	@touch $@

security: $(VENV)/.ready $(TOOLS)/.ready
	$(TOOLS)/bin/semgrep scan --config .semgrep/rules.yml --metrics off --disable-version-check --error --quiet leukoweb cases inference reader_study templates deploy
	$(TOOLS)/bin/bandit -q -r leukoweb cases inference reader_study deploy -c pyproject.toml
	$(BIN)/python deploy/sbom.py --check
	SEMGREP=$(TOOLS)/bin/semgrep $(BIN)/python -m pytest -q -m slow tests/security/test_rules.py

# The bill of materials, made again after a change of constraints.txt.
sbom: $(BIN)/python
	$(BIN)/python deploy/sbom.py

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
