/* prop_run.c - random machines and works, start to result: what must hold of every run. A failure prints its seed. */
#include "../fixture.h"
#include "base/rng.h"

enum { CASES = 300, STEPS_MAX = 14, RANKS_MAX = 16, TEXT = 256 };

/* ---- random machines --------------------------------------------------------------------------------------------- */

typedef enum shape { CROSSBAR, MESH, RING, PCIE, NODES, SPINE, SHAPES } shape;

typedef struct machine {
    shape shape;
    uint32_t nodes, gpus;       /* per node */
    uint32_t nvlink, pcie, nic; /* GB/s */
    uint32_t latency_ns, tflops;
} machine;

static machine draw_machine(fs_rng *rng)
{
    machine m = {.shape = (shape)fs_rng_below(rng, SHAPES), .nodes = 1, .gpus = 2 + fs_rng_below(rng, 7)};
    if (m.shape >= NODES) {
        m.nodes = 2 + fs_rng_below(rng, 2);
        m.gpus = 1 + fs_rng_below(rng, 4);
    }
    m.nvlink = 1 + fs_rng_below(rng, 50);
    m.pcie = 1 + fs_rng_below(rng, 30);
    m.nic = 1 + fs_rng_below(rng, 20);
    m.latency_ns = fs_rng_below(rng, 2) ? fs_rng_below(rng, 5000) : 0;
    m.tflops = 1 + fs_rng_below(rng, 100);
    return m;
}

/* All rates times `scale`. */
static fs_topo *topo_of(const machine *m, uint32_t scale)
{
    char line[TEXT];
    uint32_t nv = m->nvlink * scale, pcie = m->pcie * scale, nic = m->nic * scale, lat = m->latency_ns,
             fl = m->tflops * scale;
    switch (m->shape) {
    case CROSSBAR: snprintf(line, TEXT, "gpus:%u nvlink:%uGB/s,%uns flops:%uTFLOP/s", m->gpus, nv, lat, fl); break;
    case MESH: snprintf(line, TEXT, "mesh:%u nvlink:%uGB/s,%uns flops:%uTFLOP/s", m->gpus, nv, lat, fl); break;
    case RING: snprintf(line, TEXT, "ring:3 nvlink:%uGB/s,%uns flops:%uTFLOP/s", nv, lat, fl); break;
    case PCIE: snprintf(line, TEXT, "pcie:%u pcie:%uGB/s,%uns flops:%uTFLOP/s", m->gpus, pcie, lat, fl); break;
    default:
        snprintf(line, TEXT,
                 "nodes:%u gpus:%u nvlink:%uGB/s,%uns pcie:%uGB/s,%uns nic:%uGB/s,%uns flops:%uTFLOP/s spine", m->nodes,
                 m->gpus, nv, lat, pcie, lat, nic, lat, fl);
    }
    return make_topo(line);
}

/* ---- random works ------------------------------------------------------------------------------------------------ */

static const char *const streams[] = {"main", "comm", "aside"};

/* One op of every rank. Ranks run the same steps with different kernels, so nothing can deadlock: when all steps
 * before one have ended everywhere, every rank reaches it. A send and its recv are one step on two streams. */
typedef struct step {
    enum { COMPUTE, DELAY, COLLECTIVE, SHIFT, STEP_KINDS } kind;
    uint32_t stream, family, dep; /* dep: a step before, FS_NONE */
    int32_t shift;
    fs_coll_kind coll;
    fs_algo algo;
    double size_bytes, sm_share;
} step;

static double draw_size(fs_rng *rng)
{
    double size = 1 + fs_rng_below(rng, 1000);
    for (uint32_t zeros = fs_rng_below(rng, 6); zeros > 0; zeros--)
        size *= 10;
    return size;
}

