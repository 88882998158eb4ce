/* test_sched.c - order of ops, meetings, shares of SMs, deadlocks. Times are closed forms under ideal costs. */
#include "../fixture.h"

enum { EVENTS_MAX = 256 };

typedef struct event {
    char what; /* i(ssue), m(ove), e(nd) */
    uint32_t rank, op;
    double at_s;
} event;

/* What happened in a run. */
typedef struct record {
    event events[EVENTS_MAX];
    uint32_t count;
    double step_s;
} record;

static void note(void *context, char what, uint32_t actor, uint32_t op, double now_s)
{
    record *r = context;
    assert_true(r->count < EVENTS_MAX);
    assert_true(r->count == 0 || r->events[r->count - 1].at_s <= now_s);
    r->events[r->count++] = (event){what, actor, op, now_s};
}

static void on_issue(void *context, uint32_t actor, uint32_t op, double now_s)
{
    note(context, 'i', actor, op, now_s);
}

static void on_move(void *context, uint32_t actor, uint32_t op, double now_s)
{
    note(context, 'm', actor, op, now_s);
}

static void on_end(void *context, uint32_t actor, uint32_t op, double now_s)
{
    note(context, 'e', actor, op, now_s);
}

static fs_status try_run(const char *line, const fs_work *work, const fs_sched_calls *calls, double *step_s,
                         fs_err *err)
{
    fs_topo *topo = make_topo(line);
    fs_pattern_table *patterns = fs_pattern_table_new();
    fs_router *router = NULL;
    fs_lowering *lowering = NULL;
    fs_job *job = NULL;
    fs_engine *engine = NULL;
    fs_lowering_options how = {.cost = FS_COST_IDEAL};
    ASSERT_OK(fs_router_new(topo, (fs_router_options){0}, &router, &failure));
    ASSERT_OK(fs_lowering_new(topo, router, patterns, how, &lowering, &failure));
    ASSERT_OK(fs_fold(work, topo, lowering, patterns, FS_COST_IDEAL, FS_FOLD_OFF, &job, &failure));
    fs_engine_def def = {
        .n_resources = job->n_resources, .n_links = job->n_links, .capacity = job->capacity, .patterns = patterns};
    ASSERT_OK(fs_engine_new(&def, &engine, &failure));
    fs_status status = fs_sched_run(job, engine, calls, step_s, err);
    fs_engine_free(engine);
    fs_job_free(job);
    fs_lowering_free(lowering);
    fs_router_free(router);
    fs_pattern_table_free(patterns);
    fs_topo_free(topo);
    return status;
}

/* Frees the work. */
static record run(const char *line, fs_work *work)
{
    static record r;
    r.count = 0;
    fs_sched_calls calls = {.context = &r, .issue = on_issue, .move = on_move, .end = on_end};
    ASSERT_OK(try_run(line, work, &calls, &r.step_s, &failure));
    fs_work_free(work);
    return r;
}

static double when(const record *r, char what, uint32_t rank, uint32_t op)
{
    for (uint32_t i = 0; i < r->count; i++)
        if (r->events[i].what == what && r->events[i].rank == rank && r->events[i].op == op)
            return r->events[i].at_s;
    fail_msg("no '%c' of op %u on rank %u", what, op, rank);
    return 0;
}

static const char *const LINE = "gpus:8 nvlink:1GB/s"; /* 1 MB takes 1 ms, nothing has latency */

/* ---- streams and dependencies ------------------------------------------------------------------------------------ */

static void nothing_to_do(void **state)
{
    (void)state;
    fs_work_builder *b = make_builder(2);
    add_program(b, "p", 0, 1);
    record r = run(LINE, finish(b));
    assert_int_equal(r.count, 0);
    assert_true(r.step_s == 0);
}

