/* test_nccl_cost.c - what NCCL believes and what collectives take: the equations by hand, and how they behave over sizes. */
#include "coll/nccl_cost.h"
#include "fabric_case.h"

#include <math.h>

static fs_nccl_table *shipped(void)
{
    fs_nccl_table *table = NULL;
    fs_err err;
    assert_int_equal(fs_nccl_table_load(NULL, NULL, NULL, 0, &table, &err), FS_OK);
    return table;
}

/* Ranks on Hopper with NVLinks in their nodes; what more is to be said is up to the test. */
static fs_nccl_run run_of(fs_coll_kind kind, fs_algo algo, fs_proto proto, uint32_t n, uint32_t n_nodes)
{
    return (fs_nccl_run){.kind = kind,
                         .algo = algo,
                         .proto = proto,
                         .arch = FS_HOPPER,
                         .n = n,
                         .n_nodes = n_nodes,
                         .channels = 1,
                         .intra_class = FS_CLASS_NVLINK};
}

/* A payload, and how long the slowest links have it, which are NVLinks. */
static void carry(fs_nccl_run *run, double size_bytes, double seconds)
{
    run->size_bytes = size_bytes;
    run->stream_s = run->nvlink_s = seconds;
}

/* Steps take nothing, and GPUs keep up with their links. */
static fs_nccl_takes ideal_takes(void)
{
    return (fs_nccl_takes){
        .efficiency = 1.0, .net_efficiency = 1.0, .window_s = 1.0, .drift_s = INFINITY, .overlap = 1.0};
}

static void beliefs_are_the_published_ones(void **state)
{
    (void)state;
    fs_nccl_table *t = shipped();
    fs_nccl_run run = run_of(FS_ALL_REDUCE, FS_ALGO_RING, FS_PROTO_SIMPLE, 8, 1);
    run.size_bytes = 8;
    near(fs_nccl_belief(t, &run), (8.4 + 14 * 3.4) * 1e-6);
    run.proto = FS_PROTO_LL;
    run.size_bytes = 0;
    near(fs_nccl_belief(t, &run), (6.6 + 14 * 0.6) * 1e-6);
    run.algo = FS_ALGO_TREE;
    run.n = 16;
    run.n_nodes = 2;
    near(fs_nccl_belief(t, &run), (6.8 + 2 * (7 * 0.6 + 5.0)) * 1e-6);
    run.algo = FS_ALGO_RING;
    run.proto = FS_PROTO_SIMPLE;
    run.size_bytes = 1e9;
    near(fs_nccl_belief(t, &run), 1.4 * (8.4 + 28 * 3.4 + 2 * 14.0) * 1e-6);
    run.kind = FS_BROADCAST; /* a pipeline: one step */
    near(fs_nccl_belief(t, &run), (8.4 + 14.0) * 1e-6);
    run.n_nodes = 1;
    near(fs_nccl_belief(t, &run), (8.4 + 3.4) * 1e-6);
    run.proto = FS_PROTO_LL128;
    run.intra_class = FS_CLASS_PCIE;
    assert_false(fs_nccl_has(&run));
    run = run_of(FS_ALL_REDUCE, FS_ALGO_NVLS, FS_PROTO_SIMPLE, 8, 1);
    carry(&run, 1e9, 9.0 / 8);
    near(fs_nccl_belief(t, &run), 25e-6 + 1 / (0.85 * 0.9375));
    fs_nccl_table_free(t);
}

/* NCCL gives a tree half of the bus's rate: on two nodes with eight adapters of 24 GB/s 0.92 x 192 / 2, and no more than its channels
 * may carry; with 48 GB/s each adapter's channel is two. */
static void trees_get_half_of_the_bus(void **state)
{
    (void)state;
    fs_nccl_table *t = shipped();
    fs_nccl_run run = run_of(FS_ALL_REDUCE, FS_ALGO_TREE, FS_PROTO_SIMPLE, 16, 2);
    carry(&run, 8e9, 8 / 137.0);
    run.arch = FS_AMPERE;
    run.channels = 8;
    run.nic_s = 8 / 192.0;
    double steps_s = (8.4 + 2 * (7 * 4.0 + 14.0)) * 1e-6;
    near(fs_nccl_belief(t, &run), steps_s + 2 * 8 / (0.92 * 192));
    t->tree_channel_Bps[FS_AMPERE][0] = 20e9;
    near(fs_nccl_belief(t, &run), steps_s + 2 * 8 / (8 * 20.0));
    run.nic_s /= 2.0;
    run.stream_s /= 2.0;
    near(fs_nccl_belief(t, &run), steps_s + 2 * 8 / (16 * 20.0));
    run.n_nodes = 1; /* the NVLinks' half, and no channels of adapters */
    run.n = 8;
    near(fs_nccl_belief(t, &run), (8.4 + 14 * 4.0) * 1e-6 + 8 / 137.0 / 0.92);
    fs_nccl_table_free(t);
}

