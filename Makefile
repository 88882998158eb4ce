# fabsim: make demo, make check, make install; see `make help`.
SHELL := /bin/bash
CC ?= gcc
CXX ?= g++
BUILD ?= build
OPT ?= -O2 -g
PREFIX ?= /usr/local
DESTDIR ?=
VERSION := 0.1.0

PKGS := libxml-2.0 hwloc yajl zlib simgrid
CPPFLAGS += -Isim -I$(BUILD)/gen -D_POSIX_C_SOURCE=200809L -DFABSIM_VERSION='"$(VERSION)"' $(shell pkg-config --cflags $(PKGS))
WARN := -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wundef -Wvla $(if $(WERROR),-Werror)
CWARN := $(WARN) -Wstrict-prototypes -Wmissing-prototypes
CFLAGS += -std=c17 $(OPT) -ffp-contract=off $(CWARN) $(SAN)
CXXFLAGS += -std=c++17 $(OPT) -ffp-contract=off $(SAN)
LDLIBS += $(shell pkg-config --libs $(PKGS)) -lm
