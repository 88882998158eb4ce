/* The builder, and everything that freezing checks. */
#include "base/mem.h"
#include "work/work_build.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static fs_err err;

#define OK(call) assert_int_equal(call, FS_OK)
#define BAD(call, message)                                                                                             \
    do {                                                                                                               \
        assert_int_equal(call, FS_E_TRACE);                                                                            \
        assert_string_equal(err.text, message);                                                                        \
    } while (0)

static fs_work_builder *builder(uint32_t n_ranks)
{
    fs_work_builder *b = fs_work_builder_new("job", "ops", "t.json");
    assert_non_null(b);
    OK(fs_work_set_ranks(b, n_ranks, &err));
    return b;
}

static uint32_t program(fs_work_builder *b, const char *name, uint32_t first_rank, uint32_t last_rank)
{
    uint32_t p;
    OK(fs_work_program(b, name, &p, &err));
    for (uint32_t r = first_rank; r <= last_rank; r++)
        OK(fs_work_assign(b, r, p, &err));
    return p;
}

static uint32_t add(fs_work_builder *b, uint32_t p, fs_op op, const char *name, const uint32_t *deps, uint32_t n_deps)
{
    static uint32_t line;
    uint32_t index;
    OK(fs_work_name(b, name, &op.name, &err));
    if (op.line == 0)
        op.line = ++line;
    OK(fs_work_op(b, p, &op, deps, n_deps, &index, &err));
    return index;
}

static fs_op on_stream(fs_work_builder *b, fs_op op, const char *stream)
{
    OK(fs_work_stream(b, stream, &op.stream, &err));
    return op;
}

static fs_op all_reduce(double bytes)
{
    fs_op op = fs_op_default(FS_OP_COLLECTIVE);
    op.family = 0;
    op.size_bytes = bytes;
    return op;
}

static fs_op message(fs_op_kind kind, int32_t peer, uint32_t tag, double bytes)
{
    fs_op op = fs_op_default(kind);
    op.peer = peer;
    op.tag = tag;
    op.size_bytes = bytes;
    return op;
}

static fs_op shifted(fs_op_kind kind, uint32_t family, int32_t shift, double bytes)
{
    fs_op op = message(kind, shift, 0, bytes);
    op.family = family;
    return op;
}

static fs_status freeze(fs_work_builder *b)
{
    fs_work *work = NULL;
    fs_status status = fs_work_freeze(b, &work, &err);
    fs_work_builder_free(b);
    assert_true((status == FS_OK) == (work != NULL));
    fs_work_free(work);
    return status;
}

static void a_small_work_is_as_built(void **state)
{
    (void)state;
    fs_work_builder *b = builder(4);
    uint32_t p = program(b, "p", 0, 2), tp, index;
    OK(fs_work_family_strided(b, "tp", 2, 2, &tp, &err));
    OK(fs_work_place(b, 0, 7, &err));
    fs_op plain = fs_op_default(FS_OP_DELAY);
    OK(fs_work_op(b, p, &plain, NULL, 0, &index, &err));
    add(b, p, on_stream(b, all_reduce(64), "comm"), "sum", (uint32_t[]){0}, 1);
    uint32_t q = program(b, "q", 3, 3);
    add(b, q, all_reduce(64), "sum", NULL, 0);
    OK(fs_work_set_note(b, "a note", &err));
    fs_work_set_hash(b, 42);
    fs_work *w;
    OK(fs_work_freeze(b, &w, &err));
    fs_work_builder_free(b);
    assert_string_equal(w->name, "job");
    assert_string_equal(w->note, "a note");
    assert_int_equal(w->hash, 42);
    assert_int_equal(w->n_programs, 2);
    assert_int_equal(w->n_streams, 2);
    assert_string_equal(w->streams[0], "main");
    assert_string_equal(w->names[w->programs[0].ops[0].name], "delay");
    assert_int_equal(w->gpu_of[0], 7);
    assert_int_equal(w->gpu_of[1], 1);
    assert_int_equal(w->program_of[3], 1);
    assert_int_equal(w->programs[0].n_ranks, 3);
    assert_int_equal(w->programs[0].dep_begin[2], 1);
    assert_string_equal(w->families[0].name, "world");
    assert_int_equal(w->families[tp].n_groups, 2);
    assert_int_equal(fs_family_member(&w->families[tp], 0, 0), 0);
    assert_int_equal(fs_family_member(&w->families[tp], 0, 1), 2);
    assert_int_equal(fs_family_group_of(&w->families[tp], 3), 1);
    assert_int_equal(fs_family_position(&w->families[tp], 3), 1);
    fs_work_free(w);
}