/* The equation of nccl_cost.c, by hand. */
static void costs_follow_the_equation(void **state)
{
    (void)state;
    fs_nccl_table *t = shipped();
    fs_nccl_takes *takes = &t->takes[FS_HOPPER][FS_NCCL_RING][2];
    *takes = (fs_nccl_takes){.launch_s = 5e-6,
                             .hop_s = {2e-6, 3e-6, 10e-6},
                             .efficiency = 0.5,
                             .net_efficiency = 1.0,
                             .fill = 2.0,
                             .window_s = 1e-3,
                             .drift_s = INFINITY,
                             .overlap = 1.0};
    fs_nccl_run run = run_of(FS_ALL_GATHER, FS_ALGO_RING, FS_PROTO_SIMPLE, 5, 1);
    carry(&run, 1e6, 4e-3);
    double chunk = 2e-3;
    near(fs_nccl_cost(t, &run).latency_s + 4e-3, 5e-6 + 4 * (chunk + 2e-6) + 2 * chunk * 1e-3 / (chunk + 1e-3));
    takes->flight = 3.0; /* of 4 ms, which the steps pay as well */
    run.wire_s = 4e-3;
    near(fs_nccl_cost(t, &run).latency_s + 4e-3,
         5e-6 + 4 * (chunk + 2e-6) + 4e-3 + (2 * 1e-3 + 3 * 4e-3) * chunk / (chunk + 1e-3));
    run.wire_s = 0.0;
    run.registered = true;
    near(fs_nccl_cost(t, &run).latency_s + 4e-3, 5e-6 + 4 * (chunk + 2e-6));
    takes->overlap = 2.0;
    near(fs_nccl_cost(t, &run).latency_s + 4e-3, 5e-6 + 4 * hypot(chunk, 2e-6));
    takes->cap_Bps = 1e6 * 0.8 / 40e-3; /* 40 ms for the payload of 4/5 */
    near(fs_nccl_cost(t, &run).latency_s + 4e-3, 5e-6 + 4 * hypot(10e-3, 2e-6));
    run.proto = FS_PROTO_LL;
    near(fs_nccl_cost(t, &run).wire, 2.0);
    fs_nccl_table_free(t);
}

/* A ring's round has a step that only receives, an all_gather's a copy of the own part besides: of a GPU's time for a chunk, however large
 * that is. */
static void rounds_end_in_a_step_that_receives(void **state)
{
    (void)state;
    fs_nccl_table *t = shipped();
    fs_nccl_takes *takes = &t->takes[FS_HOPPER][FS_NCCL_RING][2];
    *takes = ideal_takes();
    takes->drain = 0.5;
    takes->copy = 0.25;
    for (uint32_t n = 2; n <= 8; n *= 2) {
        fs_nccl_run run = run_of(FS_REDUCE_SCATTER, FS_ALGO_RING, FS_PROTO_SIMPLE, n, 1);
        carry(&run, 1e9, 1.0);
        near(fs_nccl_cost(t, &run).latency_s, 0.5 / (n - 1));
        run.kind = FS_ALL_GATHER;
        near(fs_nccl_cost(t, &run).latency_s, 0.75 / (n - 1));
        run.registered = true;
        near(fs_nccl_cost(t, &run).latency_s, 0.0);
        run.registered = false;
        takes->drift_s = 1.0 / (n - 1); /* a chunk's time: half is hidden */
        near(fs_nccl_cost(t, &run).latency_s, 0.375 / (n - 1));
        takes->drift_s = INFINITY;
        run.kind = FS_ALL_REDUCE;
        near(fs_nccl_cost(t, &run).latency_s, 0.5 / (2 * (n - 1)));
        run.kind = FS_REDUCE_SCATTER;
        run.stream_s = 10.0; /* a slow network: the GPU's step is as short as before */
        near(fs_nccl_cost(t, &run).latency_s, 0.5 / (n - 1));
    }
    fs_nccl_table_free(t);
}

/* A chain is one pipeline: its latency comes once, before all its bytes, and it has no rounds. Flags go through NCCL's own buffers, registered
 * ones or not. */
