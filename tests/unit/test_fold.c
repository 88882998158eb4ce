/* test_fold.c - the job: times, meetings, ends, signatures, plans, resources, without folding and with it, and what does
 * not fit. That folding changes no result is prop_fold.c's. */
#include "../fixture.h"

typedef struct stage {
    fs_topo *topo;
    fs_work *work;
    fs_router *router;
    fs_pattern_table *patterns;
    fs_lowering *lowering;
    fs_job *job;
} stage;

static fs_status try_fold(stage *s, const char *line, fs_work *work, fs_cost cost, fs_fold_mode mode, fs_err *err)
{
    *s = (stage){.topo = make_topo(line), .work = work, .patterns = fs_pattern_table_new()};
    fs_lowering_options how = {.cost = cost, .mode = FS_LOWER_COUPLED};
    fs_status status = fs_router_new(s->topo, (fs_router_options){0}, &s->router, err);
    if (status == FS_OK)
        status = fs_lowering_new(s->topo, s->router, s->patterns, how, &s->lowering, err);
    return status == FS_OK ? fs_fold(work, s->topo, s->lowering, s->patterns, cost, mode, &s->job, err) : status;
}

static void clear(stage *s)
{
    fs_job_free(s->job);
    fs_lowering_free(s->lowering);
    fs_pattern_table_free(s->patterns);
    fs_router_free(s->router);
    fs_work_free(s->work);
    fs_topo_free(s->topo);
}

static stage unfolded(const char *line, fs_work *work, fs_cost cost)
{
    stage s;
    ASSERT_OK(try_fold(&s, line, work, cost, FS_FOLD_OFF, &failure));
    assert_false(s.job->folded);
    assert_ptr_equal(s.job->patterns, s.patterns);
    return s;
}

static stage folded(const char *line, fs_work *work)
{
    stage s;
    ASSERT_OK(try_fold(&s, line, work, FS_COST_IDEAL, FS_FOLD_AUTO, &failure));
    return s;
}

static void kernel_times(void **state)
{
    (void)state;
    for (int cost = FS_COST_NCCL; cost <= FS_COST_IDEAL; cost++) {
        fs_work_builder *b = make_builder(3);
        uint32_t p = add_program(b, "p", 0, 1);
        add(b, p, "main", compute(2e-3));
        add(b, p, "main", delay(3e-3));
        add(b, p, "main", kernel(1e12, 0, FS_FP16));
        add(b, p, "main", collective(FS_ALL_REDUCE, 0, 1e6));
        uint32_t q = add_program(b, "q", 2, 2);
        add(b, q, "main", compute(0));
        add(b, q, "main", collective(FS_ALL_REDUCE, 0, 1e6));
        stage s = unfolded("gpus:4 nvlink:25GB/s flops:100TFLOP/s", finish(b), (fs_cost)cost);
        const double *time = s.job->duration_s[0];
        assert_true(time[0] == 2e-3);
        assert_true(time[1] == 3e-3);
        ASSERT_CLOSE(time[2], cost == FS_COST_IDEAL ? 1e-2 : 2e-2 + 1e-6, 1e-12); /* efficiency 0.5, launch 1 us */
        assert_ptr_equal(s.job->duration_s[1], time);                             /* same program, same part: shared */
        assert_ptr_not_equal(s.job->duration_s[2], time);
        assert_true(s.job->duration_s[2][0] == 0);
        clear(&s);
    }
}

static void actors_are_ranks(void **state)
{
    (void)state;
    fs_work_builder *b = make_builder(3);
    ASSERT_OK(fs_work_place(b, 0, 3, &failure));
    add_program(b, "p", 0, 0);
    add_program(b, "q", 1, 2);
    stage s = unfolded("gpus:4 nvlink:25GB/s", finish(b), FS_COST_IDEAL);
    static const uint32_t program[] = {0, 1, 1}, index[] = {0, 0, 1};
    assert_int_equal(s.job->n_actors, 3);
    for (uint32_t a = 0; a < 3; a++) {
        assert_int_equal(s.job->actor_rank[a], a);
        assert_int_equal(s.job->actor_of_rank[a], a);
        assert_int_equal(s.job->actor_count[a], 1);
        assert_int_equal(s.job->actor_program[a], program[a]);
        assert_int_equal(s.job->actor_index[a], index[a]);
    }
    clear(&s);
}

