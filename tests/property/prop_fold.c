/* prop_fold.c - folded equals unfolded: every op begins and ends at the same time, every link carries the same bytes,
 * every figure of the result is the same. Random machines, placements, families and programs; most are symmetric in
 * part, some not at all. A failure prints its seed. */
#include "fold_twin.h"

enum { CASES = 600, STEPS_MAX = 12, RANKS_MAX = 512, FAMILIES_MAX = 4 };

/* ---- random works ------------------------------------------------------------------------------------------------ */

typedef enum kind { COMPUTE, DELAY, COLLECTIVE, SHIFT, EXCHANGE, INCAST, PAIR, KINDS } kind;

/* One op of every rank that it concerns, in the same order everywhere: nothing can deadlock. */
typedef struct step {
    kind kind;
    uint32_t stream, family, dep, a, b, tag, straggler;
    int32_t shift;
    fs_op op;
} step;

typedef struct family {
    uint32_t size; /* the smallest group */
    bool whole;    /* everybody is in a group */
    uint32_t group_of[RANKS_MAX];
} family;

typedef struct plan {
    fs_rng rng;
    uint32_t ranks, n_families, n_steps;
    bool tame; /* what all ranks do alike, as in training */
    family families[FAMILIES_MAX];
    step steps[STEPS_MAX];
} plan;

static double draw_size(fs_rng *rng)
{
    double size = 1 + fs_rng_below(rng, 1000);
    for (uint32_t zeros = fs_rng_below(rng, 6); zeros > 0; zeros--)
        size *= 10;
    return size;
}

/* A divisor of n, or n. */
static uint32_t draw_divisor(fs_rng *rng, uint32_t n)
{
    uint32_t d = 1 + fs_rng_below(rng, n);
    while (n % d != 0)
        d--;
    return d;
}

static void draw_explicit(plan *p, fs_work_builder *b, uint32_t at)
{
    static uint32_t ranks[RANKS_MAX], begin[RANKS_MAX + 1];
    family *f = &p->families[at];
    uint32_t n_groups = 0, members = 1 + fs_rng_below(&p->rng, p->ranks), id;
    for (uint32_t i = 0; i < p->ranks; i++) {
        uint32_t other = fs_rng_below(&p->rng, i + 1);
        ranks[i] = ranks[other];
        ranks[other] = i;
        f->group_of[i] = FS_NONE;
    }
    uint32_t like = 1 + fs_rng_below(&p->rng, members);
    f->size = members;
    for (uint32_t i = 0; i < members; n_groups++) {
        uint32_t size = fs_rng_below(&p->rng, 4) ? like : 1 + fs_rng_below(&p->rng, members - i);
        size = size < members - i ? size : members - i;
        begin[n_groups] = i;
        f->size = size < f->size ? size : f->size;
        for (uint32_t end = i + size; i < end; i++)
            f->group_of[ranks[i]] = n_groups;
    }
    begin[n_groups] = members;
    ASSERT_OK(fs_work_family_explicit(b, "odd", begin, n_groups, ranks, &id, &failure));
}

static void draw_families(plan *p, fs_work_builder *b)
{
    static const char *const names[] = {"world", "tp", "dp"};
    p->families[0] = (family){.size = p->ranks, .whole = true};
    p->n_families = 1;
    for (uint32_t f = 1; f < 3; f++) {
        uint32_t id, size = draw_divisor(&p->rng, p->ranks), stride = draw_divisor(&p->rng, p->ranks / size);
        ASSERT_OK(fs_work_family_strided(b, names[f], size, stride, &id, &failure));
        p->families[p->n_families++] = (family){.size = size, .whole = true};
    }
    if (!p->tame && fs_rng_below(&p->rng, 4) == 0)
        draw_explicit(p, b, p->n_families++);
}

static fs_op draw_collective(plan *p, uint32_t f)
{
    fs_op op = collective((fs_coll_kind)fs_rng_below(&p->rng, FS_SENDRECV), f, draw_size(&p->rng));
    if (fs_rng_below(&p->rng, 2))
        op.algo = FS_ALGO_AUTO;
    if (p->tame && (op.coll == FS_BROADCAST || op.coll == FS_REDUCE))
        op.coll = FS_BARRIER, op.algo = FS_ALGO_AUTO;
    else if (op.coll == FS_BROADCAST || op.coll == FS_REDUCE)
        op.root = fs_rng_below(&p->rng, p->families[f].size);
    return op;
}

