/* prop_bundle.c - on random fabrics, with faults and without: the maps of a bundled topology are consistent; routes over
 * it load each bundle with what routes over the whole load on its members, in equal parts; collectives take as long;
 * the flow between the halves of the GPUs is the same, folded or not. */
#include "base/mem.h"
#include "base/rng.h"
#include "coll/coll.h"
#include "topo/bundle.h"
#include "topo/faults.h"
#include "topo/max_flow.h"
#include "topo/spec.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { CASES = 250, PAIRS = 12, GROUPS = 2, FAULTS_MAX = 3 };
enum { GPU, NVSWITCH, NIC, PCIE, SWITCH }; /* parts, in the order of their ids */
enum { NVLINK, BUS, WIRE, FAT };           /* link types */

static const fs_place nowhere;

/* ---- random fabrics ---------------------------------------------------------------------------------------------- */

static void must(fs_status status, const fs_err *err)
{
    if (status != FS_OK)
        fail_msg("%s", err->text);
}

static void add_parts(fs_spec *spec, fs_rng *rng)
{
    fs_err err;
    const fs_part parts[] = {
        {.name = "gpu",
         .kind = FS_DEVICE_GPU,
         .arch = FS_HOPPER,
         .peak_flops = {[FS_FP16] = 1e15},
         .mem_bytes = 1e9,
         .mem_Bps = 1e12,
         .gemm_efficiency = 1,
         .mem_efficiency = 1,
         .launch_s = 1e-6},
        {.name = "nvswitch", .kind = FS_DEVICE_NVSWITCH, .latency_s = 50e-9, .multicast = fs_rng_below(rng, 2)},
        {.name = "nic", .kind = FS_DEVICE_NIC, .latency_s = 1e-7},
        {.name = "pcie", .kind = FS_DEVICE_PCIE_SWITCH},
        {.name = "switch", .kind = FS_DEVICE_NET_SWITCH, .latency_s = 200e-9}};
    const fs_link_type types[] = {{"nvlink", FS_CLASS_NVLINK, 0, 25e9, 20e9, 3e-7},
                                  {"bus", FS_CLASS_PCIE, 0, 60e9, 50e9, 1e-7},
                                  {"wire", FS_CLASS_NET, 0, 50e9, 47e9, 5e-7},
                                  {"fat", FS_CLASS_NET, 0, 70e9, 66e9, 6e-7}};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        must(fs_spec_part(spec, &parts[i], nowhere, &err), &err);
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        must(fs_spec_link_type(spec, &types[i], types[i].name, nowhere, &err), &err);
}

static void link_up(fs_spec *spec, uint32_t from, uint32_t to, uint32_t type, uint32_t lanes)
{
    fs_err err;
    must(fs_spec_cable(spec, from, to, type, lanes, nowhere, &err), &err);
}

/* GPUs, then NVSwitches, then a NIC beside each GPU, perhaps behind a PCIe switch. */
typedef struct board {
    uint32_t gpus, nvswitches, size, copies;
} board;

static void add_device(fs_spec *spec, const char *part, uint32_t number)
{
    fs_err err;
    char name[32];
    snprintf(name, sizeof name, "%s%u", part, number);
    must(fs_spec_device(spec, name, part, 0, nowhere, &err), &err);
}

static board add_board(fs_spec *spec, fs_rng *rng)
{
    fs_err err;
    board b = {1 + fs_rng_below(rng, 4), fs_rng_below(rng, 5), 0, 2 + fs_rng_below(rng, 4)};
    uint32_t even = fs_rng_below(rng, 3), pcie = fs_rng_below(rng, 2), first_nic = b.gpus + b.nvswitches;
    must(fs_spec_unit_begin(spec, true, &err), &err);
    for (uint32_t g = 0; g < b.gpus; g++)
        add_device(spec, "gpu", g);
    for (uint32_t s = 0; s < b.nvswitches; s++)
        add_device(spec, "nvswitch", s);
    for (uint32_t g = 0; g < b.gpus; g++)
        add_device(spec, "nic", g);
    if (pcie)
        add_device(spec, "pcie", 0);
    for (uint32_t g = 0; g < b.gpus; g++) {
        for (uint32_t s = 0; s < b.nvswitches; s++)
            link_up(spec, g, b.gpus + s, NVLINK, even ? 2 : 1 + s % 2);
        link_up(spec, g, pcie ? first_nic + b.gpus : first_nic + g, BUS, 1);
        if (pcie)
            link_up(spec, first_nic + b.gpus, first_nic + g, BUS, 1);
    }
    b.size = first_nic + b.gpus + pcie;
    must(fs_spec_place(spec, fs_spec_unit_end(spec), "node", true, b.copies, nowhere, &err), &err);
    return b;
}

