/* test_coll.c - bytes per link of every algorithm, closed forms of the times, caches, messages of errors. */
#include "coll/algorithms.h"
#include "coll/nccl_table.h"
#include "fabric_case.h"

#define S 1e9

static fabric open_ideal(const char *text)
{
    return fabric_open(text, FS_COST_IDEAL, FS_LOWER_COUPLED);
}

/* ---- bytes per link ---------------------------------------------------------------------------------------------- */

/* Eight GPUs on one NVSwitch: what each GPU sends and receives, in multiples of S. */
static void bytes_of_each_gpu_are_the_algorithms(void **state)
{
    (void)state;
    static const struct {
        fs_coll_kind kind;
        fs_algo algo;
        double out, in;
    } cases[] = {
        {FS_ALL_REDUCE, FS_ALGO_RING, 14.0 / 8, 14.0 / 8},   {FS_ALL_GATHER, FS_ALGO_RING, 7.0 / 8, 7.0 / 8},
        {FS_REDUCE_SCATTER, FS_ALGO_RING, 7.0 / 8, 7.0 / 8}, {FS_ALL_REDUCE, FS_ALGO_NVLS, 9.0 / 8, 9.0 / 8},
        {FS_ALL_GATHER, FS_ALGO_NVLS, 1.0 / 8, 1.0},         {FS_REDUCE_SCATTER, FS_ALGO_NVLS, 1.0, 1.0 / 8},
        {FS_ALL_GATHER, FS_ALGO_DIRECT, 7.0 / 8, 7.0 / 8},   {FS_REDUCE_SCATTER, FS_ALGO_DIRECT, 7.0 / 8, 7.0 / 8},
        {FS_ALL_TO_ALL, FS_ALGO_DIRECT, 7.0 / 8, 7.0 / 8},   {FS_ALL_REDUCE, FS_ALGO_ONESHOT, 7.0, 7.0},
        {FS_ALL_REDUCE, FS_ALGO_TWOSHOT, 14.0 / 8, 14.0 / 8}};
    for (fs_lowering_mode mode = FS_LOWER_COUPLED; mode <= FS_LOWER_MESSAGES; mode++) {
        fabric f = fabric_open("gpus:8 nvlink:100GB/s multicast", FS_COST_IDEAL, mode);
        double *bytes = fs_zalloc(f.topo->n_links, sizeof *bytes);
        for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
            plan_bytes(&f, lower_all(&f, cases[i].kind, cases[i].algo, S), bytes);
            for (uint32_t g = 0; g < 8; g++) {
                near(egress(&f, bytes, f.topo->gpus[g]), cases[i].out * S);
                near(ingress(&f, bytes, f.topo->gpus[g]), cases[i].in * S);
            }
        }
        fs_free(bytes);
        fabric_close(&f);
    }
}