static step draw_step(fs_rng *rng, uint32_t i, uint32_t n_families, uint32_t kinds)
{
    static const uint32_t order[] = {COMPUTE, COLLECTIVE, SHIFT, DELAY};
    step s = {.kind = order[fs_rng_below(rng, kinds)],
              .stream = fs_rng_below(rng, 3),
              .family = fs_rng_below(rng, n_families)};
    s.dep = i > 0 && fs_rng_below(rng, 2) ? fs_rng_below(rng, i) : FS_NONE;
    s.shift = (int32_t)fs_rng_below(rng, 9) - 4;
    s.coll = (fs_coll_kind)fs_rng_below(rng, FS_SENDRECV);
    s.algo = collective(s.coll, 0, 0).algo;
    if (fs_rng_below(rng, 3) == 0)
        s.algo = FS_ALGO_AUTO;
    s.size_bytes = draw_size(rng);
    s.sm_share = fs_rng_below(rng, 3) ? 0 : 0.25 * fs_rng_below(rng, 4);
    return s;
}

enum { ALL_KINDS = 4, WITHOUT_DELAY = 3 };

/* A shift of 0 modulo the group's size would send to oneself. */
static int is_real_shift(int32_t shift, uint32_t size)
{
    return size > 1 && shift % (int32_t)size != 0;
}

static void emit(fs_work_builder *b, uint32_t program, const step *steps, uint32_t n, const uint32_t *sizes,
                 fs_rng *own)
{
    uint32_t op_of[STEPS_MAX];
    for (uint32_t i = 0; i < n; i++) {
        const step *s = &steps[i];
        uint32_t dep = s->dep == FS_NONE ? 0 : op_of[s->dep], n_deps = s->dep != FS_NONE;
        fs_op op = kernel(draw_size(own) * 1e3, 0, FS_FP16);
        if (s->kind == DELAY)
            op = delay(draw_size(own) * 1e-9);
        if (s->kind == COLLECTIVE) {
            op = collective(s->coll, s->family, s->size_bytes);
            op.algo = (uint8_t)s->algo;
        }
        int transfers = s->kind == SHIFT && is_real_shift(s->shift, sizes[s->family]);
        if (transfers)
            op = shifted(FS_OP_SEND, s->family, s->shift, i, s->size_bytes);
        op.sm_share = (float)(s->kind == COLLECTIVE || transfers ? s->sm_share : 0);
        op_of[i] = add_op(b, program, streams[s->stream], NULL, op, &dep, n_deps);
        if (transfers)
            add_op(b, program, "recv", NULL, shifted(FS_OP_RECV, s->family, -s->shift, i, s->size_bytes), &dep, n_deps);
    }
}

static fs_work *draw_work(fs_rng *rng, uint32_t ranks, uint32_t kinds)
{
    step steps[STEPS_MAX];
    uint32_t sizes[2] = {ranks, 1}, n_families = 2, tp = 0;
    fs_work_builder *b = make_builder(ranks);
    for (uint32_t size = 2; size <= ranks; size++)
        if (ranks % size == 0 && (sizes[1] == 1 || fs_rng_below(rng, 2)))
            sizes[1] = size;
    ASSERT_OK(fs_work_family_strided(b, "tp", sizes[1], fs_rng_below(rng, 2) ? 1 : ranks / sizes[1], &tp, &failure));
    uint32_t n = 1 + fs_rng_below(rng, STEPS_MAX);
    for (uint32_t i = 0; i < n; i++)
        steps[i] = draw_step(rng, i, n_families, kinds);
    int alike = fs_rng_below(rng, 2) == 0;
    uint64_t kernels = fs_rng_u64(rng);
    for (uint32_t rank = 0; rank < ranks; rank += alike ? ranks : 1) {
        fs_rng own = fs_rng_seed(kernels + rank);
        uint32_t program = add_program(b, "p", rank, alike ? ranks - 1 : rank);
        emit(b, program, steps, n, sizes, &own);
    }
    return finish(b);
}

typedef struct trial {
    uint64_t seed;
    fs_rng rng;
    machine machine;
    fs_topo *topo;
    fs_work *work;
} trial;

