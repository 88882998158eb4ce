/* prop_route.c - the router finds what its slow twin finds, on random machines with random faults: the same links with
 * the same fractions, or no way at all. What it is asked before does not matter. */
#include "route_twin.h"

#include "base/rng.h"
#include "topo/faults.h"
#include "topo/spec.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

enum { CASES = 600, PAIRS = 60, TEXT_SIZE = 32768 };

typedef struct text {
    char bytes[TEXT_SIZE];
    size_t used;
} text;

__attribute__((format(printf, 2, 3))) static void add(text *t, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int n = vsnprintf(t->bytes + t->used, sizeof t->bytes - t->used, format, args);
    va_end(args);
    assert_true(n >= 0 && (size_t)n < sizeof t->bytes - t->used);
    t->used += (size_t)n;
}

/* ---- random machines --------------------------------------------------------------------------------------------- */

static void add_parts(text *t)
{
    add(t, "<fabsim version='topology/1' name='random'><parts>"
           "<gpu name='g' arch='hopper' memory='80GB' memory-bandwidth='3TB/s' gemm-efficiency='0.7' "
           "memory-efficiency='0.9' launch='1us' power='700W' source='s'><peak dtype='fp16' flops='1TFLOP/s'/></gpu>"
           "<nvswitch name='v' latency='20ns' source='s'/><nic name='n' source='s'/><cpu name='c' source='s'/>"
           "<pcie-switch name='p' latency='30ns' source='s'/><net-switch name='w' latency='100ns' source='s'/>");
    static const struct {
        const char *name, *class_;
        int rate, latency;
    } types[] = {{"nv", "nvlink", 25, 10}, {"pc", "pcie", 32, 20}, {"up", "cpu", 20, 50}, {"e", "net", 50, 70}};
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        add(t,
            "<link-type name='%s' class='%s' tier='%s' bandwidth='%dGB/s' effective='%dGB/s' latency='%dns' "
            "source='s'/>",
            types[i].name, types[i].class_, types[i].name, types[i].rate, types[i].rate - 2, types[i].latency);
    add(t, "</parts>");
}

/* GPUs on NVSwitches with uneven lanes, or in a ring; each with a NIC of its own, behind PCIe switches and CPUs. */
static uint32_t add_board(text *t, fs_rng *rng)
{
    uint32_t gpus = 1 + fs_rng_below(rng, 4), switches = fs_rng_below(rng, 4);
    add(t, "<board name='b'><device name='gpu[0-%u]' part='g'/><device name='nic[0-%u]' part='n'/>", gpus - 1,
        gpus - 1);
    for (uint32_t s = 0; s < switches; s++) {
        add(t, "<device name='sw%u' part='v'/>", s);
        for (uint32_t g = 0; g < gpus; g++)
            add(t, "<link from='gpu%u' to='sw%u' type='nv' lanes='%u'/>", g, s, 1 + fs_rng_below(rng, 3));
    }
    for (uint32_t g = 0; switches == 0 && g < gpus && gpus > 2; g++)
        add(t, "<link from='gpu%u' to='gpu%u' type='nv'/>", g, (g + 1) % gpus);
    uint32_t style = fs_rng_below(rng, 3); /* NIC at the GPU; behind a switch; behind switches and two CPUs */
    if (style == 2)
        add(t, "<device name='cpu[0-1]' part='c'/><link from='cpu0' to='cpu1' type='up' lanes='2'/>");
    for (uint32_t g = 0; g < gpus; g++) {
        if (style == 0) {
            add(t, "<link from='gpu%u' to='nic%u' type='pc'/>", g, g);
            continue;
        }
        if (style == 2 || g == 0)
            add(t, "<device name='plx%u' part='p'/>", g);
        uint32_t plx = style == 2 ? g : 0;
        add(t, "<link from='gpu%u' to='plx%u' type='pc'/><link from='nic%u' to='plx%u' type='pc'/>", g, plx, g, plx);
        if (style == 2)
            add(t, "<link from='plx%u' to='cpu%u' type='pc'/>", g, g % 2);
    }
    add(t, "</board>");
    return gpus;
}