/* Chains and trees: the ends of the chain carry less. */
static void bytes_of_chains_and_trees(void **state)
{
    (void)state;
    for (fs_lowering_mode mode = FS_LOWER_COUPLED; mode <= FS_LOWER_MESSAGES; mode++) {
        fabric f = fabric_open("gpus:4 nvlink:100GB/s multicast", FS_COST_IDEAL, mode);
        double *bytes = fs_zalloc(f.topo->n_links, sizeof *bytes);
        const uint32_t *g = f.topo->gpus;
        fs_coll_request request = ask(FS_BROADCAST, FS_ALGO_CHAIN, FS_PROTO_AUTO, g, 4, 1, S);
        const fs_plan *plan;
        assert_int_equal(fs_lower(f.lowering, &request, &plan, &f.err), FS_OK);
        plan_bytes(&f, plan, bytes);
        static const double out[] = {0, 1, 1, 1}, in[] = {1, 0, 1, 1}; /* 1 -> 2 -> 3 -> 0 */
        for (uint32_t i = 0; i < 4; i++) {
            near(egress(&f, bytes, g[i]), out[i] * S);
            near(ingress(&f, bytes, g[i]), in[i] * S);
        }
        request.kind = FS_REDUCE; /* 2 -> 3 -> 0 -> 1 */
        assert_int_equal(fs_lower(f.lowering, &request, &plan, &f.err), FS_OK);
        plan_bytes(&f, plan, bytes);
        for (uint32_t i = 0; i < 4; i++)
            near(egress(&f, bytes, g[i]), i == 1 ? 0.0 : S);
        request.kind = FS_BROADCAST;
        request.algo = FS_ALGO_NVLS; /* the root's store comes down at every member, the root too */
        assert_int_equal(fs_lower(f.lowering, &request, &plan, &f.err), FS_OK);
        plan_bytes(&f, plan, bytes);
        for (uint32_t i = 0; i < 4; i++) {
            near(egress(&f, bytes, g[i]), i == 1 ? S : 0.0);
            near(ingress(&f, bytes, g[i]), S);
        }
        plan_bytes(&f, lower_all(&f, FS_ALL_REDUCE, FS_ALGO_TREE, S), bytes);
        for (uint32_t i = 0; i < 4; i++)
            near(egress(&f, bytes, g[i]), i == 0 || i == 3 ? S : 2 * S);
        fs_free(bytes);
        fabric_close(&f);
    }
}

static void nvls_spreads_over_switches_by_lanes(void **state)
{
    (void)state;
    fabric f = open_ideal("topologies/dgx-h100.xml");
    double *bytes = fs_zalloc(f.topo->n_links, sizeof *bytes);
    plan_bytes(&f, lower_all(&f, FS_ALL_REDUCE, FS_ALGO_NVLS, S), bytes);
    for (uint32_t l = 0; l < f.topo->n_links; l++)
        if (bytes[l] > 0.0)
            near(bytes[l], S * 9 / 8 * fs_topo_link(f.topo, l).lanes / 18);
    fs_free(bytes);
    fabric_close(&f);
}

static void two_trees_share_inner_work(void **state)
{
    (void)state;
    for (uint32_t n = 2; n <= 33; n++) {
        uint32_t roots = 0, both_inner = 0;
        bool inner[2][33] = {{false}};
        for (uint32_t t = 0; t < 2; t++) {
            for (uint32_t i = 0; i < n; i++) {
                uint32_t up = fs_tree_parent(i, n, t), steps = 0;
                roots += up == FS_NONE;
                if (up != FS_NONE)
                    inner[t][up] = true;
                for (; up != FS_NONE; up = fs_tree_parent(up, n, t))
                    assert_true(++steps <= 7);
            }
        }
        for (uint32_t i = 0; i < n; i++)
            both_inner += inner[0][i] && inner[1][i];
        assert_int_equal(roots, 2);
        assert_true(both_inner <= n % 2);
    }
}

/* Over nodes each tree has N - 1 edges up and down with S/2: 2(N - 1)S cross the network, evenly over the rails. */
static void trees_over_nodes_use_all_rails(void **state)
{
    (void)state;
    for (uint32_t nodes = 2; nodes <= 5; nodes++) {
        char line[64];
        snprintf(line, sizeof line, "nodes:%u gpus:4 nvlink:100GB/s nic:25GB/s", nodes);
        fabric f = open_ideal(line);
        double *bytes = fs_zalloc(f.topo->n_links, sizeof *bytes), most = 0.0;
        const fs_plan *plan = lower_all(&f, FS_ALL_REDUCE, FS_ALGO_TREE, S);
        assert_int_equal(plan->n_moves, 8);
        plan_bytes(&f, plan, bytes);
        for (uint32_t r = 0; r < 4; r++) {
            char leaf[8];
            snprintf(leaf, sizeof leaf, "leaf%u", r);
            near(ingress(&f, bytes, device(&f, leaf)), 2 * (nodes - 1) * S / 4);
        }
        for (uint32_t l = 0; l < f.topo->n_links; l++)
            if (f.topo->link_types[fs_topo_link(f.topo, l).type].class_ == FS_CLASS_NET)
                most = fmax(most, bytes[l]);
        assert_true(most <= 2 * S / 4 * (1 + 1e-12) || nodes % 2);
        fs_free(bytes);
        fabric_close(&f);
    }
}

