# Every command of the project; needs python3 and make, the rest it installs into .venv.
# Each step leaves a stamp in its environment and runs again only when what it was made from has changed.

PYTHON ?= python3
VENV ?= .venv
# What `make test` adds to the compiler's flags: a warning in the extension is an error.
STRICT_CFLAGS ?= -Wall -Wextra -Werror -Wno-unused-parameter -Wno-missing-field-initializers

BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --quiet --quiet --disable-pip-version-check
# What is compiled strictly is compiled once for all environments of an interpreter.
TAG := $(shell $$(ls $(BIN)/python 2>/dev/null || echo $(PYTHON)) -c 'import sys; print(sys.implementation.cache_tag)')
BUILT := .venvs/built/$(TAG)-$(firstword $(shell echo '$(STRICT_CFLAGS)' | cksum))
SOURCES := $(sort $(shell find src -name '*.py' -o -name '*.pyi' -o -name '*.pyx' -o -name '*.px[di]' -o -name '*.h' -o -name py.typed -o -path '*/demo/static/*')) \
	setup.py pyproject.toml MANIFEST.in README.md LICENSE
CYTHON := $(shell find src examples -name '*.pyx' -o -name '*.px[di]')
DOCS := $(shell find docs -type f -not -path 'docs/_build/*')

.NOTPARALLEL:
.DELETE_ON_ERROR:
.PHONY: help demo tour test test-pure test-pythons suite kernels autobahn peers attacks soak fuzz fuzzing leaks refnanny valgrind threads \
	drop-ins inside within drop-ins-newest newest drop-ins-oldest oldest beside portability \
	bench bench-servers bench-drop-ins saved instructions sanitize lint workflows types docs wheels clean FORCE

help: ## list these commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-14s %s\n", $$1, $$2 }' Makefile

demo: $(VENV)/.installed ## build, then serve the live demo until Ctrl-C (DEMO='--seconds 60': end by itself)
	@$(BIN)/python -m fastframe demo $(DEMO)

tour: $(VENV)/.installed ## build, then run the self-checking tour in the terminal
	@$(BIN)/python -m fastframe tour

test: $(VENV)/.compiled $(VENV)/.dev lint workflows types docs kernels ## build, then run every gate, the whole suite, peers and Autobahn
	FASTFRAME_EXTENSION=1 $(BIN)/python -m pytest $(SHARED)
	@$(MAKE) --no-print-directory peers
	@$(MAKE) --no-print-directory autobahn AUTOBAHN="--exclude '9.*,12.*,13.*'"

# Two processes share the suite: many of its tests wait for others.
SHARED := --numprocesses 2
# Builds both halves itself: seen with the compiled one, and `make wheels` builds on each Python.
SEEN := --ignore=tests/test_build.py
# Programs and pages: on another Python seen with the compiled half, too.
SEEN_THERE := $(SEEN) $(foreach about,bench cli examples readme *_page,--ignore-glob='*/test_$(about)*') \
	$(foreach about,cimport_example snippets wheels,--ignore=tests/test_$(about).py)

test-pure: ## run the suite on the pure half, installed without the extension
	@$(MAKE) --no-print-directory suite VENV=.venvs/pure HALF=0 STAMP=pure PYTEST="$(SHARED) $(SEEN)"

HALVES ?= 1 0
test-pythons: ## both halves on each other Python from 3.10 to 3.13 that this machine has (PYTHONS=3.10 HALVES=0: what else)
	@pythons=$$($(PYTHON) tools/pythons.py $(PYTHONS)) && echo "$$pythons" | while read -r version python; do \
		[ -n "$$version" ] || { echo "not run: no other Python on this machine"; continue; }; \
		echo "== Python $$version: $$python"; \
		for half in $(HALVES); do \
			if [ $$half = 1 ]; then stamp=compiled seen="$(SEEN)"; else stamp=pure seen="$(SEEN_THERE)"; fi; \
			$(MAKE) --no-print-directory suite PYTHON="$$python" VENV=.venvs/$$version-$$stamp HALF=$$half \
				STAMP=$$stamp PYTEST="$(SHARED) $$seen" </dev/null || exit 1; \
		done; \
	done

