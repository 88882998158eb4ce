/* fold_twin.h - folded beside unfolded, for property tests: random machines, what goes wrong in them, a run that notes the
 * time of every event, and the comparison with its slow twin, in which every rank and link is simulated. */
#ifndef FS_TEST_FOLD_TWIN_H
#define FS_TEST_FOLD_TWIN_H

#include "../fixture.h"
#include "base/rng.h"
#include "topo/faults.h"

enum { FAULTS_MAX = 3, LINE = 256 };

#define TOLERANCE 1e-9

/* ---- random machines --------------------------------------------------------------------------------------------- */

MAYBE_UNUSED static uint32_t draw_gpus(fs_rng *rng)
{
    static const uint32_t sizes[] = {8, 8, 8, 12, 16, 16, 24, 32, 48, 64, 96, 128, 256, 512};
    return sizes[fs_rng_below(rng, fs_rng_below(rng, 6) ? 8 : sizeof sizes / sizeof *sizes)];
}

typedef struct machine {
    fs_topo *topo;
    uint32_t nodes, leaves, spines; /* of a leaf-spine network, else 0 */
} machine;

/* Nodes of four GPUs under leaves and spines; routes spread, are hashed or are static. */
MAYBE_UNUSED static machine draw_network(fs_rng *rng)
{
    static const char *const routing[] = {"adaptive", "adaptive", "spray", "ecmp", "static"};
    static const char by[][8] = {"rail", "node"};
    char text[4096];
    bool large = fs_rng_below(rng, 8) == 0; /* up to 512 GPUs */
    uint32_t group = large ? 8 : 2 + fs_rng_below(rng, 4), halves = 1 + fs_rng_below(rng, large ? 16 : 3);
    uint32_t rail = fs_rng_below(rng, 2);
    machine m = {.nodes = group * halves, .spines = 2 + fs_rng_below(rng, 3)};
    m.leaves = halves * (rail ? 1 : 4);
    if (fs_rng_below(rng, 4) == 0) /* the last group is not full */
        m.nodes -= halves > 1;
    snprintf(
        text, sizeof text,
        "<fabsim version='topology/1' name='test'><parts>"
        "<gpu name='g' arch='hopper' memory='80GB' memory-bandwidth='3TB/s' gemm-efficiency='0.7'"
        " memory-efficiency='0.9' launch='1us' power='700W' source='s'><peak dtype='fp16' flops='900TFLOP/s'/><peak "
        "dtype='bf16' flops='900TFLOP/s'/><peak dtype='fp8' flops='1800TFLOP/s'/></gpu>"
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
        fs_rng_below(rng, 2) ? "yes" : "no", 10 + fs_rng_below(rng, 40), m.nodes, routing[fs_rng_below(rng, 5)],
        by[rail], group, rail ? 1u : 4u, m.spines);
    ASSERT_OK(fs_topo_parse("test.xml", text, strlen(text), NULL, 0, &m.topo, &failure));
    return m;
}

MAYBE_UNUSED static machine draw_machine(fs_rng *rng)
{
    char line[LINE];
    uint32_t shape = fs_rng_below(rng, 12), n = draw_gpus(rng), rate = 1 + fs_rng_below(rng, 50);
    uint32_t nic = 1 + fs_rng_below(rng, 20), ns = fs_rng_below(rng, 2) ? fs_rng_below(rng, 3000) : 0;
    uint32_t gpus = 1u << fs_rng_below(rng, 4);
    const char *multicast = fs_rng_below(rng, 2) ? "multicast" : "";
    switch (shape) {
    case 0: snprintf(line, LINE, "gpus:%u nvlink:%uGB/s,%uns %s", n, rate, ns, multicast); break;
    case 1: snprintf(line, LINE, "mesh:%u nvlink:%uGB/s,%uns", n < 16 ? n : 8, rate, ns); break;
    case 2: snprintf(line, LINE, "pcie:%u pcie:%uGB/s,%uns", n < 16 ? n : 12, rate, ns); break;
    case 3: snprintf(line, LINE, "ring:%u nvlink:%uGB/s,%uns forwarding", 3 + n % 3, rate, ns); break;
    case 4:
    case 5:
    case 6:
    case 7:
    case 8: return draw_network(rng);
    default:
        snprintf(line, LINE, "nodes:%u gpus:%u nvlink:%uGB/s,%uns nic:%uGB/s,1us pcie:%uGB/s spine %s", n / gpus, gpus,
                 rate, ns, nic, nic + 3, multicast);
    }
    return (machine){.topo = make_topo(line)};
}