static uint32_t add_switches(fs_spec *spec, const char *name, uint32_t n, uint32_t part, uint32_t network)
{
    fs_err err;
    uint32_t first;
    must(fs_spec_switches(spec, name, n, part, network, &first, nowhere, &err), &err);
    return first;
}

/* Every lower switch to every upper one; sometimes one connection is different. */
static void join_tiers(fs_spec *spec, fs_rng *rng, uint32_t lower, uint32_t n_lower, uint32_t upper, uint32_t n_upper)
{
    uint32_t lanes = 1 + fs_rng_below(rng, 2), cables = 1 + fs_rng_below(rng, 2),
             odd = fs_rng_below(rng, 4 * n_lower * n_upper);
    for (uint32_t i = 0; i < n_lower; i++)
        for (uint32_t j = 0; j < n_upper; j++)
            for (uint32_t k = 0; k < cables; k++)
                link_up(spec, lower + i, upper + j, i * n_upper + j == odd ? FAT : WIRE, lanes);
}

/* Leaves by rail or by node, spines, and perhaps cores over two halves of the spines. */
static void add_network(fs_spec *spec, fs_rng *rng, board b)
{
    bool by_rail = fs_rng_below(rng, 2), cores = fs_rng_below(rng, 2);
    uint32_t leaves = by_rail ? b.gpus : b.copies, spines = 2 + 2 * fs_rng_below(rng, 3);
    uint32_t leaf = add_switches(spec, "leaf", leaves, SWITCH, 0), half = spines / 2;
    for (uint32_t n = 0; n < b.copies; n++)
        for (uint32_t g = 0; g < b.gpus; g++)
            link_up(spec, n * b.size + b.gpus + b.nvswitches + g, leaf + (by_rail ? g : n), WIRE, 1);
    uint32_t spine = add_switches(spec, "spine", spines, SWITCH, 0);
    for (uint32_t i = 0, ring = fs_rng_below(rng, 4) == 0; ring && i < spines; i++) /* of no use to anybody */
        link_up(spec, spine + i, spine + (i + 1) % spines, WIRE, 1);
    if (!cores || leaves < 2) {
        join_tiers(spec, rng, leaf, leaves, spine, spines);
        return;
    }
    uint32_t n_cores = half * (1 + fs_rng_below(rng, 2)), core = add_switches(spec, "core", n_cores, SWITCH, 0);
    join_tiers(spec, rng, leaf, leaves / 2, spine, half);
    join_tiers(spec, rng, leaf + leaves / 2, leaves - leaves / 2, spine + half, half);
    if (fs_rng_below(rng, 2)) {
        join_tiers(spec, rng, spine, spines, core, n_cores);
        return;
    }
    for (uint32_t c = 0; c < n_cores; c++) { /* a core sees one spine of each half */
        link_up(spec, spine + c % half, core + c, WIRE, 1);
        link_up(spec, spine + half + c % half, core + c, WIRE, 1);
    }
}

/* NVSwitches outside the boards: each is cabled to some of every board's. Perhaps the last one is of another network,
 * which tells those apart that it is cabled to. */
static void add_nvlink_network(fs_spec *spec, fs_rng *rng, board b)
{
    fs_err err;
    fs_network network = {"other", FS_ROUTING_ADAPTIVE};
    uint32_t n = 1 + fs_rng_below(rng, 6), first = add_switches(spec, "l2-", n, NVSWITCH, 0);
    bool all = fs_rng_below(rng, 2), crossed = fs_rng_below(rng, 4) == 0;
    if (fs_rng_below(rng, 2)) {
        must(fs_spec_network(spec, &network, nowhere, &err), &err);
        add_switches(spec, "other", 1, NVSWITCH, 1);
        n++;
    }
    for (uint32_t i = 0; i < n; i++)
        for (uint32_t node = 0; node < b.copies; node++)
            for (uint32_t s = 0; s < b.nvswitches; s++)
                if (all || (i + (crossed ? node / 2 : 0)) % b.nvswitches == s)
                    link_up(spec, node * b.size + b.gpus + s, first + i, NVLINK, 1);
}