static void meetings_are_groups(void **state)
{
    (void)state;
    static const uint32_t begin[] = {0, 2, 3}, ranks[] = {3, 0, 1};
    uint32_t pairs, odd, silent;
    fs_work_builder *b = make_builder(4);
    ASSERT_OK(fs_work_family_strided(b, "tp", 2, 1, &pairs, &failure));
    ASSERT_OK(fs_work_family_explicit(b, "odd", begin, 2, ranks, &odd, &failure));
    ASSERT_OK(fs_work_family_strided(b, "silent", 2, 2, &silent, &failure)); /* nobody issues anything on it */
    for (uint32_t rank = 0; rank < 4; rank++) {
        uint32_t p = add_program(b, "p", rank, rank);
        add(b, p, "main", collective(FS_ALL_REDUCE, 0, 1e6));
        add(b, p, "main", collective(FS_ALL_REDUCE, pairs, 1e6));
        if (rank != 2)
            add(b, p, "main", collective(FS_ALL_REDUCE, odd, 1e6));
    }
    stage s = unfolded("gpus:4 nvlink:25GB/s", finish(b), FS_COST_IDEAL);
    const fs_job *job = s.job;
    static const uint32_t of[4][4] = {
        {0, 0, 0, 0}, {1, 1, 2, 2}, {3, 4, FS_NONE, 3}, {FS_NONE, FS_NONE, FS_NONE, FS_NONE}};
    static const uint32_t first[] = {0, 1, 3, 5, 5};
    static const uint32_t sizes[] = {4, 2, 2, 2, 1}, groups[] = {0, 0, 1, 0, 1};
    assert_int_equal(job->n_meetings, 5);
    for (uint32_t f = 0; f < 5; f++)
        assert_int_equal(job->family_meetings[f], first[f]);
    for (uint32_t f = 0; f < 4; f++)
        for (uint32_t a = 0; a < 4; a++)
            assert_int_equal(job->meeting_of[f * 4 + a], of[f][a]);
    for (uint32_t m = 0; m < 5; m++) {
        assert_int_equal(job->meeting_begin[m + 1] - job->meeting_begin[m], sizes[m]);
        assert_int_equal(job->meeting_group[m], groups[m]);
        assert_int_equal(job->meeting_count[m], 1);
    }
    assert_int_equal(job->meeting_actors[job->meeting_begin[3]], 3);
    assert_int_equal(job->meeting_actors[job->meeting_begin[3] + 1], 0);
    clear(&s);
}

