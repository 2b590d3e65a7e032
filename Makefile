# The front door: `make` lists what it can do. Everything runs in a virtual
# environment of its own, .venv/<interpreter>, so nothing needs to be activated.

PYTHON ?= python3
VENV := .venv/$(or $(shell '$(PYTHON)' -c 'import sys; \
    print(sys.implementation.cache_tag + sys.abiflags)' 2>/dev/null),none)
RUN := $(VENV)/bin/python
PIP := $(RUN) -m pip --quiet --disable-pip-version-check

# The compiler: CC if it is set, else the first of the usual names.
there = $(shell command -v $(1) 2>/dev/null)
COMPILER := $(if $(filter default,$(origin CC)),$(or $(call there,cc),\
    $(call there,gcc),$(call there,clang)),$(CC))

# Ignore an environment that is active, and the settings it left behind. Bytecode is
# kept: without it, each of the many processes of the tests compiles its modules.
unexport PYTHONHOME PYTHONPATH VIRTUAL_ENV PYTHONDONTWRITEBYTECODE

.PHONY: help demo test checks release-check environment environments lint bench slow wheels run-wheels clients interceptor engines suites run-suites remedies each-remedy mutants anchors \
    each-mutant sanitize fuzz differential coverage ct prove clean
help:
	@echo 'make demo      show pins at work, on this machine only'
	@echo 'make test      run all fast tests, and nearly each bench once'
	@echo 'make checks    run the tests of the tests, the layout, and long tables'
	@echo 'make release-check'
	@echo '               run everything that a release needs and is stale: LIST=1 says'
	@echo '               what that is, STEP="prove ct" runs these, FRESH=1 believes nothing'
	@echo 'make lint      run ruff and mypy'
	@echo 'make bench     compare the speed of pinverify with others: three minutes'
	@echo 'make slow      run the other tests: build, install and check sdist and wheel'
	@echo 'make wheels    build wheels for all platforms, check them, and run those of Linux'
	@echo 'make clients   test pins with HTTP and other clients, which are downloaded'
	@echo 'make engines   test columns of certificates in Spark, which is downloaded: 455 MB'
	@echo 'make suites    run tests of CPython, urllib3 and aiohttp with pinned contexts'
	@echo 'make remedies  remove the remedy of each pitfall; its tests must fail'
	@echo 'make mutants   plant small faults in the source; a test must fail for each'
	@echo 'make anchors   with FIX=1: update the tables of remedies, mutants, prove, ct'
	@echo '               after a rename since the last commit (FIX=REVISION: since that)'
	@echo 'make sanitize  run the C core under ASan, UBSan, MSan and TSan (needs clang)'
	@echo 'make fuzz      run each fuzz target for TIME=60 s (needs clang, libssl-dev)'
	@echo 'make differential'
	@echo '               compare pinverify with OpenSSL on MUTANTS=200000 mutants'
	@echo 'make coverage  find the lines of the C core that no test reaches (needs clang)'
	@echo 'make ct        check that pins are searched in constant time, on binaries'
	@echo 'make prove     prove the C core, function by function (needs cbmc, cvc5)'
	@echo 'make counts    compare instruction counts of the core with the stored ones'
	@echo 'make install-c install the C library for other programs (needs meson):'
	@echo '               PREFIX=/usr/local, DESTDIR=folder'
	@echo 'make amalgamation'
	@echo '               write the C library as one file and its headers'
	@echo 'make clean     remove everything that make has created'
	@echo
	@echo 'PYTHON=/usr/bin/python3 chooses an interpreter, CC=clang a compiler, and'
	@echo 'TESTS="tests/engine/policy/test_pin.py -x" is passed to pytest. JOBS=2 says'
	@echo 'how many run side by side: tests, proofs, mutants.'

demo: $(VENV)/core
	@$(RUN) -m pinverify demo

# All tests run on each processor, JOBS=2 on two; the tests of a file stay together.
# Those that TESTS names run one after the other, as a debugger needs it, and include
# those of `make checks`.
SIDE_BY_SIDE = -n $(or $(JOBS),auto) --dist loadfile
test: $(VENV)/built
	@$(RUN) -m pytest $(if $(TESTS),-m 'not slow' $(TESTS),$(SIDE_BY_SIDE))

