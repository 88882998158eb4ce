/* test_run.c - from a topology and a work to the numbers of a result. */
#include "../fixture.h"
#include "topo/faults.h"

#include <unistd.h>

static fs_result run(const fs_topo *topo, const fs_work *work, fs_run_options options)
{
    fs_result result = {0};
    ASSERT_OK(fs_run(topo, work, &options, &result, &failure));
    return result;
}

static const fs_breakdown_row *row_of(const fs_result *r, const char *name)
{
    for (uint32_t i = 0; i < r->n_breakdown; i++)
        if (strcmp(r->breakdown[i].name, name) == 0)
            return &r->breakdown[i];
    fail_msg("no row '%s'", name);
    return NULL;
}

static void expect_sum(const fs_result *r)
{
    double sum = 0;
    for (uint32_t i = 0; i < r->n_breakdown; i++)
        sum += r->breakdown[i].seconds;
    ASSERT_CLOSE(sum, r->step_time_s, 1e-9);
}

/* A little of every category. */
static fs_work *mixed_work(void)
{
    fs_work_builder *b = make_builder(4);
    uint32_t tp;
    ASSERT_OK(fs_work_family_strided(b, "tp", 2, 1, &tp, &failure));
    for (uint32_t rank = 0; rank < 4; rank++) {
        uint32_t p = add_program(b, "p", rank, rank);
        uint32_t first = add(b, p, "main", compute(1e-3 * (1 + rank)));
        add_after(b, p, "comm", collective(FS_ALL_REDUCE, tp, 4e6), first); /* 4 ms, from when both have computed */
        uint32_t second = add(b, p, "main", compute(2e-3));
        fs_op optimizer = compute(1e-3);
        optimizer.phase = FS_PHASE_OPTIMIZER;
        add(b, p, "main", optimizer);
        add_after(b, p, "p2p", shifted(rank % 2 ? FS_OP_RECV : FS_OP_SEND, tp, 1, 0, 1e6), second);
        add(b, p, "comm", collective(FS_ALL_REDUCE, 0, 4e6));
        add(b, p, "comm", delay(1e-3));
    }
    return finish(b);
}

static void rows_sum_to_the_step(void **state)
{
    (void)state;
    fs_topo *topo = make_topo("gpus:4 nvlink:1GB/s");
    fs_work *work = mixed_work();
    fs_result r = run(topo, work, ideal());
    static const char *const names[] = {"compute",     "optimizer", "exposed world", "exposed tp",
                                        "exposed p2p", "delay",     "bubble",        "idle"};
    assert_int_equal(r.n_breakdown, 8);
    for (uint32_t i = 0; i < 8; i++) {
        assert_string_equal(r.breakdown[i].name, names[i]);
        assert_true(r.breakdown[i].seconds <= r.breakdown[i].max_s * (1 + 1e-12));
    }
    expect_sum(&r);
    ASSERT_CLOSE(row_of(&r, "compute")->seconds, (3 + 4 + 5 + 6) * 1e-3 / 4, 1e-9);
    ASSERT_CLOSE(row_of(&r, "compute")->max_s, 6e-3, 1e-9);
    assert_int_equal(row_of(&r, "compute")->max_rank, 3);
    ASSERT_CLOSE(row_of(&r, "optimizer")->seconds, 1e-3, 1e-9);
    ASSERT_CLOSE(row_of(&r, "delay")->seconds, 1e-3, 1e-9);
    assert_int_equal(r.ranks, 4);
    assert_int_equal(r.ops, 4 * 7);
    assert_int_equal(r.rank_classes, 4);
    assert_in_range(r.link_classes, 1, topo->n_links);
    assert_string_equal(r.network, "fabric");
    assert_string_equal(r.lowering, "coupled");
    assert_string_equal(r.cost, "ideal");
    assert_true(r.wall_s > 0);
    assert_true(r.peak_memory_bytes > 0);
    assert_true(r.counters.events > 0);
    fs_result_free(&r);
    fs_work_free(work);
    fs_topo_free(topo);
}

