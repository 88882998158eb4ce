/* fabric_case.h - a topology with router and lowering, for tests of routes and collectives. */
#ifndef FS_TEST_FABRIC_CASE_H
#define FS_TEST_FABRIC_CASE_H

#include "base/mem.h"
#include "coll/coll.h"
#include "topo/spec.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

typedef struct fabric {
    fs_topo *topo;
    fs_router *router;
    fs_pattern_table *patterns;
    fs_lowering *lowering;
    fs_err err;
} fabric;

/* One line of spec.h, or the path of an XML file. */
static inline fabric fabric_open(const char *text, fs_cost cost, fs_lowering_mode mode)
{
    fabric f = {0};
    fs_status status =
        strstr(text, ".xml") ? fs_topo_load(text, NULL, 0, &f.topo, &f.err) : fs_spec_oneline(text, &f.topo, &f.err);
    if (status != FS_OK)
        print_error("%s: %s\n", text, f.err.text);
    assert_int_equal(status, FS_OK);
    f.patterns = fs_pattern_table_new();
    assert_non_null(f.patterns);
    assert_int_equal(fs_router_new(f.topo, (fs_router_options){0}, &f.router, &f.err), FS_OK);
    assert_int_equal(fs_lowering_new(f.topo, f.router, f.patterns, (fs_lowering_options){.cost = cost, .mode = mode},
                                     &f.lowering, &f.err),
                     FS_OK);
    return f;
}

static inline void fabric_close(fabric *f)
{
    fs_lowering_free(f->lowering);
    fs_router_free(f->router);
    fs_pattern_table_free(f->patterns);
    fs_topo_free(f->topo);
}

static inline uint32_t device(const fabric *f, const char *name)
{
    uint32_t id = fs_topo_find(f->topo, name);
    if (id == FS_NONE)
        print_error("no device %s\n", name);
    assert_int_not_equal(id, FS_NONE);
    return id;
}

static inline const fs_route *route(fabric *f, const char *from, const char *to)
{
    const fs_route *r = NULL;
    fs_status status = fs_router_find(f->router, device(f, from), device(f, to), 0, &r, &f->err);
    if (status != FS_OK)
        print_error("%s\n", f->err.text);
    assert_int_equal(status, FS_OK);
    return r;
}

/* The fraction of a route on the links from one device to another. */
static inline double fraction(const fabric *f, const fs_route *r, const char *from, const char *to)
{
    uint32_t src = device(f, from), dst = device(f, to);
    double sum = 0.0;
    for (uint32_t i = 0; i < r->n_shares; i++)
        if (fs_topo_link(f->topo, r->shares[i].resource).src == src &&
            fs_topo_link(f->topo, r->shares[i].resource).dst == dst)
            sum += r->shares[i].coefficient;
    return sum;
}

static inline fs_coll_request ask(fs_coll_kind kind, fs_algo algo, fs_proto proto, const uint32_t *gpus, uint32_t n,
                                  uint32_t root, double size)
{
    return (fs_coll_request){
        .kind = kind, .algo = algo, .proto = proto, .gpus = gpus, .n = n, .root = root, .size_bytes = size};
}

static inline fs_status lower(fabric *f, fs_coll_kind kind, fs_algo algo, const uint32_t *gpus, uint32_t n, double size,
                              const fs_plan **plan)
{
    fs_coll_request request = ask(kind, algo, FS_PROTO_AUTO, gpus, n, 0, size);
    return fs_lower(f->lowering, &request, plan, &f->err);
}

/* All GPUs of the topology, must succeed. */
static inline const fs_plan *lower_all(fabric *f, fs_coll_kind kind, fs_algo algo, double size)
{
    const fs_plan *plan = NULL;
    fs_status status = lower(f, kind, algo, f->topo->gpus, f->topo->n_gpus, size, &plan);
    if (status != FS_OK)
        print_error("%s\n", f->err.text);
    assert_int_equal(status, FS_OK);
    return plan;
}

/* Bytes that a plan puts on each link: bytes (n_links). */
static inline void plan_bytes(const fabric *f, const fs_plan *plan, double *bytes)
{
    for (uint32_t l = 0; l < f->topo->n_links; l++)
        bytes[l] = 0.0;
    for (uint32_t m = 0; m < plan->n_moves; m++) {
        uint32_t n;
        const fs_share *row = fs_pattern_row(f->patterns, plan->moves[m].pattern, &n);
        for (uint32_t i = 0; i < n; i++)
            bytes[row[i].resource] += row[i].coefficient * plan->moves[m].bytes;
    }
}

/* Bytes that leave (or enter) a device over all its links. */
static inline double egress(const fabric *f, const double *bytes, uint32_t dev)
{
    double sum = 0.0;
    for (uint32_t l = 0; l < f->topo->n_links; l++)
        sum += fs_topo_link(f->topo, l).src == dev ? bytes[l] : 0.0;
    return sum;
}

static inline double ingress(const fabric *f, const double *bytes, uint32_t dev)
{
    double sum = 0.0;
    for (uint32_t l = 0; l < f->topo->n_links; l++)
        sum += fs_topo_link(f->topo, l).dst == dev ? bytes[l] : 0.0;
    return sum;
}

static inline void near(double found, double expected)
{
    if (!(fabs(found - expected) <= 1e-9 * fmax(1e-300, fabs(expected))))
        print_error("found %.17g, expected %.17g\n", found, expected);
    assert_true(fabs(found - expected) <= 1e-9 * fmax(1e-300, fabs(expected)));
}

#endif
