# Everything a newcomer runs. `make demo` and `make test` need only Debian, Python 3.11+ and the package index.
PYTHON ?= python3
TORCH ?= torch==2.13.0
VENV := .venv
BIN := $(VENV)/bin
DATA ?=
STAMP := $(VENV)/.installed

.PHONY: install demo test lint types docs wheel clean system-libraries

install: $(STAMP)

$(STAMP): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed; try make PYTHON=python3.11"; exit 1; }
	@$(MAKE) --no-print-directory system-libraries
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --upgrade pip
	$(BIN)/pip install --quiet "$(TORCH)"
	$(BIN)/pip install --quiet --editable ".[all,dev]"
	@touch $@

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

lint: install
	$(BIN)/ruff check . && $(BIN)/ruff format --check .

types: install
	$(BIN)/pyright

# API pages from the docstrings.
docs: install
	$(BIN)/python .ci/build_docs.py out/docs

wheel: install
	rm -rf dist && $(BIN)/python -m build --wheel --outdir dist . >/dev/null
	PYTHON="$(PYTHON)" TORCH="$(TORCH)" .ci/check-wheel dist/*.whl

clean:
	rm -rf $(VENV) dist out .pytest_cache .ruff_cache .hypothesis