/* Cables of some leaves to one spine: down if it is the first spine, so that the others still lead everywhere; slow
 * otherwise. */
static fs_fault draw_cables(const machine *m, fs_rng *rng, char *name, size_t size)
{
    uint32_t spine = fs_rng_below(rng, 2) ? 0 : fs_rng_below(rng, m->spines);
    uint32_t first = fs_rng_below(rng, 4) ? 0 : fs_rng_below(rng, m->leaves);
    uint32_t last = first == 0 ? m->leaves - 1 : first;
    snprintf(name, size, "net/leaf[%u-%u] %s net/spine%u", first, last, fs_rng_below(rng, 2) ? "-" : "->", spine);
    return (fs_fault){.kind = FS_FAULT_LINK, .name = name, .speed = spine == 0 ? 0 : 0.25 * (1 + fs_rng_below(rng, 3))};
}

/* Something that breaks the symmetry here and there, from the start or in between: slow GPUs, slow links, and cables
 * to the first spine, or all of it, that are down. */
MAYBE_UNUSED static void hurt(const machine *m, fs_rng *rng, double step_s)
{
    char names[FAULTS_MAX][40];
    fs_fault faults[FAULTS_MAX];
    uint32_t n = 1 + fs_rng_below(rng, 1 + fs_rng_below(rng, FAULTS_MAX));
    for (uint32_t i = 0; i < n; i++) {
        fs_fault *f = &faults[i];
        switch (m->spines > 0 ? fs_rng_below(rng, 6) : 0) {
        case 0:
            snprintf(names[i], sizeof names[i], "%u", fs_rng_below(rng, m->topo->n_gpus));
            *f = (fs_fault){.kind = FS_FAULT_GPU, .name = names[i], .speed = 0.25 * (1 + fs_rng_below(rng, 3))};
            break;
        case 1: *f = (fs_fault){.kind = FS_FAULT_SWITCH, .name = "net/spine0", .speed = 0}; break;
        default: *f = draw_cables(m, rng, names[i], sizeof names[i]);
        }
        f->origin = "test";
        f->status_if_bad = FS_E_USAGE;
        f->from_s = fs_rng_below(rng, 2) ? fs_rng_unit(rng) * step_s : 0;
        f->to_s = fs_rng_below(rng, 2) ? f->from_s + (0.01 + fs_rng_unit(rng)) * step_s : INFINITY;
    }
    ASSERT_OK(fs_topo_apply_faults(m->topo, faults, n, &failure));
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

MAYBE_UNUSED static run start(const fs_topo *topo, const fs_work *work, fs_run_options options)
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

MAYBE_UNUSED static void stop(run *r, uint32_t n_epochs)
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

MAYBE_UNUSED static void expect_close(uint64_t seed, const char *what, uint64_t which, double got, double want,
                                      double scale)
{
    if (!(fabs(got - want) <= TOLERANCE * scale))
        fail_msg("seed %llu: %s %llu: %.17g folded, %.17g unfolded", (unsigned long long)seed, what,
                 (unsigned long long)which, got, want);
}

MAYBE_UNUSED static void compare_events(uint64_t seed, const fs_work *work, const run *folded, const run *whole)
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

MAYBE_UNUSED static void compare_results(uint64_t seed, const fs_result *a, const fs_result *b)
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

/* Run it folded and unfolded and compare all that happens and all that is reported. Returns into how many
 * actors it folds. */
static uint32_t folded_is_unfolded(uint64_t seed, const fs_topo *topo, const fs_work *work, fs_run_options options,
                                   bool *rerouted)
{
    fs_result a = {0}, b = {0};
    options.fold = FS_FOLD_AUTO;
    run folded = start(topo, work, options);
    ASSERT_OK(fs_run(topo, work, &options, &a, &failure));
    options.fold = FS_FOLD_OFF;
    run whole = start(topo, work, options);
    ASSERT_OK(fs_run(topo, work, &options, &b, &failure));
    assert_int_equal(whole.job->n_actors, work->n_ranks);
    assert_int_equal(folded.job->reroutes, whole.job->reroutes);
    uint32_t actors = folded.job->n_actors;
    *rerouted = folded.job->reroutes;
    compare_events(seed, work, &folded, &whole);
    compare_results(seed, &a, &b);
    fs_result_free(&a);
    fs_result_free(&b);
    stop(&folded, topo->n_epochs);
    stop(&whole, topo->n_epochs);
    return actors;
}

#endif