suite: $(VENV)/.$(STAMP) $(VENV)/.test
	FASTFRAME_EXTENSION=$(HALF) $(BIN)/python -m pytest $(PYTEST)

bench: $(VENV)/.compiled $(VENV)/.bench ## measure the codec beside its peers (BENCH=--help: what else it can do)
	FASTFRAME_EXTENSION=1 $(BIN)/python -m bench $(BENCH)

bench-servers: $(VENV)/.compiled $(VENV)/.bench ## measure servers and clients beside their peers (BENCH=--help: what else)
	FASTFRAME_EXTENSION=1 $(BIN)/python -m bench.servers $(BENCH)

bench-drop-ins: ## measure what the adapters and uvicorn's plug-in save (BENCH=--help: what else)
	@$(MAKE) --no-print-directory saved VENV=.venvs/drop-ins

saved: $(VENV)/.compiled $(VENV)/.drop-ins
	cd tests && FASTFRAME_EXTENSION=1 PYTHONPATH=.. $(abspath $(BIN))/python -m drop_ins.adapters.measure $(BENCH)

instructions: $(VENV)/.compiled $(VENV)/.bench ## count the instructions of the codec's hot paths; needs valgrind
	FASTFRAME_EXTENSION=1 $(BIN)/python -m bench.instructions $(BENCH)

sanitize: $(VENV)/.test ## run the suite under ASan and UBSan
	PYTHON=$(BIN)/python bash tests/sanitize.sh

leaks: $(VENV)/.created ## look for references left behind; needs python3.11-dbg
	PIP_PYTHON=$(BIN)/python bash tests/checkers/leaks.sh

refnanny: $(VENV)/.created ## the suite of all that is compiled, each function's references accounted for; needs python3.11-dbg
	PIP_PYTHON=$(BIN)/python bash tests/checkers/refnanny.sh

valgrind: $(VENV)/.created ## run the codec's tests under valgrind's memcheck; needs Debian's python3.11 and its headers
	PIP_PYTHON=$(BIN)/python bash tests/checkers/valgrind.sh

threads: $(VENV)/.test ## several threads on the kernels and on the extension, under ThreadSanitizer
	PYTHON=$(BIN)/python bash tests/checkers/threads.sh

fuzz: ## fuzz every target, some seconds each (FUZZ='--seconds 600 --target inflate': longer; FUZZ=--help: what else)
	@$(MAKE) --no-print-directory fuzzing VENV=.venvs/fuzz

fuzzing: $(VENV)/.instrumented $(VENV)/.fuzz
	@$(BIN)/python tests/fuzz/run.py $(FUZZ)

autobahn: $(VENV)/.compiled ## all of the Autobahn testsuite, both roles (AUTOBAHN='--half pure': other options)
	$(BIN)/python tests/autobahn/run.py --accelerated $(AUTOBAHN)

peers: $(VENV)/.compiled $(VENV)/.test $(VENV)/.peers ## real peers and Chromium, both ways (REQUIRE=1: all of them, or it fails)
	FASTFRAME_EXTENSION=1 $(BIN)/python -m pytest tests/peers tests/browser

attacks: $(VENV)/.compiled $(VENV)/.attacks ## attacks on servers and clients (ATTACKS='--scale 5 --every': a longer form)
	FASTFRAME_EXTENSION=1 $(BIN)/python -m pytest tests/attacks $(ATTACKS)

soak: $(VENV)/.compiled $(VENV)/.attacks ## hold, connect and echo for long, and see that nothing grows (SOAK=--help: how long)
	cd tests && FASTFRAME_EXTENSION=1 PYTHONPATH=.. $(abspath $(BIN))/python -m soak $(SOAK)