static void strides_are_digits_of_the_rank(void **state)
{
    (void)state;
    fs_work_builder *b = builder(24);
    uint32_t f;
    OK(fs_work_family_strided(b, "mid", 3, 2, &f, &err)); /* rank = outer * 6 + position * 2 + inner */
    fs_work *w;
    OK(fs_work_freeze(b, &w, &err));
    fs_work_builder_free(b);
    for (uint32_t r = 0; r < 24; r++) {
        assert_int_equal(fs_family_position(&w->families[f], r), r / 2 % 3);
        assert_int_equal(fs_family_group_of(&w->families[f], r), r / 6 * 2 + r % 2);
    }
    fs_work_free(w);
}

static void idle_ranks_get_an_empty_program(void **state)
{
    (void)state;
    fs_work_builder *b = builder(3);
    program(b, "p", 1, 1);
    fs_work *w;
    OK(fs_work_freeze(b, &w, &err));
    fs_work_builder_free(b);
    assert_int_equal(w->n_programs, 2);
    assert_string_equal(w->programs[w->program_of[0]].name, "(idle)");
    assert_int_equal(w->programs[1].n_ops, 0);
    assert_int_equal(w->programs[1].n_ranks, 2);
    assert_int_equal(w->programs[1].dep_begin[0], 0);
    fs_work_free(w);
}

static void the_builder_refuses(void **state)
{
    (void)state;
    fs_work_builder *b = fs_work_builder_new("job", "ops", "t.json");
    fs_work *w = NULL;
    uint32_t id;
    BAD(fs_work_freeze(b, &w, &err), "a trace without ranks");
    BAD(fs_work_set_ranks(b, 0, &err), "0 ranks, expected 1 to 4194304");
    BAD(fs_work_set_ranks(b, FS_RANKS_MAX + 1, &err), "4194305 ranks, expected 1 to 4194304");
    OK(fs_work_set_ranks(b, 4, &err));
    BAD(fs_work_set_ranks(b, 4, &err), "the number of ranks is set twice");
    BAD(fs_work_place(b, 4, 0, &err), "rank 4 is placed, but there are 4 ranks");
    BAD(fs_work_place(b, 0, FS_RANKS_MAX, &err), "GPU number 4194304, expected 0 to 4194303");
    BAD(fs_work_family_strided(b, "f", 3, 1, &id, &err), "group 'f': size 3 x stride 1 does not divide 4 ranks");
    BAD(fs_work_family_strided(b, "f", 0, 1, &id, &err), "group 'f': size 0 x stride 1 does not divide 4 ranks");
    BAD(fs_work_family_strided(b, "f", 4, UINT32_C(1) << 31, &id, &err),
        "group 'f': size 4 x stride 2147483648 does not divide 4 ranks");
    OK(fs_work_family_strided(b, "world", 4, 1, &id, &err));
    assert_int_equal(id, 0);
    BAD(fs_work_family_strided(b, "world", 2, 1, &id, &err), "group 'world' is defined twice");
    uint32_t begin[] = {0, 2, 4}, ranks[] = {0, 1, 1, 2}, far[] = {0, 1, 2, 4}, hole[] = {0, 0, 2}, many[] = {0, 5};
    BAD(fs_work_family_explicit(b, "f", begin, 2, ranks, &id, &err),
        "group 'f' holds rank 1 twice; its sets must be disjoint");
    BAD(fs_work_family_explicit(b, "f", begin, 2, far, &id, &err), "group 'f' names rank 4, but there are 4 ranks");
    BAD(fs_work_family_explicit(b, "f", hole, 2, ranks, &id, &err), "group 'f' has an empty set of ranks");
    BAD(fs_work_family_explicit(b, "f", begin, 0, ranks, &id, &err), "group 'f' has no ranks");
    BAD(fs_work_family_explicit(b, "f", many, 1, ranks, &id, &err), "group 'f' has more members than there are ranks");
    uint32_t p = program(b, "p", 0, 0), q = program(b, "q", 1, 1);
    BAD(fs_work_assign(b, 0, q, &err), "rank 0 has two programs, 'p' and 'q'");
    BAD(fs_work_assign(b, 4, q, &err), "program 1 on rank 4, but there are 2 programs and 4 ranks");
    fs_op op = fs_op_default(FS_OP_SEND);
    BAD(fs_work_op(b, 9, &op, NULL, 0, NULL, &err), "an op for program 9 of 2");
    op.peer = 4;
    BAD(fs_work_op(b, p, &op, NULL, 0, NULL, &err), "the op has a peer that is no rank");
    op.peer = 0;
    op.size_bytes = NAN;
    BAD(fs_work_op(b, p, &op, NULL, 0, NULL, &err), "the op has an amount that is negative or not finite");
    op.size_bytes = 1;
    op.sm_share = 1;
    BAD(fs_work_op(b, p, &op, NULL, 0, NULL, &err), "the op has an SM share outside [0, 1)");
    op.stream = 5;
    BAD(fs_work_op(b, p, &op, NULL, 0, NULL, &err), "the op has an unknown stream or name");
    op.kind = 77;
    BAD(fs_work_op(b, p, &op, NULL, 0, NULL, &err), "the op has an unknown kind");
    op = fs_op_default(FS_OP_COLLECTIVE);
    BAD(fs_work_op(b, p, &op, NULL, 0, NULL, &err), "the op has an unknown group");
    BAD(fs_work_reserve(b, p, UINT32_C(1) << 31, &err), "more than 2147483647 ops in a program");
    fs_work_builder_free(b);
}