/* Leaves at random under spines and cores at random. */
static void add_network(text *t, fs_rng *rng, uint32_t nodes, uint32_t gpus)
{
    uint32_t leaves = 1 + fs_rng_below(rng, 5), spines = fs_rng_below(rng, 5), cores = fs_rng_below(rng, 3);
    bool rails = fs_rng_below(rng, 2) == 0, dense = fs_rng_below(rng, 3) > 0;
    add(t, "<device name='leaf[0-%u]' part='w'/>", leaves - 1);
    if (spines > 0)
        add(t, "<device name='spine[0-%u]' part='w'/>", spines - 1);
    if (cores > 0)
        add(t, "<device name='core[0-%u]' part='w'/>", cores - 1);
    for (uint32_t n = 0; n < nodes; n++)
        for (uint32_t g = 0; g < gpus; g++)
            add(t, "<link from='node%u/nic%u' to='leaf%u' type='e'/>", n, g, (rails ? g : n) % leaves);
    for (uint32_t l = 0; l < leaves; l++)
        for (uint32_t s = 0; s < spines; s++)
            if (dense || fs_rng_below(rng, 2) == 0)
                add(t, "<link from='leaf%u' to='spine%u' type='e' lanes='%u'/>", l, s, 1 + fs_rng_below(rng, 3));
    for (uint32_t s = 0; s < spines; s++)
        for (uint32_t c = 0; c < cores; c++)
            add(t, "<link from='spine%u' to='core%u' type='e' lanes='%u'/>", s, c, 1 + fs_rng_below(rng, 3));
    for (uint32_t l = 1; l < leaves && fs_rng_below(rng, 4) == 0; l++) /* and a chain, as in a torus */
        add(t, "<link from='leaf%u' to='leaf%u' type='e'/>", l - 1, l);
}

/* By the generators: a torus of switches, a dragonfly, planes. */
static void add_generated(text *t, fs_rng *rng, uint32_t rows, uint32_t columns, uint32_t gpus)
{
    const char *spread = fs_rng_below(rng, 2) ? "adaptive" : "spray";
    uint32_t planes = gpus % 2 == 0 ? 1 + fs_rng_below(rng, 2) : 1;
    add(t, "<network name='net' nodes='node' ports='nic[0-%u]' routing='%s' planes='%u'>", gpus - 1, spread, planes);
    switch (fs_rng_below(rng, 3)) {
    case 0:
        add(t,
            "<tier name='router' part='w' type='e' group='1' switches='1'/><torus dims='%ux%u' type='e' lanes='%u'/>",
            rows, columns, 1 + fs_rng_below(rng, 2));
        break;
    case 1:
        add(t,
            "<tier name='leaf' part='w' type='e' group='1' switches='1'/>"
            "<tier name='spine' part='w' type='e' group='%u' switches='%u'/><dragonfly cables='%u' type='e'/>",
            columns, 1 + fs_rng_below(rng, 3), 1 + fs_rng_below(rng, 4));
        break;
    default:
        add(t,
            "<tier name='leaf' part='w' type='e' group='%u' switches='1'/>"
            "<tier name='spine' part='w' type='e' group='2' switches='2' lanes='2'/>"
            "<tier name='core' part='w' type='e' switches='%u'/>",
            columns, 1 + fs_rng_below(rng, 3));
    }
    add(t, "</network>");
}