static void waiting_for_a_peer_is_a_bubble(void **state)
{
    (void)state;
    fs_topo *topo = make_topo("gpus:2 nvlink:1GB/s");
    fs_work_builder *b = make_builder(2);
    uint32_t p = add_program(b, "p", 0, 0), q = add_program(b, "q", 1, 1);
    add(b, p, "main", compute(3e-3));
    add(b, p, "main", transfer(FS_OP_SEND, 1, 0, 2e6));
    add(b, q, "main", transfer(FS_OP_RECV, 0, 0, 2e6));
    fs_work *work = finish(b);
    fs_result r = run(topo, work, ideal());
    ASSERT_CLOSE(r.step_time_s, 5e-3, 1e-9);
    ASSERT_CLOSE(row_of(&r, "bubble")->seconds, 1.5e-3, 1e-9);
    ASSERT_CLOSE(row_of(&r, "bubble")->max_s, 3e-3, 1e-9);
    assert_int_equal(row_of(&r, "bubble")->max_rank, 1);
    ASSERT_CLOSE(row_of(&r, "exposed p2p")->seconds, 2e-3, 1e-9);
    ASSERT_CLOSE(row_of(&r, "compute")->seconds, 1.5e-3, 1e-9);
    assert_true(row_of(&r, "idle")->seconds == 0);
    assert_int_equal(r.n_comms, 1);
    assert_string_equal(r.comms[0].family, "p2p");
    assert_string_equal(r.comms[0].what, "sendrecv");
    ASSERT_CLOSE(r.comms[0].mean_s, 2e-3, 1e-9);
    expect_sum(&r);
    fs_result_free(&r);
    fs_work_free(work);
    fs_topo_free(topo);
}

static void links_and_tiers(void **state)
{
    (void)state;
    fs_topo *topo = make_topo("gpus:4 nvlink:1GB/s");
    fs_work_builder *b = make_builder(3);
    uint32_t p = add_program(b, "p", 0, 0), q = add_program(b, "q", 1, 1), idle = add_program(b, "r", 2, 2);
    add(b, p, "main", transfer(FS_OP_SEND, 1, 0, 2e6));
    add(b, p, "main", delay(2e-3));
    add(b, q, "main", transfer(FS_OP_RECV, 0, 0, 2e6));
    add(b, idle, "main", delay(1e-3));
    fs_work *work = finish(b);
    fs_result r = run(topo, work, ideal());
    assert_int_equal(r.n_links, 1); /* up from the one and down to the other carry the same */
    assert_int_equal(r.links[0].count, 2);
    assert_int_equal(r.link_classes, 2); /* and those that are idle */
    fs_run_options whole = ideal();
    whole.fold = FS_FOLD_OFF;
    fs_result_free(&r);
    r = run(topo, work, whole);
    assert_int_equal(r.link_classes, topo->n_links);
    assert_int_equal(r.n_links, 2);
    for (uint32_t i = 0; i < 2; i++) {
        assert_int_equal(r.links[i].count, 1);
        ASSERT_CLOSE(r.links[i].bytes, 2e6, 1e-9);
        ASSERT_CLOSE(r.links[i].mean_utilization, 0.5, 1e-9);
        ASSERT_CLOSE(r.links[i].peak_utilization, 1, 1e-9);
        ASSERT_CLOSE(r.links[i].busy_s, 2e-3, 1e-9);
    }
    assert_true(r.links[0].link < r.links[1].link);
    assert_int_equal(r.n_tiers, topo->n_tiers);
    assert_int_equal(r.n_tiers, 1);
    assert_int_equal(r.tiers[0].links, 8);
    ASSERT_CLOSE(r.tiers[0].capacity_Bps, 8e9, 1e-12);
    ASSERT_CLOSE(r.tiers[0].bytes, 4e6, 1e-9);
    ASSERT_CLOSE(r.tiers[0].mean_utilization, 4e6 / (8e9 * 4e-3), 1e-9);
    ASSERT_CLOSE(r.tiers[0].peak_utilization, 0.25, 1e-9);
    assert_int_equal(r.tiers[0].busiest_link, r.links[0].link);
    fs_result_free(&r);
    fs_work_free(work);
    fs_topo_free(topo);
}