static void streams_and_families_are_limited(void **state)
{
    (void)state;
    fs_work_builder *b = builder(1);
    char name[16];
    uint16_t stream = 0;
    for (int i = 0; i < FS_STREAMS_MAX; i++) {
        snprintf(name, sizeof name, "s%d", i);
        OK(fs_work_stream(b, name, &stream, &err));
        assert_int_equal(stream, i);
    }
    OK(fs_work_stream(b, "s7", &stream, &err));
    assert_int_equal(stream, 7);
    BAD(fs_work_stream(b, "another", &stream, &err), "more than 1024 streams");
    uint32_t id;
    for (int i = 1; i < FS_FAMILIES_MAX; i++) {
        snprintf(name, sizeof name, "f%d", i);
        OK(fs_work_family_strided(b, name, 1, 1, &id, &err));
    }
    BAD(fs_work_family_strided(b, "more", 1, 1, &id, &err), "more than 256 groups");
    fs_work_builder_free(b);
}

static void no_gpu_twice(void **state)
{
    (void)state;
    fs_work_builder *b = builder(3);
    OK(fs_work_place(b, 0, 2, &err));
    BAD(freeze(b), "ranks 0 and 2 are both placed on GPU 2");
    assert_string_equal(err.file, "t.json");
}

static void cycles_are_named_from_their_first_op(void **state)
{
    (void)state;
    fs_op delay = fs_op_default(FS_OP_DELAY);
    fs_work_builder *b = builder(1);
    uint32_t p = program(b, "p", 0, 0);
    /* b waits for d, d stands behind c on x, c waits for b. */
    add(b, p, on_stream(b, delay, "x"), "a", NULL, 0);
    fs_op second = on_stream(b, delay, "y");
    second.line = 31;
    second.column = 7;
    add(b, p, second, "b", (uint32_t[]){3}, 1);
    add(b, p, on_stream(b, delay, "x"), "c", (uint32_t[]){1}, 1);
    add(b, p, on_stream(b, delay, "x"), "d", NULL, 0);
    BAD(freeze(b), "program 'p' has a cycle of ops that wait for each other: 'b' -> 'd' -> 'c' -> 'b'"
                   "\n-> reads 'waits for'; an op also waits for the one before it on its stream");
    assert_int_equal(err.line, 31);
    assert_int_equal(err.column, 7);

    b = builder(1);
    p = program(b, "p", 0, 0);
    add(b, p, delay, "self", (uint32_t[]){0}, 1);
    BAD(freeze(b), "program 'p' has a cycle of ops that wait for each other: 'self' -> 'self'"
                   "\n-> reads 'waits for'; an op also waits for the one before it on its stream");

    b = builder(1);
    p = program(b, "p", 0, 0);
    add(b, p, delay, "n0", (uint32_t[]){9}, 1);
    for (uint32_t i = 1; i < 10; i++)
        add(b, p, delay, "n", NULL, 0);
    BAD(freeze(b), "program 'p' has a cycle of ops that wait for each other: 'n0' -> 'n' -> 'n' -> 'n' -> 'n' -> 'n' "
                   "-> 4 more -> 'n0'"
                   "\n-> reads 'waits for'; an op also waits for the one before it on its stream");
}

