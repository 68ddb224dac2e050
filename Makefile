# Every target runs in the checkout's own environment; `make` alone lists them.
PY := .venv/bin/python
ACCEPT ?= ../shared/accept/accept_st2client.py
VECTORS ?= ../shared/vectors
GENERATED := sdk/python/src/whimbrel_sdk/wire docs/reference
.DEFAULT_GOAL := help

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z][a-z-]*:.*## /{printf "%-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.venv/made: pyproject.toml sdk/python/pyproject.toml
	@python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Whimbrel needs Python 3.11 or newer; python3 here is $$(python3 --version)"; exit 1; }
	python3 -m venv .venv
	$(PY) -m pip install -q --disable-pip-version-check -U pip
	$(PY) -m pip install -q --disable-pip-version-check -e sdk/python -e . --group dev
	@touch $@

setup: .venv/made ## Make the environment in .venv, everything editable

format: setup ## Rewrite the formatting, fix what lint can fix
	$(PY) -m ruff format -q .
	$(PY) -m ruff check -q --fix .

lint: setup ## Formatting, lint, spelling, import contracts, protos
	$(PY) -m ruff format --check -q .
	$(PY) -m ruff check -q .
	.venv/bin/codespell core sdk runners packs docs README.md CHANGELOG.md proto tools tests/tidy tests/packaging
	.venv/bin/lint-imports --no-logo
	$(PY) tools/buf.py

types: setup ## mypy, strict
	$(PY) -m mypy

test: setup ## The whole test suite: real nats-server, LMDB and plugin processes
	$(PY) -Im pytest -q

vectors: setup ## Run golden vectors through the live code: VECTORS='FILE_OR_FOLDER …'
	$(PY) tools/vectors.py $(VECTORS)

accept: setup ## Run the acceptance script with the real st2client: GROUPS=a,b
	$(PY) tools/accept.py --script $(ACCEPT) --groups '$(GROUPS)' --skip-cases '$(SKIP)'

generate: setup ## Rewrite what is generated: wire types, reference pages, schemas
	PATH=.venv/bin:$$PATH $(PY) tools/gen_proto.py
	$(PY) tools/gen_reference.py

stale: generate ## Fail if a generated file was not committed
	@test -z "$$(git status --porcelain --untracked-files=all $(GENERATED))" || { git status --short $(GENERATED); echo "stale: run 'make generate' and commit"; exit 1; }

package: setup ## Build both wheels, check what is in them, use them in a clean environment
	rm -rf dist && $(PY) -m build -q . && $(PY) -m build -q --outdir dist sdk/python
	.venv/bin/check-wheel-contents --toplevel whimbrel dist/whimbrel-*.whl
	.venv/bin/check-wheel-contents --toplevel whimbrel_sdk dist/whimbrel_sdk-*.whl
	$(PY) tools/check_wheel.py

bench: setup ## Measure the hot paths against their floors; JSON in bench-results/
	$(PY) benchmarks/run.py

demo: setup ## Event → rule → action on real processes, end to end
	$(PY) tools/demo.py

up: setup ## Start a broker here, in the foreground
	.venv/bin/whimbrel up

ci: ## All that CI runs
	.ci/run

.PHONY: help setup format lint types test vectors accept generate stale package bench demo up ci
