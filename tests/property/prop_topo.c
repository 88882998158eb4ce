/* prop_topo.c - properties of random topologies: written as XML they read back the same, bit for bit; the arrays
 * of a frozen topology are consistent; a survey's flows obey what flows must. */
#include "topo/spec.h"
#include "topo/survey.h"

#include "base/mem.h"
#include "base/rng.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { CASES = 300 };

static const fs_place nowhere;

/* A positive figure of any magnitude within the bounds, with a full mantissa. */
static double figure(fs_rng *rng, double low, double high)
{
    double x = low * (1 + fs_rng_unit(rng));
    for (uint32_t n = fs_rng_below(rng, 40); n > 0 && x * 2.5 < high; n--)
        x *= 2.5;
    return x < high ? x : high;
}

static fs_part random_part(fs_rng *rng, const char *name, fs_device_kind kind)
{
    fs_part p = {.name = name, .kind = kind, .power_W = fs_rng_below(rng, 2) ? figure(rng, 1e-3, 1e6) : 0};
    if (kind != FS_DEVICE_GPU) {
        p.latency_s = fs_rng_below(rng, 2) ? figure(rng, 1e-9, 1) : 0;
        p.multicast = kind == FS_DEVICE_NVSWITCH && fs_rng_below(rng, 2);
        return p;
    }
    p.arch = (fs_arch)fs_rng_below(rng, FS_ARCHS);
    p.peak_flops[fs_rng_below(rng, FS_DTYPES)] = figure(rng, 1e9, 1e20);
    p.peak_flops[fs_rng_below(rng, FS_DTYPES)] = figure(rng, 1e9, 1e20);
    p.mem_bytes = figure(rng, 1, 1e15);
    p.mem_Bps = figure(rng, 1, 1e15);
    p.gemm_efficiency = figure(rng, 1e-3, 1);
    p.mem_efficiency = figure(rng, 1e-3, 1);
    p.launch_s = figure(rng, 1e-7, 1e-3);
    return p;
}

static void add_parts(fs_spec *spec, fs_rng *rng, uint32_t n_types)
{
    fs_err err;
    char name[32], tier[32];
    for (int k = 0; k < FS_DEVICE_KINDS; k++) {
        snprintf(name, sizeof name, "part%d", k);
        fs_part part = random_part(rng, name, (fs_device_kind)k);
        assert_int_equal(fs_spec_part(spec, &part, nowhere, &err), FS_OK);
    }
    for (uint32_t t = 0; t < n_types; t++) {
        snprintf(name, sizeof name, "type%u", t);
        snprintf(tier, sizeof tier, "tier%u", fs_rng_below(rng, 3));
        fs_link_type type = {.name = name, .class_ = (fs_link_class)fs_rng_below(rng, FS_LINK_CLASSES)};
        type.bandwidth_Bps = figure(rng, 1e6, 1e12);
        type.effective_Bps = type.bandwidth_Bps * (0.5 + fs_rng_unit(rng) / 2);
        type.latency_s = fs_rng_below(rng, 3) ? figure(rng, 1e-9, 1e-3) : 0;
        assert_int_equal(fs_spec_link_type(spec, &type, tier, nowhere, &err), FS_OK);
    }
}

static void add_link(fs_spec *spec, fs_rng *rng, uint32_t a, uint32_t b, uint32_t n_types)
{
    fs_err err;
    char from[32], to[32], type[32];
    uint32_t lanes = fs_rng_below(rng, 2) ? 1 : 1 + fs_rng_below(rng, 4096);
    snprintf(from, sizeof from, "a/dev.%u", a);
    snprintf(to, sizeof to, "a/dev.%u", b);
    snprintf(type, sizeof type, "type%u", fs_rng_below(rng, n_types));
    assert_int_equal(fs_spec_link(spec, from, to, type, lanes, nowhere, &err), FS_OK);
}