static void a_stream_runs_in_program_order(void **state)
{
    (void)state;
    fs_work_builder *b = make_builder(1);
    uint32_t p = add_program(b, "p", 0, 0);
    add(b, p, "main", delay(1));
    add(b, p, "main", compute(2));
    add(b, p, "main", delay(0));
    add(b, p, "main", compute(4));
    record r = run(LINE, finish(b));
    static const event want[] = {{'i', 0, 0, 0}, {'e', 0, 0, 1}, {'i', 0, 1, 1}, {'e', 0, 1, 3},
                                 {'i', 0, 2, 3}, {'e', 0, 2, 3}, {'i', 0, 3, 3}, {'e', 0, 3, 7}};
    assert_int_equal(r.count, 8);
    for (uint32_t i = 0; i < 8; i++) {
        assert_int_equal(r.events[i].what, want[i].what);
        assert_int_equal(r.events[i].op, want[i].op);
        ASSERT_CLOSE(r.events[i].at_s, want[i].at_s, 1e-12);
    }
    ASSERT_CLOSE(r.step_s, 7, 1e-12);
}

static void streams_run_side_by_side_until_they_depend(void **state)
{
    (void)state;
    fs_work_builder *b = make_builder(1);
    uint32_t p = add_program(b, "p", 0, 0);
    uint32_t slow = add(b, p, "a", delay(5));
    uint32_t fast = add(b, p, "b", delay(1));
    uint32_t both[] = {fast, slow};
    uint32_t joined = add_op(b, p, "c", NULL, delay(1), both, 2);
    uint32_t early = add_after(b, p, "d", delay(1), fast);
    uint32_t later = add(b, p, "d", delay(1));
    record r = run(LINE, finish(b));
    ASSERT_CLOSE(when(&r, 'i', 0, joined), 5, 1e-12);
    ASSERT_CLOSE(when(&r, 'i', 0, early), 1, 1e-12);
    ASSERT_CLOSE(when(&r, 'e', 0, later), 3, 1e-12);
    ASSERT_CLOSE(r.step_s, 6, 1e-12);
}

/* Several lanes wait for ops of one lane, and only those whose op has ended go on. */
static void an_end_wakes_those_that_waited_for_it(void **state)
{
    (void)state;
    fs_work_builder *b = make_builder(1);
    uint32_t p = add_program(b, "p", 0, 0), ops[3], waiters[6];
    static const char *const streams[] = {"s0", "s1", "s2", "s3", "s4", "s5"};
    for (uint32_t i = 0; i < 3; i++)
        ops[i] = add(b, p, "main", delay(1));
    for (uint32_t i = 0; i < 6; i++)
        waiters[i] = add_after(b, p, streams[i], delay(0), ops[i % 3]);
    record r = run(LINE, finish(b));
    for (uint32_t i = 0; i < 6; i++)
        ASSERT_CLOSE(when(&r, 'e', 0, waiters[i]), i % 3 + 1, 1e-12);
}

/* A dependency on a later op of the program, on another stream. */
static void a_forward_dependency(void **state)
{
    (void)state;
    fs_work_builder *b = make_builder(1);
    uint32_t p = add_program(b, "p", 0, 0);
    uint32_t first = add_after(b, p, "a", delay(1), 1);
    uint32_t second = add(b, p, "b", delay(2));
    record r = run(LINE, finish(b));
    ASSERT_CLOSE(when(&r, 'e', 0, second), 2, 1e-12);
    ASSERT_CLOSE(when(&r, 'e', 0, first), 3, 1e-12);
}

static void concurrent_kernels_share_the_gpu(void **state)
{
    (void)state;
    fs_work_builder *b = make_builder(1);
    uint32_t p = add_program(b, "p", 0, 0);
    uint32_t small = add(b, p, "a", compute(1)), large = add(b, p, "b", compute(3));
    record r = run(LINE, finish(b));
    ASSERT_CLOSE(when(&r, 'e', 0, small), 2, 1e-12);
    ASSERT_CLOSE(when(&r, 'e', 0, large), 4, 1e-12);
}

/* A million ops without a duration, half of them across streams: no recursion, no event. */
static void a_million_ops_that_take_no_time(void **state)
{
    (void)state;
    enum { N = 1000000 };
    fs_work_builder *b = make_builder(1);
    uint32_t p = add_program(b, "p", 0, 0), last = 0;
    for (uint32_t i = 0; i < N; i++) {
        fs_op op = i % 3 == 2 ? collective(FS_ALL_REDUCE, 0, 0) : compute(0);
        last = i == 0 ? add(b, p, "a", op) : add_after(b, p, i % 2 ? "b" : "a", op, last);
    }
    fs_work *work = finish(b);
    double step_s = -1;
    ASSERT_OK(try_run(LINE, work, NULL, &step_s, &failure));
    assert_true(step_s == 0);
    fs_work_free(work);
}

