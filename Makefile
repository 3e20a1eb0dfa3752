# Everything a newcomer runs. `make demo` and `make test` need only Debian, Python 3.11+ and the package index.
PYTHON ?= python3
# What pip gets to install PyTorch. Another build: make TORCH="torch==2.14.1 torchvision==0.29.1 --index-url URL"
TORCH ?= --no-deps --require-hashes --requirement .ci/requirements/torch.txt
# The PyTorch of those checks that need no torchvision; a build for CPUs is enough.
SMALL_TORCH ?= torch==2.13.0
VENV := .venv
BIN := $(VENV)/bin
DATA ?=
STAMP := $(VENV)/.installed

.PHONY: install lock hooks demo test fuzz mutants lint types docs dist wheel floors containers clean system-libraries

install: $(STAMP)

$(STAMP): pyproject.toml .ci/requirements/lock.txt .ci/requirements/torch.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed; try make PYTHON=python3.11"; exit 1; }
	@$(MAKE) --no-print-directory system-libraries
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --no-deps --require-hashes --requirement .ci/requirements/uv.txt
# Compiled once: where PYTHONDONTWRITEBYTECODE is set, each of the many processes that tests start would do it anew.
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --require-hashes --compile-bytecode \
		--requirement .ci/requirements/lock.txt
	$(BIN)/pip install --quiet $(TORCH)
	$(BIN)/pip install --quiet --no-deps --no-build-isolation --editable .
	$(BIN)/pip check
	@touch $@

# After a change of the dependencies in pyproject.toml.
lock: install
	.ci/lock $(BIN)/uv

hooks: install
	$(BIN)/pre-commit install

# Open3D's wheel links against three Debian libraries that no wheel brings.
OPEN3D_LIBRARIES := libusb-1.0-0 libgl1 libgomp1
system-libraries:
	@missing=""; for p in $(OPEN3D_LIBRARIES); do dpkg -s $$p >/dev/null 2>&1 || missing="$$missing $$p"; done; \
	if [ -z "$$missing" ]; then :; \
	elif ! command -v apt-get >/dev/null; then echo "Open3D (extra [lidar]) needs the equivalents of:$$missing"; \
	elif [ "$$(id -u)" = 0 ]; then { apt-get update -qq && apt-get install -y -qq --no-install-recommends $$missing >/dev/null; } || echo "apt-get could not install$$missing: Open3D (extra [lidar]) will not import"; \
	else echo "Open3D (extra [lidar]) needs Debian's$$missing: sudo apt-get install$$missing"; fi

demo: install
	$(BIN)/perception demo --out out/demo $(if $(DATA),--data $(DATA))

test: install
	$(BIN)/pytest -n auto

# Damaged copies of every kind of file that is read; `make test` reads the first few of the same.
FUZZ_CASES ?= 1000
FUZZ_SEED ?= 0
fuzz: install
	FUZZ_CASES=$(FUZZ_CASES) FUZZ_SEED=$(FUZZ_SEED) $(BIN)/pytest tests/fuzz -n auto

# Changes one operator or constant at a time and sees whether the tests notice; all of it takes many hours.
# make mutants MUTANTS="perception.metrics.* --sample 20"
MUTANTS ?= --sample 15
mutants: install
	$(BIN)/python .ci/mutants.py $(MUTANTS)

lint: install
	$(BIN)/ruff check . && $(BIN)/ruff format --check .

types: install
	$(BIN)/pyright

# API pages from the docstrings.
docs: install
	$(BIN)/python .ci/build_docs.py out/docs

dist: install
	rm -rf dist && $(BIN)/python -m build --no-isolation --outdir dist . >/dev/null
	PYTHON="$(PYTHON)" TORCH="$(SMALL_TORCH)" .ci/check-dist dist

wheel: dist

floors:
	PYTHON="$(PYTHON)" TORCH="$(SMALL_TORCH)" .ci/check-floors

# Runs what nodes/containers/ says, without a container engine.
containers: install
	PYTHON="$(PYTHON)" TORCH="$(SMALL_TORCH)" .ci/check-containers

clean:
	rm -rf $(VENV) dist out .pytest_cache .ruff_cache .hypothesis