static fs_topo *random_machine(fs_rng *rng)
{
    static text t;
    fs_topo *topo = NULL;
    fs_err err;
    t.used = 0;
    add_parts(&t);
    uint32_t gpus = add_board(&t, rng), rows = 2 + fs_rng_below(rng, 3), columns = 2 + fs_rng_below(rng, 3);
    bool generated = fs_rng_below(rng, 3) == 0;
    uint32_t nodes = generated ? rows * columns : 2 + fs_rng_below(rng, 4);
    bool external = fs_rng_below(rng, 4) == 0; /* NVSwitches between the nodes */
    add(&t, "<system gpu-forwarding='%s'><place board='b' name='node' count='%u'/>",
        fs_rng_below(rng, 2) ? "yes" : "no", nodes);
    if (external)
        add(&t, "<device name='top' part='v'/><link from='node[0-%u]/gpu0' to='top' type='nv' lanes='2'/>", nodes - 1);
    if (generated)
        add_generated(&t, rng, rows, columns, gpus);
    else
        add_network(&t, rng, nodes, gpus);
    add(&t, "</system></fabsim>");
    fs_status status = fs_topo_parse("random.xml", t.bytes, t.used, NULL, 0, &topo, &err);
    if (status != FS_OK)
        print_error("%s\n%s\n", err.text, t.bytes);
    assert_int_equal(status, FS_OK);
    return topo;
}

/* Some links of switches slow down or fail, in both directions or in one. */
static void random_faults(fs_rng *rng, fs_topo *topo)
{
    fs_fault faults[4];
    char names[4][FS_LINK_NAME_SIZE];
    uint32_t n = 0;
    for (uint32_t i = 0; i < 4; i++) {
        uint32_t link = fs_rng_below(rng, topo->n_links);
        const fs_link l = fs_topo_link(topo, link);
        fs_device_kind a = fs_topo_device(topo, l.src).kind, b = fs_topo_device(topo, l.dst).kind;
        if (fs_rng_below(rng, 2) == 0 || (a == FS_DEVICE_NIC && b == FS_DEVICE_NET_SWITCH) ||
            (b == FS_DEVICE_NIC && a == FS_DEVICE_NET_SWITCH))
            continue;
        bool one_way = fs_rng_below(rng, 2) == 0;
        snprintf(names[n], sizeof names[n], "%s%s%s", FS_DEVICE_NAME(topo, l.src), one_way ? "->" : " - ",
                 FS_DEVICE_NAME(topo, l.dst));
        faults[n] = (fs_fault){.kind = FS_FAULT_LINK,
                               .name = names[n],
                               .speed = fs_rng_below(rng, 3) * 0.3,
                               .from_s = 0.0,
                               .to_s = INFINITY,
                               .origin = "test",
                               .status_if_bad = FS_E_TOPOLOGY};
        n++;
    }
    fs_err err;
    fs_status status = fs_topo_apply_faults(topo, faults, n, &err);
    if (status != FS_OK)
        print_error("%s\n", err.text);
    assert_int_equal(status, FS_OK);
}

/* ---- comparison -------------------------------------------------------------------------------------------------- */

static bool near_to(double a, double b)
{
    return fabs(a - b) <= 1e-12 * fmax(fabs(a), fabs(b));
}

/* As much leaves a device as enters it, but for the ends. */
static bool conserves(const twin *t, const fs_route *r)
{
    double *sum = fs_zalloc(t->topo->n_devices, sizeof *sum);
    bool good = true;
    sum[t->src] = 1.0;
    sum[t->dst] = -1.0;
    for (uint32_t i = 0; i < r->n_shares; i++) {
        sum[fs_topo_link(t->topo, r->shares[i].resource).src] -= r->shares[i].coefficient;
        sum[fs_topo_link(t->topo, r->shares[i].resource).dst] += r->shares[i].coefficient;
    }
    for (uint32_t d = 0; d < t->topo->n_devices; d++)
        good = good && fabs(sum[d]) < 1e-12;
    fs_free(sum);
    return good;
}

static bool same_route(const twin *t, const fs_route *r)
{
    uint32_t used = 0;
    bool good = near_to(r->latency_s, t->latency_s) && r->hops == t->hops &&
                (t->several || near_to(r->bandwidth_Bps, t->bandwidth_Bps)) && conserves(t, r);
    for (uint32_t l = 0; l < t->topo->n_links; l++)
        used += t->fraction[l] > 0.0;
    good = good && used == r->n_shares;
    for (uint32_t i = 0; good && i < r->n_shares; i++)
        good = t->fraction[r->shares[i].resource] > 0.0 &&
               (t->several || near_to(r->shares[i].coefficient, t->fraction[r->shares[i].resource])) &&
               (i == 0 || r->shares[i - 1].resource < r->shares[i].resource);
    return good;
}

