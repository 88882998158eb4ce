/* prop_pat.c - PAT over nodes of one rank each, on random networks of planes and tiers: lane by lane, as the coupled lowering
 * walks it, it has the bytes on every link and the estimate that it has edge by edge, as flows. */
#include "../unit/fabric_case.h"
#include "seeds.h"

#include "base/rng.h"
#include "topo/faults.h"

enum { CASES = 300, NODES_MAX = 40 };

typedef struct network {
    uint32_t nodes, gpus, planes, leaf, spine; /* nodes of a leaf, leaves of a spine's group */
    bool rails, dead_cable;
} network;

static network random_network(fs_rng *rng)
{
    return (network){.nodes = 2 + fs_rng_below(rng, NODES_MAX - 1),
                     .gpus = 1 + fs_rng_below(rng, 2),
                     .planes = 1 + fs_rng_below(rng, 2),
                     .leaf = 1 + fs_rng_below(rng, 9),
                     .spine = 1 + fs_rng_below(rng, 4),
                     .rails = fs_rng_below(rng, 2),
                     .dead_cable = fs_rng_below(rng, 4) == 0};
}

/* Each GPU has a NIC on each plane behind a PCIe switch of its own; a cable may be missing between a leaf and a spine. */
static fabric open_network(const network *net, fs_lowering_mode mode)
{
    char devices[1024] = "", text[4096];
    size_t at = 0;
    for (uint32_t g = 0; g < net->gpus; g++) {
        at += (size_t)snprintf(devices + at, sizeof devices - at,
                               "<device name='gpu%u' part='g'/><device name='sw%u' part='ps'/>"
                               "<link from='gpu%u' to='sw%u' type='p'/>",
                               g, g, g, g);
        for (uint32_t k = 0; k < net->planes; k++)
            at += (size_t)snprintf(devices + at, sizeof devices - at,
                                   "<device name='nic%u' part='n'/><link from='sw%u' to='nic%u' type='p'/>",
                                   g * net->planes + k, g, g * net->planes + k);
    }
    snprintf(
        text, sizeof text,
        "<fabsim version='topology/1' name='t'><parts>"
        "<gpu name='g' arch='hopper' memory='80GB' memory-bandwidth='3TB/s' gemm-efficiency='0.7' "
        "memory-efficiency='0.9' launch='1us' power='700W' source='s'><peak dtype='fp16' flops='1TFLOP/s'/></gpu>"
        "<nic name='n' source='s'/><pcie-switch name='ps' latency='100ns' source='s'/><net-switch name='w' "
        "latency='300ns' source='s'/>"
        "<link-type name='p' class='pcie' tier='pcie' bandwidth='100GB/s' effective='90GB/s' latency='200ns' "
        "source='s'/><link-type name='e' class='net' tier='net' bandwidth='50GB/s' effective='45GB/s' latency='1us' "
        "source='s'/></parts><board name='b'>%s</board><system><place board='b' name='node' count='%u'/>"
        "<network name='net' nodes='node' ports='nic[0-%u]' planes='%u' rails='%u' routing='adaptive'>"
        "<tier name='leaf' part='w' type='e' %s group='%u' switches='%u'/>"
        "<tier name='spine' part='w' type='e' group='%u' switches='3'/><tier name='core' part='w' type='e' "
        "switches='2'/></network></system></fabsim>",
        devices, net->nodes, net->gpus * net->planes - 1, net->planes, net->rails ? net->gpus : 1,
        net->rails ? "by='rail'" : "", net->leaf, net->rails ? net->gpus : 1, net->spine);
    fabric f = {0};
    fs_status status = fs_topo_parse("t.xml", text, strlen(text), NULL, 0, &f.topo, &f.err);
    if (status != FS_OK)
        print_error("%s\n", f.err.text);
    assert_int_equal(status, FS_OK);
    fs_fault down = {.kind = FS_FAULT_LINK,
                     .name = "net/plane0/leaf0 - net/plane0/spine0",
                     .to_s = INFINITY,
                     .origin = "t",
                     .status_if_bad = FS_E_TOPOLOGY};
    if (net->dead_cable && net->planes > 1)
        assert_int_equal(fs_topo_apply_faults(f.topo, &down, 1, &f.err), FS_OK);
    f.patterns = fs_pattern_table_new();
    fs_lowering_options options = {.cost = FS_COST_IDEAL, .mode = mode};
    fs_router_options epoch = {.epoch = net->dead_cable && net->planes > 1 ? 0 : FS_NONE};
    assert_int_equal(fs_router_new(f.topo, epoch, &f.router, &f.err), FS_OK);
    assert_int_equal(fs_lowering_new(f.topo, f.router, f.patterns, options, &f.lowering, &f.err), FS_OK);
    return f;
}

