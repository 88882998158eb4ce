# fabsim. `make demo` builds and shows a result, `make check` runs every test; `make help` lists the rest.
SHELL   := /bin/bash
CC      := $(if $(filter default,$(origin CC)),gcc,$(CC))
CXX     := $(if $(filter default,$(origin CXX)),g++,$(CXX))
BUILD   ?= build
OPT     ?= -O2 -g
PREFIX  ?= /usr/local
DESTDIR ?=
VERSION := 0.1.0
JOBS    := $(shell nproc)
MAKEFLAGS += --no-print-directory

# ---- compiler -------------------------------------------------------------------------------------------------------
PKGS     := libxml-2.0 hwloc yajl sqlite3 zlib
# -isystem: other people's headers are not held to our warnings.
INCLUDES := -Isim -I$(BUILD)/gen $(patsubst -I%,-isystem %,$(shell pkg-config --cflags-only-I $(PKGS) 2>/dev/null))
CPPFLAGS += $(INCLUDES) -D_POSIX_C_SOURCE=200809L -DFABSIM_VERSION='"$(VERSION)"' $(DEFINES)
WARN     := -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wundef -Wvla $(if $(WERROR),-Werror)
# -ffp-contract=off: a fused multiply-add would make results depend on the compiler and the machine.
FLAGS    := $(OPT) -ffp-contract=off $(WARN) $(SAN) -MMD -MP
CFLAGS   += -std=c17 $(FLAGS) -Wstrict-prototypes -Wmissing-prototypes
CXXFLAGS += -std=c++17 $(FLAGS)
LDLIBS   += $(shell pkg-config --libs $(PKGS) 2>/dev/null) -lsimgrid -lm