/* Rails without a spine: the sender hands over to the GPU of the destination's rail. */
static void pairs_meet_on_the_destinations_rail(void **state)
{
    (void)state;
    fabric f = open_ideal("nodes:2 gpus:2 nvlink:100GB/s,1us nic:25GB/s,2us");
    uint32_t pair[] = {device(&f, "node0/gpu0"), device(&f, "node1/gpu1")};
    const fs_plan *plan = NULL;
    assert_int_equal(lower(&f, FS_SENDRECV, FS_ALGO_AUTO, pair, 2, S, &plan), FS_OK);
    near(plan->estimate_s, 2e-6 + 2 * 2e-6 + S / 25e9); /* two NVLinks, two network links; PCIe has no latency here */
    double *bytes = fs_zalloc(f.topo->n_links, sizeof *bytes);
    plan_bytes(&f, plan, bytes);
    near(egress(&f, bytes, device(&f, "node0/gpu1")), S);
    near(egress(&f, bytes, device(&f, "leaf1")), S);
    near(egress(&f, bytes, device(&f, "leaf0")), 0.0);
    plan_bytes(&f, lower_all(&f, FS_ALL_TO_ALL, FS_ALGO_AUTO, S), bytes);
    for (uint32_t g = 0; g < 4; g++) /* own 3/4, and 1/4 handed over by the neighbour */
        near(egress(&f, bytes, f.topo->gpus[g]), S);
    fs_free(bytes);
    fabric_close(&f);
}

/* ---- times ------------------------------------------------------------------------------------------------------- */

static void ideal_times_have_closed_forms(void **state)
{
    (void)state;
    const double B = 100e9, L = 2e-6; /* a route is two links of 1 us */
    static const uint32_t sizes[] = {2, 3, 8};
    for (size_t i = 0; i < 3; i++) {
        uint32_t n = sizes[i];
        char line[64];
        snprintf(line, sizeof line, "gpus:%u nvlink:100GB/s,1us multicast", n);
        for (fs_lowering_mode mode = FS_LOWER_COUPLED; mode <= FS_LOWER_MESSAGES; mode++) {
            fabric f = fabric_open(line, FS_COST_IDEAL, mode);
            double k = n - 1, part = k / n;
            near(lower_all(&f, FS_ALL_REDUCE, FS_ALGO_RING, S)->estimate_s, 2 * k * L + 2 * part * S / B);
            near(lower_all(&f, FS_ALL_GATHER, FS_ALGO_RING, S)->estimate_s, k * L + part * S / B);
            near(lower_all(&f, FS_REDUCE_SCATTER, FS_ALGO_RING, S)->estimate_s, k * L + part * S / B);
            near(lower_all(&f, FS_ALL_REDUCE, FS_ALGO_TREE, S)->estimate_s, 2 * k * L + (n > 2 ? 2 : 1) * S / B);
            near(lower_all(&f, FS_ALL_REDUCE, FS_ALGO_NVLS, S)->estimate_s, 2 * L + (1 + 1.0 / n) * S / B);
            near(lower_all(&f, FS_ALL_TO_ALL, FS_ALGO_DIRECT, S)->estimate_s, L + part * S / B);
            near(lower_all(&f, FS_ALL_REDUCE, FS_ALGO_ONESHOT, S)->estimate_s, L + k * S / B);
            near(lower_all(&f, FS_ALL_REDUCE, FS_ALGO_TWOSHOT, S)->estimate_s, 2 * L + 2 * part * S / B);
            near(lower_all(&f, FS_BROADCAST, FS_ALGO_AUTO, S)->estimate_s, k * L + S / B);
            near(lower_all(&f, FS_REDUCE, FS_ALGO_RING, S)->estimate_s, k * L + S / B);
            const fs_plan *plan = NULL;
            assert_int_equal(lower(&f, FS_SENDRECV, FS_ALGO_AUTO, f.topo->gpus, 2, S, &plan), FS_OK);
            near(plan->estimate_s, L + S / B);
            near(plan->moves[0].bytes, S);
            near(plan->moves[0].latency_s, L);
            fabric_close(&f);
        }
    }
}

