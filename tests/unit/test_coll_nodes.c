/* test_coll_nodes.c - collectives over several nodes: NVLSTree, SHARP, PAT, hierarchical, uneven all-to-all, rails crossed
 * in the network, faults. */
#include "coll/nccl_table.h"
#include "fabric_case.h"
#include "topo/faults.h"

#define S 1e9

static fabric open_ideal(const char *text)
{
    return fabric_open(text, FS_COST_IDEAL, FS_LOWER_COUPLED);
}

/* Bytes on links of one class that leave a device. */
static double sent(const fabric *f, const double *bytes, uint32_t dev, fs_link_class class_)
{
    double sum = 0.0;
    for (uint32_t k = 0; k < fs_topo_out_count(f->topo, dev); k++) {
        uint32_t link = fs_topo_out_link(f->topo, dev, k);
        if (f->topo->link_types[fs_topo_link(f->topo, link).type].class_ == class_)
            sum += bytes[link];
    }
    return sum;
}

static double got(const fabric *f, const double *bytes, uint32_t dev, fs_link_class class_)
{
    double sum = 0.0;
    for (uint32_t k = 0; k < fs_topo_out_count(f->topo, dev); k++) {
        uint32_t link = fs_topo_out_link(f->topo, dev, k);
        if (f->topo->link_types[fs_topo_link(f->topo, link).type].class_ == class_)
            sum += bytes[link ^ 1u];
    }
    return sum;
}

/* Each GPU heads a quarter: all of it goes up, a quarter comes down as a sum; and back. */
static void nvls_in_nodes_as_in_one(const fabric *f, const double *bytes)
{
    for (uint32_t g = 0; g < f->topo->n_gpus; g++) {
        near(sent(f, bytes, f->topo->gpus[g], FS_CLASS_NVLINK), S * 5 / 4);
        near(got(f, bytes, f->topo->gpus[g], FS_CLASS_NVLINK), S * 5 / 4);
    }
}

static void nvlstree_has_the_bytes_of_nvls_and_of_two_trees(void **state)
{
    (void)state;
    for (fs_lowering_mode mode = FS_LOWER_COUPLED; mode <= FS_LOWER_MESSAGES; mode++) {
        for (uint32_t nodes = 2; nodes <= 5; nodes++) {
            char line[96];
            snprintf(line, sizeof line, "nodes:%u gpus:4 nvlink:100GB/s nic:25GB/s multicast", nodes);
            fabric f = fabric_open(line, FS_COST_IDEAL, mode);
            double *bytes = fs_zalloc(f.topo->n_links, sizeof *bytes);
            plan_bytes(&f, lower_all(&f, FS_ALL_REDUCE, FS_ALGO_NVLSTREE, S), bytes);
            nvls_in_nodes_as_in_one(&f, bytes);
            for (uint32_t r = 0; r < 4; r++) {
                char leaf[8];
                snprintf(leaf, sizeof leaf, "leaf%u", r);
                near(ingress(&f, bytes, device(&f, leaf)), 2 * 2 * (nodes - 1) * S / 4 / 2);
            }
            fs_free(bytes);
            fabric_close(&f);
        }
    }
}

static void sharp_sends_once(void **state)
{
    (void)state;
    for (fs_lowering_mode mode = FS_LOWER_COUPLED; mode <= FS_LOWER_MESSAGES; mode++) {
        fabric f = fabric_open("nodes:3 gpus:4 nvlink:100GB/s,1us nic:25GB/s,2us spine multicast", FS_COST_IDEAL, mode);
        double *bytes = fs_zalloc(f.topo->n_links, sizeof *bytes);
        const fs_plan *plan = lower_all(&f, FS_ALL_REDUCE, FS_ALGO_SHARP, S);
        plan_bytes(&f, plan, bytes);
        nvls_in_nodes_as_in_one(&f, bytes);
        for (uint32_t d = 0; d < f.topo->n_devices; d++) {
            if (fs_topo_device(f.topo, d).kind != FS_DEVICE_NIC)
                continue;
            near(sent(&f, bytes, d, FS_CLASS_NET), S / 4);
            near(got(&f, bytes, d, FS_CLASS_NET), S / 4);
        }
        near(ingress(&f, bytes, device(&f, "spine0")), 0.0); /* a rail is one leaf here */
        /* A load and a store, two NVLinks each; up to the leaf and down. NVLink has most to carry for its rate. */
        near(plan->estimate_s, 2 * 2e-6 + 2 * 2e-6 + S * 5 / 4 / 100e9);
        fs_free(bytes);
        fabric_close(&f);
    }
}