drop-ins: ## fastframe inside of uvicorn and other libraries, in the releases it is tested with; their own suites
	@$(MAKE) --no-print-directory inside VENV=.venvs/drop-ins
	@$(MAKE) --no-print-directory within VENV=.venvs/drop-ins-suites

inside: $(VENV)/.compiled $(VENV)/.drop-ins
	FASTFRAME_EXTENSION=1 $(BIN)/python -m pytest $(SHARED) --dist loadfile tests/drop_ins
	cd tests && FASTFRAME_EXTENSION=1 $(abspath $(BIN))/python -m drop_ins.adapters.suites

# Suites that the newest releases have not, against the newest that have them.
within: $(VENV)/.compiled $(VENV)/.test
	cd tests && $(abspath $(BIN))/python -m pip install --quiet --quiet --disable-pip-version-check \
		$$($(abspath $(BIN))/python -m drop_ins.adapters.suites --releases)
	cd tests && FASTFRAME_EXTENSION=1 $(abspath $(BIN))/python -m drop_ins.adapters.suites websockets-sdist

drop-ins-newest: ## the same libraries in their newest releases, where those are newer
	@$(MAKE) --no-print-directory newest VENV=.venvs/drop-ins

newest: $(VENV)/.compiled $(VENV)/.drop-ins
	@newer=$$($(BIN)/python -m tools.newer) && if [ -n "$$newer" ]; then \
		$(MAKE) --no-print-directory beside VENV=.venvs/drop-ins-newest RELEASES="$$newer"; \
	fi

drop-ins-oldest: ## the same libraries in the oldest releases that the adapters accept
	@$(MAKE) --no-print-directory oldest VENV=.venvs/drop-ins

oldest: $(VENV)/.compiled $(VENV)/.drop-ins
	@oldest=$$($(BIN)/python -m tools.oldest) && \
		$(MAKE) --no-print-directory beside VENV=.venvs/drop-ins-oldest RELEASES="--accepted $$oldest"

beside: $(VENV)/.compiled $(VENV)/.drop-ins
	$(PIP) install --upgrade $(filter-out --%,$(RELEASES))
	cd tests && FASTFRAME_EXTENSION=1 $(abspath $(BIN))/python -m drop_ins.other_releases $(RELEASES)

lint: $(VENV)/.dev ## ruff and cython-lint
	$(BIN)/ruff check --quiet
	$(BIN)/ruff format --check --quiet
	PATH="$(abspath $(BIN)):$$PATH" cython-lint $(CYTHON)