static trial start(uint64_t seed, uint32_t kinds)
{
    trial t = {.seed = seed, .rng = fs_rng_seed(seed)};
    t.machine = draw_machine(&t.rng);
    t.topo = topo_of(&t.machine, 1);
    t.work = draw_work(&t.rng, 1 + fs_rng_below(&t.rng, t.topo->n_gpus), kinds);
    return t;
}

static void stop(trial *t)
{
    fs_work_free(t->work);
    fs_topo_free(t->topo);
}

static fs_result result_of(const trial *t, const fs_topo *topo, fs_run_options options)
{
    fs_result r = {0};
    fs_err err = {0};
    if (fs_run(topo, t->work, &options, &r, &err) != FS_OK)
        fail_msg("seed %llu: %s", (unsigned long long)t->seed, err.text);
    return r;
}

static double step_s_of(const trial *t, const fs_topo *topo, fs_run_options options)
{
    fs_result r = result_of(t, topo, options);
    double step_s = r.step_time_s;
    fs_result_free(&r);
    return step_s;
}

static void expect_close(const trial *t, const char *what, double got, double want, double relative)
{
    if (!(fabs(got - want) <= relative * fabs(want)))
        fail_msg("seed %llu: %s: %.17g is not %.17g", (unsigned long long)t->seed, what, got, want);
}

static fs_run_options draw_options(fs_rng *rng)
{
    fs_run_options options = fs_run_default();
    options.cost = fs_rng_below(rng, 2) ? FS_COST_IDEAL : FS_COST_NCCL;
    options.lowering = fs_rng_below(rng, 2) ? FS_LOWER_COUPLED : FS_LOWER_FLOWS;
    options.fold = fs_rng_below(rng, 2) ? FS_FOLD_AUTO : FS_FOLD_OFF;
    return options;
}

/* ---- conservation ------------------------------------------------------------------------------------------------ */

/* The longest chain of kernels of a rank, had it the GPU for itself and communication cost nothing. */
static double critical_path(const fs_job *job, uint32_t actor)
{
    const fs_program *p = &job->work->programs[job->actor_program[actor]];
    double *end = fs_zalloc(p->n_ops, sizeof *end), last[8] = {0}, longest = 0;
    assert_non_null(end);
    for (uint32_t i = 0; i < p->n_ops; i++) {
        const fs_op *op = &p->ops[i];
        end[i] = last[op->stream];
        for (uint32_t d = p->dep_begin[i]; d < p->dep_begin[i + 1]; d++)
            end[i] = fmax(end[i], end[p->deps[d]]);
        end[i] += job->duration_s[actor][i];
        last[op->stream] = end[i];
        longest = fmax(longest, end[i]);
    }
    fs_free(end);
    return longest;
}

static void add_plan(const fs_job *job, const fs_pattern_table *patterns, uint32_t plan, double *bytes)
{
    for (uint32_t m = 0; m < job->plans[plan]->n_moves; m++) {
        uint32_t count;
        const fs_share *row = fs_pattern_row(patterns, job->plans[plan]->moves[m].pattern, &count);
        for (uint32_t i = 0; i < count; i++)
            bytes[row[i].resource] += row[i].coefficient * job->plans[plan]->moves[m].bytes;
    }
}

/* What plans put on each link, op by op. */
static void add_bytes(const fs_job *job, const fs_pattern_table *patterns, double *bytes)
{
    for (uint32_t a = 0; a < job->n_actors; a++) {
        const fs_program *p = &job->work->programs[job->actor_program[a]];
        for (uint32_t i = 0; i < p->n_ops; i++) {
            const fs_op *op = &p->ops[i];
            uint32_t signature = job->op_signature[job->actor_program[a]][i];
            if (op->kind == FS_OP_SEND) {
                add_plan(job, patterns, job->plan_begin[signature] + job->actor_index[a], bytes);
            } else if (op->kind == FS_OP_COLLECTIVE) {
                uint32_t meeting = job->meeting_of[op->family * job->n_actors + a];
                if (job->meeting_actors[job->meeting_begin[meeting]] == a)
                    add_plan(job, patterns, job->plan_begin[signature] + meeting - job->family_meetings[op->family],
                             bytes);
            }
        }
    }
}

