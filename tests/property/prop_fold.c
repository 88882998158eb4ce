/* prop_fold.c - folded equals unfolded: every op begins and ends at the same time, every link carries the same bytes,
 * every figure of the result is the same. Random machines, placements, families and programs; most are symmetric in
 * part, some not at all. A failure prints its seed. */
#include "../fixture.h"
#include "base/rng.h"
#include "topo/faults.h"

enum { CASES = 1500, STEPS_MAX = 12, RANKS_MAX = 512, FAMILIES_MAX = 4, FAULTS_MAX = 3, TEXT = 256 };

#define TOLERANCE 1e-9

/* ---- random machines --------------------------------------------------------------------------------------------- */

static uint32_t draw_gpus(fs_rng *rng)
{
    static const uint32_t sizes[] = {8, 8, 8, 12, 16, 16, 24, 32, 48, 64, 96, 128, 256, 512};
    return sizes[fs_rng_below(rng, fs_rng_below(rng, 6) ? 8 : sizeof sizes / sizeof *sizes)];
}

typedef struct machine {
    fs_topo *topo;
    uint32_t nodes, leaves, spines; /* of a leaf-spine network, else 0 */
} machine;

/* Nodes of four GPUs under leaves and spines; routes spread, are hashed or are static. */
static machine draw_network(fs_rng *rng)
{
    static const char *const routing[] = {"adaptive", "adaptive", "ecmp", "static"};
    static const char by[][8] = {"rail", "node"};
    char text[4096];
    uint32_t group = 2 + fs_rng_below(rng, 4), halves = 1 + fs_rng_below(rng, 3), rail = fs_rng_below(rng, 2);
    machine m = {.nodes = group * halves, .spines = 2 + fs_rng_below(rng, 3)};
    m.leaves = halves * (rail ? 1 : 4);
    if (fs_rng_below(rng, 4) == 0) /* the last group is not full */
        m.nodes -= halves > 1;
    snprintf(
        text, sizeof text,
        "<fabsim version='topology/1' name='test'><parts>"
        "<gpu name='g' arch='hopper' memory='80GB' memory-bandwidth='3TB/s' gemm-efficiency='0.7'"
        " memory-efficiency='0.9' launch='1us' power='700W' source='s'><peak dtype='fp16' flops='900TFLOP/s'/></gpu>"
        "<nvswitch name='nvs' latency='25ns' multicast='%s' source='s'/><nic name='n' source='s'/>"
        "<net-switch name='sw' latency='100ns' source='s'/>"
        "<link-type name='nv' class='nvlink' tier='nvlink' bandwidth='25GB/s' effective='20GB/s' latency='1us' "
        "source='s'/>"
        "<link-type name='pc' class='pcie' tier='pcie' bandwidth='60GB/s' effective='50GB/s' latency='0s' source='s'/>"
        "<link-type name='w' class='net' tier='nic' bandwidth='%uGB/s' effective='9GB/s' latency='1us' source='s'/>"
        "</parts><board name='b'><device name='gpu[0-3]' part='g'/><device name='nic[0-3]' part='n'/>"
        "<device name='nvsw[0-1]' part='nvs'/><link from='gpu[0-3]' to='nvsw[0-1]' type='nv' pair='all'/>"
        "<link from='gpu[0-3]' to='nic[0-3]' type='pc' pair='each'/></board>"
        "<system><place board='b' name='node' count='%u'/>"
        "<network name='net' nodes='node' ports='nic[0-3]' routing='%s'>"
        "<tier name='leaf' part='sw' type='w' by='%s' group='%u' switches='%u'/>"
        "<tier name='spine' part='sw' type='w' switches='%u' lanes='1'/></network></system></fabsim>",
        fs_rng_below(rng, 2) ? "yes" : "no", 10 + fs_rng_below(rng, 40), m.nodes, routing[fs_rng_below(rng, 4)],
        by[rail], group, rail ? 1u : 4u, m.spines);
    ASSERT_OK(fs_topo_parse("test.xml", text, strlen(text), NULL, 0, &m.topo, &failure));
    return m;
}

