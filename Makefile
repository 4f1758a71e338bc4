# Everything runs in .venv/, which each target sets up or brings up to date first.
# Needed on the machine: Python >= 3.11, git, make. Used when present: uv (faster).

REQUEST ?= Llama 3.1 70B on 2x8 H100, 4k in, 500 out, TTFT under 1 s, TPOT under 40 ms
export REQUEST

BIN := .venv/bin
SOURCES := agent api evals knowledge strategy validators
UV := $(shell command -v uv 2>/dev/null)
LOCK := pip compile pyproject.toml --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-emit-find-links --custom-compile-command "make lock" --quiet
# All but aiconfigurator, whose tables and plotting libraries (some 600 MB) nobody needs to run or to test: it has a lock of its own.
EXTRAS := --extra mcp --extra otel --extra postgres

ifdef UV
NEW_VENV = uv venv --quiet --allow-existing --python "$$python" .venv
INSTALL := uv pip install --quiet --compile-bytecode --python $(BIN)/python
else
NEW_VENV = "$$python" -m venv .venv
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check
endif

.PHONY: help plan serve test check format evals realtool docs audit lock clean

help:  ## list the targets
	@grep -E '^[a-z]+:.*##' Makefile | sed -E 's/:.*## /\t/' | expand -t 10

plan: .venv/.runtime  ## plan REQUEST="..." (a Llama 3.1 70B request unless given)
	@$(BIN)/meshwright plan "$$REQUEST"

serve: .venv/.runtime  ## serve the REST API on 127.0.0.1:8000
	@$(BIN)/meshwright serve

test: .venv/.dev  ## run the tests; ARGS="tests/api -k health" narrows
	@$(BIN)/python -m pytest $(ARGS)

check: .venv/.dev  ## what CI runs: format, lint, import contracts, types, generated pages, tests
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/lint-imports --no-logo
	@$(BIN)/mypy
	@$(BIN)/python -m api.docs --check
	@$(BIN)/python -m pytest $(ARGS)

format: .venv/.dev  ## format the code and apply safe fixes
	@$(BIN)/ruff check --fix --quiet . ; $(BIN)/ruff format .

evals: .venv/.dev  ## run the eval suites offline; SUITES="scenarios" narrows
	@$(BIN)/python -m evals run $(or $(SUITES),all)

realtool: .venv/.dev  ## hand exports of the whole catalogue to the real engines and tools (large environments under .realtool/); TOOLS="vllm ray" narrows, PLANS=240 takes a sample, NEW=1 asks what is new
	@$(BIN)/python -m evals.realtool $(TOOLS) $(if $(PLANS),--plans $(PLANS)) $(if $(NEW),--new) $(if $(TOOLS),,--out evals/REALTOOL.md)

docs: .venv/.dev  ## rewrite the generated pages: RULES.md, ENGINES.md, settings table and output in README.md, openapi.json
	@$(BIN)/python -m api.docs
	@$(BIN)/python -m knowledge.meanings

audit:  ## ask the advisory database about every pinned dependency (needs the network, and uv or pipx)
	@.ci/audit

lock:  ## compile the hashed pins again (needs uv; `make lock UPGRADE=--upgrade` takes newer versions)
	@test -n "$(UV)" || { echo "make lock needs uv: pipx install uv" >&2; exit 1; }
	uv $(LOCK) $(UPGRADE) --group build -o requirements.lock
	uv $(LOCK) $(UPGRADE) --group build $(EXTRAS) --constraints requirements.lock -o requirements-full.lock
	uv $(LOCK) $(UPGRADE) --group build --group dev $(EXTRAS) --constraints requirements-full.lock -o requirements-dev.lock
	uv $(LOCK) $(UPGRADE) --group build --extra aiconfigurator --constraints requirements-dev.lock -o requirements-aiconfigurator.lock

clean:  ## remove the virtual environment and caches
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

# The stamps say which lock .venv/ was last filled from; the package itself is installed editable. Everything is compiled at once,
# so that a command starts as quickly where Python may not write bytecode (PYTHONDONTWRITEBYTECODE).
.venv/.runtime: requirements.lock pyproject.toml | $(BIN)/python
	@$(call fill,requirements.lock)
	@touch $@

.venv/.dev: requirements-dev.lock pyproject.toml | $(BIN)/python
	@$(call fill,requirements-dev.lock)
	@touch .venv/.runtime $@

define fill
echo "installing $(1) into .venv (once)" >&2; \
$(INSTALL) --require-hashes -r $(1) && $(INSTALL) --no-deps --no-build-isolation --editable . && \
$(BIN)/python -m compileall -q $(SOURCES)
endef

$(BIN)/python:
	@for python in python3 python3.14 python3.13 python3.12 python3.11 python; do \
		if "$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
			echo "making .venv with $$("$$python" --version)" >&2; \
			$(NEW_VENV) && exit 0; \
			rm -rf .venv; \
			echo "this Python cannot make a virtual environment: install its venv module (Debian: apt install python3-venv) or uv" >&2; \
			exit 1; \
		fi; \
	done; \
	echo "meshwright needs Python 3.11 or newer as python3 on the PATH; found: $$(python3 --version 2>&1 || echo none)" >&2; \
	exit 1