/* Two nodes whose leaves differ: each leaf sends the slice up once and gets it once. */
static void sharp_goes_up_once_a_leaf(void **state)
{
    (void)state;
    fabric f = open_ideal("topologies/superpod-h100.xml");
    uint32_t gpus[16], n = f.topo->n_gpus;
    for (uint32_t i = 0; i < 8; i++) {
        gpus[i] = f.topo->gpus[i];
        gpus[8 + i] = f.topo->gpus[n - 8 + i];
    }
    double *bytes = fs_zalloc(f.topo->n_links, sizeof *bytes), up = 0.0;
    const fs_plan *plan = NULL;
    assert_int_equal(lower(&f, FS_ALL_REDUCE, FS_ALGO_SHARP, gpus, 16, S, &plan), FS_OK);
    plan_bytes(&f, plan, bytes);
    for (uint32_t l = 0; l < f.topo->n_links; l++) {
        const fs_link link = fs_topo_link(f.topo, l);
        if (fs_topo_device(f.topo, link.src).kind == FS_DEVICE_NET_SWITCH &&
            fs_topo_device(f.topo, link.dst).kind == FS_DEVICE_NET_SWITCH)
            up += bytes[l];
    }
    near(up, 2 * 2 * S); /* two leaves a rail, up and down, 8 rails with S/8 each */
    fs_free(bytes);
    fabric_close(&f);
}

/* Every other GPU of two racks, each the only one at its two NICs, 36 and 28 of them: rings come in by one GPU and leave by
 * another, each by NICs of its own. */
static void rings_between_racks_use_all_nics(void **state)
{
    (void)state;
    fabric f = open_ideal("topologies/gb200-superpod.xml");
    uint32_t gpus[64];
    for (uint32_t i = 0; i < 64; i++)
        gpus[i] = f.topo->gpus[2 * i];
    double *bytes = fs_zalloc(f.topo->n_links, sizeof *bytes), most = 0.0, sum = 0.0;
    const fs_plan *plan = NULL;
    assert_int_equal(lower(&f, FS_ALL_GATHER, FS_ALGO_RING, gpus, 64, S, &plan), FS_OK);
    assert_int_equal(plan->channels, 56); /* NICs in the second rack */
    plan_bytes(&f, plan, bytes);
    for (uint32_t d = 0; d < f.topo->n_devices; d++) {
        double out = fs_topo_device(f.topo, d).kind == FS_DEVICE_NIC ? sent(&f, bytes, d, FS_CLASS_NET) : 0.0;
        most = fmax(most, out);
        sum += out;
    }
    near(sum, 2 * S * 63 / 64);
    near(most, S * 63 / 64 / 56);
    fs_free(bytes);
    fabric_close(&f);
}

static void pat_sends_what_all_gather_must(void **state)
{
    (void)state;
    for (uint32_t nodes = 2; nodes <= 9; nodes++) {
        char line[96];
        snprintf(line, sizeof line, "nodes:%u gpus:1 nvlink:100GB/s nic:25GB/s,1us", nodes);
        for (fs_lowering_mode mode = FS_LOWER_COUPLED; mode <= FS_LOWER_MESSAGES; mode++) {
            fabric f = fabric_open(line, FS_COST_IDEAL, mode);
            double *bytes = fs_zalloc(f.topo->n_links, sizeof *bytes), part = (nodes - 1.0) / nodes;
            uint32_t steps = 0;
            while (1u << steps < nodes)
                steps++;
            for (fs_coll_kind kind = FS_ALL_GATHER; kind <= FS_REDUCE_SCATTER; kind++) {
                const fs_plan *plan = lower_all(&f, kind, FS_ALGO_PAT, S);
                plan_bytes(&f, plan, bytes);
                for (uint32_t g = 0; g < nodes; g++) {
                    near(egress(&f, bytes, f.topo->gpus[g]), part * S);
                    near(ingress(&f, bytes, f.topo->gpus[g]), part * S);
                }
                near(plan->estimate_s, steps * 2e-6 + part * S / 25e9);
            }
            fs_free(bytes);
            fabric_close(&f);
        }
    }
}

