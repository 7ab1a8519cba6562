# Each target sets up .venv by itself, from the lock files. Needed: Python >= 3.11, make, a package index.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip --quiet --disable-pip-version-check --no-input
READY  := $(VENV)/.ready
# As many as there are processors; the tests of a file stay together, since they share daemons. The
# files that take longest come first, so that no process waits for another at the end.
WORKERS ?= auto
PEERS  := $(VENV)/.peers
MINUTES ?= 10
DAEMONS ?= 400
TIMES ?= 100
RECORDS ?= 10000000
SECONDS ?= 60

.PHONY: spark demo demo-git test quick quick-static quick-units quick-tokens quick-cases check check-contract check-policies check-fuzz beside beside-python beside-guard nightly bench bench-peers guard interop deploy-check monitoring crash crash-policies deliver git-limits soak fleet hostile matrix pythons fuzz fmt proto docs pictures mutants lock clean
.DELETE_ON_ERROR:

demo: $(READY)  ## the main job on real input: a table of decisions
	@$(BIN)/python scripts/demo.py

demo-git: $(READY)  ## policies from a repository: a signed change, two refusals, a way back
	@$(BIN)/python -m scripts.demo_git

# Repeatable: what passes today passes tomorrow. `make nightly` looks for new examples.
test: export HYPOTHESIS_PROFILE ?= ci
test: $(READY)  ## the whole test suite
	@POLICYD_TRANSPORTS=event,standard $(BIN)/python -m pytest -q --numprocesses $(WORKERS) --maxprocesses 8 --dist loadfile --no-loadscope-reorder $(COVER) tests/server tests/property tests