# ---- the program ----------------------------------------------------------------------------------------------------
SOURCES  := $(filter-out sim/main.c,$(wildcard sim/*.c sim/*/*.c))
BRIDGE   := $(wildcard sim/engine/*.cpp)
OBJECTS  := $(SOURCES:%.c=$(BUILD)/%.o) $(BRIDGE:%.cpp=$(BUILD)/%.o) $(BUILD)/gen/parts_data.o
LIB      := $(BUILD)/libfabsim.a

.PHONY: all
all: $(BUILD)/fabsim

# One short line a command; `make V=1` shows it whole.
Q := $(if $(V),,@)

$(BUILD)/fabsim: $(BUILD)/sim/main.o $(LIB)
	@echo "  LINK  $@"
	$(Q)$(CXX) $(SAN) $(LDFLAGS) -o $@ $^ $(LDLIBS)

$(LIB): $(OBJECTS)
	@rm -f $@
	$(Q)$(AR) rcs $@ $^

# The shipped parts are also inside the program: an imported board carries those that it uses.
PARTS    := $(sort $(wildcard topologies/parts/*.xml))
$(BUILD)/gen/parts_data.c: scripts/embed.sh $(PARTS)
	@mkdir -p $(@D)
	$(Q)scripts/embed.sh $(PARTS) >$@.tmp && mv $@.tmp $@

$(BUILD)/gen/%.o: $(BUILD)/gen/%.c
	$(Q)$(CC) $(CPPFLAGS) $(CFLAGS) -c -o $@ $<

$(BUILD)/%.o: %.c
	@mkdir -p $(@D)
	@echo "  CC    $<"
	$(Q)$(CC) $(CPPFLAGS) $(CFLAGS) -c -o $@ $<

$(BUILD)/%.o: %.cpp
	@mkdir -p $(@D)
	@echo "  CXX   $<"
	$(Q)$(CXX) $(CPPFLAGS) $(CXXFLAGS) -c -o $@ $<

# Data that is part of the program: bytes for an #include. Several files are one after the other.
$(addprefix $(BUILD)/gen/,$(addsuffix .h,fabsim-topology.xsd nccl.xml measured.csv tiers.json page.js page.css collectives.csv)):
	@mkdir -p $(@D)
	$(Q)cat $^ | od -An -v -tx1 | sed 's/[0-9a-f][0-9a-f]/0x&,/g' > $@

# The schema of topologies.
$(BUILD)/sim/topo/topo_schema.o: $(BUILD)/gen/fabsim-topology.xsd.h
$(BUILD)/gen/fabsim-topology.xsd.h: topologies/fabsim-topology.xsd
# The table of NCCL's constants.
$(BUILD)/sim/coll/nccl_table.o: $(BUILD)/gen/nccl.xml.h
$(BUILD)/gen/nccl.xml.h: topologies/costs/nccl.xml
# The errors on measured cases, by class.
$(BUILD)/sim/report/similar.o: $(BUILD)/gen/measured.csv.h
$(BUILD)/gen/measured.csv.h: sim/report/measured.csv
# The price tiers of a factory.
$(BUILD)/sim/pareto/tiers.o: $(BUILD)/gen/tiers.json.h
$(BUILD)/gen/tiers.json.h: sim/pareto/tiers.json
# The style sheet and the scripts of report pages, in the order of their names, and the measured collectives drawn there.
$(BUILD)/sim/page/page.o: $(BUILD)/gen/page.js.h $(BUILD)/gen/page.css.h
$(BUILD)/gen/page.js.h: $(sort $(wildcard sim/page/*.js))
$(BUILD)/gen/page.css.h: sim/page/page.css
$(BUILD)/sim/page/measured_points.o: $(BUILD)/gen/collectives.csv.h
$(BUILD)/gen/collectives.csv.h: tests/validation/collectives.csv

# ---- tests ----------------------------------------------------------------------------------------------------------
TESTS := $(patsubst tests/%.c,$(BUILD)/tests/%,$(wildcard tests/unit/test_*.c tests/property/prop_*.c tests/fault/fault_*.c tests/validation/valid_*.c))

$(BUILD)/tests/%: $(BUILD)/tests/%.o $(LIB)
	$(Q)$(CXX) $(SAN) $(LDFLAGS) -o $@ $^ -lcmocka $(LDLIBS)

UNIT_TESTS := $(filter $(BUILD)/tests/unit/%,$(TESTS))

.PHONY: tests unit-tests
tests: $(TESTS)
unit-tests: $(UNIT_TESTS)

-include $(shell find $(BUILD) -name '*.d' 2>/dev/null)

# Fuzz targets, as programs that replay their corpus (every build) and as fuzzers (clang).
FUZZERS := topology trace sweep result
REPLAYS := $(FUZZERS:%=$(BUILD)/tests/fuzz/replay_%)

$(BUILD)/tests/fuzz/replay_%: $(BUILD)/tests/fuzz/fuzz_%.o $(BUILD)/tests/fuzz/replay.o $(LIB)
	$(Q)$(CXX) $(SAN) $(LDFLAGS) -o $@ $^ $(LDLIBS)

# The fuzzer proper: the library built with coverage, linked with libFuzzer's main.
.PHONY: fuzz fuzz-build
FUZZ_SECONDS ?= 60
# Small limits: else a few legal bytes ask for gigabytes.
FUZZ_LIMITS  := -DFS_DEVICES_MAX=100000u -DFS_LINKS_MAX=200000u -DFS_PASSES_MAX=64 -DFS_SWEEP_COMBINATIONS_MAX=5000u
FUZZ_SAN     := -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=undefined
fuzz-build:
	$(MAKE) -j$(JOBS) BUILD=build-fuzz CC=clang CXX=clang++ OPT="-O1 -g" SAN="$(FUZZ_SAN)" DEFINES="$(FUZZ_LIMITS)" $(FUZZERS:%=build-fuzz/tests/fuzz/fuzz_%)

$(BUILD)/tests/fuzz/fuzz_%: $(BUILD)/tests/fuzz/fuzz_%.o $(LIB)
	$(CXX) $(subst fuzzer-no-link,fuzzer,$(SAN)) $(LDFLAGS) -o $@ $^ $(LDLIBS)

# New inputs go to build-fuzz/corpus-*, findings to build-fuzz/; `make fuzz FUZZ_SECONDS=1800` for a long run.
fuzz: fuzz-build
	@for target in $(FUZZERS); do \
		mkdir -p build-fuzz/corpus-$$target; \
		build-fuzz/tests/fuzz/fuzz_$$target -max_total_time=$(FUZZ_SECONDS) -timeout=10 -rss_limit_mb=3000 -max_len=8192 \
			-dict=tests/fuzz/$$target.dict -artifact_prefix=build-fuzz/finding-$$target- -print_final_stats=1 \
			build-fuzz/corpus-$$target tests/fuzz/corpus/$$target || exit 1; \
	done

# ---- make check -----------------------------------------------------------------------------------------------------
ASAN := -fsanitize=address,undefined -fno-sanitize-recover=undefined

.PHONY: check check-all demo deps-build deps-test test-plain test-asan lint determinism help
deps-build:
	@scripts/install-deps.sh build
deps-test:
	@scripts/install-deps.sh test

# Dependencies first, then everything else in a make of its own: pkg-config may not have been there before.
demo: deps-build
	@$(MAKE) -j$(JOBS) all
	@echo; echo '$$ fabsim topologies/dgx2h.xml workloads/megatron-8.3b-tp8.json'; echo
	@$(BUILD)/fabsim topologies/dgx2h.xml workloads/megatron-8.3b-tp8.json

check: deps-test
	@$(MAKE) check-all

check-all:
	@$(MAKE) lint
	@$(MAKE) -j$(JOBS) all tests $(REPLAYS)
	@$(MAKE) -j$(JOBS) BUILD=build-asan OPT="-O1 -g" SAN="$(ASAN)" DEFINES=-DFS_FAULT all unit-tests $(REPLAYS:$(BUILD)/%=build-asan/%)
	@$(MAKE) test-plain
	@$(MAKE) test-asan
	@$(MAKE) determinism
	@echo "all tests passed"

lint:
	scripts/check-layers.sh
	scripts/lint.sh

# prove reads the TAP of cmocka, of the replays and of bats.
# A locale with a decimal comma is made for the tests where the system has its sources.
PROVE := CMOCKA_MESSAGE_OUTPUT=TAP LOCPATH=$(abspath build/locale) prove --timer --merge -e tests/tap.sh
build/locale:
	@mkdir -p $@
	-localedef -i de_DE -f UTF-8 $@/de_DE.UTF-8

test-plain: build/locale
	$(PROVE) -j$(JOBS) $(sort $(TESTS))
	for f in $(FUZZERS); do $(PROVE) $(BUILD)/tests/fuzz/replay_$$f :: tests/fuzz/corpus/$$f || exit 1; done
	FABSIM=$(abspath $(BUILD)/fabsim) $(PROVE) tests/cli/run-errors.sh
	FABSIM=$(abspath $(BUILD)/fabsim) bats tests/cli
	FABSIM=$(abspath $(BUILD)/fabsim) $(PROVE) tests/slurm/run.sh
	FABSIM=$(abspath $(BUILD)/fabsim) $(PROVE) tests/golden/run.py
	FABSIM=$(abspath $(BUILD)/fabsim) $(PROVE) tests/page/run.py
	FABSIM=$(abspath $(BUILD)/fabsim) $(PROVE) tests/validation/kernels.py
	FABSIM=$(abspath $(BUILD)/fabsim) scripts/validate.py --check

test-asan: export ASAN_OPTIONS = detect_leaks=1
test-asan: export LSAN_OPTIONS = suppressions=$(CURDIR)/tests/lsan.supp:print_suppressions=0
test-asan:
	$(PROVE) -j$(JOBS) $(sort $(patsubst $(BUILD)/%,build-asan/%,$(UNIT_TESTS)))
	for f in $(FUZZERS); do $(PROVE) build-asan/tests/fuzz/replay_$$f :: tests/fuzz/corpus/$$f || exit 1; done
	FABSIM=$(abspath build-asan/fabsim) $(PROVE) tests/cli/run-errors.sh tests/fault/program.sh

determinism:
	prove tests/determinism/run.sh

.PHONY: validate
validate: all
	scripts/validate.py

# Folded and unfolded, once at the size of a real job; prop_fold does it to small ones in `make check`.
.PHONY: fold-check
fold-check: all
	tests/validation/fold_real.py

.PHONY: bench bench-programs
bench: all
	bench/run.py

# Parts by themselves: build/bench/engine flows 96
bench-programs: $(patsubst %.c,$(BUILD)/%,$(wildcard bench/*.c))
.PRECIOUS: $(BUILD)/bench/%.o
$(BUILD)/bench/%: $(BUILD)/bench/%.o $(LIB)
	@echo "  LINK  $@"
	$(Q)$(CXX) $(SAN) $(LDFLAGS) -o $@ $^ $(LDLIBS)

# ---- install --------------------------------------------------------------------------------------------------------
SHARE := $(DESTDIR)$(PREFIX)/share
.PHONY: install uninstall clean format tidy
install: all
	install -d $(DESTDIR)$(PREFIX)/bin $(SHARE)/man/man1 $(SHARE)/bash-completion/completions $(SHARE)/fabsim $(SHARE)/doc/fabsim
	install -m 755 $(BUILD)/fabsim $(DESTDIR)$(PREFIX)/bin/fabsim
	install -m 644 docs/man/fabsim.1 $(SHARE)/man/man1/fabsim.1
	install -m 644 scripts/completion/fabsim.bash $(SHARE)/bash-completion/completions/fabsim
	install -m 644 README.md LICENSE docs/*.md $(SHARE)/doc/fabsim
	cp -R topologies workloads $(SHARE)/fabsim

uninstall:
	rm -f $(DESTDIR)$(PREFIX)/bin/fabsim $(SHARE)/man/man1/fabsim.1 $(SHARE)/bash-completion/completions/fabsim
	rm -rf $(SHARE)/fabsim $(SHARE)/doc/fabsim

clean:
	rm -rf build build-*

format:
	clang-format -i $(shell git ls-files '*.c' '*.h' '*.cpp' '*.hpp')

# One file a process: a check of all of them takes half a minute on two cores.
tidy: $(BUILD)/gen/fabsim-topology.xsd.h $(BUILD)/gen/nccl.xml.h
	@printf '%s\n' $(SOURCES) | xargs -P$(JOBS) -I{} clang-tidy --quiet {} -- $(CPPFLAGS) -std=c17

help:
	@echo "make demo       install what is missing, build, simulate a real case"
	@echo "make check      install what the tests need, build, run every test"
	@echo "make            build build/fabsim"
	@echo "make install    PREFIX=/usr/local DESTDIR="
	@echo "make bench      measure speed, print counters"
	@echo "make fold-check simulate 8,192 GPUs folded and rank by rank, and compare (minutes)"
	@echo "make validate   measured beside simulated, into docs/VALIDATION.md"
	@echo "make fuzz       fuzz the XML and the JSON reader, FUZZ_SECONDS=60 each"
	@echo "make lint       layers, formatting, scripts, shipped topologies"
	@echo "make format tidy clean"