/* Devices of all kinds on up to three nodes in any order, joined by a random tree and some more links. */
static fs_topo *random_topo(fs_rng *rng)
{
    fs_err err;
    char name[32], part[32];
    uint32_t n_types = 1 + fs_rng_below(rng, 4), n_nodes = fs_rng_below(rng, 4), n_devices = 2 + fs_rng_below(rng, 20);
    fs_spec *spec = fs_spec_new("random <\"&'> topology", "random");
    assert_non_null(spec);
    fs_spec_set_forwarding(spec, fs_rng_below(rng, 2));
    add_parts(spec, rng, n_types);
    for (uint32_t n = 0; n < n_nodes; n++) {
        uint32_t node;
        snprintf(name, sizeof name, "node%u", n);
        assert_int_equal(fs_spec_node(spec, name, &node, nowhere, &err), FS_OK);
    }
    for (uint32_t d = 0; d < n_devices; d++) {
        uint32_t node = fs_rng_below(rng, n_nodes + 1),
                 kind = d == 0 ? FS_DEVICE_GPU : fs_rng_below(rng, FS_DEVICE_KINDS);
        snprintf(name, sizeof name, "a/dev.%u", d);
        snprintf(part, sizeof part, "part%u", kind);
        assert_int_equal(fs_spec_device(spec, name, part, node == n_nodes ? FS_NONE : node, nowhere, &err), FS_OK);
    }
    for (uint32_t d = 1; d < n_devices; d++)
        add_link(spec, rng, d, fs_rng_below(rng, d), n_types);
    for (uint32_t more = fs_rng_below(rng, 20); more > 0; more--) {
        uint32_t a = fs_rng_below(rng, n_devices), b = fs_rng_below(rng, n_devices);
        if (a != b)
            add_link(spec, rng, a, b, n_types);
    }
    fs_topo *topo;
    assert_int_equal(fs_spec_freeze(spec, &topo, &err), FS_OK);
    fs_spec_free(spec);
    return topo;
}

/* ---- properties -------------------------------------------------------------------------------------------------- */

static bool same_parts(const fs_topo *a, const fs_topo *b)
{
    for (uint32_t i = 0; i < a->n_parts; i++) {
        fs_part p = a->parts[i], q = b->parts[i];
        if (strcmp(p.name, q.name) != 0 || memcmp(p.peak_flops, q.peak_flops, sizeof p.peak_flops) != 0 ||
            p.kind != q.kind || p.arch != q.arch || p.mem_bytes != q.mem_bytes || p.mem_Bps != q.mem_Bps ||
            p.gemm_efficiency != q.gemm_efficiency || p.mem_efficiency != q.mem_efficiency ||
            p.launch_s != q.launch_s || p.power_W != q.power_W || p.latency_s != q.latency_s ||
            p.multicast != q.multicast)
            return false;
    }
    for (uint32_t i = 0; i < a->n_link_types; i++) {
        fs_link_type s = a->link_types[i], t = b->link_types[i];
        if (strcmp(s.name, t.name) != 0 || s.class_ != t.class_ || s.tier != t.tier ||
            s.bandwidth_Bps != t.bandwidth_Bps || s.effective_Bps != t.effective_Bps || s.latency_s != t.latency_s)
            return false;
    }
    for (uint32_t i = 0; i < a->n_tiers; i++)
        if (strcmp(a->tiers[i].name, b->tiers[i].name) != 0)
            return false;
    return true;
}

static bool same_graph(const fs_topo *a, const fs_topo *b)
{
    for (uint32_t i = 0; i < a->n_nodes; i++)
        if (strcmp(FS_NODE_NAME(a, i), FS_NODE_NAME(b, i)) != 0)
            return false;
    for (uint32_t i = 0; i < a->n_devices; i++) {
        const fs_device d = fs_topo_device(a, i), e = fs_topo_device(b, i);
        if (strcmp(FS_DEVICE_NAME(a, i), FS_DEVICE_NAME(b, i)) != 0 || d.kind != e.kind || d.part != e.part ||
            d.node != e.node || d.index != e.index || d.rail != e.rail)
            return false;
    }
    for (uint32_t i = 0; i < a->n_links; i++) {
        const fs_link l = fs_topo_link(a, i), m = fs_topo_link(b, i);
        if (l.src != m.src || l.dst != m.dst || l.type != m.type || l.lanes != m.lanes ||
            l.bandwidth_Bps != m.bandwidth_Bps || l.effective_Bps != m.effective_Bps || l.latency_s != m.latency_s)
            return false;
    }
    return memcmp(a->gpus, b->gpus, a->n_gpus * sizeof *a->gpus) == 0;
}

static bool same(const fs_topo *a, const fs_topo *b)
{
    return strcmp(a->name, b->name) == 0 && a->hash == b->hash && a->gpu_forwarding == b->gpu_forwarding &&
           a->n_parts == b->n_parts && a->n_link_types == b->n_link_types && a->n_tiers == b->n_tiers &&
           a->n_devices == b->n_devices && a->n_links == b->n_links && a->n_gpus == b->n_gpus &&
           a->n_nodes == b->n_nodes && same_parts(a, b) && same_graph(a, b);
}