static void hierarchical_stages_add_up(void **state)
{
    (void)state;
    const double L = 2e-6, N = 4e-6; /* routes: two NVLinks of 1 us; two cables of 2 us */
    for (fs_lowering_mode mode = FS_LOWER_COUPLED; mode <= FS_LOWER_MESSAGES; mode++) {
        fabric f = fabric_open("nodes:3 gpus:4 nvlink:100GB/s,1us nic:25GB/s,2us", FS_COST_IDEAL, mode);
        double inside = 3 * L + S * 3 / 4 / 100e9, across = 2 * N + S / 4 * 2 / 3 / 25e9;
        near(lower_all(&f, FS_ALL_REDUCE, FS_ALGO_HIERARCHICAL, S)->estimate_s, 2 * inside + 2 * across);
        near(lower_all(&f, FS_ALL_GATHER, FS_ALGO_HIERARCHICAL, S)->estimate_s, inside + across);
        near(lower_all(&f, FS_REDUCE_SCATTER, FS_ALGO_HIERARCHICAL, S)->estimate_s, inside + across);
        const fs_plan *plan = lower_all(&f, FS_ALL_REDUCE, FS_ALGO_HIERARCHICAL, S);
        double *bytes = fs_zalloc(f.topo->n_links, sizeof *bytes);
        plan_bytes(&f, plan, bytes);
        for (uint32_t g = 0; g < 12; g++) {
            near(sent(&f, bytes, f.topo->gpus[g], FS_CLASS_NVLINK), 2 * S * 3 / 4);
            near(sent(&f, bytes, f.topo->gpus[g], FS_CLASS_PCIE), S / 4 * 4 / 3);
        }
        fs_free(bytes);
        fabric_close(&f);
    }
}

static void auto_knows_what_nccl_considers(void **state)
{
    (void)state;
    fabric f = fabric_open("topologies/dgx-h100-x2.xml", FS_COST_NCCL, FS_LOWER_COUPLED);
    assert_int_equal(lower_all(&f, FS_ALL_REDUCE, FS_ALGO_AUTO, 1e9)->algo, FS_ALGO_NVLSTREE);
    assert_int_equal(lower_all(&f, FS_ALL_GATHER, FS_ALGO_AUTO, 1e3)->algo, FS_ALGO_RING); /* 8 ranks a node: no PAT */
    uint32_t one_each[] = {f.topo->gpus[0], f.topo->gpus[8]};
    const fs_plan *plan = NULL;
    assert_int_equal(lower(&f, FS_ALL_REDUCE, FS_ALGO_AUTO, one_each, 2, 1e9, &plan), FS_OK);
    assert_int_not_equal(plan->algo, FS_ALGO_NVLSTREE);
    fs_lowering_options how = {.sharp = true};
    fs_lowering *told = NULL;
    fs_coll_request request = ask(FS_ALL_REDUCE, FS_ALGO_AUTO, FS_PROTO_AUTO, f.topo->gpus, 16, 0, 1e8);
    assert_int_equal(fs_lowering_new(f.topo, f.router, f.patterns, how, &told, &f.err), FS_OK);
    assert_int_equal(fs_lower(told, &request, &plan, &f.err), FS_OK);
    assert_int_equal(plan->algo, FS_ALGO_SHARP);
    fs_lowering_free(told);
    assert_int_equal(lower(&f, FS_ALL_REDUCE, FS_ALGO_TWOSHOT, f.topo->gpus, 16, 1e6, &plan), FS_E_TRACE);
    assert_int_equal(lower(&f, FS_ALL_REDUCE, FS_ALGO_TWOSHOT, f.topo->gpus, 8, 1e6, &plan), FS_OK);
    assert_int_equal(plan->algo, FS_ALGO_TWOSHOT);
    fabric_close(&f);
}

