/* valid_peers.c - the same rings as in other simulators, message by message, within 0.1 % of what they report.
 *
 * LogGOPSim (L = 500 ns, G = 0.02 ns/B, no contention) and SMPI's replay (two links of 250 ns and 50 GB/s) simulate a
 * ring all-reduce as 2(N-1) rounds of point-to-point messages of S/N bytes: latency, then bytes at the wire's rate;
 * arithmetic is free. Both gave, for S = 64 MiB, the times below to 0.1 % (docs/VALIDATION.md).
 *
 * ASTRA-sim 2 (analytical backend, 1-D ring) adds 10 ns of endpoint delay to every message and reduces what arrives at
 * the local memory's rate, three passes at 3350 GB/s, before the next message of the reduce-scatter half:
 *     T = 2(N-1) (lat + c/bw + 10 ns) + (N-1) 3 c / 3350 GB/s + 10 ns,   c = S/N.
 * Here that is an ops trace of sends, receives and kernels. */
#include "run.h"
#include "topo/spec.h"
#include "work/work_build.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#define MIB 1048576.0

static void ok(fs_status status, const fs_err *err)
{
    if (status != FS_OK)
        fail_msg("%s", err->text);
}

static fs_topo *crossbar(uint32_t n, const char *rate_and_hop)
{
    char text[96];
    fs_topo *topo = NULL;
    fs_err err = {0};
    snprintf(text, sizeof text, "gpus:%u nvlink:%s", n, rate_and_hop);
    ok(fs_spec_oneline(text, &topo, &err), &err);
    return topo;
}

static double step_time(const fs_topo *topo, const fs_work *work, fs_lowering_mode mode)
{
    fs_run_options options = fs_run_default();
    options.cost = FS_COST_IDEAL;
    options.lowering = mode;
    fs_result result = {0};
    fs_err err = {0};
    ok(fs_run(topo, work, &options, &result, &err), &err);
    double step = result.step_time_s;
    fs_result_free(&result);
    return step;
}

static fs_work *ring_work(uint32_t n, double size)
{
    fs_err err = {0};
    fs_work_builder *b = fs_work_builder_new("ring", "ops", "");
    assert_non_null(b);
    uint32_t family, program, index;
    uint16_t stream;
    ok(fs_work_set_ranks(b, n, &err), &err);
    ok(fs_work_stream(b, "main", &stream, &err), &err);
    ok(fs_work_family_strided(b, "world", n, 1, &family, &err), &err);
    ok(fs_work_program(b, "p", &program, &err), &err);
    fs_op op = fs_op_default(FS_OP_COLLECTIVE);
    op.coll = FS_ALL_REDUCE;
    op.algo = FS_ALGO_RING;
    op.family = family;
    op.size_bytes = size;
    op.stream = stream;
    ok(fs_work_name(b, "ring", &op.name, &err), &err);
    ok(fs_work_op(b, program, &op, NULL, 0, &index, &err), &err);
    for (uint32_t rank = 0; rank < n; rank++)
        ok(fs_work_assign(b, rank, program, &err), &err);
    fs_work *work = NULL;
    ok(fs_work_freeze(b, &work, &err), &err);
    fs_work_builder_free(b);
    return work;
}

static void loggopsim_and_smpi(void **state)
{
    (void)state;
    static const struct {
        uint32_t n;
        double reported_s;
    } rows[] = {{8, 2355.81e-6}, {64, 2705.41e-6}, {512, 3190.09e-6}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        fs_topo *topo = crossbar(rows[i].n, "50GB/s,250ns");
        fs_work *work = ring_work(rows[i].n, 64 * MIB);
        double messages = step_time(topo, work, FS_LOWER_MESSAGES);
        double coupled = step_time(topo, work, FS_LOWER_COUPLED);
        print_message("# N %u: reported %.2f us, messages %.2f us, one transfer %.2f us\n", rows[i].n,
                      1e6 * rows[i].reported_s, 1e6 * messages, 1e6 * coupled);
        assert_true(fabs(messages / rows[i].reported_s - 1) < 1e-3);
        assert_true(fabs(coupled / messages - 1) < 1e-9); /* equal chunks on equal edges: nothing is lost */
        fs_work_free(work);
        fs_topo_free(topo);
    }
}

/* Round after round: send on, receive, and in the first half reduce before the next send. */
static fs_work *astra_work(uint32_t n, double size)
{
    fs_err err = {0};
    fs_work_builder *b = fs_work_builder_new("astra ring", "ops", "");
    assert_non_null(b);
    uint32_t family, program, sent = FS_NONE, ready = FS_NONE, arrived;
    uint16_t streams[3];
    static const char *const names[] = {"send", "recv", "reduce"};
    ok(fs_work_set_ranks(b, n, &err), &err);
    for (int i = 0; i < 3; i++)
        ok(fs_work_stream(b, names[i], &streams[i], &err), &err);
    ok(fs_work_family_strided(b, "world", n, 1, &family, &err), &err);
    ok(fs_work_program(b, "p", &program, &err), &err);
    double chunk = size / n;
    for (uint32_t round = 0; round < 2 * (n - 1); round++) {
        fs_op op = fs_op_default(FS_OP_SEND);
        op.family = family;
        op.peer = 1;
        op.size_bytes = chunk;
        op.stream = streams[0];
        ok(fs_work_name(b, "chunk", &op.name, &err), &err);
        ok(fs_work_op(b, program, &op, &ready, ready == FS_NONE ? 0 : 1, &sent, &err), &err);
        op.kind = FS_OP_RECV;
        op.peer = -1;
        op.stream = streams[1];
        ok(fs_work_op(b, program, &op, NULL, 0, &arrived, &err), &err);
        ready = arrived;
        if (round < n - 1) {
            op = fs_op_default(FS_OP_COMPUTE);
            op.duration_s = 3 * chunk / 3350e9;
            op.stream = streams[2];
            ok(fs_work_name(b, "reduce", &op.name, &err), &err);
            ok(fs_work_op(b, program, &op, &arrived, 1, &ready, &err), &err);
        }
    }
    for (uint32_t rank = 0; rank < n; rank++)
        ok(fs_work_assign(b, rank, program, &err), &err);
    fs_work *work = NULL;
    ok(fs_work_freeze(b, &work, &err), &err);
    fs_work_builder_free(b);
    return work;
}

static void astra_sim(void **state)
{
    (void)state;
    static const struct {
        uint32_t n;
        double reported_s;
    } rows[] = {{8, 35848494e-9}, {64, 40385782e-9}, {512, 41402252e-9}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        /* 50 GiB/s, 500 ns and 10 ns of endpoint delay over the two hops of the crossbar */
        fs_topo *topo = crossbar(rows[i].n, "53.6870912GB/s,255ns");
        fs_work *work = astra_work(rows[i].n, 1024 * MIB);
        double simulated = step_time(topo, work, FS_LOWER_COUPLED);
        print_message("# N %u: reported %.0f ns, simulated %.0f ns\n", rows[i].n, 1e9 * rows[i].reported_s,
                      1e9 * simulated);
        assert_true(fabs(simulated / rows[i].reported_s - 1) < 1e-3);
        fs_work_free(work);
        fs_topo_free(topo);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(loggopsim_and_smpi), cmocka_unit_test(astra_sim)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