static step draw_step(plan *p, uint32_t i)
{
    static const kind often[] = {COMPUTE, COMPUTE, DELAY, COLLECTIVE, COLLECTIVE, COLLECTIVE, SHIFT, SHIFT, EXCHANGE};
    fs_rng *rng = &p->rng;
    step s = {.stream = fs_rng_below(rng, 3), .family = fs_rng_below(rng, p->n_families), .straggler = FS_NONE};
    s.kind = often[fs_rng_below(rng, sizeof often / sizeof *often)];
    if (!p->tame && fs_rng_below(rng, 12) == 0)
        s.kind = fs_rng_below(rng, 2) ? INCAST : PAIR;
    s.dep = i > 0 && fs_rng_below(rng, 2) ? fs_rng_below(rng, i) : FS_NONE;
    s.tag = fs_rng_below(rng, 3);
    s.a = fs_rng_below(rng, p->ranks);
    s.b = fs_rng_below(rng, p->ranks);
    s.shift = (int32_t)fs_rng_below(rng, 9) - 4;
    const family *f = &p->families[s.family];
    if ((s.kind == SHIFT && (!f->whole || s.shift % (int32_t)f->size == 0)) || (s.kind == PAIR && s.a == s.b) ||
        (s.kind == EXCHANGE && (!f->whole || f->size % 2)) || (s.kind == INCAST && p->ranks > 64))
        s.kind = COMPUTE;
    s.op = s.kind == COLLECTIVE ? draw_collective(p, s.family) : compute(draw_size(rng) * 1e-9);
    if (!p->tame && s.kind == COMPUTE && fs_rng_below(rng, 6) == 0)
        s.straggler = s.a;
    if (s.kind == DELAY)
        s.op = delay(draw_size(rng) * 1e-9);
    s.op.size_bytes = draw_size(rng);
    s.op.sm_share = (float)(fs_rng_below(rng, 3) || s.kind <= DELAY ? 0 : 0.25 * fs_rng_below(rng, 4));
    return s;
}

typedef struct writer {
    const plan *p;
    fs_work_builder *b;
    uint32_t program, rank, op_of[STEPS_MAX];
} writer;

static uint32_t put(writer *w, const step *s, const char *stream, fs_op op)
{
    uint32_t dep = s->dep == FS_NONE ? FS_NONE : w->op_of[s->dep];
    op.sm_share = s->op.sm_share;
    return add_op(w->b, w->program, stream, NULL, op, &dep, dep != FS_NONE);
}

/* What a rank does in a step; FS_NONE where it has no part in it. */
static uint32_t emit(writer *w, const step *s)
{
    static const char *const streams[] = {"main", "comm", "aside"};
    const char *stream = streams[s->stream];
    const family *f = &w->p->families[s->family];
    double bytes = s->op.size_bytes;
    uint32_t op = FS_NONE;
    switch (s->kind) {
    case COMPUTE: {
        fs_op slow = s->op;
        slow.duration_s *= s->straggler == w->rank ? 3 : 1;
        return put(w, s, stream, slow);
    }
    case DELAY: return put(w, s, stream, s->op);
    case COLLECTIVE: return !f->whole && f->group_of[w->rank] == FS_NONE ? FS_NONE : put(w, s, stream, s->op);
    case SHIFT:
        op = put(w, s, stream, shifted(FS_OP_SEND, s->family, s->shift, s->tag, bytes));
        put(w, s, "recv", shifted(FS_OP_RECV, s->family, -s->shift, s->tag, bytes));
        return op;
    case EXCHANGE: /* with the one opposite: there and back are the same rank, written in two ways */
        op = put(w, s, stream, shifted(FS_OP_SEND, s->family, (int32_t)f->size / 2, s->tag, bytes));
        put(w, s, "recv", shifted(FS_OP_RECV, s->family, -(int32_t)f->size / 2, s->tag, bytes));
        return op;
    case INCAST:
        for (uint32_t r = 0; s->a == w->rank && r < w->p->ranks; r++)
            if (r != w->rank)
                op = put(w, s, "recv", transfer(FS_OP_RECV, r, s->tag, bytes));
        return s->a == w->rank ? op : put(w, s, stream, transfer(FS_OP_SEND, s->a, s->tag, bytes));
    case PAIR:
        if (s->a == w->rank)
            op = put(w, s, stream, transfer(FS_OP_SEND, s->b, s->tag, bytes));
        if (s->b == w->rank)
            op = put(w, s, "recv", transfer(FS_OP_RECV, s->a, s->tag, bytes));
        return op;
    case KINDS: break;
    }
    return op;
}