/* ---- loads ------------------------------------------------------------------------------------------------------- */

static void a_load_says_who_gets_what(void **state)
{
    (void)state;
    static const double load[] = {0.5, 0.25, 0.25, 0.0};
    static const char *const lines[] = {"gpus:4 nvlink:100GB/s", "nodes:2 gpus:2 nvlink:100GB/s nic:25GB/s spine"};
    for (size_t t = 0; t < 2; t++) {
        double bytes_of_mode[3][64] = {{0}};
        for (fs_lowering_mode mode = FS_LOWER_COUPLED; mode <= FS_LOWER_MESSAGES; mode++) {
            fabric f = fabric_open(lines[t], FS_COST_IDEAL, mode);
            for (uint32_t transpose = 0; transpose < 2; transpose++) {
                fs_coll_request q = ask(FS_ALL_TO_ALL, FS_ALGO_AUTO, FS_PROTO_AUTO, f.topo->gpus, 4, 0, S);
                double *bytes = bytes_of_mode[mode];
                const fs_plan *plan = NULL;
                q.load = load;
                q.transpose = transpose;
                assert_true(f.topo->n_links <= 64);
                assert_int_equal(fs_lower(f.lowering, &q, &plan, &f.err), FS_OK);
                plan_bytes(&f, plan, bytes);
                for (uint32_t i = 0; i < 4 && t == 0; i++) {
                    double out = S * (1 - load[i]), in = S * 3 * load[i];
                    near(egress(&f, bytes, f.topo->gpus[i]), transpose ? in : out);
                    near(ingress(&f, bytes, f.topo->gpus[i]), transpose ? out : in);
                }
                for (uint32_t l = 0; l < f.topo->n_links; l++)
                    assert_true(fabs(bytes[l] - bytes_of_mode[0][l]) <= 1e-3 || transpose == 0);
            }
            fabric_close(&f);
        }
        for (uint32_t l = 0; l < 64; l++) /* transposed ones, the last of each mode */
            assert_true(fabs(bytes_of_mode[0][l] - bytes_of_mode[2][l]) <= 1e-3);
    }
}

/* The last two send to the first two and to nobody else, 4 S in all, or get as much from them; on nodes of their own, and
 * with one of either on each. */
static void sides_apart_talk_to_each_other_only(void **state)
{
    (void)state;
    static const double load[] = {0.75, 0.25, 0, 0};
    static const char *const lines[] = {"gpus:4 nvlink:100GB/s", "nodes:2 gpus:2 nvlink:100GB/s nic:25GB/s spine"};
    for (size_t t = 0; t < 4; t++) {
        for (uint32_t back = 0; back < 2; back++) {
            double bytes_of_mode[3][64] = {{0}};
            for (fs_lowering_mode mode = FS_LOWER_COUPLED; mode <= FS_LOWER_MESSAGES; mode++) {
                fabric f = fabric_open(lines[t % 2], FS_COST_IDEAL, mode);
                const uint32_t *g = f.topo->gpus, mixed[] = {g[0], g[2], g[1], g[3]}, *gpus = t < 2 ? g : mixed;
                fs_coll_request q = ask(FS_ALL_TO_ALL, FS_ALGO_AUTO, FS_PROTO_AUTO, gpus, 4, 0, S);
                double *bytes = bytes_of_mode[mode];
                const fs_plan *plan = NULL;
                q.load = load;
                q.apart = 2;
                q.transpose = back;
                assert_int_equal(fs_lower(f.lowering, &q, &plan, &f.err), FS_OK);
                plan_bytes(&f, plan, bytes);
                for (uint32_t i = 0; i < 4 && t % 2 == 0; i++) { /* between nodes some pass on what others send */
                    double all = i < 2 ? 4 * S * load[i] : 2 * S;
                    near((back == (i < 2) ? egress : ingress)(&f, bytes, gpus[i]), all);
                    near((back == (i < 2) ? ingress : egress)(&f, bytes, gpus[i]), 0);
                }
                fabric_close(&f);
            }
            for (uint32_t l = 0; l < 64; l++)
                assert_true(fabs(bytes_of_mode[0][l] - bytes_of_mode[2][l]) <= 1e-3 &&
                            fabs(bytes_of_mode[1][l] - bytes_of_mode[2][l]) <= 1e-3);
        }
    }
}