static machine draw_machine(fs_rng *rng)
{
    char line[TEXT];
    uint32_t shape = fs_rng_below(rng, 12), n = draw_gpus(rng), rate = 1 + fs_rng_below(rng, 50);
    uint32_t nic = 1 + fs_rng_below(rng, 20), ns = fs_rng_below(rng, 2) ? fs_rng_below(rng, 3000) : 0;
    uint32_t gpus = 1u << fs_rng_below(rng, 4);
    const char *multicast = fs_rng_below(rng, 2) ? "multicast" : "";
    switch (shape) {
    case 0: snprintf(line, TEXT, "gpus:%u nvlink:%uGB/s,%uns %s", n, rate, ns, multicast); break;
    case 1: snprintf(line, TEXT, "mesh:%u nvlink:%uGB/s,%uns", n < 16 ? n : 8, rate, ns); break;
    case 2: snprintf(line, TEXT, "pcie:%u pcie:%uGB/s,%uns", n < 16 ? n : 12, rate, ns); break;
    case 3: snprintf(line, TEXT, "ring:%u nvlink:%uGB/s,%uns forwarding", 3 + n % 3, rate, ns); break;
    case 4:
    case 5:
    case 6:
    case 7:
    case 8: return draw_network(rng);
    default:
        snprintf(line, TEXT, "nodes:%u gpus:%u nvlink:%uGB/s,%uns nic:%uGB/s,1us pcie:%uGB/s spine %s", n / gpus, gpus,
                 rate, ns, nic, nic + 3, multicast);
    }
    return (machine){.topo = make_topo(line)};
}

/* Something that breaks the symmetry here and there, from the start or in between: slow GPUs, slow links, and cables
 * to the first spine that are down. */
static void hurt(const machine *m, fs_rng *rng, double step_s)
{
    char names[FAULTS_MAX][40];
    fs_fault faults[FAULTS_MAX];
    uint32_t n = 1 + fs_rng_below(rng, 1 + fs_rng_below(rng, FAULTS_MAX));
    for (uint32_t i = 0; i < n; i++) {
        fs_fault_kind kind = m->spines > 0 && fs_rng_below(rng, 4) ? FS_FAULT_LINK : FS_FAULT_GPU;
        double speed = 0.25 * (1 + fs_rng_below(rng, 3));
        if (kind == FS_FAULT_GPU) {
            snprintf(names[i], sizeof names[i], "%u", fs_rng_below(rng, m->topo->n_gpus));
        } else {
            uint32_t spine = fs_rng_below(rng, 2) ? 0 : fs_rng_below(rng, m->spines);
            uint32_t first = fs_rng_below(rng, 4) ? 0 : fs_rng_below(rng, m->leaves);
            uint32_t last = first == 0 ? m->leaves - 1 : first;
            snprintf(names[i], sizeof names[i], "net/leaf[%u-%u] %s net/spine%u", first, last,
                     fs_rng_below(rng, 2) ? "-" : "->", spine);
            speed = spine == 0 ? 0 : speed;
        }
        faults[i] =
            (fs_fault){.kind = kind, .name = names[i], .speed = speed, .origin = "test", .status_if_bad = FS_E_USAGE};
        faults[i].from_s = fs_rng_below(rng, 2) ? fs_rng_unit(rng) * step_s : 0;
        faults[i].to_s = fs_rng_below(rng, 2) ? faults[i].from_s + (0.01 + fs_rng_unit(rng)) * step_s : INFINITY;
    }
    ASSERT_OK(fs_topo_apply_faults(m->topo, faults, n, &failure));
}

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

/* ---- what happens ------------------------------------------------------------------------------------------------ */

typedef struct times {
    double issue, move, end;
} times;

typedef struct run {
    fs_router *router, **epochs;
    fs_pattern_table *patterns;
    fs_lowering *lowering;
    fs_job *job;
    uint32_t *begin; /* (n_actors + 1) */
    times *of;
    fs_resource_use *use; /* (n_links) */
    double makespan_s;
} run;