static void check_against_plans(const trial *t, fs_run_options options, const fs_result *r)
{
    fs_router *router = NULL;
    fs_lowering *lowering = NULL;
    fs_job *job = NULL;
    fs_pattern_table *patterns = fs_pattern_table_new();
    fs_lowering_options how = {.cost = options.cost, .mode = options.lowering};
    ASSERT_OK(fs_router_new(t->topo, (fs_router_options){0}, &router, &failure));
    ASSERT_OK(fs_lowering_new(t->topo, router, patterns, how, &lowering, &failure));
    ASSERT_OK(fs_fold(t->work, t->topo, lowering, patterns, options.cost, options.fold, &job, &failure));
    for (uint32_t a = 0; a < job->n_actors; a++)
        if (r->step_time_s < critical_path(job, a) * (1 - 1e-12))
            fail_msg("seed %llu: faster than the kernels of rank %u", (unsigned long long)t->seed, a);
    double *bytes = fs_zalloc(job->n_resources, sizeof *bytes);
    assert_non_null(bytes);
    add_bytes(job, job->patterns, bytes);
    for (uint32_t i = 0; i < r->n_links; i++) {
        uint32_t resource = job->resource_of_link[r->links[i].link];
        expect_close(t, "bytes of a link", r->links[i].bytes, bytes[resource], 1e-9);
        bytes[resource] = 0;
    }
    for (uint32_t l = 0; l < job->n_links; l++)
        if (bytes[l] != 0)
            fail_msg("seed %llu: link %u misses %g bytes", (unsigned long long)t->seed, l, bytes[l]);
    fs_free(bytes);
    fs_job_free(job);
    fs_lowering_free(lowering);
    fs_router_free(router);
    fs_pattern_table_free(patterns);
}

static void nothing_is_lost_and_nothing_is_free(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= CASES; seed++) {
        trial t = start(seed, ALL_KINDS);
        fs_run_options options = draw_options(&t.rng);
        fs_result r = result_of(&t, t.topo, options);
        check_against_plans(&t, options, &r);
        double sum = 0;
        for (uint32_t i = 0; i < r.n_breakdown; i++)
            sum += r.breakdown[i].seconds;
        expect_close(&t, "sum of the breakdown", sum, r.step_time_s, 1e-9);
        for (uint32_t i = 0; i < r.n_links; i++)
            if (r.links[i].peak_utilization > 1 + 1e-9 || r.links[i].mean_utilization > 1 + 1e-9)
                fail_msg("seed %llu: link %u above its capacity", (unsigned long long)seed, r.links[i].link);
        for (uint32_t i = 0; i < r.n_tiers; i++)
            if (r.tiers[i].peak_utilization > 1 + 1e-9 ||
                r.tiers[i].mean_utilization > r.tiers[i].peak_utilization + 1e-9)
                fail_msg("seed %llu: tier %s above its capacity", (unsigned long long)seed, r.tiers[i].name);
        fs_result_free(&r);
        stop(&t);
    }
}

/* ---- scale ------------------------------------------------------------------------------------------------------- */

static void twice_as_fast_takes_half_the_time(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= CASES; seed++) {
        trial t = start(seed, WITHOUT_DELAY);
        t.machine.latency_ns = 0;
        fs_topo *slow = topo_of(&t.machine, 1), *fast = topo_of(&t.machine, 2);
        fs_run_options options = ideal();
        options.lowering = fs_rng_below(&t.rng, 2) ? FS_LOWER_COUPLED : FS_LOWER_FLOWS;
        expect_close(&t, "half the time", 2 * step_s_of(&t, fast, options), step_s_of(&t, slow, options), 1e-9);
        fs_topo_free(slow);
        fs_topo_free(fast);
        stop(&t);
    }
}

/* ---- names ------------------------------------------------------------------------------------------------------- */