static void what_gets_nothing_has_no_load(void **state)
{
    (void)state;
    static const double load[] = {0.5, 0.25, 0.25, 0};
    fabric f = open_ideal("gpus:4 nvlink:100GB/s");
    fs_coll_request q = ask(FS_ALL_TO_ALL, FS_ALGO_AUTO, FS_PROTO_AUTO, f.topo->gpus, 4, 0, S);
    const fs_plan *plan = NULL;
    q.load = load;
    q.apart = 2;
    assert_int_equal(fs_lower(f.lowering, &q, &plan, &f.err), FS_E_TRACE);
    assert_non_null(strstr(f.err.text, "of a position that only sends"));
    q.apart = 3;
    q.algo = FS_ALGO_FORWARDED;
    assert_int_equal(fs_lower(f.lowering, &q, &plan, &f.err), FS_E_TRACE);
    assert_non_null(strstr(f.err.text, "between two sides by 'forwarded'"));
    q.algo = FS_ALGO_AUTO;
    q.apart = 4;
    assert_int_equal(fs_lower(f.lowering, &q, &plan, &f.err), FS_E_TRACE);
    assert_non_null(strstr(f.err.text, "get from nobody"));
    fabric_close(&f);
}

static void an_even_load_is_none(void **state)
{
    (void)state;
    static const double even[] = {0.25, 0.25, 0.25, 0.25};
    fabric f = open_ideal("nodes:2 gpus:2 nvlink:100GB/s nic:25GB/s spine");
    fs_coll_request q = ask(FS_ALL_TO_ALL, FS_ALGO_AUTO, FS_PROTO_AUTO, f.topo->gpus, 4, 0, S);
    const fs_plan *plain = NULL, *loaded = NULL;
    assert_int_equal(fs_lower(f.lowering, &q, &plain, &f.err), FS_OK);
    q.load = even;
    assert_int_equal(fs_lower(f.lowering, &q, &loaded, &f.err), FS_OK);
    near(loaded->estimate_s, plain->estimate_s);
    assert_int_equal(loaded->n_moves, plain->n_moves);
    for (uint32_t i = 0; i < plain->n_moves; i++)
        assert_int_equal(loaded->moves[i].pattern, plain->moves[i].pattern);
    fabric_close(&f);
}

/* ---- rails crossed in the network -------------------------------------------------------------------------------- */

static void rails_are_crossed_by_nvlink_or_by_spines(void **state)
{
    (void)state;
    static const fs_cross_rail ways[] = {FS_CROSS_AS_TOPOLOGY, FS_CROSS_PXN, FS_CROSS_NETWORK};
    for (size_t i = 0; i < 3; i++) {
        fabric f = open_ideal("nodes:2 gpus:2 nvlink:100GB/s nic:25GB/s spine");
        fs_lowering *low = NULL;
        fs_lowering_options how = {.cost = FS_COST_IDEAL, .cross_rail = ways[i]};
        assert_int_equal(fs_lowering_new(f.topo, f.router, f.patterns, how, &low, &f.err), FS_OK);
        uint32_t pair[] = {device(&f, "node0/gpu0"), device(&f, "node1/gpu1")};
        fs_coll_request q = ask(FS_SENDRECV, FS_ALGO_AUTO, FS_PROTO_AUTO, pair, 2, 0, S);
        double *bytes = fs_zalloc(f.topo->n_links, sizeof *bytes);
        const fs_plan *plan = NULL;
        assert_int_equal(fs_lower(low, &q, &plan, &f.err), FS_OK);
        plan_bytes(&f, plan, bytes);
        bool spine = ways[i] == FS_CROSS_NETWORK;
        near(egress(&f, bytes, device(&f, "spine0")), spine ? S : 0.0);
        near(egress(&f, bytes, device(&f, "leaf0")), spine ? S : 0.0);
        near(egress(&f, bytes, device(&f, "node0/gpu1")), spine ? 0.0 : S);
        q = ask(FS_ALL_TO_ALL, FS_ALGO_AUTO, FS_PROTO_AUTO, f.topo->gpus, 4, 0, S);
        assert_int_equal(fs_lower(low, &q, &plan, &f.err), FS_OK);
        plan_bytes(&f, plan, bytes);
        near(egress(&f, bytes, device(&f, "spine0")), spine ? S : 0.0); /* four pairs of unlike rails, S/4 each */
        near(egress(&f, bytes, device(&f, "node0/gpu0")), spine ? S * 3 / 4 : S);
        fs_free(bytes);
        fs_lowering_free(low);
        fabric_close(&f);
    }
}

