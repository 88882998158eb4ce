/* prop_work.c - random works: what is written is read back equal, what is written from that is the same text, and
 * renumbering the ranks (of groups, programs, placement and peers alike) leaves a good work good and a bad one bad. */
#include "base/mem.h"
#include "base/rng.h"
#include "work/work_build.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

enum { CASES = 500, RANKS_MAX = 12, OPS_MAX = 30, FAMILIES = 3, LISTS = 3, KERNELS_MAX = 3 };
static const char *const stream_names[] = {"main", "comm", "side \"quoted\"", "caf\xc3\xa9"};
static uint64_t seed;
static fs_err err;

/* A random job before it is built, so that it can be built twice. */
typedef struct plan {
    uint32_t n_ranks, n_programs, n_ops, size, stride;
    uint32_t half[RANKS_MAX], n_half; /* one explicit set */
    uint32_t program_of[RANKS_MAX], gpu_of[RANKS_MAX];
    fs_op ops[OPS_MAX]; /* of all programs, which differ in their kernels only; peers are ranks of the plan */
    fs_kernel kernels[LISTS][KERNELS_MAX];
    uint32_t n_kernels[LISTS];
    double shares[RANKS_MAX]; /* (size) */
    uint32_t op_stream[OPS_MAX], deps[OPS_MAX][2], n_deps[OPS_MAX];
} plan;