static void shuffle(fs_rng *rng, uint32_t *order, uint32_t n)
{
    for (uint32_t i = n; i > 1; i--) {
        uint32_t j = fs_rng_below(rng, i), kept = order[j];
        order[j] = order[i - 1];
        order[i - 1] = kept;
    }
}

/* A star of unequal arms, its devices and links declared in the given order. */
static fs_topo *star(const uint32_t *order, uint32_t n, const uint32_t *GBps, uint32_t latency_ns)
{
    static const fs_place nowhere;
    fs_topo *topo = NULL;
    uint32_t node = 0;
    fs_part gpu = {.name = "gpu",
                   .kind = FS_DEVICE_GPU,
                   .arch = FS_AMPERE,
                   .peak_flops = {[FS_FP16] = 1e14},
                   .mem_bytes = 1e9,
                   .mem_Bps = 1e12,
                   .gemm_efficiency = 0.5,
                   .mem_efficiency = 0.5,
                   .launch_s = 1e-6,
                   .power_W = 300};
    fs_part chip = {.name = "chip", .kind = FS_DEVICE_NVSWITCH};
    fs_spec *spec = fs_spec_new("star", "");
    assert_non_null(spec);
    ASSERT_OK(fs_spec_part(spec, &gpu, nowhere, &failure));
    ASSERT_OK(fs_spec_part(spec, &chip, nowhere, &failure));
    ASSERT_OK(fs_spec_node(spec, "node0", &node, nowhere, &failure));
    ASSERT_OK(fs_spec_device(spec, "switch", "chip", node, nowhere, &failure));
    for (uint32_t i = 0; i < n; i++) {
        char name[16], type[16];
        snprintf(name, sizeof name, "g%u", order[i]);
        snprintf(type, sizeof type, "t%u", order[i]);
        fs_link_type wire = {.name = type,
                             .class_ = FS_CLASS_NVLINK,
                             .bandwidth_Bps = GBps[order[i]] * 1e9,
                             .effective_Bps = GBps[order[i]] * 0.8e9,
                             .latency_s = latency_ns * 1e-9};
        ASSERT_OK(fs_spec_link_type(spec, &wire, "nvlink", nowhere, &failure));
        ASSERT_OK(fs_spec_device(spec, name, "gpu", node, nowhere, &failure));
        ASSERT_OK(fs_spec_link(spec, name, "switch", type, 1, nowhere, &failure));
    }
    ASSERT_OK(fs_spec_freeze(spec, &topo, &failure));
    fs_spec_free(spec);
    return topo;
}

/* Draw a work from the seed and place rank i on the GPU that is called g(i). */
static fs_work *placed_work(fs_work_builder *b, const fs_topo *topo, uint32_t ranks)
{
    for (uint32_t rank = 0; rank < ranks; rank++) {
        char name[16];
        snprintf(name, sizeof name, "g%u", rank);
        ASSERT_OK(fs_work_place(b, rank, fs_topo_device(topo, fs_topo_find(topo, name)).index, &failure));
    }
    return finish(b);
}

static void names_and_numbers_do_not_matter(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= CASES; seed++) {
        trial t = {.seed = seed, .rng = fs_rng_seed(seed)};
        uint32_t n = 2 + fs_rng_below(&t.rng, 7), order[RANKS_MAX], GBps[RANKS_MAX],
                 n_steps = 1 + fs_rng_below(&t.rng, STEPS_MAX);
        step steps[STEPS_MAX];
        uint32_t latency_ns = fs_rng_below(&t.rng, 2) ? 700 : 0;
        for (uint32_t i = 0; i < n; i++) {
            order[i] = i;
            GBps[i] = 1 + fs_rng_below(&t.rng, 50);
        }
        for (uint32_t i = 0; i < n_steps; i++)
            steps[i] = draw_step(&t.rng, i, 1, ALL_KINDS);
        fs_run_options options = draw_options(&t.rng);
        uint64_t kernels = fs_rng_u64(&t.rng);
        double step_s[2];
        for (uint32_t renumbered = 0; renumbered < 2; renumbered++) {
            if (renumbered)
                shuffle(&t.rng, order, n);
            fs_work_builder *b = make_builder(n);
            for (uint32_t rank = 0; rank < n; rank++) {
                fs_rng own = fs_rng_seed(kernels + rank);
                emit(b, add_program(b, "p", rank, rank), steps, n_steps, &n, &own);
            }
            t.topo = star(order, n, GBps, latency_ns);
            t.work = placed_work(b, t.topo, n);
            step_s[renumbered] = step_s_of(&t, t.topo, options);
            stop(&t);
        }
        expect_close(&t, "the same machine", step_s[1], step_s[0], 1e-9);
    }
}

