.DEFAULT_GOAL := help
.PHONY: help serve test check lint types imports format bench soak e2e FORCE

PIP := -m pip --disable-pip-version-check --no-input
BIN := .venv/bin
NODE := tests/integration/node

# CUDA=1 asks for a build for NVIDIA GPUs, CUDA=0 for the CPU; without either the build that is there stays.
built := $(shell cat .venv/.llama 2>/dev/null)
build := $(or $(built),cpu)
ifeq ($(CUDA),0)
build := cpu
else ifeq ($(CUDA),1)
build := $(if $(shell command -v nvcc),cuda,cpu)
ifeq ($(build),cpu)
$(info CUDA=1, but nvcc is not on the PATH (install the NVIDIA CUDA toolkit): this is a build for the CPU.)
endif
endif

help: ## List these targets
	@awk -F ':.*## ' '/^[a-z0-9]+:.*## / {printf "make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

serve: .venv/.installed ## Install what is missing, then start the server (CUDA=1: for NVIDIA GPUs)
	@exec $(BIN)/infirmary serve

test: check ## Everything: lint, types, import rules, tests
	$(BIN)/pytest

check: lint types imports ## The fast part of `make test`, as pre-commit runs it

lint: .venv/.dev ## Style
	$(BIN)/ruff check
	$(BIN)/ruff format --check

types: .venv/.dev ## Types
	$(BIN)/mypy

imports: .venv/.dev ## Who may import whom
	$(BIN)/lint-imports

format: .venv/.dev ## Mend what `make lint` can mend itself
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

bench: ## Say how to measure a running server
	@echo 'Start a server (make serve), then in another terminal: $(BIN)/python bench/serving.py --help'

soak: .venv/.dev ## Half an hour of everything at random: nothing may break, leak or hang
	$(BIN)/python tests/soak/soak.py

e2e: .venv-e2e/.installed $(NODE)/node_modules/.installed ## Chart, Dockerfile and scripts against their checkers; OpenAI's client for Node
	PATH="$(CURDIR)/.venv-e2e/bin:$$PATH" deploy/check.sh
	$(BIN)/pytest tests/integration/test_node_client.py

.venv/.installed: pyproject.toml constraints.txt deploy/build-blas.sh deploy/sgemm.h $(if $(filter-out $(built),$(build)),FORCE)
	@deploy/install.sh $(build)
	@touch $@

.venv/.dev: .venv/.installed constraints-dev.txt
	@deploy/watch.sh 'Installing the development tools' .venv/install.log \
		$(BIN)/python $(PIP) install -c constraints.txt -c constraints-dev.txt -e '.[dev,postgres]'
	@touch $@

.venv-e2e/.installed: .venv/.installed constraints-e2e.txt
	$(BIN)/python -m venv --clear .venv-e2e
	@deploy/watch.sh 'Installing the deployment checkers' .venv-e2e/install.log \
		.venv-e2e/bin/python $(PIP) install -r constraints-e2e.txt
	@touch $@

# Needs Node 20 with npm.
$(NODE)/node_modules/.installed: .venv/.dev $(NODE)/package.json
	npm install --prefix $(NODE) --no-package-lock --no-audit --no-fund
	@touch $@