/* ---- meetings ---------------------------------------------------------------------------------------------------- */

static void a_collective_waits_for_its_last_member(void **state)
{
    (void)state;
    fs_work_builder *b = make_builder(4);
    for (uint32_t rank = 0; rank < 4; rank++) {
        uint32_t p = add_program(b, "p", rank, rank);
        add(b, p, "main", delay(1e-3 * rank));
        add(b, p, "main", collective(FS_ALL_REDUCE, 0, 4e6));
    }
    record r = run(LINE, finish(b));
    for (uint32_t rank = 0; rank < 4; rank++) {
        ASSERT_CLOSE(when(&r, 'i', rank, 1), 1e-3 * rank, 1e-12);
        ASSERT_CLOSE(when(&r, 'm', rank, 1), 3e-3, 1e-12);
        ASSERT_CLOSE(when(&r, 'e', rank, 1), 3e-3 + 6e-3, 1e-9); /* 2 (n-1)/n of 4 MB */
    }
}

/* The k-th collective of a family meets the k-th of the others, even where a stream is ahead. */
static void collectives_meet_in_program_order(void **state)
{
    (void)state;
    fs_work_builder *b = make_builder(2);
    for (uint32_t rank = 0; rank < 2; rank++) {
        uint32_t p = add_program(b, "p", rank, rank);
        add(b, p, "a", delay(rank == 0 ? 5e-3 : 0));
        add(b, p, "a", collective(FS_ALL_REDUCE, 0, 1e6)); /* the first, late on rank 0 */
        add(b, p, "b", delay(rank == 0 ? 0 : 2e-3));
        add(b, p, "b", collective(FS_ALL_REDUCE, 0, 1e6)); /* the second, late on rank 1 */
    }
    record r = run(LINE, finish(b));
    for (uint32_t rank = 0; rank < 2; rank++) {
        ASSERT_CLOSE(when(&r, 'm', rank, 1), 5e-3, 1e-12);
        ASSERT_CLOSE(when(&r, 'm', rank, 3), 2e-3, 1e-12);
    }
    ASSERT_CLOSE(r.step_s, 6e-3, 1e-9);
}

static void many_in_a_row(void **state)
{
    (void)state;
    fs_work_builder *b = make_builder(4);
    uint32_t tp, p = add_program(b, "p", 0, 3);
    ASSERT_OK(fs_work_family_strided(b, "tp", 2, 1, &tp, &failure));
    for (uint32_t i = 0; i < 1000; i++)
        add(b, p, "main", collective(FS_ALL_REDUCE, i % 2 ? tp : 0, 4e6));
    fs_work *work = finish(b);
    double step_s = 0;
    ASSERT_OK(try_run(LINE, work, NULL, &step_s, &failure));
    ASSERT_CLOSE(step_s, 500 * (6e-3 + 4e-3), 1e-9);
    fs_work_free(work);
}

static void a_transfer_waits_for_both_sides(void **state)
{
    (void)state;
    for (uint32_t late = 0; late < 2; late++) {
        fs_work_builder *b = make_builder(2);
        for (uint32_t rank = 0; rank < 2; rank++) {
            uint32_t p = add_program(b, "p", rank, rank);
            add(b, p, "main", delay(rank == late ? 4e-3 : 1e-3));
            add(b, p, "main", transfer(rank == 0 ? FS_OP_SEND : FS_OP_RECV, 1 - rank, 5, 3e6));
        }
        record r = run(LINE, finish(b));
        for (uint32_t rank = 0; rank < 2; rank++) {
            ASSERT_CLOSE(when(&r, 'i', rank, 1), rank == late ? 4e-3 : 1e-3, 1e-12);
            ASSERT_CLOSE(when(&r, 'm', rank, 1), 4e-3, 1e-12);
            ASSERT_CLOSE(when(&r, 'e', rank, 1), 7e-3, 1e-9);
        }
        /* The sender's side comes first. */
        for (uint32_t i = 0; i + 1 < r.count; i++)
            if (r.events[i].what != 'i' && r.events[i].op == 1 && r.events[i].rank == 0)
                assert_true(r.events[i + 1].what == r.events[i].what && r.events[i + 1].rank == 1);
    }
}