static void forward_dependencies_are_fine(void **state)
{
    (void)state;
    fs_op delay = fs_op_default(FS_OP_DELAY);
    fs_work_builder *b = builder(1);
    uint32_t p = program(b, "p", 0, 0);
    add(b, p, on_stream(b, delay, "x"), "a", (uint32_t[]){1, 2}, 2);
    add(b, p, on_stream(b, delay, "y"), "b", NULL, 0);
    add(b, p, on_stream(b, delay, "z"), "c", (uint32_t[]){1}, 1);
    OK(freeze(b));
    b = builder(1);
    p = program(b, "p", 0, 0);
    add(b, p, delay, "a", (uint32_t[]){4}, 1);
    BAD(freeze(b), "'a' waits for op 4 of a program of 1 ops");
}

/* A chain of a million ops must not use the C stack. */
static void long_chains_do_not_recurse(void **state)
{
    (void)state;
    enum { N = 1000000 };
    fs_op delay = fs_op_default(FS_OP_DELAY);
    fs_work_builder *b = builder(1);
    uint32_t p = program(b, "p", 0, 0), first = N - 1;
    OK(fs_work_reserve(b, p, N, &err));
    delay = on_stream(b, delay, "x");
    fs_op other = on_stream(b, delay, "y");
    OK(fs_work_op(b, p, &other, &first, 1, NULL, &err));
    for (uint32_t i = 1; i < N; i++)
        OK(fs_work_op(b, p, &delay, NULL, 0, NULL, &err));
    OK(freeze(b));
}

static void collectives_must_agree(void **state)
{
    (void)state;
    fs_work_builder *b = builder(2);
    uint32_t p = program(b, "p", 0, 0), q = program(b, "q", 1, 1);
    add(b, p, all_reduce(8), "x", NULL, 0);
    add(b, p, all_reduce(16), "y", NULL, 0);
    add(b, q, all_reduce(8), "x", NULL, 0);
    fs_op wrong = all_reduce(32);
    wrong.line = 5;
    wrong.column = 3;
    add(b, q, wrong, "z", NULL, 0);
    BAD(freeze(b), "ranks 0 and 1 of group 'world' disagree on their collective number 2 there: "
                   "rank 0 issues all_reduce of 16 B ('y'), rank 1 issues all_reduce of 32 B ('z')");
    assert_int_equal(err.line, 5);
    assert_int_equal(err.column, 3);

    b = builder(2);
    p = program(b, "p", 0, 0);
    fs_op op = all_reduce(8);
    op.coll = FS_BROADCAST;
    op.root = 1;
    op.algo = FS_ALGO_RING;
    add(b, p, op, "x", NULL, 0);
    BAD(freeze(b), "ranks 0 and 1 of group 'world' disagree on their collective number 1 there: "
                   "rank 0 issues broadcast of 8 B from position 1 by ring/auto ('x'), rank 1 has none");

    b = builder(2);
    program(b, "p", 0, 0);
    q = program(b, "q", 1, 1);
    op = all_reduce(0);
    op.coll = FS_BARRIER;
    add(b, q, op, "meet", NULL, 0);
    BAD(freeze(b), "ranks 0 and 1 of group 'world' disagree on their collective number 1 there: "
                   "rank 0 has none, rank 1 issues barrier ('meet')");
}

/* Different programs, streams and labels, the same sequence on the group: fine. */
static void equal_sequences_of_different_programs_agree(void **state)
{
    (void)state;
    fs_work_builder *b = builder(2);
    uint32_t p = program(b, "p", 0, 0), q = program(b, "q", 1, 1);
    for (uint32_t i = 0; i < 5; i++)
        add(b, p, all_reduce(i), "x", NULL, 0);
    for (uint32_t i = 0; i < 5; i++) {
        add(b, q, fs_op_default(FS_OP_DELAY), "wait", NULL, 0);
        add(b, q, on_stream(b, all_reduce(i), "comm"), "other", NULL, 0);
    }
    OK(freeze(b));
}

