# The first command on a bare machine may be any of these: each makes what it needs.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: setup demo test test-slow lint bench clean

setup: .venv/.done

.venv/.done: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check --upgrade pip
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $@

demo: setup
	$(BIN)/pretexto demo

test: setup
	$(BIN)/pytest -n 2 --dist worksteal $(TESTS)

test-slow: setup
	$(BIN)/pytest -m slow --timeout 3600 $(TESTS)

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/codespell
	$(BIN)/pyright

bench: setup
	for script in benchmarks/*.py; do $(BIN)/python $$script || exit 1; done

clean:
	rm -rf .venv *.egg-info build