static void tags_and_order_tell_transfers_apart(void **state)
{
    (void)state;
    fs_work_builder *b = make_builder(2);
    uint32_t p = add_program(b, "p", 0, 0), q = add_program(b, "q", 1, 1);
    uint32_t first = add(b, p, "a", transfer(FS_OP_SEND, 1, 0, 1e6));
    uint32_t second = add(b, p, "a", transfer(FS_OP_SEND, 1, 0, 2e6));
    uint32_t other = add(b, p, "b", transfer(FS_OP_SEND, 1, 9, 4e6));
    add(b, q, "x", transfer(FS_OP_RECV, 0, 9, 4e6));
    add(b, q, "y", delay(1));
    add(b, q, "y", transfer(FS_OP_RECV, 0, 0, 1e6));
    add(b, q, "z", transfer(FS_OP_RECV, 0, 0, 2e6)); /* is there first, and waits for the second send */
    record r = run(LINE, finish(b));
    ASSERT_CLOSE(when(&r, 'e', 0, other), 4e-3, 1e-9);
    ASSERT_CLOSE(when(&r, 'e', 0, first), 1 + 1e-3, 1e-9);
    ASSERT_CLOSE(when(&r, 'e', 0, second), 1 + 3e-3, 1e-9);
    ASSERT_CLOSE(when(&r, 'i', 1, 3), 0, 0);
}

/* Two ways to write one peer: rank 1, and the next in the world. Numbers count what is meant. */
static void one_peer_written_in_two_ways(void **state)
{
    (void)state;
    fs_work_builder *b = make_builder(2);
    uint32_t p = add_program(b, "p", 0, 0), q = add_program(b, "q", 1, 1);
    add(b, p, "a", delay(1));
    add(b, p, "a", shifted(FS_OP_SEND, 0, 1, 0, 1e6));
    add(b, p, "b", transfer(FS_OP_SEND, 1, 0, 1e6)); /* is ready at once, but is the second */
    uint32_t first = add(b, q, "x", transfer(FS_OP_RECV, 0, 0, 1e6));
    uint32_t second = add(b, q, "y", shifted(FS_OP_RECV, 0, 1, 0, 1e6));
    record r = run(LINE, finish(b));
    ASSERT_CLOSE(when(&r, 'e', 1, second), 1e-3, 1e-9);
    ASSERT_CLOSE(when(&r, 'e', 1, first), 1 + 1e-3, 1e-9);
}

static void a_group_of_one_takes_no_time(void **state)
{
    (void)state;
    fs_work_builder *b = make_builder(1);
    uint32_t p = add_program(b, "p", 0, 0);
    add(b, p, "main", collective(FS_ALL_REDUCE, 0, 1e9));
    add(b, p, "main", delay(1));
    record r = run(LINE, finish(b));
    assert_true(when(&r, 'e', 0, 0) == 0);
    ASSERT_CLOSE(r.step_s, 1, 1e-12);
}

/* ---- shares of SMs ----------------------------------------------------------------------------------------------- */

static void overlap_with_a_share(void **state)
{
    (void)state;
    fs_work_builder *b = make_builder(4);
    uint32_t p = add_program(b, "p", 0, 3);
    uint32_t work = add(b, p, "main", compute(20e-3));
    fs_op ar = collective(FS_ALL_REDUCE, 0, 4e6); /* 6 ms */
    ar.sm_share = 0.1f;
    add(b, p, "comm", ar);
    record r = run(LINE, finish(b));
    for (uint32_t rank = 0; rank < 4; rank++)
        ASSERT_CLOSE(when(&r, 'e', rank, work), 20e-3 + 0.1 * 6e-3, 1e-9);
}