static void add_faults(fs_topo *topo, fs_rng *rng)
{
    fs_err err;
    fs_fault faults[FAULTS_MAX];
    char names[FAULTS_MAX][FS_LINK_NAME_SIZE];
    uint32_t n = fs_rng_below(rng, FAULTS_MAX + 1);
    for (uint32_t i = 0; i < n; i++) {
        fs_link_name(topo, fs_rng_below(rng, topo->n_links), names[i], sizeof names[i]);
        if (fs_rng_below(rng, 2)) /* both directions */
            memcpy(strstr(names[i], " -> "), " -  ", 4);
        faults[i] = (fs_fault){.kind = FS_FAULT_LINK,
                               .name = names[i],
                               .speed = fs_rng_below(rng, 4) / 4.0,
                               .from_s = fs_rng_below(rng, 2),
                               .to_s = fs_rng_below(rng, 2) ? 2 : INFINITY,
                               .origin = "test",
                               .status_if_bad = FS_E_USAGE};
    }
    must(fs_topo_apply_faults(topo, faults, n, &err), &err);
}

static fs_topo *random_fabric(fs_rng *rng)
{
    fs_err err;
    fs_topo *topo;
    fs_spec *spec = fs_spec_new("random", NULL);
    assert_non_null(spec);
    add_parts(spec, rng);
    static const fs_routing routings[] = {FS_ROUTING_ADAPTIVE, FS_ROUTING_SPRAY, FS_ROUTING_ECMP, FS_ROUTING_STATIC};
    fs_network network = {"net", routings[fs_rng_below(rng, 4)]};
    must(fs_spec_network(spec, &network, nowhere, &err), &err);
    board b = add_board(spec, rng);
    if (b.nvswitches > 0 && fs_rng_below(rng, 2))
        add_nvlink_network(spec, rng, b);
    add_network(spec, rng, b);
    must(fs_spec_freeze(spec, &topo, &err), &err);
    fs_spec_free(spec);
    if (fs_rng_below(rng, 2))
        add_faults(topo, rng);
    return topo;
}

/* ---- properties -------------------------------------------------------------------------------------------------- */

static bool near(double a, double b, double tolerance)
{
    return fabs(a - b) <= tolerance * fmax(fabs(a), fabs(b));
}

static bool maps_devices(const fs_topo *whole, const fs_topo *small)
{
    uint32_t members = 0;
    for (uint32_t d = 0; d < small->n_devices; d++)
        for (uint32_t i = 0; i < fs_bundle_devices(small, d); i++, members++) {
            uint32_t member = fs_bundle_device(small, d, i);
            fs_device a = fs_topo_device(whole, member), b = fs_topo_device(small, d);
            bool is_switch = a.kind != FS_DEVICE_GPU && a.kind != FS_DEVICE_NIC && a.kind != FS_DEVICE_CPU;
            if (fs_bundle_of_device(small, member) != d || a.kind != b.kind || a.part != b.part || a.node != b.node ||
                a.network != b.network || a.rail != b.rail || (!is_switch && a.index != b.index))
                return false;
            if (fs_bundle_devices(small, d) == 1 &&
                strcmp(FS_DEVICE_NAME(whole, member), FS_DEVICE_NAME(small, d)) != 0)
                return false;
        }
    for (uint32_t g = 0; g < whole->n_gpus; g++)
        if (fs_bundle_of_device(small, whole->gpus[g]) != small->gpus[g])
            return false;
    for (uint32_t n = 0; n < whole->n_nodes; n++)
        if (strcmp(FS_NODE_NAME(whole, n), FS_NODE_NAME(small, n)) != 0)
            return false;
    return members == whole->n_devices && small->n_gpus == whole->n_gpus && small->n_nodes == whole->n_nodes;
}

static bool maps_links(const fs_topo *whole, const fs_topo *small)
{
    uint32_t members = 0;
    for (uint32_t l = 0; l < small->n_links; l++) {
        fs_link bundle = fs_topo_link(small, l);
        double sum = 0;
        uint32_t lanes = 0;
        for (uint32_t i = 0; i < fs_bundle_links(small, l); i++, members++) {
            uint32_t member = fs_bundle_link(small, l, i);
            fs_link link = fs_topo_link(whole, member);
            sum += link.effective_Bps;
            lanes += link.lanes;
            if (fs_bundle_of_link(small, member) != l || link.type != bundle.type ||
                link.latency_s != bundle.latency_s || fs_bundle_of_device(small, link.src) != bundle.src ||
                fs_bundle_of_device(small, link.dst) != bundle.dst)
                return false;
            for (uint32_t e = 0; e < whole->n_epochs; e++)
                if (fs_topo_link_factor(whole, member, e) != fs_topo_link_factor(small, l, e))
                    return false;
        }
        if (!near(sum, bundle.effective_Bps, 1e-12) || lanes != bundle.lanes)
            return false;
    }
    return members == whole->n_links;
}