static void explain(const twin *t, const fs_route *r)
{
    char name[FS_LINK_NAME_SIZE];
    print_error("from %s to %s by rule %d\n", FS_DEVICE_NAME(t->topo, t->src), FS_DEVICE_NAME(t->topo, t->dst),
                t->rule);
    print_error("twin: %u hops, %.17g s, %.17g B/s\n", t->hops, t->latency_s, t->bandwidth_Bps);
    for (uint32_t l = 0; l < t->topo->n_links; l++)
        if (t->fraction[l] > 0.0)
            print_error("  %s %.17g\n", fs_link_name(t->topo, l, name, sizeof name), t->fraction[l]);
    print_error("router: %u hops, %.17g s, %.17g B/s\n", r->hops, r->latency_s, r->bandwidth_Bps);
    for (uint32_t i = 0; i < r->n_shares; i++)
        print_error("  %s %.17g\n", fs_link_name(t->topo, r->shares[i].resource, name, sizeof name),
                    r->shares[i].coefficient);
}

static void check_pairs(uint64_t seed, const fs_topo *topo, uint32_t n_pairs)
{
    fs_rng rng = fs_rng_seed(seed);
    fs_router *router = NULL;
    fs_route_buffer buffer = {0};
    fs_err err;
    twin t = {.topo = topo,
              .places = fs_alloc(topo->n_devices, 3 * sizeof *t.places),
              .fraction = fs_alloc(topo->n_links, sizeof *t.fraction)};
    assert_int_equal(fs_router_new(topo, (fs_router_options){0}, &router, &err), FS_OK);
    for (uint32_t i = 0; i < n_pairs; i++) {
        uint32_t src = fs_rng_below(&rng, topo->n_devices), dst = fs_rng_below(&rng, topo->n_devices);
        if (src == dst)
            continue;
        const fs_route *found = NULL;
        bool there = twin_find(&t, src, dst);
        fs_status status = fs_router_find(router, src, dst, 0, &found, &err);
        bool good = status == (there ? FS_OK : FS_E_TOPOLOGY) && (!there || same_route(&t, found));
        if (good && there) /* again, now that all legs are known */
            good = fs_router_compose(router, src, dst, 0, &buffer, &err) == FS_OK && same_route(&t, &buffer.route);
        if (!good) {
            print_error("seed %llu: %s\n", (unsigned long long)seed, status == FS_OK ? "" : err.text);
            explain(&t, found ? found : &(fs_route){0});
        }
        assert_true(good);
    }
    fs_route_buffer_free(&buffer);
    fs_router_free(router);
    fs_free(t.places);
    fs_free(t.fraction);
}

static void random_machines(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= CASES; seed++) {
        fs_rng rng = fs_rng_seed(seed);
        fs_topo *topo = random_machine(&rng);
        if (fs_rng_below(&rng, 2) == 0)
            random_faults(&rng, topo);
        check_pairs(seed, topo, PAIRS);
        fs_topo_free(topo);
    }
}

static void shipped_machines(void **state)
{
    (void)state;
    static const char *const files[] = {"dgx1-v100", "dgx1-p100", "dgx2h", "dgx-a100", "dgx-h100-x2", "gb200-nvl72"};
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        char path[64];
        fs_topo *topo = NULL;
        fs_err err;
        snprintf(path, sizeof path, "topologies/%s.xml", files[i]);
        assert_int_equal(fs_topo_load(path, NULL, 0, &topo, &err), FS_OK);
        check_pairs(i, topo, 100);
        fs_topo_free(topo);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_machines),
        cmocka_unit_test(shipped_machines),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