# What `make test` leaves out, of all that is not slow, with the full number of examples.
checks: $(VENV)/built
	@PINVERIFY_FULL=1 $(RUN) -m pytest -m 'ci and not slow' $(or $(TESTS),$(SIDE_BY_SIDE))

release-check: $(VENV)/built
	@$(TABLES) $(RUN) -m release_check $(STEP) $(if $(LIST),--list) \
	    $(if $(filter page,$(LIST)),--page) $(if $(FRESH),--fresh)

lint: $(VENV)/built
	@$(RUN) -m ruff check
	@$(RUN) -m ruff format --check
	@$(RUN) -m mypy

# What .ci/run needs is made before anything runs side by side: all environments share
# one compiled module, and making each of them compiles it.
environment: $(VENV)/built
environments: environment
	@$(MAKE) --no-print-directory environment VENV='$(VENV)-clients' \
	    EXTRA_GROUP='--group clients'
	@$(MAKE) --no-print-directory environment VENV='$(VENV)-wheels' \
	    EXTRA_GROUP='--group wheels'

# In a separate environment, because only benches need the competitors.
bench:
	@$(MAKE) --no-print-directory run-bench VENV='$(VENV)-bench' \
	    EXTRA_GROUP='--group bench'

.PHONY: run-bench counts
run-bench: $(VENV)/built
	@$(RUN) -m pytest bench -m 'not slow' --benchmark-enable --benchmark-only \
	    --benchmark-max-time=0.2 --benchmark-columns=min,median,iqr,rounds
	@PYTHONPATH=tests/helpers $(RUN) bench/bench_report.py --cc '$(COMPILER)' \
	    $(if $(PUBLISH),--publish)

counts: $(VENV)/built
	@PYTHONPATH=tests/helpers $(RUN) bench/bench_counts.py --cc '$(COMPILER)' \
	    $(if $(UPDATE),--update)

slow: $(VENV)/built
	@$(RUN) -m pytest -m slow $(TESTS)

# WHEELS="win_amd64 win_arm64" makes those alone: csrc/python/cross/targets.toml. zig,
# which compiles for each platform, is large, and has an environment of its own.
WHEELS_FOLDER ?= dist/wheels
wheels:
	@$(MAKE) --no-print-directory run-wheels VENV='$(VENV)-wheels' \
	    EXTRA_GROUP='--group wheels'
run-wheels: $(VENV)/built
	@$(RUN) csrc/python/cross.py '$(WHEELS_FOLDER)' $(WHEELS)
	@PINVERIFY_WHEELS='$(WHEELS_FOLDER)' $(RUN) -m pytest -m 'slow or not slow' \
	    tests/project/test_wheels.py $(TESTS)

# Runners of tables find in tests/anchoring which place in the source a row means. With
# FIX, they only let the tables follow the source: see follow_renames.py there.
TABLES = PYTHONPATH=tests:tests/helpers:tests/anchoring
FOLLOW = $(TABLES) '$(PYTHON)' -m follow_renames --since '$(or $(FIX),1)'
anchors:
	@$(FOLLOW)

# REMEDIES="5 13" runs only those of pitfalls 5 and 13, PART=2/3 every third of them.
ifdef FIX
remedies mutants prove:
	@$(FOLLOW) $@
else
remedies:
	@$(MAKE) --no-print-directory each-remedy VENV='$(VENV)-clients' \
	    EXTRA_GROUP='--group clients'
each-remedy: $(VENV)/built
	@$(TABLES) $(ALL_CLIENTS) $(RUN) -m remedies.run $(REMEDIES)

# MUTANTS="host judge" runs those of these files or functions, JOBS=2 two at a time,
# PART=2/3 every third of them, from the second on.
mutants:
	@$(MAKE) --no-print-directory each-mutant VENV='$(VENV)-clients' \
	    EXTRA_GROUP='--group clients'
each-mutant: $(VENV)/built
	@$(TABLES) $(ALL_CLIENTS) $(RUN) -m mutants $(MUTANTS)