static void members_and_roots(void **state)
{
    (void)state;
    fs_work_builder *b = builder(4);
    uint32_t p = program(b, "p", 0, 3), f;
    OK(fs_work_family_explicit(b, "half", (uint32_t[]){0, 2}, 1, (uint32_t[]){0, 1}, &f, &err));
    fs_op op = all_reduce(8);
    op.family = f;
    add(b, p, op, "x", NULL, 0);
    BAD(freeze(b), "'x' uses group 'half', but rank 2, which runs it, is not in it");

    b = builder(4);
    p = program(b, "p", 0, 3);
    OK(fs_work_family_explicit(b, "uneven", (uint32_t[]){0, 3, 4}, 2, (uint32_t[]){0, 1, 2, 3}, &f, &err));
    op.family = f;
    op.coll = FS_REDUCE;
    op.root = 2;
    add(b, p, op, "x", NULL, 0);
    BAD(freeze(b), "'x' has root 2, but the group 'uneven' of rank 3 has 1 ranks");
}

static void sends_meet_receives(void **state)
{
    (void)state;
    fs_work_builder *b = builder(2);
    uint32_t p = program(b, "p", 0, 0), q = program(b, "q", 1, 1);
    add(b, p, message(FS_OP_SEND, 1, 7, 100), "s", NULL, 0);
    add(b, p, message(FS_OP_SEND, 1, 7, 200), "s", NULL, 0);
    add(b, q, message(FS_OP_RECV, 0, 7, 100), "r", NULL, 0);
    add(b, q, message(FS_OP_RECV, 0, 7, 200), "r", NULL, 0);
    OK(freeze(b));

    b = builder(2);
    p = program(b, "p", 0, 0), q = program(b, "q", 1, 1);
    add(b, p, message(FS_OP_SEND, 1, 7, 100), "s", NULL, 0);
    add(b, q, message(FS_OP_RECV, 0, 7, 99.5), "r", NULL, 0);
    BAD(freeze(b), "rank 0 sends 100 B to rank 1 ('s', tag 7), but rank 1 receives 99.5 B ('r')");

    b = builder(2);
    p = program(b, "p", 0, 0), q = program(b, "q", 1, 1);
    add(b, p, message(FS_OP_SEND, 1, 7, 100), "s", NULL, 0);
    add(b, q, message(FS_OP_RECV, 0, 8, 100), "r", NULL, 0);
    BAD(freeze(b), "rank 0 sends 's' to rank 1 with tag 7, but rank 1 has no receive for it (1 sends, 0 receives)");

    b = builder(2);
    program(b, "p", 0, 0), q = program(b, "q", 1, 1);
    add(b, q, message(FS_OP_RECV, 0, 8, 100), "r", NULL, 0);
    BAD(freeze(b), "rank 1 receives 'r' from rank 0 with tag 8, but rank 0 has no send for it (0 sends, 1 receives)");

    b = builder(2);
    p = program(b, "p", 0, 0);
    add(b, p, message(FS_OP_SEND, 0, 0, 1), "s", NULL, 0);
    BAD(freeze(b), "rank 0 sends to itself: 's'");
    b = builder(1);
    p = program(b, "p", 0, 0);
    add(b, p, shifted(FS_OP_RECV, 0, -3, 1), "r", NULL, 0);
    BAD(freeze(b), "rank 0 receives from itself: 'r'");
}

static void shifts_wrap_around(void **state)
{
    (void)state;
    fs_work_builder *b = builder(5);
    uint32_t p = program(b, "p", 0, 4);
    add(b, p, shifted(FS_OP_SEND, 0, 6, 1), "s", NULL, 0); /* 6 mod 5 = 1 */
    add(b, p, on_stream(b, shifted(FS_OP_RECV, 0, -1, 1), "in"), "r", NULL, 0);
    OK(freeze(b));
    b = builder(5);
    p = program(b, "p", 0, 4);
    add(b, p, shifted(FS_OP_SEND, 0, 2, 1), "s", NULL, 0);
    add(b, p, shifted(FS_OP_RECV, 0, -1, 1), "r", NULL, 0);
    BAD(freeze(b), "rank 0 sends 's' to rank 2 with tag 0, but rank 2 has no receive for it (1 sends, 0 receives)");
}