#define OK(call)                                                                                                       \
    do {                                                                                                               \
        if ((call) != FS_OK)                                                                                           \
            fail_msg("seed %llu: %s: %s", (unsigned long long)seed, #call, err.text);                                  \
    } while (0)

static double amount(fs_rng *rng)
{
    return fs_rng_below(rng, 4) == 0 ? 0 : fs_rng_unit(rng) * (double)(UINT64_C(1) << fs_rng_below(rng, 50));
}

static void shuffle(fs_rng *rng, uint32_t *list, uint32_t n)
{
    for (uint32_t i = n; i > 1; i--) {
        uint32_t j = fs_rng_below(rng, i), kept = list[i - 1];
        list[i - 1] = list[j];
        list[j] = kept;
    }
}

static fs_op random_op(fs_rng *rng, const plan *p)
{
    fs_op_kind kind = (fs_op_kind)fs_rng_below(rng, FS_OP_SEND); /* messages are added in pairs */
    fs_op op = fs_op_default(kind);
    if (kind == FS_OP_COLLECTIVE) {
        op.coll = (uint8_t)fs_rng_below(rng, FS_SENDRECV);
        op.family = fs_rng_below(rng, p->n_half == p->n_ranks ? 3 : 2);
        if (op.coll != FS_BARRIER) {
            op.size_bytes = amount(rng);
            op.algo = (uint8_t)fs_rng_below(rng, FS_ALGOS);
            op.proto = (uint8_t)fs_rng_below(rng, FS_PROTOS);
            op.sm_share = (float)fs_rng_unit(rng) * 0.9f;
        }
        if (op.coll == FS_ALL_TO_ALL && op.family == 1 && fs_rng_below(rng, 2)) {
            op.load = 0;
            op.transpose = fs_rng_below(rng, 2) == 1;
        }
        if (op.coll == FS_ALL_TO_ALL && op.algo == FS_ALGO_FORWARDED) {
            op.top_k = (uint16_t)fs_rng_below(rng, 10);
            op.top_domains = (uint16_t)fs_rng_below(rng, 4);
        }
        if (op.coll == FS_BROADCAST || op.coll == FS_REDUCE)
            op.root = fs_rng_below(rng, p->size);
    } else if (kind == FS_OP_DELAY || fs_rng_below(rng, 2)) {
        op.duration_s = fs_rng_unit(rng) * 1e-3;
    } else if (fs_rng_below(rng, 2)) {
        op.kernels = fs_rng_below(rng, LISTS);
    } else {
        op.flops = amount(rng);
        op.bytes = amount(rng);
        op.dtype = (uint8_t)fs_rng_below(rng, FS_DTYPES);
    }
    return op;
}

static fs_kernel_shape random_shape(fs_rng *rng)
{
    double sizes[FS_KERNEL_SIZES];
    fs_kernel_kind kind = (fs_kernel_kind)fs_rng_below(rng, FS_KERNEL_KINDS);
    fs_kernel_shape shape = {0};
    for (uint32_t i = 0; i < FS_KERNEL_SIZES; i++)
        sizes[i] = 1 + 100 * fs_rng_unit(rng);
    bool attends = kind == FS_KERNEL_ATTENTION || kind == FS_KERNEL_ATTENTION_GRAD;
    if (attends)
        sizes[2] += 100, sizes[3] += 100;
    if (kind == FS_KERNEL_APPEND)
        sizes[2] += 100;
    uint32_t kv = attends || kind == FS_KERNEL_APPEND ? fs_rng_below(rng, FS_DTYPES) : FS_FP16;
    if (kind != FS_KERNEL_PLAIN)
        OK(fs_kernel_shape_of(kind, sizes, fs_kernel_sizes_of[kind].n, attends && fs_rng_below(rng, 2), (fs_dtype)kv,
                              &shape, &err));
    return shape;
}

static plan random_plan(fs_rng *rng)
{
    plan p = {.n_ranks = 1 + fs_rng_below(rng, RANKS_MAX), .n_programs = 1 + fs_rng_below(rng, 3)};
    do {
        p.size = 1 + fs_rng_below(rng, p.n_ranks);
        p.stride = 1 + fs_rng_below(rng, p.n_ranks);
    } while (p.n_ranks % (p.size * p.stride) != 0);
    for (uint32_t i = 0; i < p.size; i++)
        p.shares[i] = 0.01 + fs_rng_unit(rng);
    for (uint32_t i = 0; i < LISTS; i++) {
        p.n_kernels[i] = fs_rng_below(rng, KERNELS_MAX + 1);
        for (uint32_t k = 0; k < p.n_kernels[i]; k++)
            p.kernels[i][k] = (fs_kernel){.flops = amount(rng),
                                          .bytes = amount(rng),
                                          .measured_s = fs_rng_below(rng, 4) ? 0 : fs_rng_unit(rng),
                                          .shape = random_shape(rng),
                                          .count = 1 + fs_rng_below(rng, 3),
                                          .dtype = (uint8_t)fs_rng_below(rng, FS_DTYPES)};
    }
    uint32_t order[RANKS_MAX];
    for (uint32_t i = 0; i < p.n_ranks; i++)
        order[i] = p.gpu_of[i] = i;
    shuffle(rng, order, p.n_ranks);
    if (fs_rng_below(rng, 2))
        shuffle(rng, p.gpu_of, p.n_ranks);
    p.n_half = fs_rng_below(rng, 2) ? p.n_ranks : 1 + fs_rng_below(rng, p.n_ranks);
    memcpy(p.half, order, sizeof order);
    for (uint32_t i = 0; i < p.n_ranks; i++)
        p.program_of[i] = fs_rng_below(rng, p.n_programs);
    uint32_t wanted = fs_rng_below(rng, OPS_MAX - 2);
    while (p.n_ops < wanted) {
        bool pair = p.n_ranks > 1 && fs_rng_below(rng, 4) == 0;
        fs_op op = random_op(rng, &p);
        if (pair) { /* everybody sends to the next and receives from the one before */
            op = fs_op_default(FS_OP_SEND);
            op.family = 0;
            op.peer = 1;
            op.tag = fs_rng_below(rng, 3);
            op.size_bytes = amount(rng);
            p.ops[p.n_ops] = op;
            p.op_stream[p.n_ops++] = fs_rng_below(rng, 4);
            op.kind = FS_OP_RECV;
            op.peer = -1;
        }
        op.phase = (uint8_t)fs_rng_below(rng, FS_PHASES);
        p.ops[p.n_ops] = op;
        p.op_stream[p.n_ops++] = fs_rng_below(rng, 4);
    }
    for (uint32_t i = 1; i < p.n_ops; i++) {
        p.n_deps[i] = fs_rng_below(rng, 3);
        for (uint32_t d = 0; d < p.n_deps[i]; d++)
            p.deps[i][d] = fs_rng_below(rng, i);
    }
    return p;
}

/* new_rank[r]: what rank r of the plan is called. */
static void build_families(fs_work_builder *b, const plan *p, const uint32_t *new_rank)
{
    uint32_t id, begin[RANKS_MAX + 1] = {0}, ranks[RANKS_MAX], n = 0, n_groups = p->n_ranks / p->size;
    bool same = true;
    for (uint32_t i = 0; i < p->n_ranks; i++)
        same = same && new_rank[i] == i;
    if (same) {
        OK(fs_work_family_strided(b, "tp", p->size, p->stride, &id, &err));
    } else {
        for (uint32_t g = 0; g < n_groups; g++) {
            uint32_t first = g / p->stride * p->size * p->stride + g % p->stride;
            for (uint32_t i = 0; i < p->size; i++)
                ranks[n++] = new_rank[first + i * p->stride];
            begin[g + 1] = n;
        }
        OK(fs_work_family_explicit(b, "tp", begin, n_groups, ranks, &id, &err));
    }
    for (uint32_t i = 0; i < p->n_half; i++)
        ranks[i] = new_rank[p->half[i]];
    OK(fs_work_family_explicit(b, "half", (uint32_t[]){0, p->n_half}, 1, ranks, &id, &err));
}

static fs_status build(const plan *p, const uint32_t *new_rank, fs_work **work)
{
    fs_work_builder *b = fs_work_builder_new("a \\ name", "ops", "p.json");
    assert_non_null(b);
    OK(fs_work_set_ranks(b, p->n_ranks, &err));
    OK(fs_work_set_note(b, "tab\there", &err));
    fs_work_set_totals(
        b, &(fs_totals){.tokens = 0.1, .model_flops = 1e20 / 3, .dtype = FS_BF16, .memory = {.weights = 7}});
    build_families(b, p, new_rank);
    uint32_t lists[LISTS], load;
    for (uint32_t i = 0; i < LISTS; i++) {
        fs_kernel kernels[KERNELS_MAX];
        memcpy(kernels, p->kernels[i], sizeof kernels);
        for (uint32_t k = 0; k < KERNELS_MAX; k++)
            OK(fs_work_name(b, k ? "gemm" : "norm", &kernels[k].name, &err));
        OK(fs_work_kernels(b, kernels, p->n_kernels[i], &lists[i], &err));
    }
    OK(fs_work_load_shares(b, p->shares, p->size, &load, &err));
    for (uint32_t i = 0; i < p->n_programs; i++) {
        uint32_t program;
        OK(fs_work_program(b, "same name", &program, &err));
        for (uint32_t k = 0; k < p->n_ops; k++) {
            fs_op op = p->ops[k];
            OK(fs_work_stream(b, stream_names[p->op_stream[k]], &op.stream, &err));
            if (op.kernels != FS_NONE)
                op.kernels = lists[op.kernels];
            if (op.load != FS_NONE)
                op.load = load;
            if (op.kind == FS_OP_DELAY)
                op.duration_s *= i + 1;
            if (op.kind == FS_OP_RECV || k % 3 == 0)
                OK(fs_work_name(b, k % 2 ? "odd" : "even", &op.name, &err));
            OK(fs_work_op(b, program, &op, p->deps[k], p->n_deps[k], NULL, &err));
        }
    }
    for (uint32_t r = 0; r < p->n_ranks; r++) {
        OK(fs_work_place(b, new_rank[r], p->gpu_of[r], &err));
        OK(fs_work_assign(b, new_rank[r], p->program_of[r], &err));
    }
    fs_status status = fs_work_freeze(b, work, &err);
    fs_work_builder_free(b);
    return status;
}

/* The text that fs_work_write_ops gives, through a temporary file; caller frees with fs_free. */
static char *written(const fs_work *work, size_t *length)
{
    char path[] = "prop_work.XXXXXX";
    int file = mkstemp(path);
    assert_true(file >= 0);
    close(file);
    fs_out *out;
    OK(fs_out_open(path, &out, &err));
    fs_work_write_ops(work, out);
    OK(fs_out_close(out, &err));
    char *text;
    fs_status status = fs_file_read(path, &text, length, &err);
    remove(path);
    OK(status);
    return text;
}

#define SAME(field) assert_memory_equal(&a->field, &b->field, sizeof a->field)
#define SAME_ARRAY(field, count) assert_memory_equal(a->field, b->field, (count) * sizeof *a->field)

static void equal_kernels(const fs_work *wa, const fs_work *wb, const fs_kernel_list *x, const fs_kernel_list *y)
{
    assert_int_equal(x->n, y->n);
    for (uint32_t i = 0; i < x->n; i++) {
        const fs_kernel *a = &x->kernels[i], *b = &y->kernels[i];
        SAME(flops), SAME(bytes), SAME(count), SAME(dtype), SAME(measured_s);
        assert_true(fs_kernel_same_shape(&a->shape, &b->shape));
        assert_string_equal(wa->names[a->name], wb->names[b->name]);
    }
}

static void equal_ops(const fs_work *wa, const fs_work *wb, const fs_op *a, const fs_op *b)
{
    assert_string_equal(wa->streams[a->stream], wb->streams[b->stream]);
    assert_string_equal(wa->names[a->name], wb->names[b->name]);
    SAME(kind), SAME(coll), SAME(algo), SAME(proto), SAME(dtype), SAME(phase), SAME(family), SAME(peer), SAME(tag);
    SAME(root), SAME(sm_share), SAME(duration_s), SAME(flops), SAME(bytes), SAME(size_bytes), SAME(transpose);
    SAME(top_k), SAME(top_domains);
    assert_int_equal(a->kernels == FS_NONE, b->kernels == FS_NONE);
    assert_int_equal(a->load == FS_NONE, b->load == FS_NONE);
    if (a->kernels != FS_NONE)
        equal_kernels(wa, wb, &wa->kernel_lists[a->kernels], &wb->kernel_lists[b->kernels]);
    if (a->load != FS_NONE)
        assert_memory_equal(wa->loads[a->load].weight, wb->loads[b->load].weight,
                            wa->loads[a->load].n * sizeof(double));
}

static void equal_programs(const fs_work *wa, const fs_work *wb, const fs_program *a, const fs_program *b)
{
    assert_string_equal(a->name, b->name);
    assert_int_equal(a->n_ops, b->n_ops);
    assert_int_equal(a->n_ranks, b->n_ranks);
    SAME_ARRAY(dep_begin, a->n_ops + 1);
    if (a->dep_begin[a->n_ops] > 0)
        SAME_ARRAY(deps, a->dep_begin[a->n_ops]);
    for (uint32_t i = 0; i < a->n_ops; i++)
        equal_ops(wa, wb, &a->ops[i], &b->ops[i]);
}

static void equal_families(const fs_family *a, const fs_family *b, uint32_t n_ranks)
{
    assert_string_equal(a->name, b->name);
    assert_int_equal(a->n_groups, b->n_groups);
    for (uint32_t g = 0; g < a->n_groups; g++) {
        assert_int_equal(fs_family_size(a, g), fs_family_size(b, g));
        for (uint32_t i = 0; i < fs_family_size(a, g); i++) {
            uint32_t rank = fs_family_member(a, g, i);
            assert_int_equal(rank, fs_family_member(b, g, i));
            assert_int_equal(g, fs_family_group_of(a, rank));
            assert_int_equal(i, fs_family_position(a, rank));
        }
    }
    for (uint32_t r = 0; r < n_ranks; r++)
        assert_int_equal(fs_family_group_of(a, r), fs_family_group_of(b, r));
}

static void equal_works(const fs_work *a, const fs_work *b)
{
    assert_string_equal(a->name, b->name);
    assert_string_equal(a->note, b->note);
    assert_int_equal(a->n_ranks, b->n_ranks);
    assert_int_equal(a->n_families, b->n_families);
    SAME_ARRAY(gpu_of, a->n_ranks);
    SAME(totals.model_flops), SAME(totals.hardware_flops), SAME(totals.tokens), SAME(totals.samples),
        SAME(totals.dtype);
    SAME(totals.memory);
    for (uint32_t i = 0; i < a->n_families; i++)
        equal_families(&a->families[i], &b->families[i], a->n_ranks);
    for (uint32_t r = 0; r < a->n_ranks; r++) /* programs without ranks are not written */
        equal_programs(a, b, &a->programs[a->program_of[r]], &b->programs[b->program_of[r]]);
}

static void read_back(const fs_work *work)
{
    size_t length, again_length;
    char *text = written(work, &length);
    fs_work *same;
    OK(fs_work_parse("p.json", text, length, NULL, 0, &same, &err));
    equal_works(work, same);
    char *again = written(same, &again_length);
    assert_int_equal(length, again_length);
    assert_memory_equal(text, again, length);
    fs_free(text);
    fs_free(again);
    fs_work_free(same);
}

static void written_works_read_back_equal(void **state)
{
    (void)state;
    for (seed = 1; seed <= CASES; seed++) {
        fs_rng rng = fs_rng_seed(seed);
        plan p = random_plan(&rng);
        uint32_t rank[RANKS_MAX];
        for (uint32_t i = 0; i < p.n_ranks; i++)
            rank[i] = i;
        fs_work *work = NULL;
        OK(build(&p, rank, &work));
        read_back(work);
        fs_work_free(work);
    }
}

/* Messages go to fixed ranks here, and in half of the cases one of them is of the wrong size. */
static void renumbering_changes_no_verdict(void **state)
{
    (void)state;
    uint32_t n_bad = 0;
    for (seed = 1; seed <= CASES; seed++) {
        fs_rng rng = fs_rng_seed(seed);
        uint32_t n = 2 + fs_rng_below(&rng, RANKS_MAX - 1), rank[RANKS_MAX + 1], bad = fs_rng_below(&rng, 2 * n);
        fs_status verdict[2];
        double size = 1 + amount(&rng);
        n_bad += bad < n;
        for (int renumbered = 0; renumbered < 2; renumbered++) {
            for (uint32_t i = 0; i < n; i++)
                rank[i] = i;
            if (renumbered)
                shuffle(&rng, rank, n);
            fs_work_builder *b = fs_work_builder_new("ring", "ops", "p.json");
            fs_work *work = NULL;
            OK(fs_work_set_ranks(b, n, &err));
            for (uint32_t i = 0; i < n; i++) {
                uint32_t program;
                fs_op op = fs_op_default(FS_OP_SEND);
                OK(fs_work_program(b, "p", &program, &err));
                OK(fs_work_assign(b, rank[i], program, &err));
                op.peer = (int32_t)rank[(i + 1) % n];
                op.size_bytes = i == bad ? 2 * size : size;
                OK(fs_work_op(b, program, &op, NULL, 0, NULL, &err));
                op.kind = FS_OP_RECV;
                op.peer = (int32_t)rank[(i + n - 1) % n];
                op.size_bytes = size;
                OK(fs_work_op(b, program, &op, NULL, 0, NULL, &err));
            }
            verdict[renumbered] = fs_work_freeze(b, &work, &err);
            fs_work_builder_free(b);
            fs_work_free(work);
        }
        assert_int_equal(verdict[0], bad < n ? FS_E_TRACE : FS_OK);
        assert_int_equal(verdict[0], verdict[1]);
    }
    assert_in_range(n_bad, CASES / 4, 3 * CASES / 4);
}

static void renumbered_works_read_back_equal(void **state)
{
    (void)state;
    for (seed = 1; seed <= CASES; seed++) {
        fs_rng rng = fs_rng_seed(seed);
        plan p = random_plan(&rng);
        uint32_t rank[RANKS_MAX];
        for (uint32_t i = 0; i < p.n_ranks; i++)
            rank[i] = i;
        shuffle(&rng, rank, p.n_ranks);
        fs_work *work = NULL;
        OK(build(&p, rank, &work));
        read_back(work);
        fs_work_free(work);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(written_works_read_back_equal),
        cmocka_unit_test(renumbering_changes_no_verdict),
        cmocka_unit_test(renumbered_works_read_back_equal),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