# PROOFS="der read_serial" runs those of these files or functions, JOBS=2 two at a time.
# PART=2/3 every third of them, from the second on.
prove: $(VENV)/prover
	@$(TABLES) $(RUN) -m prove.run $(PROOFS)
endif

# In a separate environment, because `make test` must pass without these packages. Where
# all of them are expected, a test fails if one cannot be imported: optional.py.
ALL_CLIENTS = PINVERIFY_ALL_CLIENTS=1
clients:
	@$(ALL_CLIENTS) $(MAKE) --no-print-directory test VENV='$(VENV)-clients' \
	    EXTRA_GROUP='--group clients' TESTS='$(or $(TESTS),$(CLIENT_TESTS))'
CLIENT_TESTS := $(wildcard $(foreach subject,clients pyopenssl,\
    tests/*/test_$(subject)_*.py tests/*/*/test_$(subject)_*.py)) \
    tests/engine/tls/test_compat.py tests/engine/tls/test_twisted.py \
    tests/engine/tls/test_mitmdump.py tests/project/test_mitmproxy.py \
    tests/engine/core/test_core_columns.py \
    tests/engine/policy/test_policy_many.py \
    bench/bench_audit.py

# mitmproxy pins the versions of its dependencies, so it gets an environment of its
# own, with pinverify installed as users install it. It needs Python 3.12 or later.
INTERCEPTOR = $(VENV)-mitmproxy
interceptor: $(VENV)/built
	@'$(PYTHON)' -m venv '$(INTERCEPTOR)'
	@'$(INTERCEPTOR)/bin/pip' install --quiet --disable-pip-version-check \
	    mitmproxy '.[pyopenssl]' pytest pytest-benchmark hypothesis
	@'$(INTERCEPTOR)/bin/python' -m pytest -m 'not slow' tests/project/test_mitmproxy.py

# Spark is large and needs Java. ARROW_ROWS=1000000 takes a million rows.
engines:
	@$(ALL_CLIENTS) $(MAKE) --no-print-directory test VENV='$(VENV)-engines' \
	    EXTRA_GROUP='--group engines' TESTS='$(or $(TESTS),$(ENGINE_TESTS))'
ENGINE_TESTS := -m "slow or not slow" tests/workshop/arrow/test_spark.py \
    bench/bench_engines.py

# SUITES=cpython runs only that one. In a separate environment, because the tests of
# others need packages and plugins of their own.
suites:
	@$(MAKE) --no-print-directory run-suites VENV='$(VENV)-suites' \
	    EXTRA_GROUP='--group suites'
run-suites: $(VENV)/built
	@$(RUN) tests/others_suites/run.py $(SUITES)

sanitize coverage: $(VENV)/built
	@$(MAKE) --no-print-directory -C tests/c $@ PYTHON='$(abspath $(RUN))'

# Both download certificates of other projects into a cache, once.
fuzz differential: $(VENV)/built
	@$(MAKE) --no-print-directory -C tests/fuzz $@ PYTHON='$(abspath $(RUN))'

ct: $(VENV)/built
	@$(TABLES) $(RUN) -m constant_time.run