static void equal_communication_shares_a_signature(void **state)
{
    (void)state;
    fs_work_builder *b = make_builder(4);
    uint32_t tp, p = add_program(b, "p", 0, 1), q = add_program(b, "q", 2, 3);
    ASSERT_OK(fs_work_family_strided(b, "tp", 2, 1, &tp, &failure));
    fs_op ar = collective(FS_ALL_REDUCE, tp, 1e6);
    uint32_t first = add(b, p, "main", ar);
    uint32_t second = add(b, p, "other", ar);
    ar.size_bytes = 2e6;
    uint32_t larger = add(b, p, "main", ar);
    uint32_t rooted = add(b, p, "main", collective(FS_BROADCAST, tp, 1e6));
    uint32_t send = add(b, p, "main", shifted(FS_OP_SEND, tp, 1, 0, 1e6));
    uint32_t recv = add(b, p, "other", shifted(FS_OP_RECV, tp, 1, 0, 1e6));
    uint32_t again = add(b, p, "main", shifted(FS_OP_SEND, tp, 1, 7, 1e6));
    add(b, p, "other", shifted(FS_OP_RECV, tp, 1, 7, 1e6));
    uint32_t work = add(b, p, "main", compute(1));
    add(b, q, "main", compute(1));
    stage s = unfolded("gpus:4 nvlink:25GB/s", finish(b), FS_COST_IDEAL);
    const uint32_t *of = s.job->op_signature[p];
    assert_int_equal(of[first], of[second]);
    assert_int_not_equal(of[first], of[larger]);
    assert_int_not_equal(of[first], of[rooted]);
    assert_int_equal(of[send], of[again]);
    assert_int_equal(of[recv], FS_NONE);
    assert_int_equal(of[work], FS_NONE);
    assert_int_equal(s.job->n_signatures, 4);
    const uint32_t *begin = s.job->plan_begin;
    assert_non_null(s.job->plans[begin[of[first]] + 0]);
    assert_int_equal(s.job->n_meetings, 1); /* ranks 2 and 3 never issue it */
    assert_int_equal(begin[of[first] + 1] - begin[of[first]], 1);
    assert_int_equal(begin[of[send] + 1] - begin[of[send]], 2); /* ranks of the program */
    assert_non_null(s.job->plans[begin[of[send]] + 1]);
    clear(&s);
}

/* Ranks 0 2 4, 1 3 5: one and two positions on, and 3 as rank 2 has it: forms 0, 1, 2. */
static void ends_of_sends_and_receives(void **state)
{
    (void)state;
    uint32_t columns;
    fs_work_builder *b = make_builder(6);
    ASSERT_OK(fs_work_family_strided(b, "columns", 3, 2, &columns, &failure));
    uint32_t p = add_program(b, "p", 0, 5), ops[4];
    ops[0] = add(b, p, "a", shifted(FS_OP_SEND, columns, 1, 0, 1));
    add(b, p, "b", shifted(FS_OP_RECV, columns, -1, 0, 1));
    ops[1] = add(b, p, "a", shifted(FS_OP_SEND, columns, INT32_MIN, 7, 1)); /* -2147483648 = 1 modulo 3 */
    ops[2] = add(b, p, "b", shifted(FS_OP_RECV, columns, 2, 7, 1));         /* from where -1 is */
    ops[3] = add(b, p, "b", compute(1));
    stage s = unfolded("gpus:6 nvlink:25GB/s", finish(b), FS_COST_IDEAL);
    const uint32_t *form = s.job->op_form[p];
    assert_int_equal(form[ops[0]], 0);
    assert_int_equal(form[ops[1]], 2);
    assert_int_equal(form[ops[2]], 3);
    assert_int_equal(form[ops[3]], FS_NONE);
    static const uint32_t next[] = {2, 3, 4, 5, 0, 1};
    for (uint32_t a = 0; a < 6; a++) {
        const fs_end *to = fs_job_end(s.job, a, ops[0]), *again = fs_job_end(s.job, a, ops[1]);
        const fs_end *from = fs_job_end(s.job, a, ops[2]);
        assert_int_equal(to->peer, next[a]);
        assert_int_equal(to->slot, 0);
        assert_int_equal(to->peer_slot, 1);
        assert_int_equal(again->peer, next[a]);
        assert_int_equal(again->slot, 0); /* the same rank, written in another way */
        assert_int_equal(next[from->peer], a);
        assert_int_equal(from->slot, 1);
        assert_int_equal(from->peer_slot, 0);
        assert_int_equal(s.job->actor_numbering[a], 0);
    }
    assert_int_equal(s.job->n_numberings, 1);
    clear(&s);
}