/* ---- lowerings --------------------------------------------------------------------------------------------------- */

/* Alone: what traffic of others does to it is in test_run.c. Unequal stars, and every shape of machine. */
static void a_pipeline_is_never_faster_than_its_flows(void **state)
{
    (void)state;
    static const fs_coll_kind kinds[] = {FS_ALL_REDUCE, FS_ALL_GATHER, FS_REDUCE_SCATTER, FS_BROADCAST, FS_REDUCE};
    for (uint64_t seed = 1; seed <= CASES; seed++) {
        trial t = {.seed = seed, .rng = fs_rng_seed(seed)};
        uint32_t n = 2 + fs_rng_below(&t.rng, 7), order[RANKS_MAX], GBps[RANKS_MAX];
        int alike = fs_rng_below(&t.rng, 2) == 0;
        for (uint32_t i = 0; i < n; i++) {
            order[i] = i;
            GBps[i] = alike && i > 0 ? GBps[0] : 1 + fs_rng_below(&t.rng, 50);
        }
        t.machine = draw_machine(&t.rng);
        t.topo = alike || seed % 2 ? star(order, n, GBps, fs_rng_below(&t.rng, 2) ? 700 : 0) : topo_of(&t.machine, 1);
        n = n < t.topo->n_gpus ? n : t.topo->n_gpus;
        fs_op op = collective(kinds[fs_rng_below(&t.rng, 5)], 0, draw_size(&t.rng));
        op.root = fs_rng_below(&t.rng, n);
        if (op.coll != FS_BROADCAST && op.coll != FS_REDUCE)
            op.root = 0;
        fs_work_builder *b = make_builder(n);
        add(b, add_program(b, "p", 0, n - 1), "main", op);
        t.work = finish(b);
        fs_run_options options = draw_options(&t.rng);
        options.lowering = FS_LOWER_COUPLED;
        double coupled = step_s_of(&t, t.topo, options);
        options.lowering = FS_LOWER_FLOWS;
        double flows = step_s_of(&t, t.topo, options);
        if (coupled < flows * (1 - 1e-9))
            fail_msg("seed %llu: coupled %.17g is faster than flows %.17g", (unsigned long long)seed, coupled, flows);
        if (alike)
            expect_close(&t, "edges that are alike", coupled, flows, 1e-9);
        stop(&t);
    }
}

/* ---- backends ---------------------------------------------------------------------------------------------------- */

/* SimGrid ends a flow that has less than this to go (surf/precision), which matters in steps of a microsecond. Its
 * clock runs on from case to case, and a double of many seconds has no room for less: this property is the first to
 * run. */
static const double CM02_PRECISION_S = 1e-12;

static void fabric_equals_cm02(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 2 * CASES; seed++) {
        trial t = start(seed, ALL_KINDS);
        fs_run_options options = draw_options(&t.rng);
        options.lowering = FS_LOWER_FLOWS;
        fs_result fabric = result_of(&t, t.topo, options);
        options.network = FS_BACKEND_CM02;
        double allowed_s = 1e-6 * fabric.step_time_s + CM02_PRECISION_S * (double)fabric.counters.events;
        double cm02_s = step_s_of(&t, t.topo, options);
        if (!(fabs(cm02_s - fabric.step_time_s) <= allowed_s))
            fail_msg("seed %llu: cm02 %.17g, fabric %.17g", (unsigned long long)seed, cm02_s, fabric.step_time_s);
        fs_result_free(&fabric);
        stop(&t);
    }
}