/* load (whole->n_links): what the route over the whole puts on each link. */
static bool same_route(const fs_topo *whole, const fs_topo *small, const fs_route *a, const fs_route *b, double *load)
{
    bool good = near(a->latency_s, b->latency_s, 1e-12) && near(a->bandwidth_Bps, b->bandwidth_Bps, 1e-12) &&
                near(a->effective_Bps, b->effective_Bps, 1e-12) && a->hops == b->hops &&
                a->worst_class == b->worst_class;
    memset(load, 0, whole->n_links * sizeof *load);
    for (uint32_t i = 0; i < a->n_shares; i++)
        load[a->shares[i].resource] += a->shares[i].coefficient;
    uint32_t used = 0;
    for (uint32_t i = 0; i < b->n_shares; i++) {
        uint32_t n = fs_bundle_links(small, b->shares[i].resource);
        used += n;
        for (uint32_t k = 0; k < n; k++)
            good = good &&
                   near(load[fs_bundle_link(small, b->shares[i].resource, k)] * n, b->shares[i].coefficient, 1e-12);
    }
    return good && used == a->n_shares;
}

static bool same_routes(const fs_topo *whole, const fs_topo *small, uint32_t epoch, fs_rng *rng)
{
    fs_err err;
    fs_router *routers[2];
    fs_router_options options = {.epoch = epoch, .seed = 7};
    must(fs_router_new(whole, options, &routers[0], &err), &err);
    must(fs_router_new(small, options, &routers[1], &err), &err);
    double *load = fs_alloc(whole->n_links, sizeof *load);
    bool good = true;
    for (uint32_t i = 0; good && i < PAIRS; i++) {
        uint32_t ends[2];
        for (int k = 0; k < 2; k++)
            do
                ends[k] = fs_rng_below(rng, whole->n_devices);
            while (fs_topo_device(whole, ends[k]).kind != FS_DEVICE_GPU &&
                   fs_topo_device(whole, ends[k]).kind != FS_DEVICE_NIC);
        if (ends[0] == ends[1])
            continue;
        const fs_route *a, *b;
        uint64_t flow = fs_rng_below(rng, 4);
        fs_status status = fs_router_find(routers[0], ends[0], ends[1], flow, &a, &err);
        good = fs_router_find(routers[1], fs_bundle_of_device(small, ends[0]), fs_bundle_of_device(small, ends[1]),
                              flow, &b, &err) == status;
        if (good && status == FS_OK)
            good = same_route(whole, small, a, b, load);
        if (!good)
            print_error("from %s to %s in epoch %u\n", FS_DEVICE_NAME(whole, ends[0]), FS_DEVICE_NAME(whole, ends[1]),
                        epoch);
    }
    fs_free(load);
    fs_router_free(routers[0]);
    fs_router_free(routers[1]);
    return good;
}

typedef struct bench { /* what collectives are lowered with */
    fs_router *router;
    fs_pattern_table *patterns;
    fs_lowering *lowering;
} bench;

static bench open_bench(const fs_topo *topo)
{
    fs_err err;
    bench b = {.patterns = fs_pattern_table_new()};
    assert_non_null(b.patterns);
    must(fs_router_new(topo, (fs_router_options){0}, &b.router, &err), &err);
    must(fs_lowering_new(topo, b.router, b.patterns, (fs_lowering_options){.cost = FS_COST_NCCL}, &b.lowering, &err),
         &err);
    return b;
}

static void close_bench(bench *b)
{
    fs_lowering_free(b->lowering);
    fs_router_free(b->router);
    fs_pattern_table_free(b->patterns);
}

static bool same_plans(const bench benches[2], fs_coll_request q[2])
{
    fs_err err;
    const fs_plan *a, *b;
    fs_status status = fs_lower(benches[0].lowering, &q[0], &a, &err);
    if (fs_lower(benches[1].lowering, &q[1], &b, &err) != status)
        return false;
    return status != FS_OK || (a->algo == b->algo && a->proto == b->proto && a->channels == b->channels &&
                               a->n_moves == b->n_moves && near(a->estimate_s, b->estimate_s, 1e-9));
}