static void equal_communication_is_one_row(void **state)
{
    (void)state;
    fs_topo *topo = make_topo("gpus:4 nvlink:1GB/s");
    fs_work_builder *b = make_builder(4);
    uint32_t tp, p = add_program(b, "p", 0, 3);
    ASSERT_OK(fs_work_family_strided(b, "tp", 2, 1, &tp, &failure));
    add(b, p, "main", collective(FS_ALL_REDUCE, tp, 1e6));
    add(b, p, "main", collective(FS_ALL_REDUCE, 0, 2e6));
    add(b, p, "main", collective(FS_ALL_REDUCE, tp, 1e6));
    fs_op broadcast = collective(FS_BROADCAST, 0, 1e6);
    add(b, p, "main", broadcast);
    broadcast.root = 2;
    add(b, p, "main", broadcast);
    fs_work *work = finish(b);
    fs_result r = run(topo, work, ideal());
    assert_int_equal(r.n_comms, 3);
    assert_string_equal(r.comms[0].family, "tp");
    assert_string_equal(r.comms[0].what, "all_reduce");
    assert_int_equal(r.comms[0].count, 2);
    assert_int_equal(r.comms[0].ranks, 2);
    assert_int_equal(r.comms[0].algo, FS_ALGO_RING);
    ASSERT_CLOSE(r.comms[0].mean_s, 1e-3, 1e-9);
    ASSERT_CLOSE(r.comms[0].algbw_Bps, 1e9, 1e-9);
    ASSERT_CLOSE(r.comms[0].busbw_Bps, 1e9, 1e-9);
    assert_string_equal(r.comms[1].family, "world");
    assert_int_equal(r.comms[1].count, 1);
    ASSERT_CLOSE(r.comms[1].busbw_Bps, 1e9, 1e-9);
    assert_string_equal(r.comms[2].what, "broadcast");
    assert_int_equal(r.comms[2].count, 2);
    fs_result_free(&r);
    fs_work_free(work);
    fs_topo_free(topo);
}

/* Rank 0's edge of a ring is slowed at first, rank 1's later. A pipelined ring is slowed by both; as flows, the edge of
 * rank 1 has ended before it could be. */
static void a_ring_moves_at_the_speed_of_its_slowest_edge(void **state)
{
    (void)state;
    fs_topo *topo = make_topo("gpus:5 nvlink:1GB/s");
    fs_work_builder *b = make_builder(5);
    static const uint32_t begin[] = {0, 3}, ring[] = {0, 1, 2};
    uint32_t family, program[5];
    ASSERT_OK(fs_work_family_explicit(b, "ring", begin, 1, ring, &family, &failure));
    for (uint32_t rank = 0; rank < 5; rank++)
        program[rank] = add_program(b, "p", rank, rank);
    for (uint32_t rank = 0; rank < 3; rank++)
        add(b, program[rank], "comm", collective(FS_ALL_GATHER, family, 3e6)); /* 2 MB an edge */
    add(b, program[0], "aside", transfer(FS_OP_SEND, 3, 0, 1e6));              /* 2 ms at half the rate */
    add(b, program[3], "aside", transfer(FS_OP_RECV, 0, 0, 1e6));
    add(b, program[1], "aside", delay(2e-3));
    add(b, program[1], "aside", transfer(FS_OP_SEND, 4, 0, 1e6));
    add(b, program[4], "aside", transfer(FS_OP_RECV, 1, 0, 1e6));
    fs_work *work = finish(b);
    fs_run_options options = ideal();
    ASSERT_CLOSE(step_of(topo, work, options), 4e-3, 1e-9);
    options.lowering = FS_LOWER_FLOWS;
    ASSERT_CLOSE(step_of(topo, work, options), 3e-3, 1e-9);
    fs_work_free(work);
    fs_topo_free(topo);
}