static times *times_of(const run *r, uint32_t actor, uint32_t op)
{
    return &r->of[r->begin[actor] + op];
}

static void on_issue(void *context, uint32_t actor, uint32_t op, double now_s)
{
    times_of(context, actor, op)->issue = now_s;
}

static void on_move(void *context, uint32_t actor, uint32_t op, double now_s)
{
    times_of(context, actor, op)->move = now_s;
}

static void on_end(void *context, uint32_t actor, uint32_t op, double now_s)
{
    times_of(context, actor, op)->end = now_s;
}

static run start(const fs_topo *topo, const fs_work *work, fs_run_options options)
{
    run r = {.patterns = fs_pattern_table_new(), .epochs = fs_zalloc(topo->n_epochs, sizeof(fs_router *))};
    assert_non_null(r.epochs);
    ASSERT_OK(fs_router_new(topo, (fs_router_options){.epoch = FS_NONE}, &r.router, &failure));
    for (uint32_t e = 0; e < topo->n_epochs; e++)
        ASSERT_OK(fs_router_new(topo, (fs_router_options){.epoch = e}, &r.epochs[e], &failure));
    fs_lowering_options how = {.cost = options.cost, .mode = options.lowering, .epochs = r.epochs};
    ASSERT_OK(fs_lowering_new(topo, r.router, r.patterns, how, &r.lowering, &failure));
    ASSERT_OK(fs_fold(work, topo, r.lowering, r.patterns, options.cost, options.fold, &r.job, &failure));
    r.begin = fs_alloc((size_t)r.job->n_actors + 1, sizeof *r.begin);
    assert_non_null(r.begin);
    r.begin[0] = 0;
    for (uint32_t a = 0; a < r.job->n_actors; a++)
        r.begin[a + 1] = r.begin[a] + work->programs[r.job->actor_program[a]].n_ops;
    r.of = fs_zalloc(r.begin[r.job->n_actors], sizeof *r.of);
    assert_non_null(r.of);
    fs_engine_def def = {.backend = FS_BACKEND_FABRIC,
                         .n_resources = r.job->n_resources,
                         .n_links = r.job->n_links,
                         .capacity = r.job->capacity,
                         .patterns = r.job->patterns};
    fs_engine *engine = NULL;
    ASSERT_OK(fs_engine_new(&def, &engine, &failure));
    fs_sched_calls calls = {.context = &r, .issue = on_issue, .move = on_move, .end = on_end};
    ASSERT_OK(fs_sched_run(r.job, engine, &calls, &r.makespan_s, &failure));
    r.use = fs_alloc(r.job->n_links, sizeof *r.use);
    assert_non_null(r.use);
    for (uint32_t l = 0; l < r.job->n_links; l++)
        r.use[l] = fs_engine_use(engine, l);
    fs_engine_free(engine);
    return r;
}

static void stop(run *r, uint32_t n_epochs)
{
    for (uint32_t e = 0; e < n_epochs; e++)
        fs_router_free(r->epochs[e]);
    fs_free(r->epochs);
    fs_job_free(r->job);
    fs_lowering_free(r->lowering);
    fs_pattern_table_free(r->patterns);
    fs_router_free(r->router);
    fs_free(r->begin);
    fs_free(r->of);
    fs_free(r->use);
}

/* ---- the comparison ---------------------------------------------------------------------------------------------- */

static void expect_close(uint64_t seed, const char *what, uint64_t which, double got, double want, double scale)
{
    if (!(fabs(got - want) <= TOLERANCE * scale))
        fail_msg("seed %llu: %s %llu: %.17g folded, %.17g unfolded", (unsigned long long)seed, what,
                 (unsigned long long)which, got, want);
}