/* In a group of two, +1 and -1 are the same channel, and program order decides who meets whom. */
static void series_that_share_a_channel_are_merged(void **state)
{
    (void)state;
    for (int wrong = 0; wrong < 2; wrong++) {
        fs_work_builder *b = builder(2);
        uint32_t p = program(b, "p", 0, 1);
        add(b, p, shifted(FS_OP_SEND, 0, 1, 10), "s1", NULL, 0);
        add(b, p, shifted(FS_OP_SEND, 0, -1, 20), "s2", NULL, 0);
        add(b, p, shifted(FS_OP_SEND, 0, 1, 30), "s3", NULL, 0);
        add(b, p, on_stream(b, shifted(FS_OP_RECV, 0, 1, 10), "in"), "r1", NULL, 0);
        add(b, p, on_stream(b, shifted(FS_OP_RECV, 0, 1, wrong ? 30 : 20), "in"), "r2", NULL, 0);
        add(b, p, on_stream(b, shifted(FS_OP_RECV, 0, 1, wrong ? 20 : 30), "in"), "r3", NULL, 0);
        if (wrong)
            BAD(freeze(b), "rank 0 sends 20 B to rank 1 ('s2', tag 0), but rank 1 receives 30 B ('r2')");
        else
            OK(freeze(b));
    }
}

static void every_failed_allocation_is_clean(void **state)
{
    (void)state;
    uint64_t before = fs_mem_live();
    for (uint64_t n = 1;; n++) {
        fs_mem_fail_after(n);
        fs_work_builder *b = fs_work_builder_new("job", "ops", "t.json");
        fs_work *w = NULL;
        uint32_t p = 0, f;
        fs_status status = b ? fs_work_set_ranks(b, 4, &err) : FS_E_NOMEM;
        if (status == FS_OK)
            status = fs_work_family_strided(b, "tp", 2, 1, &f, &err);
        if (status == FS_OK)
            status = fs_work_program(b, "p", &p, &err);
        for (uint32_t i = 0; i < 4 && status == FS_OK; i++)
            status = fs_work_assign(b, i, p, &err);
        for (uint32_t i = 0; i < 100 && status == FS_OK; i++) {
            fs_op ops[] = {all_reduce(i), shifted(FS_OP_SEND, 0, 1, i), shifted(FS_OP_RECV, 0, -1, i)};
            for (uint32_t k = 0; k < 3 && status == FS_OK; k++) {
                char name[16];
                uint32_t later = i * 3 + k + 1;
                snprintf(name, sizeof name, "s%u", i * 3 + k);
                status = fs_work_stream(b, name, &ops[k].stream, &err);
                if (status == FS_OK)
                    status = fs_work_name(b, name, &ops[k].name, &err);
                if (status == FS_OK)
                    status = fs_work_op(b, p, &ops[k], &later, later < 300, NULL, &err);
            }
        }
        if (status == FS_OK)
            status = fs_work_freeze(b, &w, &err);
        fs_mem_fail_after(0);
        fs_work_builder_free(b);
        fs_work_free(w);
        assert_int_equal(fs_mem_live(), before);
        if (status == FS_OK)
            break;
        assert_int_equal(status, FS_E_NOMEM);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_small_work_is_as_built),
        cmocka_unit_test(strides_are_digits_of_the_rank),
        cmocka_unit_test(idle_ranks_get_an_empty_program),
        cmocka_unit_test(the_builder_refuses),
        cmocka_unit_test(streams_and_families_are_limited),
        cmocka_unit_test(no_gpu_twice),
        cmocka_unit_test(cycles_are_named_from_their_first_op),
        cmocka_unit_test(forward_dependencies_are_fine),
        cmocka_unit_test(long_chains_do_not_recurse),
        cmocka_unit_test(collectives_must_agree),
        cmocka_unit_test(equal_sequences_of_different_programs_agree),
        cmocka_unit_test(members_and_roots),
        cmocka_unit_test(sends_meet_receives),
        cmocka_unit_test(shifts_wrap_around),
        cmocka_unit_test(series_that_share_a_channel_are_merged),
        cmocka_unit_test(every_failed_allocation_is_clean),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