static void resources(void **state)
{
    (void)state;
    for (int cost = FS_COST_NCCL; cost <= FS_COST_IDEAL; cost++) {
        fs_work_builder *b = make_builder(2);
        add_program(b, "p", 0, 1);
        stage s = unfolded("gpus:4 nvlink:25GB/s,0s,20GB/s", finish(b), (fs_cost)cost);
        const fs_job *job = s.job;
        assert_int_equal(job->n_links, s.topo->n_links);
        assert_int_equal(job->n_resources, s.topo->n_links + 2);
        for (uint32_t l = 0; l < job->n_links; l++) {
            assert_true(job->capacity[l] == (cost == FS_COST_IDEAL ? 25e9 : 20e9));
            assert_int_equal(job->link_of[l], l);
            assert_int_equal(job->link_count[l], 1);
        }
        for (uint32_t a = 0; a < 2; a++) {
            uint32_t count;
            const fs_share *row = fs_pattern_row(s.patterns, job->sm_pattern[a], &count);
            assert_int_equal(count, 1);
            assert_int_equal(row->resource, job->n_links + a);
            assert_true(row->coefficient == 1);
            assert_true(job->capacity[job->n_links + a] == 1);
        }
        clear(&s);
    }
}

/* ---- folded ------------------------------------------------------------------------------------------------------ */

static double coefficient(const stage *s, const fs_plan *plan, uint32_t move, uint32_t resource)
{
    uint32_t count;
    const fs_share *row = fs_pattern_row(s->job->patterns, plan->moves[move].pattern, &count);
    for (uint32_t i = 0; i < count; i++)
        if (row[i].resource == resource)
            return row[i].coefficient;
    return 0;
}

/* Eight alike in groups of four: one actor, one meeting, one link. */
static void all_alike(void **state)
{
    (void)state;
    uint32_t tp;
    fs_work_builder *b = make_builder(8);
    ASSERT_OK(fs_work_family_strided(b, "tp", 4, 1, &tp, &failure));
    uint32_t p = add_program(b, "p", 0, 7);
    add(b, p, "main", collective(FS_ALL_REDUCE, tp, 1e6));
    add(b, p, "main", shifted(FS_OP_SEND, 0, 1, 0, 1e6));
    add(b, p, "aside", shifted(FS_OP_RECV, 0, -1, 0, 1e6));
    stage s = folded("gpus:8 nvlink:25GB/s", finish(b));
    const fs_job *job = s.job;
    assert_true(job->folded);
    assert_int_equal(job->n_actors, 1);
    assert_int_equal(job->actor_rank[0], 0);
    assert_int_equal(job->actor_count[0], 8);
    assert_int_equal(job->n_meetings, 1);
    assert_int_equal(job->meeting_count[0], 2);
    assert_int_equal(job->meeting_begin[1], 1); /* the one actor, once */
    assert_int_equal(job->n_links, 1);          /* all carry the same, up and down */
    assert_int_equal(job->n_resources, 2);
    assert_int_equal(job->link_of[0], 0);
    assert_int_equal(job->link_count[0], 16);
    assert_true(job->capacity[0] == 25e9 && job->capacity[1] == 1);
    for (uint32_t l = 0; l < s.topo->n_links; l++)
        assert_int_equal(job->resource_of_link[l], 0);
    assert_true(coefficient(&s, job->plans[job->plan_begin[0]], 0, 0) == 1); /* 2 groups x 8 / 16 links */
    assert_true(coefficient(&s, job->plans[job->plan_begin[1]], 0, 0) == 1); /* 8 senders x 2 / 16 links */
    assert_int_equal(job->plan_owners[job->plan_begin[0]], 2);
    assert_int_equal(job->plan_owners[job->plan_begin[1]], 8);
    const fs_end *to = fs_job_end(job, 0, 1);
    assert_int_equal(to->peer, 0); /* itself: its ranks send to each other */
    assert_int_equal(to->slot, 0);
    assert_int_equal(to->peer_slot, 1);
    assert_int_equal(job->n_transfers, 10);
    assert_int_equal(job->n_transfer_classes, 2);
    clear(&s);
}