/* A GPU of each of some nodes, in any order; mostly the same one of each, which may be on a rail. */
static uint32_t random_group(fs_rng *rng, const network *net, const fs_topo *topo, uint32_t *gpus)
{
    uint32_t node[NODES_MAX + 1], n = 2 + fs_rng_below(rng, net->nodes - 1);
    bool shuffled = fs_rng_below(rng, 2), mixed = fs_rng_below(rng, 4) == 0;
    for (uint32_t i = 0; i < net->nodes; i++)
        node[i] = i;
    for (uint32_t i = net->nodes; shuffled && i-- > 1;) {
        uint32_t k = fs_rng_below(rng, i + 1), swap = node[i];
        node[i] = node[k];
        node[k] = swap;
    }
    uint32_t same = fs_rng_below(rng, net->gpus);
    for (uint32_t i = 0; i < n; i++)
        gpus[i] = topo->gpus[node[i] * net->gpus + (mixed ? fs_rng_below(rng, net->gpus) : same)];
    return n;
}

static void one_case(uint64_t seed)
{
    fs_rng rng = fs_rng_seed(seed);
    network net = random_network(&rng);
    fabric lanes = open_network(&net, FS_LOWER_COUPLED), edges = open_network(&net, FS_LOWER_FLOWS);
    uint32_t gpus[NODES_MAX + 1], n = random_group(&rng, &net, lanes.topo, gpus), n_links = lanes.topo->n_links;
    double *a = fs_zalloc(2 * (size_t)n_links, sizeof *a), *b = a + n_links;
    for (fs_coll_kind kind = FS_ALL_GATHER; kind <= FS_REDUCE_SCATTER; kind++) {
        const fs_plan *whole = NULL, *parts = NULL;
        fs_status status[] = {lower(&lanes, kind, FS_ALGO_PAT, gpus, n, 1e9, &whole),
                              lower(&edges, kind, FS_ALGO_PAT, gpus, n, 1e9, &parts)};
        if (status[0] != FS_OK || status[1] != FS_OK)
            print_error("seed %llu: %s %s\n", (unsigned long long)seed, status[0] ? lanes.err.text : "",
                        status[1] ? edges.err.text : "");
        assert_true(status[0] == FS_OK && status[1] == FS_OK);
        assert_int_equal(whole->n_moves, 1);
        plan_bytes(&lanes, whole, a);
        plan_bytes(&edges, parts, b);
        for (uint32_t l = 0; l < n_links; l++) {
            if (fabs(a[l] - b[l]) > 1e-9 * fmax(a[l], b[l]))
                print_error("seed %llu: link %u: %.17g by lanes, %.17g by edges\n", (unsigned long long)seed, l, a[l],
                            b[l]);
            assert_true(fabs(a[l] - b[l]) <= 1e-9 * fmax(a[l], b[l]));
        }
        near(whole->estimate_s, parts->estimate_s);
    }
    fs_free(a);
    fabric_close(&lanes);
    fabric_close(&edges);
}

static void lanes_equal_edges(void **state)
{
    (void)state;
    run_seeds(one_case, CASES);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(lanes_equal_edges)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