workflows: $(VENV)/.dev ## zizmor, actionlint and the schemas, over .github
	$(BIN)/zizmor --offline --quiet --no-progress --color never .github
	$(BIN)/actionlint .github/workflows/*.yml
	$(BIN)/check-jsonschema --quiet --builtin-schema vendor.github-workflows .github/workflows/*.yml
	$(BIN)/check-jsonschema --quiet --builtin-schema vendor.dependabot .github/dependabot.yml

types: $(VENV)/.compiled $(VENV)/.dev ## mypy --strict, and the stub against the extension itself
	$(BIN)/python -m mypy
	FASTFRAME_EXTENSION=1 $(BIN)/python -m mypy.stubtest --mypy-config-file pyproject.toml \
		--allowlist tools/stubtest-allowlist.txt fastframe._codec_c fastframe.aio._native

portability: $(VENV)/.compiled $(VENV)/.test $(VENV)/.portability ## other processors and interpreters, compilers for Windows (PORTABILITY=--help: what else)
	$(BIN)/python -m tools.portability $(PORTABILITY)

kernels: $(VENV)/.kernels ## the C tests of the kernels, for other processors too
	@grep -E '^(kernels|not run):' $<

docs: $(VENV)/.docs ## build the documentation, warnings are errors

wheels: $(VENV)/.dev ## build, check and test the sdist, the pure wheel and a wheel for each Python here, into dist/
	@$(BIN)/python -m tools.wheels --cflags='$(STRICT_CFLAGS)' $(WHEELS)

clean: ## remove all that these commands have made
	rm -rf .venv .venvs build dist docs/_build src/*.egg-info
	rm -rf .benchmarks .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find src tests bench tools examples -name __pycache__ -exec rm -rf {} +

$(VENV)/.created:
	$(PYTHON) -m venv $(VENV)
	$(PIP) install --upgrade pip setuptools Cython
	touch $@

# Rewritten only when a file was added or removed, which no time stamp of the others tells.
$(VENV)/.sources $(BUILT)/.sources: $(VENV)/.created FORCE
	@mkdir -p $(@D)
	@echo '$(SOURCES)' | cmp -s - $@ || echo '$(SOURCES)' > $@

# A build directory left over hides a broken compiler and deleted files: none survives.
define INSTALL
	rm -rf build src/*.egg-info
	$(PIP) install --no-build-isolation --check-build-dependencies .
	rm -rf build src/*.egg-info
endef

# Three ways to install the same sources: as a user does, with the extension for certain, and without it.
$(VENV)/.installed: $(VENV)/.sources $(SOURCES)
	$(INSTALL)
	touch $@

$(BUILT)/.built: export FASTFRAME_EXTENSION = 1
$(BUILT)/.built: export FASTFRAME_CFLAGS = $(STRICT_CFLAGS)
$(BUILT)/.built: $(BUILT)/.sources $(SOURCES)
	rm -rf build src/*.egg-info $(BUILT)/*.whl
	$(PIP) wheel --no-build-isolation --check-build-dependencies --no-deps --wheel-dir $(BUILT) .
	rm -rf build src/*.egg-info
	touch $@

# .sources: were it written later, what needs .installed would install the sources once more, and not strictly.
$(VENV)/.compiled: $(BUILT)/.built | $(VENV)/.created $(VENV)/.sources
	$(PIP) uninstall --yes fastframe
	$(PIP) install $(BUILT)/*.whl
	touch $(VENV)/.installed $@

# For coverage and the sanitizers: only what tests/fuzz preloads lets it be imported. CPython's own flags have
# -fwrapv, under which signed overflow is defined and goes unseen.
$(VENV)/.instrumented: export FASTFRAME_EXTENSION = 1
$(VENV)/.instrumented: export CC = clang-16
$(VENV)/.instrumented: export LDSHARED = clang-16 -shared
$(VENV)/.instrumented: export FASTFRAME_CFLAGS = -O1 -gline-tables-only -fno-omit-frame-pointer -fno-wrapv \
	-fsanitize=address,undefined,fuzzer-no-link -fno-sanitize-recover=undefined
$(VENV)/.instrumented: $(VENV)/.sources $(SOURCES)
	$(INSTALL)
	touch $(VENV)/.installed $@

$(VENV)/.pure: export FASTFRAME_EXTENSION = 0
$(VENV)/.pure: $(VENV)/.sources $(SOURCES)
	$(INSTALL)
	touch $(VENV)/.installed $@

# The extras of the package that is installed by now: pip only adds what they name.
$(VENV)/.attacks $(VENV)/.dev $(VENV)/.test $(VENV)/.peers $(VENV)/.drop-ins $(VENV)/.bench $(VENV)/.fuzz $(VENV)/.portability: $(VENV)/.%: pyproject.toml | $(VENV)/.installed
	$(PIP) install 'fastframe[$*]'
	touch $@

$(VENV)/.kernels: $(wildcard src/fastframe/_kernels/*.h tests/kernels/* tests/vectors/*) | $(VENV)/.created
	$(BIN)/python tests/kernels/run.py >$@.log 2>&1; status=$$?; cat $@.log; exit $$status
	mv $@.log $@

# -E: a warning in a page that is cached would be said only once.
$(VENV)/.docs: $(VENV)/.dev $(DOCS) $(SOURCES) | $(VENV)/.installed
	$(BIN)/python -m sphinx -q -E -W --keep-going -b html docs docs/_build
	touch $@