static void compare_events(uint64_t seed, const fs_work *work, const run *folded, const run *whole)
{
    double scale = whole->makespan_s;
    for (uint32_t rank = 0; rank < work->n_ranks; rank++) {
        uint32_t actor = folded->job->actor_of_rank[rank];
        for (uint32_t op = 0; op < work->programs[work->program_of[rank]].n_ops; op++) {
            const times *a = times_of(folded, actor, op), *b = times_of(whole, rank, op);
            uint64_t which = (uint64_t)rank * 1000 + op;
            expect_close(seed, "issue of rank and op", which, a->issue, b->issue, scale);
            expect_close(seed, "move of rank and op", which, a->move, b->move, scale);
            expect_close(seed, "end of rank and op", which, a->end, b->end, scale);
        }
    }
    for (uint32_t l = 0; l < whole->job->n_links; l++) {
        fs_resource_use a = folded->use[folded->job->resource_of_link[l]], b = whole->use[l];
        expect_close(seed, "bytes of link", l, a.amount, b.amount, b.amount);
        expect_close(seed, "busy time of link", l, a.busy_s, b.busy_s, scale);
    }
}

static void compare_results(uint64_t seed, const fs_result *a, const fs_result *b)
{
    double step_s = b->step_time_s;
    expect_close(seed, "step", 0, a->step_time_s, step_s, step_s);
    assert_int_equal(a->ops, b->ops);
    assert_int_equal(a->n_breakdown, b->n_breakdown);
    for (uint32_t i = 0; i < b->n_breakdown; i++) {
        expect_close(seed, "breakdown", i, a->breakdown[i].seconds, b->breakdown[i].seconds, step_s);
        expect_close(seed, "longest", i, a->breakdown[i].max_s, b->breakdown[i].max_s, step_s);
    }
    for (uint32_t i = 0; i < b->n_tiers; i++) {
        assert_int_equal(a->tiers[i].links, b->tiers[i].links);
        expect_close(seed, "capacity of tier", i, a->tiers[i].capacity_Bps, b->tiers[i].capacity_Bps,
                     b->tiers[i].capacity_Bps);
        expect_close(seed, "bytes of tier", i, a->tiers[i].bytes, b->tiers[i].bytes, b->tiers[i].bytes);
        expect_close(seed, "utilization of tier", i, a->tiers[i].mean_utilization, b->tiers[i].mean_utilization, 1);
    }
    uint64_t links = 0;
    for (uint32_t i = 0; i < a->n_links; i++)
        links += a->links[i].count;
    assert_int_equal(links, b->n_links);
    assert_int_equal(a->n_comms, b->n_comms);
    for (uint32_t i = 0; i < b->n_comms; i++) {
        const fs_comm_row *x = &a->comms[i], *y = &b->comms[i];
        assert_string_equal(x->what, y->what);
        assert_string_equal(x->family, y->family);
        assert_int_equal(x->ranks, y->ranks);
        assert_int_equal(x->count, y->count);
        expect_close(seed, "mean time of communication", i, x->mean_s, y->mean_s, step_s);
    }
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
        fs_result a = {0}, b = {0};
        options.cost = fs_rng_below(&rng, 2) ? FS_COST_IDEAL : FS_COST_NCCL;
        uint32_t slowest = work->n_ranks <= 12 ? 3 : work->n_ranks <= 64 ? 2 : 1;
        options.lowering = (fs_lowering_mode)fs_rng_below(&rng, slowest);
        if (fs_rng_below(&rng, 2))
            hurt(&m, &rng, step_of(m.topo, work, options) + 1e-6);
        run folded = start(m.topo, work, options);
        ASSERT_OK(fs_run(m.topo, work, &options, &a, &failure));
        options.fold = FS_FOLD_OFF;
        run whole = start(m.topo, work, options);
        ASSERT_OK(fs_run(m.topo, work, &options, &b, &failure));
        assert_int_equal(whole.job->n_actors, work->n_ranks);
        assert_int_equal(folded.job->reroutes, whole.job->reroutes);
        folded_well += folded.job->n_actors * 2 <= work->n_ranks;
        rerouted += folded.job->reroutes && folded.job->n_actors < work->n_ranks;
        compare_events(seed, work, &folded, &whole);
        compare_results(seed, &a, &b);
        fs_result_free(&a);
        fs_result_free(&b);
        stop(&folded, m.topo->n_epochs);
        stop(&whole, m.topo->n_epochs);
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