static bool same_collectives(const fs_topo *whole, const fs_topo *small, fs_rng *rng)
{
    bench benches[2] = {open_bench(whole), open_bench(small)};
    uint32_t *gpus[2] = {fs_alloc(whole->n_gpus, sizeof(uint32_t)), fs_alloc(whole->n_gpus, sizeof(uint32_t))};
    bool good = true;
    for (uint32_t i = 0; good && i < GROUPS; i++) {
        uint32_t n = 0;
        for (uint32_t g = 0; g < whole->n_gpus; g++)
            if (fs_rng_below(rng, 3) > 0) {
                gpus[0][n] = whole->gpus[g];
                gpus[1][n++] = small->gpus[g];
            }
        fs_coll_request q[2] = {{.n = n, .gpus = gpus[0], .size_bytes = 1 + fs_rng_below(rng, 1u << 30)}};
        for (fs_coll_kind kind = FS_ALL_REDUCE; n > 1 && good && kind < FS_SENDRECV; kind++)
            for (fs_algo algo = FS_ALGO_AUTO; good && algo < FS_ALGOS; algo++) {
                q[0].kind = kind;
                q[0].algo = algo;
                q[1] = q[0];
                q[1].gpus = gpus[1];
                good = same_plans(benches, q);
                if (!good)
                    print_error("%s by %s of %u GPUs\n", fs_coll_names[kind], fs_algo_names[algo], n);
            }
    }
    for (int k = 0; k < 2; k++) {
        fs_free(gpus[k]);
        close_bench(&benches[k]);
    }
    return good;
}

/* What the links of one type carry from one half of the GPUs to the other, and all together, and NVLinks left out. */
static void find_flows(const fs_topo *topo, bool fold, double flow[3])
{
    fs_err err;
    fs_flow_net net;
    must(fs_flow_net_make(topo, fold, &net, &err), &err);
    double *capacity = fs_alloc(net.n_arcs, sizeof *capacity);
    for (uint32_t k = 0; k < 3; k++) {
        for (uint32_t a = 0; a < net.n_arcs; a++) {
            fs_link_class class_ = topo->link_types[net.type[a]].class_;
            bool out = (k == 1 && class_ == FS_CLASS_NVLINK) || (k == 2 && class_ == FS_CLASS_NET);
            capacity[a] = out ? 0 : net.bandwidth_Bps[a];
        }
        must(fs_max_flow(&net, capacity, &flow[k], &err), &err);
    }
    fs_free(capacity);
    fs_flow_net_free(&net);
}

static bool same_flows(const fs_topo *whole, const fs_topo *small)
{
    double flows[3][3];
    find_flows(whole, false, flows[0]);
    find_flows(whole, true, flows[1]);
    find_flows(small, true, flows[2]);
    bool good = true;
    for (int i = 1; i < 3; i++)
        for (int k = 0; k < 3; k++)
            good = good && near(flows[i][k], flows[0][k], 1e-12);
    if (!good)
        print_error("max flow: %g, folded %g, bundled %g\n", flows[0][0], flows[1][0], flows[2][0]);
    return good;
}

static bool one_case(uint64_t seed, uint32_t *merged)
{
    fs_rng rng = fs_rng_seed(seed);
    fs_topo *whole = random_fabric(&rng), *small;
    fs_err err;
    must(fs_topo_bundle(whole, &small, &err), &err);
    *merged += small->n_devices < whole->n_devices;
    bool good = maps_devices(whole, small) && maps_links(whole, small) && same_flows(whole, small);
    for (uint32_t e = 0; good && e < whole->n_epochs; e++)
        good = same_routes(whole, small, e, &rng);
    if (whole->n_faults == 0) /* the structure of a collective is that of the healthy machine */
        good = good && same_collectives(whole, small, &rng);
    fs_topo_free(small);
    fs_topo_free(whole);
    return good;
}

static void bundles_route_alike(void **state)
{
    (void)state;
    const char *text = getenv("FABSIM_TEST_SEED");
    uint64_t first = text ? strtoull(text, NULL, 10) : 1, count = text ? 1 : CASES;
    uint32_t merged = 0;
    for (uint64_t seed = first; seed < first + count; seed++)
        if (!one_case(seed, &merged))
            fail_msg("FABSIM_TEST_SEED=%llu", (unsigned long long)seed);
    assert_true(text || merged > CASES / 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(bundles_route_alike)};
    return cmocka_run_group_tests_name("prop_bundle", tests, NULL, NULL);
}