static void the_slow_twin_has_the_rings_dependencies(void **state)
{
    (void)state;
    fabric f = fabric_open("gpus:4 nvlink:100GB/s,1us", FS_COST_IDEAL, FS_LOWER_MESSAGES);
    const fs_plan *plan = lower_all(&f, FS_ALL_REDUCE, FS_ALGO_RING, S);
    assert_int_equal(plan->n_moves, 6 * 4);
    assert_int_equal(plan->succ_begin[24], 5 * 4 * 2);
    for (uint32_t i = 0; i < 24; i++) {
        assert_int_equal(plan->n_pred[i], i < 4 ? 0 : 2);
        near(plan->moves[i].bytes, S / 4);
    }
    /* Message (1, 1) waits for (0, 0), which came in, and for (0, 1), the same edge. */
    assert_int_equal(plan->succ[plan->succ_begin[0]], 4);
    assert_int_equal(plan->succ[plan->succ_begin[0] + 1], 5);
    fabric_close(&f);
}

static double busbw(const char *file, fs_algo algo)
{
    fabric f = fabric_open(file, FS_COST_NCCL, FS_LOWER_COUPLED);
    const double size = 1073741824.0;
    double rate =
        size / lower_all(&f, FS_ALL_REDUCE, algo, size)->estimate_s * fs_busbw_factor(FS_ALL_REDUCE, f.topo->n_gpus);
    fabric_close(&f);
    return rate;
}

/* No link can be beaten, and none is left idle: 1 GiB on real boards. */
static void real_boards_reach_what_their_links_allow(void **state)
{
    (void)state;
    static const struct {
        const char *file;
        fs_algo algo;
        double least, most;
    } cases[] = {{"topologies/dgx1-v100.xml", FS_ALGO_AUTO, 110e9, 120e9},
                 {"topologies/dgx1-p100.xml", FS_ALGO_AUTO, 65e9, 72e9},
                 {"topologies/dgx-h100.xml", FS_ALGO_RING, 345e9, 371e9},
                 {"topologies/gb200-nvl72.xml", FS_ALGO_RING, 600e9, 722e9},
                 {"topologies/gb200-nvl72.xml", FS_ALGO_AUTO, 550e9, 900e9},
                 {"topologies/v100-pcie.xml", FS_ALGO_AUTO, 9e9, 11e9},
                 {"topologies/dgx-h100-x2.xml", FS_ALGO_RING, 340e9, 400e9}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        double rate = busbw(cases[i].file, cases[i].algo);
        if (rate < cases[i].least || rate > cases[i].most)
            print_error("%s: %.1f GB/s\n", cases[i].file, rate * 1e-9);
        assert_true(rate >= cases[i].least && rate <= cases[i].most);
    }
}