/* The group of the one that differs differs, and nobody else. */
static void one_differs(void **state)
{
    (void)state;
    uint32_t tp;
    fs_work_builder *b = make_builder(8);
    ASSERT_OK(fs_work_family_strided(b, "tp", 2, 1, &tp, &failure));
    uint32_t slow, p = add_program(b, "p", 0, 4);
    for (uint32_t rank = 6; rank < 8; rank++)
        ASSERT_OK(fs_work_assign(b, rank, p, &failure));
    slow = add_program(b, "slow", 5, 5);
    add(b, p, "main", compute(1));
    add(b, p, "main", collective(FS_ALL_REDUCE, tp, 1e6));
    add(b, slow, "main", compute(2));
    add(b, slow, "main", collective(FS_ALL_REDUCE, tp, 1e6));
    stage s = folded("gpus:8 nvlink:25GB/s", finish(b));
    static const uint32_t actor[] = {0, 0, 0, 0, 1, 2, 0, 0};
    for (uint32_t rank = 0; rank < 8; rank++)
        assert_int_equal(s.job->actor_of_rank[rank], actor[rank]);
    assert_int_equal(s.job->n_meetings, 2);
    assert_int_equal(s.job->meeting_count[0], 3);
    assert_int_equal(s.job->meeting_group[1], 2);
    assert_int_equal(s.job->meeting_begin[2] - s.job->meeting_begin[1], 2);
    clear(&s);
}

static void nothing_alike_is_left_as_it_is(void **state)
{
    (void)state;
    fs_work_builder *b = make_builder(2);
    uint32_t p = add_program(b, "p", 0, 0), q = add_program(b, "q", 1, 1);
    add(b, p, "main", transfer(FS_OP_SEND, 1, 0, 1e6));
    add(b, q, "main", transfer(FS_OP_RECV, 0, 0, 1e6));
    stage s = folded("ring:2 nvlink:25GB/s", finish(b));
    assert_int_equal(s.job->n_links, 2);
    assert_false(s.job->folded);
    assert_ptr_equal(s.job->patterns, s.patterns);
    clear(&s);
}

/* ---- what does not fit ------------------------------------------------------------------------------------------- */

static void expect_error(const char *line, fs_work *work, uint32_t at_line, uint32_t at_column, const char *text)
{
    stage s;
    fs_err err = {0};
    assert_int_equal(try_fold(&s, line, work, FS_COST_IDEAL, FS_FOLD_AUTO, &err), FS_E_TRACE);
    assert_null(s.job);
    if (text)
        assert_string_equal(err.text, text);
    assert_string_equal(err.file, "test.json");
    assert_int_equal(err.line, at_line);
    assert_int_equal(err.column, at_column);
    clear(&s);
}

static void too_many_ranks(void **state)
{
    (void)state;
    fs_work_builder *b = make_builder(5);
    add_program(b, "p", 0, 4);
    fs_work *work = finish(b);
    stage s;
    fs_err err = {0};
    assert_int_equal(try_fold(&s, "gpus:4 nvlink:25GB/s", work, FS_COST_IDEAL, FS_FOLD_OFF, &err), FS_E_TRACE);
    char want[256];
    const char *path = s.topo->path && *s.topo->path ? s.topo->path : "no file";
    snprintf(want, sizeof want, "the trace has 5 ranks, the topology 4 GPUs (%s); each rank needs a GPU of its own",
             path);
    assert_string_equal(err.text, want);
    clear(&s);
}

static void placed_beyond_the_last_gpu(void **state)
{
    (void)state;
    fs_work_builder *b = make_builder(2);
    ASSERT_OK(fs_work_place(b, 1, 7, &failure));
    add_program(b, "p", 0, 1);
    fs_work *work = finish(b);
    stage s;
    fs_err err = {0};
    assert_int_equal(try_fold(&s, "gpus:4 nvlink:25GB/s", work, FS_COST_IDEAL, FS_FOLD_OFF, &err), FS_E_TRACE);
    assert_non_null(strstr(err.text, "rank 1 is placed on GPU 7, but the topology has GPUs 0 to 3 ("));
    clear(&s);
}