/* ---- faults ------------------------------------------------------------------------------------------------------ */

typedef struct faulty {
    fabric f; /* its lowering knows the epochs */
    fs_router *epochs[FS_EPOCHS_MAX];
} faulty;

static faulty open_faulty(const char *text, const char *what, fs_fault_kind kind, double speed)
{
    faulty x = {.f = open_ideal(text)};
    fs_fault fault = {.kind = kind, .name = what, .speed = speed, .from_s = 1, .to_s = INFINITY, .origin = "test"};
    fs_lowering_free(x.f.lowering);
    fs_router_free(x.f.router);
    assert_int_equal(fs_topo_apply_faults(x.f.topo, &fault, 1, &x.f.err), FS_OK);
    assert_int_equal(x.f.topo->n_epochs, 2);
    assert_int_equal(fs_router_new(x.f.topo, (fs_router_options){.epoch = FS_NONE}, &x.f.router, &x.f.err), FS_OK);
    for (uint32_t e = 0; e < 2; e++)
        assert_int_equal(fs_router_new(x.f.topo, (fs_router_options){.epoch = e}, &x.epochs[e], &x.f.err), FS_OK);
    return x;
}

static void lower_faulty(faulty *x)
{
    fs_lowering_options how = {.cost = FS_COST_IDEAL, .epochs = x->epochs};
    assert_int_equal(fs_lowering_new(x->f.topo, x->f.router, x->f.patterns, how, &x->f.lowering, &x->f.err), FS_OK);
}

static void close_faulty(faulty *x)
{
    fabric_close(&x->f);
    for (uint32_t e = 0; e < 2; e++)
        fs_router_free(x->epochs[e]);
}

static void faults_change_patterns_and_nothing_else(void **state)
{
    (void)state;
    faulty x = open_faulty("topologies/superpod-h100.xml", "ib/spine0", FS_FAULT_SWITCH, 0.0);
    lower_faulty(&x);
    const fs_plan *near_by = NULL;
    uint32_t changed = 0, spine = device(&x.f, "ib/spine0");
    assert_int_equal(lower(&x.f, FS_ALL_REDUCE, FS_ALGO_RING, x.f.topo->gpus, 8, S, &near_by), FS_OK);
    assert_null(near_by->patterns_at);
    for (uint32_t r = 0; r < 8; r++) { /* those whose rail uses that spine */
        uint32_t n, far[] = {x.f.topo->gpus[r], x.f.topo->gpus[x.f.topo->n_gpus - 8 + r]};
        const fs_plan *plan = NULL;
        assert_int_equal(lower(&x.f, FS_SENDRECV, FS_ALGO_AUTO, far, 2, S, &plan), FS_OK);
        if (plan->patterns_at == NULL)
            continue;
        changed++;
        assert_null(plan->patterns_at[0]);
        assert_non_null(plan->patterns_at[1]);
        assert_int_not_equal(plan->patterns_at[1][0], plan->moves[0].pattern);
        const fs_share *row = fs_pattern_row(x.f.patterns, plan->patterns_at[1][0], &n);
        for (uint32_t i = 0; i < n; i++)
            assert_true(fs_topo_link(x.f.topo, row[i].resource).src != spine);
    }
    assert_true(changed > 0);
    close_faulty(&x);
}