static void auto_takes_the_fastest(void **state)
{
    (void)state;
    fabric f =
        fabric_open("topologies/dgx-h100-x2.xml", FS_COST_IDEAL, FS_LOWER_COUPLED); /* nccl: what NCCL believes */
    for (double size = 8; size < 1e10; size *= 32) {
        const fs_plan *best = lower_all(&f, FS_ALL_REDUCE, FS_ALGO_AUTO, size);
        for (fs_proto proto = FS_PROTO_AUTO; proto < FS_PROTOS; proto++) {
            for (fs_algo algo = FS_ALGO_RING; algo <= FS_ALGO_TREE; algo++) {
                fs_coll_request request = ask(FS_ALL_REDUCE, algo, proto, f.topo->gpus, 16, 0, size);
                const fs_plan *plan;
                assert_int_equal(fs_lower(f.lowering, &request, &plan, &f.err), FS_OK);
                assert_true(best->estimate_s <= plan->estimate_s);
            }
        }
    }
    fabric_close(&f);
}

/* ---- caches and borders ------------------------------------------------------------------------------------------ */

static void equal_requests_share_a_plan(void **state)
{
    (void)state;
    fabric f = open_ideal("gpus:8 nvlink:100GB/s");
    const fs_plan *plan = lower_all(&f, FS_ALL_REDUCE, FS_ALGO_AUTO, S), *other = NULL;
    uint32_t patterns = fs_pattern_count(f.patterns);
    for (uint32_t i = 1; i <= 200; i++)
        lower_all(&f, FS_ALL_REDUCE, FS_ALGO_AUTO, S + i);
    assert_int_equal(fs_pattern_count(f.patterns), patterns); /* a size makes no pattern */
    for (uint32_t i = 0; i < 7; i++) {
        for (uint32_t n = 1; i + n <= 8; n++)
            assert_int_equal(lower(&f, FS_ALL_REDUCE, FS_ALGO_AUTO, f.topo->gpus + i, n, S, &other), FS_OK);
    }
    assert_ptr_equal(lower_all(&f, FS_ALL_REDUCE, FS_ALGO_AUTO, S), plan);
    fabric_close(&f);
}

static void small_cases_are_right(void **state)
{
    (void)state;
    for (fs_cost cost = FS_COST_NCCL; cost <= FS_COST_IDEAL; cost++) {
        fabric f = fabric_open("gpus:4 nvlink:100GB/s,1us", cost, FS_LOWER_COUPLED);
        const fs_plan *one = NULL;
        assert_int_equal(lower(&f, FS_ALL_REDUCE, FS_ALGO_AUTO, f.topo->gpus, 1, S, &one), FS_OK);
        assert_int_equal(one->n_moves, 0);
        near(one->estimate_s, 0.0);
        const fs_plan *empty = lower_all(&f, FS_ALL_REDUCE, FS_ALGO_RING, 0.0);
        assert_true(empty->n_moves == 1 && empty->estimate_s > 0.0);
        near(empty->moves[0].bytes, 0.0);
        const fs_plan *barrier = lower_all(&f, FS_BARRIER, FS_ALGO_AUTO, S);
        near(barrier->estimate_s, lower_all(&f, FS_ALL_REDUCE, FS_ALGO_AUTO, 4.0)->estimate_s);
        fabric_close(&f);
    }
    near(fs_busbw_factor(FS_ALL_REDUCE, 8), 1.75);
    near(fs_busbw_factor(FS_ALL_TO_ALL, 4), 0.75);
    near(fs_busbw_factor(FS_BROADCAST, 4), 1.0);
    near(fs_busbw_factor(FS_ALL_REDUCE, 1), 1.0);
}

static void refused(fabric *f, fs_coll_request request, fs_status expected, const char *text)
{
    const fs_plan *plan = NULL;
    assert_int_equal(fs_lower(f->lowering, &request, &plan, &f->err), expected);
    assert_null(plan);
    assert_string_equal(f->err.text, text);
}