static void rates(void **state)
{
    (void)state;
    fs_topo *topo = make_topo("gpus:2 nvlink:1GB/s flops:100TFLOP/s");
    fs_work_builder *b = make_builder(2);
    uint32_t p = add_program(b, "p", 0, 1);
    add(b, p, "main", kernel(50e12, 0, FS_FP16));
    add(b, p, "main", delay(0.5));
    fs_totals totals = {.model_flops = 80e12, .hardware_flops = 100e12, .tokens = 2048, .dtype = FS_FP16};
    fs_work_set_totals(b, &totals);
    fs_work *work = finish(b);
    fs_result r = run(topo, work, ideal());
    ASSERT_CLOSE(r.step_time_s, 1, 1e-12);
    ASSERT_CLOSE(r.tflops_per_gpu, 50, 1e-12);
    ASSERT_CLOSE(r.mfu, 0.4, 1e-12);
    ASSERT_CLOSE(r.hfu, 0.5, 1e-12);
    ASSERT_CLOSE(r.tokens_per_s, 2048, 1e-12);
    ASSERT_CLOSE(r.tokens_per_s_per_gpu, 1024, 1e-12);
    ASSERT_CLOSE(r.power.gpus_rated_W, 800, 1e-12);
    ASSERT_CLOSE(r.power.gpus_W, 440, 1e-12); /* half of the time idle, at a tenth */
    ASSERT_CLOSE(r.power.facility_W, 440 * 1.2, 1e-12);
    ASSERT_CLOSE(fs_result_joules(&r), 440 * 1.2 / 2048, 1e-12);
    assert_true(r.gpu_mem_bytes == 80e9);
    assert_int_equal(r.n_comms, 0);
    assert_int_equal(r.n_links, 0);
    assert_int_equal(r.tiers[0].busiest_link, FS_NONE);
    fs_result_free(&r);
    fs_work_free(work);
    fs_topo_free(topo);
}

static void a_step_of_no_time(void **state)
{
    (void)state;
    fs_topo *topo = make_topo("gpus:2 nvlink:1GB/s");
    fs_work_builder *b = make_builder(2);
    add_program(b, "p", 0, 1);
    fs_totals totals = {.model_flops = 1, .hardware_flops = 1, .tokens = 1, .dtype = FS_FP16};
    fs_work_set_totals(b, &totals);
    fs_work *work = finish(b);
    fs_result r = run(topo, work, ideal());
    assert_true(r.step_time_s == 0);
    assert_true(r.mfu == 0 && r.tokens_per_s == 0 && r.power.busy == 0 && r.tiers[0].mean_utilization == 0);
    assert_int_equal(r.n_breakdown, 2);
    fs_result_free(&r);
    fs_work_free(work);
    fs_topo_free(topo);
}

static void repeats_are_equal(void **state)
{
    (void)state;
    fs_topo *topo = make_topo("gpus:4 nvlink:1GB/s,700ns");
    fs_work *work = mixed_work();
    fs_result a = run(topo, work, fs_run_default()), b = run(topo, work, fs_run_default());
    assert_true(a.step_time_s == b.step_time_s);
    assert_memory_equal(&a.counters, &b.counters, sizeof a.counters);
    assert_int_equal(a.n_links, b.n_links);
    assert_memory_equal(a.links, b.links, a.n_links * sizeof *a.links);
    fs_result_free(&a);
    fs_result_free(&b);
    fs_work_free(work);
    fs_topo_free(topo);
}

static void failures_leave_the_result_alone(void **state)
{
    (void)state;
    fs_topo *topo = make_topo("gpus:4 nvlink:1GB/s");
    fs_work *work = mixed_work();
    fs_result r = {.seed = 77};
    fs_run_options options = ideal();
    fs_err err = {0};
    options.max_events = 3;
    assert_int_equal(fs_run(topo, work, &options, &r, &err), FS_E_SIM);
    options = ideal();
    options.timeline = "/nowhere/timeline.json";
    assert_int_equal(fs_run(topo, work, &options, &r, &err), FS_E_IO);
    options.timeline = "/dev/full";
    if (access(options.timeline, W_OK) == 0)
        assert_int_equal(fs_run(topo, work, &options, &r, &err), FS_E_IO);
    assert_int_equal(r.seed, 77);
    assert_null(r.links);
    fs_work_free(work);
    fs_topo_free(topo);
}

/* ---- faults ------------------------------------------------------------------------------------------------------ */

static void apply(fs_topo *topo, fs_fault_kind kind, const char *name, double speed, double from_s, double to_s)
{
    fs_fault fault = {.kind = kind,
                      .name = name,
                      .speed = speed,
                      .from_s = from_s,
                      .to_s = to_s,
                      .origin = "test",
                      .status_if_bad = FS_E_USAGE};
    ASSERT_OK(fs_topo_apply_faults(topo, &fault, 1, &failure));
}

/* One second of work or of 1 GB/s; half the speed from 0.25 s on, for a second: a quarter, a half of a second's, a
 * quarter. */