static bool reads_back(const fs_topo *topo, const char *path)
{
    fs_out *out;
    fs_err err;
    fs_topo *again;
    if (fs_out_open(path, &out, &err) != FS_OK)
        return false;
    fs_topo_write_xml(topo, out);
    if (fs_out_close(out, &err) != FS_OK)
        return false;
    if (fs_topo_load(path, NULL, 0, &again, &err) != FS_OK) {
        print_message("%u:%u: %s\n", err.line, err.column, err.text);
        return false;
    }
    bool equal = same(topo, again);
    fs_topo_free(again);
    return equal;
}

static bool consistent(const fs_topo *t)
{
    uint32_t gpus = 0, n_out = 0;
    for (uint32_t d = 0; d < t->n_devices; d++) {
        const fs_device device = fs_topo_device(t, d);
        gpus += device.kind == FS_DEVICE_GPU;
        if (device.part >= t->n_parts || t->parts[device.part].kind != device.kind ||
            fs_topo_find(t, FS_DEVICE_NAME(t, d)) != d ||
            (device.kind == FS_DEVICE_GPU && t->gpus[device.index] != d) ||
            (device.rail != FS_NONE) != (device.kind == FS_DEVICE_NIC && device.node != FS_NONE))
            return false;
        for (uint32_t i = 0; i < fs_topo_out_count(t, d); i++, n_out++) {
            uint32_t link = fs_topo_out_link(t, d, i);
            if (fs_topo_link(t, link).src != d || (i > 0 && link <= fs_topo_out_link(t, d, i - 1)))
                return false;
        }
    }
    for (uint32_t l = 0; l < t->n_links; l++) {
        const fs_link link = fs_topo_link(t, l), back = fs_topo_link(t, l ^ 1);
        if (link.src != back.dst || link.type != back.type || link.lanes != back.lanes ||
            link.bandwidth_Bps != back.bandwidth_Bps || link.effective_Bps > link.bandwidth_Bps)
            return false;
    }
    return gpus == t->n_gpus && n_out == t->n_links;
}

/* The flow between the halves is at most what leaves the first half, and nothing where there is one GPU. */
static bool survey_is_sound(const fs_topo *topo)
{
    fs_survey s;
    fs_err err;
    double leaving = 0;
    if (fs_survey_make(topo, &s, &err) != FS_OK)
        return false;
    for (uint32_t l = 0; l < topo->n_links; l++) {
        const fs_device src = fs_topo_device(topo, fs_topo_link(topo, l).src);
        if (src.kind == FS_DEVICE_GPU && src.index < topo->n_gpus / 2)
            leaving += fs_topo_link(topo, l).bandwidth_Bps;
    }
    bool good = s.bisection_Bps <= leaving * (1 + 1e-12) &&
                (topo->n_gpus > 1 || (s.bisection_Bps == 0 && s.all_reach)) && s.largest_domain >= 1 &&
                (uint64_t)s.largest_domain * s.scale_up_domains >= topo->n_gpus;
    for (uint32_t t = 0; t < topo->n_tiers; t++)
        good = good && s.tiers[t].carries_gpus == (s.tiers[t].bisection_Bps > 0);
    fs_survey_free(&s);
    return good;
}

static void random_topologies_hold(void **state)
{
    (void)state;
    const char *text = getenv("FABSIM_TEST_SEED");
    uint64_t first = text ? strtoull(text, NULL, 10) : 1, count = text ? 1 : CASES;
    char path[] = "/tmp/fabsim-prop-topo-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    FILE *file = fdopen(fd, "w");
    fclose(file);
    for (uint64_t seed = first; seed < first + count; seed++) {
        fs_rng rng = fs_rng_seed(seed);
        fs_topo *topo = random_topo(&rng);
        bool good = consistent(topo) && reads_back(topo, path) && survey_is_sound(topo);
        fs_topo_free(topo);
        if (!good) /* the file stays, to look at */
            fail_msg("FABSIM_TEST_SEED=%llu", (unsigned long long)seed);
    }
    remove(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(random_topologies_hold)};
    return cmocka_run_group_tests_name("prop_topo", tests, NULL, NULL);
}