static void what_is_cut_off_is_an_error(void **state)
{
    (void)state;
    faulty x = open_faulty("nodes:2 gpus:2 nvlink:100GB/s nic:25GB/s multicast", "node0/nic1", FS_FAULT_NIC, 0.0);
    lower_faulty(&x);
    const fs_plan *plan = NULL;
    static const fs_algo algos[] = {FS_ALGO_RING, FS_ALGO_TREE, FS_ALGO_NVLSTREE, FS_ALGO_SHARP, FS_ALGO_HIERARCHICAL};
    for (size_t i = 0; i < sizeof algos / sizeof *algos; i++) {
        assert_int_equal(lower(&x.f, FS_ALL_REDUCE, algos[i], x.f.topo->gpus, 4, S, &plan), FS_E_TOPOLOGY);
        assert_null(plan);
    }
    assert_int_equal(lower(&x.f, FS_ALL_REDUCE, FS_ALGO_RING, x.f.topo->gpus, 2, S, &plan), FS_OK);
    close_faulty(&x);
}

static void a_slow_link_keeps_its_patterns(void **state)
{
    (void)state;
    faulty x = open_faulty("nodes:2 gpus:2 nvlink:100GB/s nic:25GB/s spine", "leaf0-spine0", FS_FAULT_LINK, 0.5);
    lower_faulty(&x);
    assert_null(lower_all(&x.f, FS_ALL_TO_ALL, FS_ALGO_AUTO, S)->patterns_at);
    close_faulty(&x);
}

/* ---- errors ------------------------------------------------------------------------------------------------------ */

static void refused(fabric *f, fs_coll_kind kind, fs_algo algo, const uint32_t *gpus, uint32_t n, const char *text)
{
    const fs_plan *plan = NULL;
    assert_int_equal(lower(f, kind, algo, gpus, n, S, &plan), FS_E_TRACE);
    assert_string_equal(f->err.text, text);
}

static void errors_say_what_does_it(void **state)
{
    (void)state;
    fabric f = open_ideal("nodes:3 gpus:2 nvlink:100GB/s nic:25GB/s");
    const uint32_t *g = f.topo->gpus;
    uint32_t one_each[] = {g[0], g[2]}, uneven[] = {g[0], g[1], g[2]};
    refused(&f, FS_ALL_REDUCE, FS_ALGO_NVLSTREE, g, 2, "nvlstree is for several nodes; nvls, ring and tree do one");
    refused(&f, FS_ALL_REDUCE, FS_ALGO_NVLSTREE, one_each, 2,
            "nvlstree needs several GPUs on a node; ring and tree do with one");
    refused(&f, FS_ALL_REDUCE, FS_ALGO_NVLSTREE, g, 4,
            "nvlstree needs all GPUs of a node on the same NVSwitches with multicast; ring and tree do without");
    refused(&f, FS_ALL_REDUCE, FS_ALGO_NVLS, g, 4,
            "nvls needs all GPUs of the group on the same NVSwitches with multicast; ring and tree do without");
    refused(&f, FS_ALL_REDUCE, FS_ALGO_SHARP, one_each, 2,
            "sharp needs network switches that reduce (multicast=\"yes\"); nvlstree, ring and tree do without");
    refused(&f, FS_ALL_REDUCE, FS_ALGO_HIERARCHICAL, uneven, 3,
            "hierarchical needs as many ranks of the group on each node, and has 2 and 1; ring and tree do without");
    fs_coll_request q = ask(FS_ALL_REDUCE, FS_ALGO_AUTO, FS_PROTO_AUTO, g, 2, 0, S);
    static const double loads[][2] = {{0.5, 0.5}, {1.5, -0.5}, {0.5, 0.25}};
    static const char *const texts[] = {"all_reduce with a load; only all_to_all has one",
                                        "load 1 of all_to_all is -0.5; expected at least 0",
                                        "the loads of all_to_all sum to 0.75; expected 1"};
    for (size_t i = 0; i < 3; i++) {
        const fs_plan *plan = NULL;
        q.load = loads[i];
        assert_int_equal(fs_lower(f.lowering, &q, &plan, &f.err), FS_E_TRACE);
        assert_string_equal(f.err.text, texts[i]);
        q.kind = FS_ALL_TO_ALL;
    }
    fabric_close(&f);
}