/* ---- closed forms ------------------------------------------------------------------------------------------------ */

/* n GPUs on one switch; bytes per second of each GPU's link. */
typedef struct form {
    trial t;
    uint32_t n;
    double Bps, hop_s, size_bytes;
} form;

static form draw_form(uint64_t seed)
{
    form f = {.t = {.seed = seed, .rng = fs_rng_seed(seed)}};
    f.t.machine = (machine){.shape = CROSSBAR,
                            .gpus = 2 + fs_rng_below(&f.t.rng, 7),
                            .nvlink = 1 + fs_rng_below(&f.t.rng, 50),
                            .tflops = 1,
                            .latency_ns = fs_rng_below(&f.t.rng, 2) ? fs_rng_below(&f.t.rng, 5000) : 0};
    f.t.topo = topo_of(&f.t.machine, 1);
    f.n = f.t.machine.gpus;
    f.Bps = f.t.machine.nvlink * 1e9;
    f.hop_s = 2e-9 * f.t.machine.latency_ns; /* GPU to switch to GPU */
    f.size_bytes = draw_size(&f.t.rng);
    return f;
}

static void expect_step(form *f, fs_work_builder *b, const char *what, double want)
{
    f->t.work = finish(b);
    expect_close(&f->t, what, step_s_of(&f->t, f->t.topo, ideal()), want, 1e-9);
    fs_work_free(f->t.work);
}

static void collectives_take_what_they_must(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= CASES; seed++) {
        form f = draw_form(seed);
        double part = (f.n - 1.0) / f.n * f.size_bytes / f.Bps, steps = f.n - 1.0;
        const struct {
            fs_coll_kind kind;
            const char *name;
            double seconds;
        } forms[] = {{FS_ALL_REDUCE, "ring all-reduce", 2 * part + 2 * steps * f.hop_s},
                     {FS_ALL_GATHER, "ring all-gather", part + steps * f.hop_s},
                     {FS_REDUCE_SCATTER, "ring reduce-scatter", part + steps * f.hop_s},
                     {FS_ALL_TO_ALL, "all-to-all", part + f.hop_s}};
        for (uint32_t i = 0; i < 4; i++) {
            fs_work_builder *b = make_builder(f.n);
            add(b, add_program(b, "p", 0, f.n - 1), "main", collective(forms[i].kind, 0, f.size_bytes));
            expect_step(&f, b, forms[i].name, forms[i].seconds);
        }
        fs_topo_free(f.t.topo);
    }
}

static void incast_queues_at_the_receiver(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= CASES; seed++) {
        form f = draw_form(seed);
        fs_work_builder *b = make_builder(f.n);
        uint32_t sink = add_program(b, "sink", 0, 0);
        for (uint32_t rank = 1; rank < f.n; rank++) {
            char stream[16];
            snprintf(stream, sizeof stream, "from%u", rank);
            add(b, sink, stream, transfer(FS_OP_RECV, rank, 0, f.size_bytes));
            add(b, add_program(b, "p", rank, rank), "main", transfer(FS_OP_SEND, 0, 0, f.size_bytes));
        }
        expect_step(&f, b, "incast", f.hop_s + (f.n - 1) * f.size_bytes / f.Bps);
        fs_topo_free(f.t.topo);
    }
}