/* Nothing is taken while a member is missing: only what moves uses SMs. */
static void waiting_takes_no_share(void **state)
{
    (void)state;
    fs_work_builder *b = make_builder(2);
    for (uint32_t rank = 0; rank < 2; rank++) {
        uint32_t p = add_program(b, "p", rank, rank);
        add(b, p, "main", compute(4e-3));
        add(b, p, "comm", delay(rank == 1 ? 10e-3 : 0));
        fs_op ar = collective(FS_ALL_REDUCE, 0, 1e6);
        ar.sm_share = 0.5f;
        add(b, p, "comm", ar);
    }
    record r = run(LINE, finish(b));
    ASSERT_CLOSE(when(&r, 'e', 0, 0), 4e-3, 1e-12);
}

/* Four shares of 0.3 leave 5 %, and all of it comes back. */
static void shares_never_starve_compute(void **state)
{
    (void)state;
    static const char *const streams[] = {"a", "b", "c", "d"};
    fs_work_builder *b = make_builder(2);
    uint32_t p = add_program(b, "p", 0, 1);
    uint32_t work = add(b, p, "main", compute(10e-3));
    for (uint32_t i = 0; i < 4; i++) {
        fs_op ar = collective(FS_ALL_REDUCE, 0, 1e6);
        ar.sm_share = 0.3f;
        add(b, p, streams[i], ar);
    }
    record r = run(LINE, finish(b));
    /* 4 MB each way at 1 GB/s: 4 ms at 5 %, then the full rate. */
    ASSERT_CLOSE(when(&r, 'e', 0, work), 4e-3 + 10e-3 - 0.05 * 4e-3, 1e-9);
}

/* ---- deadlocks --------------------------------------------------------------------------------------------------- */

static void expect_deadlock(fs_work *work, const char *text)
{
    fs_err err = {0};
    double step_s = -1;
    assert_int_equal(try_run("gpus:16 nvlink:1GB/s", work, NULL, &step_s, &err), FS_E_SIM);
    assert_string_equal(err.text, text);
    assert_true(step_s == -1);
    fs_work_free(work);
}

static void sends_that_face_each_other(void **state)
{
    (void)state;
    fs_work_builder *b = make_builder(2);
    for (uint32_t rank = 0; rank < 2; rank++) {
        uint32_t p = add_program(b, "p", rank, rank);
        add(b, p, "main", delay(12.3e-3));
        add_op(b, p, "main", "forth", transfer(FS_OP_SEND, 1 - rank, 0, 1e6), NULL, 0);
        add(b, p, "main", transfer(FS_OP_RECV, 1 - rank, 0, 1e6));
    }
    expect_deadlock(finish(b), "deadlock after 12.3 ms: "
                               "rank 0 waits in send 'forth' (op 1, stream main) for rank 1 to receive; "
                               "rank 1 waits in send 'forth' (op 1, stream main) for rank 0 to receive");
}

static void families_in_opposite_order(void **state)
{
    (void)state;
    fs_work_builder *b = make_builder(2);
    uint32_t tp;
    ASSERT_OK(fs_work_family_strided(b, "tp", 2, 1, &tp, &failure));
    for (uint32_t rank = 0; rank < 2; rank++) {
        uint32_t p = add_program(b, "p", rank, rank);
        uint32_t first = add_op(b, p, "main", "grad", collective(FS_ALL_REDUCE, rank == 0 ? tp : 0, 1e6), NULL, 0);
        add(b, p, "main", collective(FS_ALL_REDUCE, rank == 0 ? 0 : tp, 1e6));
        add_after(b, p, "aside", compute(1), first);
    }
    expect_deadlock(finish(b), "deadlock after 0 s: "
                               "rank 0 waits in all_reduce 'grad' (op 0, stream main) of group tp for rank 1; "
                               "rank 1 waits in all_reduce 'grad' (op 0, stream main) of group world for rank 0");
}