static void errors_say_what_is_wrong(void **state)
{
    (void)state;
    fabric f = fabric_open("gpus:4 nvlink:100GB/s", FS_COST_NCCL, FS_LOWER_COUPLED);
    const uint32_t *g = f.topo->gpus;
    uint32_t twice[] = {g[0], g[1], g[0]}, wrong[] = {g[0], device(&f, "nvsw0")}, outside[] = {g[0], 99};
    refused(&f, ask(FS_ALL_TO_ALL, FS_ALGO_RING, 0, g, 4, 0, S), FS_E_TRACE,
            "all_to_all cannot be done by 'ring'; expected auto, direct, forwarded or lowlatency");
    fs_coll_request tokens = ask(FS_ALL_TO_ALL, FS_ALGO_DIRECT, 0, g, 4, 0, S);
    tokens.top_k = 2;
    refused(&f, tokens, FS_E_TRACE, "top_k of all_to_all by 'direct'; only all_to_all by 'forwarded' has it");
    refused(&f, ask(FS_ALL_REDUCE, FS_ALGO_DIRECT, 0, g, 4, 0, S), FS_E_TRACE,
            "all_reduce cannot be done by 'direct'; expected auto, ring, tree, nvls, nvlstree, sharp, "
            "hierarchical, oneshot or twoshot");
    refused(&f, ask(FS_ALL_REDUCE, FS_ALGO_NVLS, 0, g, 4, 0, S), FS_E_TRACE,
            "nvls needs all GPUs of the group on the same NVSwitches with multicast; ring and tree do without");
    refused(&f, ask(FS_ALL_TO_ALL, FS_ALGO_AUTO, FS_PROTO_LL128, g, 4, 0, S), FS_E_TRACE,
            "protocol LL128 does not exist for all_to_all by 'direct' on these GPUs; Simple does");
    refused(&f, ask(FS_ALL_REDUCE, FS_ALGO_RING, 0, g, 0, 0, S), FS_E_TRACE, "all_reduce over a group of no ranks");
    refused(&f, ask(FS_ALL_REDUCE, FS_ALGO_RING, 0, g, 4, 0, -1.0), FS_E_TRACE,
            "all_reduce of -1 bytes; expected a finite size of at least 0");
    refused(&f, ask(FS_BROADCAST, FS_ALGO_AUTO, 0, g, 4, 4, S), FS_E_TRACE,
            "root 4 of broadcast is outside its group of 4 ranks");
    refused(&f, ask(FS_SENDRECV, FS_ALGO_AUTO, 0, g, 3, 0, S), FS_E_TRACE,
            "sendrecv is between two ranks; its group has 3");
    refused(&f, ask(FS_ALL_REDUCE, FS_ALGO_AUTO, 0, twice, 3, 0, S), FS_E_TRACE, "a group names 'gpu0' twice");
    refused(&f, ask(FS_ALL_REDUCE, FS_ALGO_AUTO, 0, wrong, 2, 0, S), FS_E_TRACE,
            "a group names 'nvsw0', which is no GPU");
    char text[128];
    snprintf(text, sizeof text, "a group names device 99, but '%s' has 5 devices", f.topo->name);
    refused(&f, ask(FS_ALL_REDUCE, FS_ALGO_AUTO, 0, outside, 2, 0, S), FS_E_TRACE, text);
    fabric_close(&f);
    f = fabric_open("pcie:4 pcie:12GB/s", FS_COST_NCCL, FS_LOWER_COUPLED);
    refused(&f, ask(FS_ALL_REDUCE, FS_ALGO_AUTO, FS_PROTO_LL128, f.topo->gpus, 4, 0, S), FS_E_TRACE,
            "protocol LL128 does not exist for all_reduce by 'auto' on these GPUs; Simple does");
    fabric_close(&f);
    f = fabric_open("gpus:2048 nvlink:100GB/s", FS_COST_IDEAL, FS_LOWER_MESSAGES);
    refused(
        &f, ask(FS_ALL_REDUCE, FS_ALGO_RING, 0, f.topo->gpus, 2048, 0, S), FS_E_TRACE,
        "all_reduce of 2048 ranks by 'ring' is 8384512 transfers, more than the 4194304 of one plan; lower it coupled");
    fabric_close(&f);
    f = fabric_open("ring:4 nvlink:100GB/s", FS_COST_IDEAL, FS_LOWER_COUPLED);
    refused(&f, ask(FS_ALL_TO_ALL, FS_ALGO_AUTO, 0, f.topo->gpus, 4, 0, S), FS_E_TOPOLOGY,
            "no path from 'gpu2' to 'gpu0'; gpu-forwarding=\"yes\" would let a GPU between them pass their traffic on");
    fabric_close(&f);
}