# The C library for other programs. DESTDIR is put before PREFIX, as everywhere.
# Each compiler has a folder of its own, since meson keeps the first one of a folder.
PREFIX ?= /usr/local
BUILD_C ?= build/c/$(notdir $(firstword $(COMPILER)))
.PHONY: install-c amalgamation
install-c:
	@command -v meson >/dev/null || { echo 'pinverify: there is no meson: install it \
	    (Debian and Ubuntu: apt install meson ninja-build)' >&2; exit 1; }
	@CC='$(COMPILER)' meson setup $(if $(wildcard $(BUILD_C)/build.ninja),--reconfigure) \
	    --prefix '$(PREFIX)' '$(BUILD_C)' csrc
	@stage='$(DESTDIR)'; case $$stage in ''|/*) ;; *) stage=$$PWD/$$stage;; esac; \
	    DESTDIR=$$stage meson install -C '$(BUILD_C)'
	@test -n '$(DESTDIR)' || echo 'Now run ldconfig, or the loader may not find the library.'

# The C library as one file and its headers, in the folder AMALGAMATION.
AMALGAMATION ?= build/amalgamation
amalgamation:
	@'$(PYTHON)' csrc/amalgamate.py '$(AMALGAMATION)'
	@echo 'pinverify.c, pinverify.h and pinverify_compile.h are in $(AMALGAMATION).'

clean:
	rm -rf .venv build dist bench/c/build tests/c/build tests/fuzz/build
	rm -rf tests/constant_time/build src/*.egg-info src/pinverify/_core.*.so
	rm -rf .pytest_cache .mypy_cache .ruff_cache .hypothesis .benchmarks
	find . -name __pycache__ -prune -exec rm -rf {} +

# An environment has what the demo needs; and if it is for tests, the tools.
$(VENV)/built: $(VENV)/packages $(VENV)/core
	@touch $@

# The compiled module is in src/pinverify and works with every interpreter, because
# it uses only Python's stable ABI. It is compiled again when csrc has changed or
# when it is missing.
.PHONY: always
$(VENV)/core: $(VENV)/minimum setup.py $(wildcard csrc/* csrc/*/*) \
    $(if $(wildcard src/pinverify/_core.*.so),,always)
	@echo 'Compiling the C core.'
	@CC='$(COMPILER)' $(PIP) install --no-build-isolation --no-deps --editable .
	@touch $@

# fetch,PACKAGES: what pip says of a failure stays in a file, after a line of ours.
fetch = $(PIP) install --upgrade $(1) >'$(VENV)/pip.log' 2>&1 || { echo 'pinverify: \
    pip could not fetch packages: is there a network? PIP_INDEX_URL names another \
    index; $(VENV)/pip.log has what pip said' >&2; exit 1; }

# Dependency groups need pip 25.1 or later. It comes first, and shows with one retry
# whether the index can be reached at all.
$(VENV)/minimum: pyproject.toml
	@$(SHELL) -c "$$CHECK_MACHINE"
	@echo 'Fetching what the demo needs into $(VENV), once: 10 MB.'
	@$(PIP) --version >/dev/null 2>&1 || '$(PYTHON)' -m venv --clear $(VENV)
	@$(call fetch,--retries 1 'pip>=25.1')
	@$(call fetch,--group demo)
	@touch $@

$(VENV)/packages: $(VENV)/minimum
	@echo 'Fetching the development tools into $(VENV), once: about a minute.'
	@$(call fetch,--group dev $(EXTRA_GROUP))
	@$(if $(findstring clients,$(EXTRA_GROUP)),$(call fetch,--target \
	    '$(VENV)/gunicorn-21' --group gunicorn-21))
	@touch $@

# The solver comes from the package index, CBMC from the system.
$(VENV)/prover: $(VENV)/packages
	@$(call fetch,--group prove)
	@touch $@

# Check the machine before downloading anything; each message names the next step.
define CHECK_MACHINE
need() {
  message=$$1; shift
  "$$@" >/dev/null 2>&1 || { echo "pinverify: $$message" >&2; exit 1; }
}
need "this checkout cannot be written, and make keeps its environments in .venv: \
copy it to a folder of your own" \
  test -w .
need "'$(PYTHON)' does not run: install Python 3.11 or later (Debian and Ubuntu: \
apt install python3 python3-venv python3-dev), or name one: make PYTHON=..." \
  '$(PYTHON)' -c ''
need "'$(PYTHON)' is older than Python 3.11: name a later one, \
make PYTHON=/path/to/python3" \
  '$(PYTHON)' -c 'import sys; assert sys.version_info >= (3, 11)'
need "'$(PYTHON)' can make no virtual environment: install venv and ensurepip \
(Debian and Ubuntu: apt install python3-venv)" \
  '$(PYTHON)' -c 'import ensurepip, venv'
need "'$(PYTHON)' has no Python.h: install its headers \
(Debian and Ubuntu: apt install python3-dev)" \
  '$(PYTHON)' -c 'import os, sysconfig; os.stat(sysconfig.get_path("include") + "/Python.h")'
need "no C compiler ($(or $(COMPILER),neither cc nor gcc nor clang)): install one \
(Debian and Ubuntu: apt install gcc libc6-dev)" \
  command -v $(firstword $(COMPILER) cc)
endef
export CHECK_MACHINE