static void only_rings_have_rounds(void **state)
{
    (void)state;
    fs_nccl_table *t = shipped();
    fs_nccl_takes *takes = &t->takes[FS_HOPPER][FS_NCCL_RING][0];
    *takes = ideal_takes();
    takes->hop_s[FS_NCCL_NVLINK] = 0.25;
    takes->drain = 0.5;
    takes->overlap = 2.0;
    fs_nccl_run run = run_of(FS_BROADCAST, FS_ALGO_CHAIN, FS_PROTO_LL, 5, 1);
    carry(&run, 1.0, 3.0);
    near(fs_nccl_cost(t, &run).latency_s, 4 * 0.25);
    run = run_of(FS_ALL_GATHER, FS_ALGO_RING, FS_PROTO_LL, 5, 1);
    carry(&run, 1.0, 3.0);
    for (int registered = 0; registered < 2; registered++) {
        run.registered = registered;
        near(fs_nccl_cost(t, &run).latency_s, 4 * hypot(1.5, 0.25) + 0.5 * 1.5 - 6.0);
    }
    fs_nccl_table_free(t);
}

/* A step takes longer as a block gets its 512 threads, of 8 B each (of a ring's LL, for each rank), and no longer once two have them. Between
 * nodes the network's part of a send counts, and with one rank a node a ring has a tree's latency. */
static void steps_wait_for_threads_and_networks(void **state)
{
    (void)state;
    fs_nccl_table *t = shipped();
    fs_nccl_takes *ring = &t->takes[FS_HOPPER][FS_NCCL_RING][0], *direct = &t->takes[FS_HOPPER][FS_NCCL_DIRECT][2];
    *ring = ideal_takes();
    ring->hop_s[FS_NCCL_NVLINK] = 1e-6;
    ring->hop_s[FS_NCCL_NET] = 2e-6;
    ring->crowd = 0.5;
    t->takes[FS_HOPPER][FS_NCCL_TREE][0].hop_s[FS_NCCL_NET] = 7e-6;
    fs_nccl_run run = run_of(FS_ALL_GATHER, FS_ALGO_RING, FS_PROTO_LL, 4, 1);
    near(fs_nccl_cost(t, &run).latency_s, 3e-6);
    run.size_bytes = 512 * 8 * 4;
    near(fs_nccl_cost(t, &run).latency_s, 3e-6 * 1.25);
    run.size_bytes = 1e7;
    near(fs_nccl_cost(t, &run).latency_s, 3e-6 * 1.5);
    run.n_nodes = 2;
    near(fs_nccl_cost(t, &run).latency_s, 2e-6 * 1.5 + 2e-6);
    run.n_nodes = 4;
    near(fs_nccl_cost(t, &run).latency_s, 3 * 7e-6);
    *direct = ideal_takes();
    direct->net_efficiency = 0.5;
    run = run_of(FS_ALL_TO_ALL, FS_ALGO_DIRECT, FS_PROTO_SIMPLE, 4, 2);
    carry(&run, 1e9, 1.0);
    run.nvlink_s = 0.1;
    near(fs_nccl_cost(t, &run).latency_s, 1.0);
    run.n_nodes = 1;
    near(fs_nccl_cost(t, &run).latency_s, 0.0);
    fs_nccl_table_free(t);
}

/* hair: what a switch of algorithm or protocol may take off. 16 GPUs of an NVL72: NCCL believes that LL's 30 steps take 0.6 us each. */
static const struct {
    const char *file;
    double hair;
} boards[] = {{"topologies/dgx-a100.xml", 0.06},    {"topologies/dgx-h100.xml", 0.06},
              {"topologies/hgx-b200.xml", 0.06},    {"topologies/gb200-nvl72.xml", 0.32},
              {"topologies/dgx-h100-x2.xml", 0.06}, {"topologies/v100-pcie.xml", 0.06}};
static const fs_coll_kind kinds[] = {FS_ALL_REDUCE, FS_ALL_GATHER, FS_REDUCE_SCATTER, FS_ALL_TO_ALL, FS_BROADCAST};

static double seconds(fabric *f, fs_coll_kind kind, fs_algo algo, fs_proto proto, uint32_t n, double size_bytes)
{
    fs_coll_request request = ask(kind, algo, proto, f->topo->gpus, n, 0, size_bytes);
    const fs_plan *plan = NULL;
    assert_int_equal(fs_lower(f->lowering, &request, &plan, &f->err), FS_OK);
    return plan->estimate_s;
}

static const double next_to_nothing = 1e-9; /* bytes */

/* What the links need for the bytes alone. */
static double bytes_s(fabric *bare, const fs_coll_request *q)
{
    return seconds(bare, q->kind, q->algo, q->proto, q->n, q->size_bytes) -
           seconds(bare, q->kind, q->algo, q->proto, q->n, next_to_nothing);
}

/* Each algorithm and protocol by itself takes longer for more bytes, and never less than the same at the links' bare rates: no bus
 * bandwidth is above what the hardware has. */
