# Two commands do everything on a fresh machine: `make demo` and `make test`.
PYTHON ?= python3
BIN := .venv/bin
DEMO := runs/demo-$(shell date +%Y%m%d-%H%M%S)

.PHONY: demo test lint docs gpu-check lock audit clean

.venv/ready: pyproject.toml constraints.txt
	@echo "Installing into .venv: about 2.6 GB, which takes some minutes ..."
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt "torch==$$(sed -n 's/^torch==//p' constraints.txt)"
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[dev]"
	touch $@

demo: .venv/ready  ## train on bundled digits, a few minutes, and write a report
	$(BIN)/mcevae fit mnist-mini --group se2 --clusters 10 --epochs 40 --out $(DEMO)

test: .venv/ready  ## all tests, in two processes; files of tests are not torn apart (order: tests/conftest.py)
	env -u PYTHONDONTWRITEBYTECODE OMP_NUM_THREADS=1 \
		$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

lint: .venv/ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright

docs: .venv/ready  ## build the documentation in site/; any warning fails (so no --quiet: it hides them)
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

gpu-check: .venv/ready  ## on a machine with CUDA: tests, speed, two processes; writes benchmarks/results/gpu.json
	$(BIN)/python benchmarks/gpu_check.py

.venv/tools/ready:
	$(PYTHON) -m venv .venv/tools
	.venv/tools/bin/python -m pip install --quiet --disable-pip-version-check pip-audit uv
	touch $@

lock: .venv/tools/ready  ## the development set with hashes, from pyproject.toml and constraints.txt
	.venv/tools/bin/uv pip compile pyproject.toml --extra dev -c constraints.txt --generate-hashes \
		--python-version 3.11.7 --python-platform x86_64-manylinux_2_28 \
		--no-header --no-annotate --quiet -o requirements-dev.lock

audit: .venv/tools/ready  ## known vulnerabilities of the development set; fails if it cannot ask
	.venv/tools/bin/pip-audit --strict --disable-pip --require-hashes -r requirements-dev.lock

clean:
	rm -rf .venv site