static void no_peak_for_a_number_format(void **state)
{
    (void)state;
    fs_work_builder *b = make_builder(1);
    uint32_t p = add_program(b, "p", 0, 0);
    fs_op op = kernel(1e9, 0, FS_FP4);
    op.line = 12;
    op.column = 7;
    add(b, p, "main", op);
    fs_work *work = finish(b);
    /* The one-line test GPU has a peak for every format: take one away. */
    fs_topo *topo = make_topo("gpus:1 nvlink:25GB/s");
    fs_part part = *fs_topo_gpu_part(topo, 0);
    for (uint32_t d = 0; d < FS_DTYPES; d++)
        part.peak_flops[d] = d == FS_FP16 || d == FS_FP32 ? 1e12 : 0;
    fs_topo changed = *topo;
    fs_part *parts = fs_alloc(topo->n_parts, sizeof *parts);
    assert_non_null(parts);
    memcpy(parts, topo->parts, topo->n_parts * sizeof *parts);
    parts[fs_topo_device(topo, topo->gpus[0]).part] = part;
    changed.parts = parts;

    fs_result result;
    fs_run_options options = ideal();
    fs_err err = {0};
    assert_int_equal(fs_run(&changed, work, &options, &result, &err), FS_E_TRACE);
    assert_string_equal(err.text, "GPU part 'test-gpu' has no peak rate for fp4; it has fp32, fp16");
    assert_string_equal(err.file, "test.json");
    assert_int_equal(err.line, 12);
    assert_int_equal(err.column, 7);
    part.peak_flops[FS_FP16] = part.peak_flops[FS_FP32] = 0;
    parts[fs_topo_device(topo, topo->gpus[0]).part] = part;
    assert_int_equal(fs_run(&changed, work, &options, &result, &err), FS_E_TRACE);
    assert_string_equal(err.text, "GPU part 'test-gpu' has no peak rate for fp4; it has none for any number format");
    fs_free(parts);
    fs_topo_free(topo);
    fs_work_free(work);
}

static void an_algorithm_that_cannot_do_it_here(void **state)
{
    (void)state;
    fs_work_builder *b = make_builder(4);
    uint32_t p = add_program(b, "p", 0, 3);
    fs_op op = collective(FS_ALL_REDUCE, 0, 1e6);
    add(b, p, "main", op);
    op.algo = FS_ALGO_NVLS; /* without multicast in the switch */
    op.line = 31;
    op.column = 5;
    add(b, p, "main", op);
    expect_error("gpus:4 nvlink:25GB/s", finish(b), 31, 5, NULL);
}