static void time_grows_with_size(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof boards / sizeof *boards; i++) {
        fabric f = fabric_open(boards[i].file, FS_COST_NCCL, FS_LOWER_COUPLED);
        fabric bare = fabric_open(boards[i].file, FS_COST_IDEAL, FS_LOWER_COUPLED);
        for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++) {
            for (fs_algo algo = FS_ALGO_RING; algo < FS_ALGOS; algo++) {
                for (fs_proto proto = FS_PROTO_LL; proto < FS_PROTOS; proto++) {
                    double last = 0;
                    for (double size = 8; size < 2e10; size *= 3.7) {
                        fs_coll_request request = ask(kinds[k], algo, proto, f.topo->gpus, f.topo->n_gpus, 0, size);
                        const fs_plan *plan = NULL;
                        if (fs_lower(f.lowering, &request, &plan, &f.err) != FS_OK)
                            break;
                        assert_true(plan->estimate_s > last);
                        assert_true(plan->estimate_s >= bytes_s(&bare, &request));
                        for (uint32_t m = 0; m < plan->n_moves; m++)
                            assert_true(plan->moves[m].latency_s >= 0);
                        last = plan->estimate_s;
                    }
                }
            }
        }
        fabric_close(&bare);
        fabric_close(&f);
    }
}

/* NCCL goes by its belief, so that a switch of algorithm or protocol may make more bytes take a hair less, and no more than that. */
static void switches_do_not_make_more_bytes_faster(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof boards / sizeof *boards; i++) {
        fabric f = fabric_open(boards[i].file, FS_COST_NCCL, FS_LOWER_COUPLED);
        for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++) {
            for (uint32_t n = 2; n <= f.topo->n_gpus; n *= 2) {
                double last = 0;
                for (double size = 8; size < 2e10; size *= 1.5) {
                    fs_coll_request request = ask(kinds[k], FS_ALGO_AUTO, FS_PROTO_AUTO, f.topo->gpus, n, 0, size);
                    const fs_plan *plan = NULL;
                    assert_int_equal(fs_lower(f.lowering, &request, &plan, &f.err), FS_OK);
                    if (!(plan->estimate_s > (1 - boards[i].hair) * last))
                        print_error("%s, %s on %u, %g B: %g s after %g s\n", boards[i].file, fs_coll_names[kinds[k]], n,
                                    size, plan->estimate_s, last);
                    assert_true(plan->estimate_s > (1 - boards[i].hair) * last);
                    last = plan->estimate_s;
                }
            }
        }
        fabric_close(&f);
    }
}

/* What a tree adds to its steps' figures is what the ideal tree has beside its NVLinks: those of 14 steps, up and down eight GPUs. */
static void a_tree_pays_for_the_network_once(void **state)
{
    (void)state;
    fabric bare = fabric_open("topologies/dgx-h100-x2.xml", FS_COST_IDEAL, FS_LOWER_COUPLED);
    double nvlink_s = seconds(&bare, FS_SENDRECV, FS_ALGO_DIRECT, FS_PROTO_SIMPLE, 2, next_to_nothing);
    double network_s =
        seconds(&bare, FS_ALL_REDUCE, FS_ALGO_TREE, FS_PROTO_SIMPLE, 16, next_to_nothing) - 14 * nvlink_s;
    assert_true(network_s > nvlink_s);
    fabric_close(&bare);
    fs_nccl_table *t = shipped();
    fabric f = fabric_open("topologies/dgx-h100-x2.xml", FS_COST_NCCL, FS_LOWER_COUPLED);
    const fs_nccl_takes *takes = &t->takes[FS_HOPPER][FS_NCCL_TREE][0];
    double steps_s = takes->launch_s + 14 * takes->hop_s[FS_NCCL_NVLINK] + 2 * takes->hop_s[FS_NCCL_NET];
    near(seconds(&f, FS_ALL_REDUCE, FS_ALGO_TREE, FS_PROTO_LL, 16, next_to_nothing), steps_s + network_s);
    fabric_close(&f);
    fs_nccl_table_free(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(beliefs_are_the_published_ones),
        cmocka_unit_test(trees_get_half_of_the_bus),
        cmocka_unit_test(costs_follow_the_equation),
        cmocka_unit_test(rounds_end_in_a_step_that_receives),
        cmocka_unit_test(only_rings_have_rounds),
        cmocka_unit_test(steps_wait_for_threads_and_networks),
        cmocka_unit_test(time_grows_with_size),
        cmocka_unit_test(switches_do_not_make_more_bytes_faster),
        cmocka_unit_test(a_tree_pays_for_the_network_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