static void memory_may_run_out(void **state)
{
    (void)state;
    static const struct {
        fs_coll_kind kind;
        fs_algo algo;
        fs_lowering_mode mode;
    } cases[] = {{FS_ALL_REDUCE, FS_ALGO_AUTO, FS_LOWER_COUPLED},
                 {FS_ALL_TO_ALL, FS_ALGO_AUTO, FS_LOWER_FLOWS},
                 {FS_ALL_REDUCE, FS_ALGO_TREE, FS_LOWER_MESSAGES},
                 {FS_BROADCAST, FS_ALGO_CHAIN, FS_LOWER_MESSAGES}};
    fabric f = open_ideal("nodes:2 gpus:2 nvlink:100GB/s nic:25GB/s multicast");
    fs_nccl_table *nccl = NULL;
    assert_int_equal(fs_nccl_table_load(NULL, NULL, NULL, 0, &nccl, &f.err), FS_OK);
    for (size_t i = 0; i < 4; i++) {
        fs_lowering_options how = {.mode = cases[i].mode, .nccl = nccl};
        fs_status status = FS_E_NOMEM;
        for (uint64_t k = 1; status != FS_OK; k++) {
            uint64_t live = fs_mem_live();
            fs_router *router = NULL;
            fs_lowering *low = NULL;
            fs_pattern_table *patterns = NULL;
            const fs_plan *plan = NULL;
            fs_mem_fail_after(k);
            status = (patterns = fs_pattern_table_new()) ? FS_OK : FS_E_NOMEM;
            if (status == FS_OK)
                status = fs_router_new(f.topo, (fs_router_options){0}, &router, &f.err);
            if (status == FS_OK)
                status = fs_lowering_new(f.topo, router, patterns, how, &low, &f.err);
            fs_coll_request request = ask(cases[i].kind, cases[i].algo, FS_PROTO_AUTO, f.topo->gpus, 4, 0, S);
            if (status == FS_OK)
                status = fs_lower(low, &request, &plan, &f.err);
            fs_mem_fail_after(0);
            assert_true(status == FS_OK || status == FS_E_NOMEM);
            if (status != FS_OK && low != NULL) /* what failed can be asked again */
                assert_int_equal(fs_lower(low, &request, &plan, &f.err), FS_OK);
            fs_lowering_free(low);
            fs_router_free(router);
            fs_pattern_table_free(patterns);
            assert_int_equal(fs_mem_live(), live);
            assert_true(k < 2000);
        }
    }
    fs_nccl_table_free(nccl);
    fabric_close(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bytes_of_each_gpu_are_the_algorithms),
        cmocka_unit_test(bytes_of_chains_and_trees),
        cmocka_unit_test(nvls_spreads_over_switches_by_lanes),
        cmocka_unit_test(two_trees_share_inner_work),
        cmocka_unit_test(trees_over_nodes_use_all_rails),
        cmocka_unit_test(pairs_meet_on_the_destinations_rail),
        cmocka_unit_test(ideal_times_have_closed_forms),
        cmocka_unit_test(the_slow_twin_has_the_rings_dependencies),
        cmocka_unit_test(real_boards_reach_what_their_links_allow),
        cmocka_unit_test(auto_takes_the_fastest),
        cmocka_unit_test(equal_requests_share_a_plan),
        cmocka_unit_test(small_cases_are_right),
        cmocka_unit_test(errors_say_what_is_wrong),
        cmocka_unit_test(memory_may_run_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