# Left out: what starts daemons and editors' servers, builds wheels, or tries thousands of examples.
QUICK_TOKENS := tests/unit/tokens tests/security tests/fuzz
QUICK_UNITS := $(filter-out tests/unit/editor/ tests/unit/sources/ tests/unit/tokens/,$(wildcard tests/unit/*/))
QUICK_CASES := tests/docs tests/conformance tests/golden
QUICK := HYPOTHESIS_PROFILE=quick $(BIN)/python -m pytest -q -m 'not slow' -p no:cacheprovider

quick: $(READY)  ## while one works: format, lint, types, imports, and most tests, in two processes
	@$(MAKE) --no-print-directory --jobs 2 --output-sync quick-units quick-cases quick-static quick-tokens

quick-static: $(READY)
	@$(BIN)/ruff format --quiet --check .
	@$(BIN)/ruff check --quiet .
	@$(BIN)/mypy --no-error-summary
	@found=$$($(BIN)/lint-imports --no-logo) || { echo "$$found"; exit 1; }

quick-units: $(READY)
	@$(QUICK) $(QUICK_UNITS)

quick-tokens: $(READY)
	@$(QUICK) $(QUICK_TOKENS)

quick-cases: $(READY)
	@$(QUICK) $(QUICK_CASES)

check: $(READY)  ## what CI runs: format, lint, types, imports, a short fuzz, all tests with coverage
	@$(MAKE) --no-print-directory --jobs 2 --output-sync quick-static check-fuzz check-policies check-contract
	@$(MAKE) --no-print-directory test COVER='--cov --cov-report='
	@$(BIN)/python scripts/coverage_floor.py

check-contract: $(READY)
	@$(BIN)/python scripts/proto.py --check
	@$(BIN)/python -m scripts.go_code --check
	@$(BIN)/python scripts/contract.py

check-policies: $(READY)
	@$(BIN)/policyd fmt --check policies
	@$(BIN)/policyd lint policies
	@$(BIN)/policyd test policies --coverage --fail-under 100
	@$(BIN)/policyd mutate policies

check-fuzz: $(READY)
	@$(BIN)/python scripts/fuzz.py --seconds 30

# What CI runs besides, two at a time. The newest Python runs a part of the suite, `make pythons` all
# of it on each; the guard prints its figures and fails by itself only as `make guard`.
beside: $(READY)  ## what CI runs beside `make check`: clients, documentation, the newest Python, the guard
	@$(MAKE) --no-print-directory --jobs 2 --output-sync interop beside-python docs beside-guard

beside-python: $(READY)
	@$(BIN)/python -m scripts.pythons --quick

beside-guard: $(READY)
	@$(BIN)/python -m bench.guard

nightly: $(READY)  ## what takes hours: many more examples, a million mutated sources, the fuzz in full, all mutants
	@HYPOTHESIS_PROFILE=nightly $(BIN)/python -m pytest -q tests/property
	@POLICYD_MUTATIONS=1000000 $(BIN)/python -m pytest -q -s tests/property/test_mutated_sources.py
	@POLICYD_RELOADS=500 $(BIN)/python -m pytest -q -s tests/server/test_reload.py
	@POLICYD_FILTERS=100 $(BIN)/python -m pytest -q tests/property/test_filter_sql.py
	@POLICYD_FUZZ=100000 $(BIN)/python -m pytest -q -s tests/server/test_fuzz.py tests/server/test_envoy_fuzz.py tests/server/test_web_fuzz.py
	@$(BIN)/python -m scripts.mutate

bench: $(READY) $(PEERS)  ## policyd beside its own limits, ten minutes; figures also in build/bench.json
	@$(BIN)/python -m bench --json build/bench.json

bench-peers: $(READY) $(PEERS)  ## policyd beside Cerbos and OPA (from npm and Go), and behind Envoy; also in build/peers.json
	@$(BIN)/python -m bench.peers --install
	@$(BIN)/python -m bench.peers --json build/peers.json

guard: $(READY)  ## what a warm check takes of instructions, beside bench/baseline.json
	@$(BIN)/python -m bench.guard --strict

interop: $(READY)  ## the clients of other languages against the daemon, each if its toolchain is there (CLIENTS)
	@$(BIN)/python -m scripts.interop $(CLIENTS)

deploy-check: $(READY)  ## runs what deploy/ says: files, chart (helm), cluster (etcd, kube-apiserver), unit (ROOTFS=FOLDER), image (docker, BASE=IMAGE)
	@$(BIN)/python -m scripts.deploy_check

monitoring: $(READY)  ## the alerts and the dashboard on a real Prometheus that scrapes a daemon (apt install prometheus)
	@POLICYD_MONITORING=1 $(BIN)/python -m pytest -q -rs tests/docs/test_monitoring.py

spark: $(READY)  ## the example that replays a log under Spark, on a real PySpark in local mode; needs Java, installs 400 MB
	@$(PIP) install 'pyspark>=4'
	@$(BIN)/python -m pytest -q -rs tests/unit/cli/test_spark.py

crash: $(READY)  ## kill the daemon a hundred times (TIMES) under load, and hold its log against what callers were told
	@$(BIN)/python -m scripts.crash --times $(TIMES) --durability sync
	@$(BIN)/python -m scripts.crash --times $(TIMES) --durability interval
	@$(BIN)/python -m scripts.crash --times $(TIMES) --durability sync --to http
	@$(BIN)/python -m scripts.crash --times $(TIMES) --durability interval --to http

deliver: $(READY)  ## ten million records (RECORDS) through each sink of the decision log: each arrives once, in order
	@$(BIN)/python -m scripts.deliver --records $(RECORDS)

crash-policies: $(READY)  ## kill the daemon a hundred times (TIMES) while policies activate, and see what the next start serves
	@$(BIN)/python -m scripts.crash_policies --times $(TIMES)

git-limits: $(READY)  ## policies from Git where there is much: a thousand commits, a gigabyte, twenty daemons, idle looks
	@$(BIN)/python -m scripts.git_limits

soak: $(READY)  ## ten minutes (MINUTES) at 60 % load beside bad callers, while everything changes, over each transport
	@$(BIN)/python -m scripts.soak --minutes $(MINUTES) --mixed

fleet: $(READY)  ## 400 daemons (DAEMONS) that load one list of revocations from a real Redis, before and after; keys and looks spread
	@$(BIN)/python -m scripts.fleet redis --daemons $(DAEMONS) --before
	@$(BIN)/python -m scripts.fleet redis --daemons $(DAEMONS)
	@$(BIN)/python -m scripts.fleet keys policies --daemons 1000

hostile: $(READY)  ## each attack beside an honest caller: a table of waits and memory (QUICK=--quick)
	@$(BIN)/python -m scripts.hostile $(QUICK)

matrix: $(READY)  ## the server's suite on grpcio's releases of four years (RELEASES)
	@$(BIN)/python scripts/matrix.py $(RELEASES)

pythons: $(READY)  ## the whole suite on each CPython from 3.11 on that is found, a line for each
	@POLICYD_TRANSPORTS=event,standard $(BIN)/python -m scripts.pythons

fuzz: $(READY)  ## looks for bytes that break the token pipeline, guided by coverage (SECONDS)
	@$(BIN)/python scripts/fuzz.py --seconds $(SECONDS)

fmt: $(READY)  ## formats the code and the sample policies
	@$(BIN)/ruff check --quiet --fix .
	@$(BIN)/ruff format --quiet .
	@$(BIN)/policyd fmt policies

proto: $(READY)  ## generates the protobuf code anew
	@$(BIN)/python scripts/proto.py
	@$(BIN)/python -m scripts.go_code

docs: $(READY)  ## the documentation as a site, in build/site; a broken link fails it
	@$(BIN)/python -m scripts.docs_site

pictures: $(READY)  ## takes the documentation's pictures anew; needs Chromium, Neovim and tmux
	@$(BIN)/python scripts/pictures.py

mutants: $(READY)  ## drops each guard, flips each operator of the logic: a test must fail each time
	@$(BIN)/python -m scripts.mutate

lock:  ## resolves the dependencies anew; needs nothing of what the locks say now
	@test -x $(BIN)/pip || $(PYTHON) -m venv --clear $(VENV)
	@test -x $(BIN)/uv || $(PIP) install uv
	@$(BIN)/python scripts/lock.py

clean:
	@rm -rf $(VENV) build dist .coverage .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

$(READY): requirements-dev.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "policyd needs Python 3.11 or newer")'
	@test -x $(BIN)/pip || $(PYTHON) -m venv --clear $(VENV)
	@$(PIP) install --require-hashes -r requirements-dev.lock
	@$(PIP) install --no-deps --no-build-isolation --editable .
	@touch $@

$(PEERS): requirements-bench.lock $(READY)
	@$(PIP) install --require-hashes -r requirements-bench.lock
	@touch $@