/* Ranks with the same part in everything share a program. */
static bool same_part(const plan *p, uint32_t a, uint32_t b)
{
    for (uint32_t i = 0; i < p->n_steps; i++) {
        const step *s = &p->steps[i];
        const family *f = &p->families[s->family];
        bool special = s->kind == INCAST || s->kind == PAIR;
        if ((s->straggler == a || s->straggler == b) || (special && (s->a == a || s->a == b)) ||
            (s->kind == PAIR && (s->b == a || s->b == b)))
            return false;
        if (!f->whole && (f->group_of[a] == FS_NONE) != (f->group_of[b] == FS_NONE))
            return false;
    }
    return true;
}

static fs_work *draw_work(fs_rng rng, uint32_t n_gpus)
{
    static plan p;
    static uint32_t program[RANKS_MAX], order[RANKS_MAX];
    p = (plan){.rng = rng};
    p.tame = fs_rng_below(&p.rng, 2);
    p.ranks = p.tame || fs_rng_below(&p.rng, 3) ? n_gpus : 1 + fs_rng_below(&p.rng, n_gpus);
    fs_work_builder *b = make_builder(p.ranks);
    bool shuffled = !p.tame && fs_rng_below(&p.rng, 5) == 0;
    for (uint32_t i = 0; i < n_gpus; i++) {
        uint32_t other = shuffled ? fs_rng_below(&p.rng, i + 1) : i;
        order[i] = order[other];
        order[other] = i;
    }
    for (uint32_t i = 0; i < p.ranks; i++)
        ASSERT_OK(fs_work_place(b, i, order[i], &failure));
    draw_families(&p, b);
    p.n_steps = 1 + fs_rng_below(&p.rng, STEPS_MAX);
    for (uint32_t i = 0; i < p.n_steps; i++)
        p.steps[i] = draw_step(&p, i);
    for (uint32_t rank = 0; rank < p.ranks; rank++) {
        uint32_t like = 0;
        while (like < rank && !same_part(&p, like, rank))
            like++;
        if (like < rank) {
            program[rank] = program[like];
            ASSERT_OK(fs_work_assign(b, rank, program[rank], &failure));
            continue;
        }
        writer w = {.p = &p, .b = b, .program = add_program(b, "p", rank, rank), .rank = rank};
        program[rank] = w.program;
        for (uint32_t i = 0; i < p.n_steps; i++)
            w.op_of[i] = emit(&w, &p.steps[i]);
    }
    return finish(b);
}

static void folded_equals_unfolded(void **state)
{
    (void)state;
    uint32_t folded_well = 0, rerouted = 0;
    for (uint64_t seed = 1; seed <= CASES; seed++) {
        fs_rng rng = fs_rng_seed(seed);
        machine m = draw_machine(&rng);
        fs_work *work = draw_work(rng, m.topo->n_gpus);
        fs_run_options options = fs_run_default();
        options.cost = fs_rng_below(&rng, 2) ? FS_COST_IDEAL : FS_COST_NCCL;
        uint32_t slowest = work->n_ranks <= 12 ? 3 : work->n_ranks <= 64 ? 2 : 1;
        options.lowering = (fs_lowering_mode)fs_rng_below(&rng, slowest);
        if (fs_rng_below(&rng, 3))
            hurt(&m, &rng, step_of(m.topo, work, options) + 1e-6);
        bool moved;
        uint32_t actors = folded_is_unfolded(seed, m.topo, work, options, &moved);
        folded_well += actors * 2 <= work->n_ranks;
        rerouted += moved && actors < work->n_ranks;
        fs_work_free(work);
        fs_topo_free(m.topo);
    }
    print_message("%u of %u jobs fold to half their ranks or fewer; %u fold and reroute\n", folded_well, CASES,
                  rerouted);
    assert_in_range(folded_well, CASES / 5, CASES);
    assert_in_range(rerouted, CASES / 50, CASES);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(folded_equals_unfolded)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