static void speeds_change_on_the_way(void **state)
{
    (void)state;
    static const double want[] = {1.5, 1.5, 1.75};
    for (uint32_t i = 0; i < 3; i++) {
        fs_topo *topo = make_topo("gpus:2 nvlink:1GB/s");
        fs_work_builder *b = make_builder(2);
        uint32_t p = add_program(b, "p", 0, 0), q = add_program(b, "q", 1, 1);
        if (i == 0) {
            add(b, p, "main", compute(1));
        } else {
            add(b, p, "main", transfer(FS_OP_SEND, 1, 0, 1e9));
            add(b, q, "main", transfer(FS_OP_RECV, 0, 0, 1e9));
        }
        fs_work *work = finish(b);
        if (i == 0)
            apply(topo, FS_FAULT_GPU, "gpu0", 0.5, 0.25, 1.25);
        else
            apply(topo, FS_FAULT_LINK, "gpu0 - nvsw0", i == 1 ? 0.5 : 0.25, 0.25, 1.25);
        ASSERT_CLOSE(step_of(topo, work, ideal()), want[i], 1e-9);
        fs_work_free(work);
        fs_topo_free(topo);
    }
}

/* A link that is down for a time, with no way around: its router says so. */
static void what_is_cut_off_is_an_error(void **state)
{
    (void)state;
    fs_topo *topo = make_topo("gpus:2 nvlink:1GB/s");
    fs_work_builder *b = make_builder(2);
    uint32_t p = add_program(b, "p", 0, 1);
    add(b, p, "main", collective(FS_ALL_REDUCE, 0, 1e6));
    fs_work *work = finish(b);
    fs_result result;
    fs_run_options options = ideal();
    apply(topo, FS_FAULT_LINK, "gpu0 - nvsw0", 0, 1, 2);
    assert_int_equal(fs_run(topo, work, &options, &result, &failure), FS_E_TOPOLOGY);
    assert_non_null(strstr(failure.text, "gpu0"));
    fs_work_free(work);
    fs_topo_free(topo);
}

static double bytes_of_tier(const fs_result *r, const char *name)
{
    for (uint32_t i = 0; i < r->n_tiers; i++)
        if (strcmp(r->tiers[i].name, name) == 0)
            return r->tiers[i].bytes;
    fail_msg("no tier '%s'", name);
    return 0;
}

/* From the first GPU of a node to the second of another: over NVLink to the right rail, or through the spines. */
static void a_trace_says_how_rails_are_crossed(void **state)
{
    (void)state;
    fs_topo *topo = NULL;
    ASSERT_OK(fs_topo_load("topologies/superpod-h100.xml", NULL, 0, &topo, &failure));
    for (fs_cross_rail how = FS_CROSS_AS_TOPOLOGY; how < FS_CROSS_RAILS; how++) {
        fs_work_builder *b = make_builder(16);
        uint32_t from = add_program(b, "from", 0, 0), to = add_program(b, "to", 9, 9);
        add(b, from, "main", transfer(FS_OP_SEND, 9, 0, 1e6));
        add(b, to, "main", transfer(FS_OP_RECV, 0, 0, 1e6));
        fs_work_set_nccl(b, (fs_nccl_use){.cross_rail = how});
        fs_work *work = finish(b);
        fs_result r = run(topo, work, ideal());
        ASSERT_CLOSE(bytes_of_tier(&r, "nvlink"), how == FS_CROSS_NETWORK ? 0 : 2e6, 1e-9);
        ASSERT_CLOSE(bytes_of_tier(&r, "leaf-spine"), how == FS_CROSS_NETWORK ? 2e6 : 0, 1e-9);
        fs_result_free(&r);
        fs_work_free(work);
    }
    fs_topo_free(topo);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_trace_says_how_rails_are_crossed),
        cmocka_unit_test(rows_sum_to_the_step),
        cmocka_unit_test(waiting_for_a_peer_is_a_bubble),
        cmocka_unit_test(links_and_tiers),
        cmocka_unit_test(equal_communication_is_one_row),
        cmocka_unit_test(a_ring_moves_at_the_speed_of_its_slowest_edge),
        cmocka_unit_test(rates),
        cmocka_unit_test(a_step_of_no_time),
        cmocka_unit_test(repeats_are_equal),
        cmocka_unit_test(failures_leave_the_result_alone),
        cmocka_unit_test(speeds_change_on_the_way),
        cmocka_unit_test(what_is_cut_off_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