static void many_stuck_ranks(void **state)
{
    (void)state;
    fs_work_builder *b = make_builder(16);
    uint32_t pairs;
    ASSERT_OK(fs_work_family_strided(b, "pairs", 2, 1, &pairs, &failure));
    uint32_t p = add_program(b, "p", 0, 9), q = add_program(b, "q", 10, 15);
    add(b, p, "main", collective(FS_BARRIER, 0, 0));
    add(b, p, "main", shifted(FS_OP_RECV, pairs, 1, 0, 1e6));
    add(b, p, "aside", shifted(FS_OP_SEND, pairs, 1, 0, 1e6));
    add(b, q, "main", shifted(FS_OP_RECV, pairs, 1, 0, 1e6));
    add(b, q, "main", shifted(FS_OP_SEND, pairs, 1, 0, 1e6));
    add(b, q, "main", collective(FS_BARRIER, 0, 0));
    char want[2048], *at = want;
    /* Streams are numbered by first use, and the first that waits for others is named: the barrier, not the send. */
    at += sprintf(at, "deadlock after 0 s: ");
    for (uint32_t rank = 0; rank < 8; rank++)
        at += sprintf(
            at, "%srank %u waits in barrier (op 0, stream main) of group world for ranks 10, 11, 12, 13 and 2 more",
            rank ? "; " : "", rank);
    sprintf(at, "; and 8 more ranks");
    expect_deadlock(finish(b), want);
}

static void out_of_memory(void **state)
{
    (void)state;
    fs_work_builder *b = make_builder(2);
    uint32_t p = add_program(b, "p", 0, 1);
    add(b, p, "main", collective(FS_ALL_REDUCE, 0, 4e6));
    add(b, p, "a", shifted(FS_OP_SEND, 0, 1, 0, 1e6));
    add(b, p, "b", shifted(FS_OP_RECV, 0, 1, 0, 1e6));
    fs_work *work = finish(b);
    fs_topo *topo = make_topo(LINE);
    fs_pattern_table *patterns = fs_pattern_table_new();
    fs_router *router = NULL;
    fs_lowering *lowering = NULL;
    fs_job *job = NULL;
    fs_lowering_options how = {.cost = FS_COST_IDEAL, .mode = FS_LOWER_MESSAGES};
    ASSERT_OK(fs_router_new(topo, (fs_router_options){0}, &router, &failure));
    ASSERT_OK(fs_lowering_new(topo, router, patterns, how, &lowering, &failure));
    ASSERT_OK(fs_fold(work, topo, lowering, patterns, FS_COST_IDEAL, FS_FOLD_OFF, &job, &failure));
    fs_engine_def def = {
        .n_resources = job->n_resources, .n_links = job->n_links, .capacity = job->capacity, .patterns = patterns};
    fs_status status = FS_E_NOMEM;
    for (uint64_t n = 1; status != FS_OK; n++) {
        fs_engine *engine = NULL;
        fs_err err = {0};
        double step_s = 0;
        ASSERT_OK(fs_engine_new(&def, &engine, &failure));
        uint64_t live = fs_mem_live();
        fs_mem_fail_after(n);
        status = fs_sched_run(job, engine, NULL, &step_s, &err);
        fs_mem_fail_after(0);
        assert_true(status == FS_OK || status == FS_E_NOMEM);
        fs_engine_free(engine);
        assert_true(fs_mem_live() <= live);
    }
    fs_job_free(job);
    fs_lowering_free(lowering);
    fs_router_free(router);
    fs_pattern_table_free(patterns);
    fs_topo_free(topo);
    fs_work_free(work);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_to_do),
        cmocka_unit_test(a_stream_runs_in_program_order),
        cmocka_unit_test(streams_run_side_by_side_until_they_depend),
        cmocka_unit_test(an_end_wakes_those_that_waited_for_it),
        cmocka_unit_test(a_forward_dependency),
        cmocka_unit_test(concurrent_kernels_share_the_gpu),
        cmocka_unit_test(a_million_ops_that_take_no_time),
        cmocka_unit_test(a_collective_waits_for_its_last_member),
        cmocka_unit_test(collectives_meet_in_program_order),
        cmocka_unit_test(many_in_a_row),
        cmocka_unit_test(a_transfer_waits_for_both_sides),
        cmocka_unit_test(tags_and_order_tell_transfers_apart),
        cmocka_unit_test(one_peer_written_in_two_ways),
        cmocka_unit_test(a_group_of_one_takes_no_time),
        cmocka_unit_test(overlap_with_a_share),
        cmocka_unit_test(waiting_takes_no_share),
        cmocka_unit_test(shares_never_starve_compute),
        cmocka_unit_test(sends_that_face_each_other),
        cmocka_unit_test(families_in_opposite_order),
        cmocka_unit_test(many_stuck_ranks),
        cmocka_unit_test(out_of_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
