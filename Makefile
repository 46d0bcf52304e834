# Two commands do everything, set-up included: `make demo` (the main job) and `make test`.
PYTHON ?= python3
BIN := .venv/bin
WORKERS ?= 2
export OMP_NUM_THREADS ?= 2

.PHONY: demo test lint setup sites clean

setup: .venv/.ready

.venv/.ready: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install -q --disable-pip-version-check -c constraints.txt -e '.[dev]'
	$(BIN)/turnsmith doctor --install
	touch $@

# Two web applications that this project did not write, for the tests of training on one's own site: `make sites test` runs
# them too (minutes more: one of them migrates its database first), `make test` leaves them out and says so.
sites: .venv-sites/.ready

.venv-sites/.ready:
	-$(PYTHON) -m venv .venv-sites && .venv-sites/bin/pip install -q --disable-pip-version-check datasette wagtail && touch $@

demo: setup
	$(BIN)/turnsmith demo

test: setup lint
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports --no-logo
	$(BIN)/vulture
	$(BIN)/pyright

clean:
	rm -rf .venv .venv-sites build dist