/* Two islands: what the router says is passed on as it is. */
static void a_pair_without_a_path(void **state)
{
    (void)state;
    fs_work_builder *b = make_builder(4);
    uint32_t p = add_program(b, "p", 0, 0), q = add_program(b, "q", 3, 3);
    add_program(b, "r", 1, 2);
    add(b, p, "main", transfer(FS_OP_SEND, 3, 0, 1e6));
    add(b, q, "main", transfer(FS_OP_RECV, 0, 0, 1e6));
    fs_work *work = finish(b);
    static const fs_place nowhere;
    static const fs_part gpu = {.name = "gpu",
                                .kind = FS_DEVICE_GPU,
                                .arch = FS_AMPERE,
                                .peak_flops = {[FS_FP16] = 1e14},
                                .mem_bytes = 1e9,
                                .mem_Bps = 1e12,
                                .gemm_efficiency = 1,
                                .mem_efficiency = 1,
                                .power_W = 1};
    static const fs_link_type wire = {
        .name = "w", .class_ = FS_CLASS_NVLINK, .bandwidth_Bps = 1e9, .effective_Bps = 1e9};
    static const char *const names[] = {"a", "b", "c", "d"};
    fs_spec *spec = fs_spec_new("islands", "");
    fs_topo *topo = NULL;
    uint32_t node = 0;
    assert_non_null(spec);
    ASSERT_OK(fs_spec_part(spec, &gpu, nowhere, &failure));
    ASSERT_OK(fs_spec_link_type(spec, &wire, "nvlink", nowhere, &failure));
    ASSERT_OK(fs_spec_node(spec, "node0", &node, nowhere, &failure));
    for (uint32_t i = 0; i < 4; i++)
        ASSERT_OK(fs_spec_device(spec, names[i], "gpu", node, nowhere, &failure));
    ASSERT_OK(fs_spec_link(spec, "a", "b", "w", 1, nowhere, &failure));
    ASSERT_OK(fs_spec_link(spec, "c", "d", "w", 1, nowhere, &failure));
    ASSERT_OK(fs_spec_freeze(spec, &topo, &failure));
    fs_result result;
    fs_run_options options = ideal();
    fs_err err = {0};
    assert_int_equal(fs_run(topo, work, &options, &result, &err), FS_E_TOPOLOGY);
    assert_non_null(strstr(err.text, "no path from 'a' to 'd'"));
    fs_spec_free(spec);
    fs_topo_free(topo);
    fs_work_free(work);
}

static void out_of_memory(void **state)
{
    (void)state;
    fs_work_builder *b = make_builder(4);
    uint32_t p = add_program(b, "p", 0, 3);
    add(b, p, "main", kernel(1e9, 1e6, FS_FP16));
    for (uint32_t i = 1; i < 100; i++) /* so that tables grow */
        add(b, p, "main", collective(FS_ALL_REDUCE, 0, 1e3 * i));
    fs_work *work = finish(b);
    fs_topo *topo = make_topo("gpus:4 nvlink:25GB/s");
    uint64_t live = fs_mem_live();
    fs_status status = FS_E_NOMEM;
    for (uint64_t n = 1; status != FS_OK;
         n += n < 400 ? 1 : 97) { /* lowering makes thousands: every one at first, then some */
        fs_err err = {0};
        stage s = {.patterns = fs_pattern_table_new()};
        fs_lowering_options how = {.cost = FS_COST_IDEAL};
        fs_mem_fail_after(n);
        status = s.patterns ? fs_router_new(topo, (fs_router_options){0}, &s.router, &err) : FS_E_NOMEM;
        if (status == FS_OK)
            status = fs_lowering_new(topo, s.router, s.patterns, how, &s.lowering, &err);
        if (status == FS_OK)
            status = fs_fold(work, topo, s.lowering, s.patterns, FS_COST_IDEAL, FS_FOLD_AUTO, &s.job, &err);
        fs_mem_fail_after(0);
        assert_true(status == FS_OK || status == FS_E_NOMEM);
        clear(&s);
        assert_int_equal(fs_mem_live(), live);
    }
    fs_work_free(work);
    fs_topo_free(topo);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(kernel_times),
        cmocka_unit_test(actors_are_ranks),
        cmocka_unit_test(meetings_are_groups),
        cmocka_unit_test(equal_communication_shares_a_signature),
        cmocka_unit_test(ends_of_sends_and_receives),
        cmocka_unit_test(resources),
        cmocka_unit_test(all_alike),
        cmocka_unit_test(one_differs),
        cmocka_unit_test(nothing_alike_is_left_as_it_is),
        cmocka_unit_test(too_many_ranks),
        cmocka_unit_test(placed_beyond_the_last_gpu),
        cmocka_unit_test(no_peak_for_a_number_format),
        cmocka_unit_test(an_algorithm_that_cannot_do_it_here),
        cmocka_unit_test(a_pair_without_a_path),
        cmocka_unit_test(out_of_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
