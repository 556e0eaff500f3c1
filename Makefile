# Everything from a machine that has Python >= 3.11, a C compiler and make:
#   make demo    trains dense, static and evolving networks on the embedded digits
#   make test    passes every test
#   make lint    ruff, mypy, cython-lint
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# meson finds cython, and the editable install finds ninja, by name.
export PATH := $(CURDIR)/$(BIN):$(PATH)
SOURCES := pyproject.toml meson.build meson.options \
	$(shell find src bindings sparsenn -name meson.build -o -name '*.[ch]' -o -name '*.p[yx][xdi]')

.PHONY: demo test lint clean

demo: $(VENV)/installed
	$(BIN)/sparsenn demo

test: $(VENV)/installed
	$(BIN)/pytest -n 2 --dist worksteal

lint: $(VENV)/installed $(VENV)/lint
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/cython-lint bindings

# An editable install: the tree is what runs. Its build tools must stay importable.
$(VENV)/installed: $(SOURCES)
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q --upgrade pip
	$(BIN)/python -m pip install -q meson-python meson ninja 'cython>=3.1' 'numpy>=2.0'
	$(BIN)/python -m pip install -q --no-build-isolation --editable '.[test]'
	touch $@

$(VENV)/lint: pyproject.toml | $(VENV)/installed
	$(BIN)/python -m pip install -q --no-build-isolation --editable '.[lint]'
	touch $@

clean:
	rm -rf $(VENV) build