static void memory_may_run_out(void **state)
{
    (void)state;
    static const struct {
        fs_coll_kind kind;
        fs_algo algo;
        fs_lowering_mode mode;
    } cases[] = {{FS_ALL_REDUCE, FS_ALGO_NVLSTREE, FS_LOWER_MESSAGES},
                 {FS_ALL_REDUCE, FS_ALGO_SHARP, FS_LOWER_MESSAGES},
                 {FS_ALL_GATHER, FS_ALGO_PAT, FS_LOWER_MESSAGES},
                 {FS_ALL_REDUCE, FS_ALGO_HIERARCHICAL, FS_LOWER_MESSAGES},
                 {FS_ALL_TO_ALL, FS_ALGO_DIRECT, FS_LOWER_COUPLED}};
    static const double load[] = {0.5, 0.25, 0.125, 0.125};
    uint64_t before = fs_mem_live();
    faulty x =
        open_faulty("nodes:2 gpus:2 nvlink:100GB/s nic:25GB/s spine multicast", "leaf0-spine0", FS_FAULT_LINK, 0.5);
    fs_nccl_table *nccl = NULL;
    assert_int_equal(fs_nccl_table_load(NULL, NULL, NULL, 0, &nccl, &x.f.err), FS_OK);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        fs_status status = FS_E_NOMEM;
        for (uint64_t k = 1; status != FS_OK; k++) {
            uint64_t live = fs_mem_live();
            fs_lowering_options how = {.mode = cases[i].mode, .epochs = x.epochs, .nccl = nccl};
            fs_lowering *low = NULL;
            const fs_plan *plan = NULL;
            fs_coll_request q = ask(cases[i].kind, cases[i].algo, FS_PROTO_AUTO, x.f.topo->gpus, 4, 0, S);
            q.load = q.kind == FS_ALL_TO_ALL ? load : NULL;
            fs_mem_fail_after(k);
            status = fs_lowering_new(x.f.topo, x.f.router, x.f.patterns, how, &low, &x.f.err);
            if (status == FS_OK)
                status = fs_lower(low, &q, &plan, &x.f.err);
            fs_mem_fail_after(0);
            assert_true(status == FS_OK || status == FS_E_NOMEM);
            if (status != FS_OK && low != NULL) /* what failed can be asked again */
                assert_int_equal(fs_lower(low, &q, &plan, &x.f.err), FS_OK);
            fs_lowering_free(low);
            assert_true(fs_mem_live() >= live); /* the routers keep what they find */
            assert_true(k < 5000);
        }
    }
    x.f.lowering = NULL;
    close_faulty(&x);
    fs_nccl_table_free(nccl);
    assert_int_equal(fs_mem_live(), before);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nvlstree_has_the_bytes_of_nvls_and_of_two_trees),
        cmocka_unit_test(sharp_sends_once),
        cmocka_unit_test(sharp_goes_up_once_a_leaf),
        cmocka_unit_test(rings_between_racks_use_all_nics),
        cmocka_unit_test(pat_sends_what_all_gather_must),
        cmocka_unit_test(hierarchical_stages_add_up),
        cmocka_unit_test(auto_knows_what_nccl_considers),
        cmocka_unit_test(a_load_says_who_gets_what),
        cmocka_unit_test(sides_apart_talk_to_each_other_only),
        cmocka_unit_test(what_gets_nothing_has_no_load),
        cmocka_unit_test(an_even_load_is_none),
        cmocka_unit_test(rails_are_crossed_by_nvlink_or_by_spines),
        cmocka_unit_test(faults_change_patterns_and_nothing_else),
        cmocka_unit_test(what_is_cut_off_is_an_error),
        cmocka_unit_test(a_slow_link_keeps_its_patterns),
        cmocka_unit_test(errors_say_what_does_it),
        cmocka_unit_test(memory_may_run_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