/* The short one ends first; the long one then has the link for itself. */
static void two_flows_share_a_link(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= CASES; seed++) {
        form f = draw_form(seed);
        double sizes[2] = {f.size_bytes, f.size_bytes + draw_size(&f.t.rng)};
        /* The step ends with the long one, or with a delay after the short one. */
        for (uint32_t longest = 0; longest < 2; longest++) {
            fs_work_builder *b = make_builder(f.n > 2 ? 3 : 2);
            uint32_t p = add_program(b, "p", 0, 0);
            add(b, p, "a", transfer(FS_OP_SEND, 1, 0, sizes[0]));
            add(b, p, "a", delay(longest ? 0 : 1e3));
            add(b, p, "b", transfer(FS_OP_SEND, f.n > 2 ? 2 : 1, 1, sizes[1]));
            uint32_t q = add_program(b, "q", 1, 1);
            add(b, q, "a", transfer(FS_OP_RECV, 0, 0, sizes[0]));
            if (f.n > 2)
                q = add_program(b, "r", 2, 2);
            add(b, q, "b", transfer(FS_OP_RECV, 0, 1, sizes[1]));
            expect_step(&f, b, "two flows",
                        f.hop_s + (longest ? (sizes[0] + sizes[1]) / f.Bps : 2 * sizes[0] / f.Bps + 1e3));
        }
        fs_topo_free(f.t.topo);
    }
}

static void three_tiers_take_the_slowest(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= CASES; seed++) {
        fs_rng rng = fs_rng_seed(seed);
        uint32_t pcie = 1 + fs_rng_below(&rng, 30), nic = 1 + fs_rng_below(&rng, 20);
        uint32_t nvlink_ns = fs_rng_below(&rng, 900), pcie_ns = fs_rng_below(&rng, 900),
                 nic_ns = fs_rng_below(&rng, 900);
        char line[TEXT];
        snprintf(line, TEXT, "nodes:2 gpus:2 nvlink:100GB/s,%uns pcie:%uGB/s,%uns nic:%uGB/s,%uns", nvlink_ns, pcie,
                 pcie_ns, nic, nic_ns);
        form f = {.t = {.seed = seed, .topo = make_topo(line)}, .size_bytes = draw_size(&rng)};
        fs_work_builder *b = make_builder(4);
        add(b, add_program(b, "p", 0, 0), "main",
            transfer(FS_OP_SEND, 3, 0, f.size_bytes)); /* to the other rail's GPU */
        add(b, add_program(b, "q", 3, 3), "main", transfer(FS_OP_RECV, 0, 0, f.size_bytes));
        add_program(b, "r", 1, 2);
        /* GPU - NVSwitch - GPU on the destination's rail - NIC - leaf - NIC - GPU */
        double latency_s = 2e-9 * (nvlink_ns + pcie_ns + nic_ns);
        expect_step(&f, b, "three tiers", latency_s + f.size_bytes / (1e9 * (pcie < nic ? pcie : nic)));
        fs_topo_free(f.t.topo);
    }
}

/* The collective ends first or the kernel does. */
static void compute_overlaps_with_communication(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= CASES; seed++) {
        form f = draw_form(seed);
        double moves_s = 2 * (f.n - 1.0) / f.n * f.size_bytes / f.Bps + 2 * (f.n - 1.0) * f.hop_s;
        double alone_s = 3 * moves_s * fs_rng_unit(&f.t.rng), share = 0.1 * fs_rng_below(&f.t.rng, 9);
        fs_op ar = collective(FS_ALL_REDUCE, 0, f.size_bytes);
        ar.sm_share = (float)share;
        fs_work_builder *b = make_builder(f.n);
        uint32_t p = add_program(b, "p", 0, f.n - 1);
        add(b, p, "comm", ar);
        add(b, p, "main", compute(alone_s));
        double slowed_s = alone_s / (1 - share);
        expect_step(&f, b, "overlap", slowed_s <= moves_s ? moves_s : alone_s + share * moves_s);
        fs_topo_free(f.t.topo);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fabric_equals_cm02),
        cmocka_unit_test(nothing_is_lost_and_nothing_is_free),
        cmocka_unit_test(twice_as_fast_takes_half_the_time),
        cmocka_unit_test(names_and_numbers_do_not_matter),
        cmocka_unit_test(a_pipeline_is_never_faster_than_its_flows),
        cmocka_unit_test(collectives_take_what_they_must),
        cmocka_unit_test(incast_queues_at_the_receiver),
        cmocka_unit_test(two_flows_share_a_link),
        cmocka_unit_test(three_tiers_take_the_slowest),
        cmocka_unit_test(compute_overlaps_with_communication),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
