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
PKGS     := libxml-2.0 hwloc yajl zlib
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
OBJECTS  := $(SOURCES:%.c=$(BUILD)/%.o) $(BRIDGE:%.cpp=$(BUILD)/%.o)
LIB      := $(BUILD)/libfabsim.a

.PHONY: all
all: $(BUILD)/fabsim

$(BUILD)/fabsim: $(BUILD)/sim/main.o $(LIB)
	$(CXX) $(SAN) $(LDFLAGS) -o $@ $^ $(LDLIBS)

$(LIB): $(OBJECTS)
	@rm -f $@
	$(AR) rcs $@ $^

$(BUILD)/%.o: %.c
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(CFLAGS) -c -o $@ $<

$(BUILD)/%.o: %.cpp
	@mkdir -p $(@D)
	$(CXX) $(CPPFLAGS) $(CXXFLAGS) -c -o $@ $<

# ---- tests ----------------------------------------------------------------------------------------------------------
TESTS := $(patsubst tests/%.c,$(BUILD)/tests/%,$(wildcard tests/unit/test_*.c tests/property/prop_*.c tests/fault/fault_*.c))

$(BUILD)/tests/%: $(BUILD)/tests/%.o $(LIB)
	$(CXX) $(SAN) $(LDFLAGS) -o $@ $^ -lcmocka $(LDLIBS)

.PHONY: tests
tests: $(TESTS)

-include $(shell find $(BUILD) -name '*.d' 2>/dev/null)
