/* prop_end_to_end.c - random jobs that may deadlock: many streams, overlapping families in any order, sends among them.
 *
 * A job starts as one list of events that all ranks take part in in the same order, which cannot deadlock. Then ranks
 * swap neighbours that the trace does not order (other communicators), which can. A reference says whether it does: ops
 * end in any order that is allowed, until no more can. Each job then runs under every lowering. A failure prints its
 * seed. */
#include "../fixture.h"
#include "base/rng.h"

enum {
    CASES = 1000,
    RANKS_MAX = 12,
    FAMILIES_MAX = 3,
    EVENTS_MAX = 24,
    OPS_MAX = 2 * EVENTS_MAX,
    DEPS_MAX = 2,
    TEXT = 256
};

/* ---- a job ------------------------------------------------------------------------------------------------------- */

/* Ops of one queue keep their order on every rank: a family, or a direction between two ranks. 0: no queue. */
typedef struct planned {
    fs_op op;
    uint32_t queue, event, stream, n_deps, deps[DEPS_MAX];
} planned;

typedef struct rank_plan {
    planned ops[OPS_MAX];
    uint32_t n;
} rank_plan;

typedef struct family {
    uint32_t ranks[RANKS_MAX], begin[RANKS_MAX + 1], n_groups;
} family;

typedef struct job {
    uint64_t seed;
    fs_rng rng;
    uint32_t ranks, spare; /* of the machine's GPUs; spare ones may run something of their own */
    uint32_t n_families, n_events;
    int separate; /* no two GPUs of the machine share a link */
    family families[FAMILIES_MAX];
    rank_plan plans[RANKS_MAX];
    fs_topo *topo;
} job;

static void draw_machine(job *j)
{
    char line[TEXT];
    uint32_t shape = fs_rng_below(&j->rng, 6), n = 2 + fs_rng_below(&j->rng, RANKS_MAX - 1),
             rate = 1 + fs_rng_below(&j->rng, 50);
    uint32_t latency_ns = fs_rng_below(&j->rng, 2) ? fs_rng_below(&j->rng, 3000) : 0;
    switch (shape) {
    case 0: snprintf(line, TEXT, "gpus:%u nvlink:%uGB/s,%uns", n, rate, latency_ns); break;
    case 1: snprintf(line, TEXT, "gpus:%u nvlink:%uGB/s,%uns multicast", n, rate, latency_ns); break;
    case 2: snprintf(line, TEXT, "mesh:%u nvlink:%uGB/s,%uns", n, rate, latency_ns); break;
    case 3: snprintf(line, TEXT, "pcie:%u pcie:%uGB/s,%uns", n, rate, latency_ns); break;
    case 4:
        snprintf(line, TEXT, "ring:%u nvlink:%uGB/s,%uns forwarding", 2 + n % 4, rate, latency_ns);
        break; /* one GPU forwards */
    default:
        snprintf(line, TEXT, "nodes:%u gpus:3 nvlink:%uGB/s,%uns nic:%uGB/s,1us spine", 1 + n / 4, rate, latency_ns,
                 rate);
    }
    j->topo = make_topo(line);
    j->separate = shape < 4;
    n = j->topo->n_gpus;
    j->ranks = 1 + fs_rng_below(&j->rng, n);
    j->spare = n - j->ranks;
}

/* Groups of any size and order; some ranks are in none. */
static void draw_family(job *j, family *f)
{
    for (uint32_t i = 0; i < j->ranks; i++) {
        uint32_t at = fs_rng_below(&j->rng, i + 1);
        f->ranks[i] = f->ranks[at];
        f->ranks[at] = i;
    }
    uint32_t members = 1 + fs_rng_below(&j->rng, j->ranks);
    f->n_groups = 0;
    for (uint32_t at = 0; at < members; at += 1 + fs_rng_below(&j->rng, members - at))
        f->begin[f->n_groups++] = at;
    f->begin[f->n_groups] = members;
}

static double draw_size(fs_rng *rng)
{
    double size = fs_rng_below(rng, 10); /* nothing is a size too */
    for (uint32_t zeros = fs_rng_below(rng, 8); zeros > 0; zeros--)
        size *= 10;
    return size;
}

static void put(job *j, uint32_t rank, uint32_t event, uint32_t queue, fs_op op)
{
    rank_plan *plan = &j->plans[rank];
    plan->ops[plan->n++] = (planned){.op = op, .queue = queue, .event = event};
}

static void draw_event(job *j, uint32_t event)
{
    uint32_t kind = fs_rng_below(&j->rng, 4), rank = fs_rng_below(&j->rng, j->ranks),
             peer = fs_rng_below(&j->rng, j->ranks);
    double size = draw_size(&j->rng);
    float sm_share = (float)(fs_rng_below(&j->rng, 3) ? 0 : 0.3 * fs_rng_below(&j->rng, 4));
    if (kind == 0 || (kind == 1 && rank == peer)) {
        put(j, rank, event, 0, fs_rng_below(&j->rng, 3) ? compute(1e-12 * size) : delay(1e-12 * size));
    } else if (kind == 1) {
        fs_op send = transfer(FS_OP_SEND, peer, 0, size), recv = transfer(FS_OP_RECV, rank, 0, size);
        send.sm_share = recv.sm_share = sm_share;
        put(j, rank, event, 1 + FAMILIES_MAX + peer, send);
        put(j, peer, event, 1 + FAMILIES_MAX + RANKS_MAX + rank, recv);
    } else {
        uint32_t f = fs_rng_below(&j->rng, j->n_families), g = fs_rng_below(&j->rng, j->families[f].n_groups);
        const uint32_t *begin = &j->families[f].begin[g];
        fs_op op =
            collective((fs_coll_kind)fs_rng_below(&j->rng, FS_SENDRECV), f + 1, size); /* family 0 is the world */
        if (fs_rng_below(&j->rng, 2))
            op.algo = FS_ALGO_AUTO;
        if (op.coll == FS_BROADCAST || op.coll == FS_REDUCE)
            op.root = fs_rng_below(&j->rng, begin[1] - begin[0]);
        op.sm_share = sm_share;
        for (uint32_t i = begin[0]; i < begin[1]; i++)
            put(j, j->families[f].ranks[i], event, 1 + f, op);
    }
}

/* Swap neighbours of different queues, choose streams, add dependencies on earlier ops. */
static void disturb(job *j, rank_plan *plan, uint32_t swaps, uint32_t streams)
{
    for (; swaps > 0 && plan->n > 1; swaps--) {
        uint32_t i = fs_rng_below(&j->rng, plan->n - 1);
        planned left = plan->ops[i];
        if (left.queue != 0 && left.queue == plan->ops[i + 1].queue)
            continue;
        plan->ops[i] = plan->ops[i + 1];
        plan->ops[i + 1] = left;
    }
    for (uint32_t i = 0; i < plan->n; i++) {
        planned *p = &plan->ops[i];
        p->stream = fs_rng_below(&j->rng, streams);
        for (uint32_t d = fs_rng_below(&j->rng, DEPS_MAX + 1); d > 0 && i > 0; d--) {
            uint32_t dep = fs_rng_below(&j->rng, i);
            if (plan->ops[dep].event != p->event && (p->n_deps == 0 || p->deps[0] != dep))
                p->deps[p->n_deps++] = dep;
        }
    }
}

static job draw_job(uint64_t seed)
{
    job j = {.seed = seed, .rng = fs_rng_seed(seed)};
    draw_machine(&j);
    j.n_families = 1 + fs_rng_below(&j.rng, FAMILIES_MAX);
    for (uint32_t f = 0; f < j.n_families; f++)
        draw_family(&j, &j.families[f]);
    j.n_events = 1 + fs_rng_below(&j.rng, EVENTS_MAX);
    for (uint32_t e = 0; e < j.n_events; e++)
        draw_event(&j, e);
    uint32_t swaps = fs_rng_below(&j.rng, 2) * 60, streams = 1 + fs_rng_below(&j.rng, fs_rng_below(&j.rng, 2) ? 4 : 1);
    for (uint32_t r = 0; r < j.ranks; r++)
        disturb(&j, &j.plans[r], fs_rng_below(&j.rng, swaps + 1), streams);
    return j;
}

/* ---- the reference ----------------------------------------------------------------------------------------------- */

static int may_start(const rank_plan *plan, uint32_t i, const uint8_t *ended)
{
    for (uint32_t before = 0; before < i; before++)
        if (plan->ops[before].stream == plan->ops[i].stream && !ended[before])
            return 0;
    for (uint32_t d = 0; d < plan->ops[i].n_deps; d++)
        if (!ended[plan->ops[i].deps[d]])
            return 0;
    return 1;
}

/* An event happens once every op of it may start. Queues keep their order on all ranks, so equal events are what
 * meets. Returns whether some never happen. */
static int must_deadlock(const job *j)
{
    static uint8_t ended[RANKS_MAX][OPS_MAX];
    memset(ended, 0, sizeof ended);
    uint8_t happened[EVENTS_MAX] = {0};
    uint32_t left = j->n_events;
    for (int progress = 1; progress;) {
        progress = 0;
        for (uint32_t e = 0; e < j->n_events; e++) {
            int ready = !happened[e];
            for (uint32_t r = 0; r < j->ranks && ready; r++)
                for (uint32_t i = 0; i < j->plans[r].n && ready; i++)
                    ready = j->plans[r].ops[i].event != e || may_start(&j->plans[r], i, ended[r]);
            if (!ready)
                continue;
            for (uint32_t r = 0; r < j->ranks; r++)
                for (uint32_t i = 0; i < j->plans[r].n; i++)
                    ended[r][i] |= j->plans[r].ops[i].event == e;
            happened[e] = 1;
            progress = 1;
            left--;
        }
    }
    return left > 0;
}

/* ---- running it -------------------------------------------------------------------------------------------------- */

/* `spare`: the other GPUs work too, on something that has nothing to do with it. */
static fs_work *work_of(const job *j, uint32_t spare)
{
    static const char *const streams[] = {"a", "b", "c", "d"};
    static const char *const names[] = {"f0", "f1", "f2"};
    uint32_t id = 0;
    fs_work_builder *b = make_builder(j->ranks + spare);
    for (uint32_t f = 0; f < j->n_families; f++)
        ASSERT_OK(fs_work_family_explicit(b, names[f], j->families[f].begin, j->families[f].n_groups,
                                          j->families[f].ranks, &id, &failure));
    for (uint32_t r = 0; r < j->ranks; r++) {
        uint32_t program = add_program(b, "p", r, r);
        for (uint32_t i = 0; i < j->plans[r].n; i++) {
            const planned *p = &j->plans[r].ops[i];
            add_op(b, program, streams[p->stream], NULL, p->op, p->deps, p->n_deps);
        }
    }
    for (uint32_t r = j->ranks; r < j->ranks + spare; r++) {
        uint32_t program = add_program(b, "q", r, r);
        if (spare > 1) {
            uint32_t to = r + 1 < j->ranks + spare ? r + 1 : j->ranks,
                     from = r > j->ranks ? r - 1 : j->ranks + spare - 1;
            add(b, program, "a", transfer(FS_OP_SEND, to, 0, 1e3));
            add(b, program, "b", transfer(FS_OP_RECV, from, 0, 1e3));
        }
        add(b, program, "c", compute(1e-7));
    }
    return finish(b);
}

static fs_status run(const job *j, const fs_work *work, fs_run_options options, fs_result *result)
{
    *result = (fs_result){0};
    failure = (fs_err){0};
    fs_status status = fs_run(j->topo, work, &options, result, &failure);
    if (status != FS_OK && (status != FS_E_SIM || strncmp(failure.text, "deadlock", 8) != 0))
        fail_msg("seed %llu: %s", (unsigned long long)j->seed, failure.text);
    return status;
}

static void check_result(const job *j, const fs_result *r)
{
    double sum = 0;
    for (uint32_t i = 0; i < r->n_breakdown; i++)
        sum += r->breakdown[i].seconds;
    if (!isfinite(r->step_time_s) || !(fabs(sum - r->step_time_s) <= 1e-9 * r->step_time_s))
        fail_msg("seed %llu: breakdown %.17g of %.17g", (unsigned long long)j->seed, sum, r->step_time_s);
    for (uint32_t i = 0; i < r->n_links; i++)
        if (!(r->links[i].peak_utilization <= 1 + 1e-9) || !(r->links[i].mean_utilization <= 1 + 1e-9))
            fail_msg("seed %llu: link %u above its capacity", (unsigned long long)j->seed, r->links[i].link);
}

static void check_same(const job *j, const fs_result *a, const fs_result *b)
{
    int same = a->step_time_s == b->step_time_s && a->n_links == b->n_links && a->n_breakdown == b->n_breakdown &&
               a->counters.events == b->counters.events;
    for (uint32_t i = 0; same && i < a->n_links; i++)
        same = a->links[i].link == b->links[i].link && a->links[i].bytes == b->links[i].bytes;
    for (uint32_t i = 0; same && i < a->n_breakdown; i++)
        same = a->breakdown[i].seconds == b->breakdown[i].seconds;
    if (!same)
        fail_msg("seed %llu: another result the second time", (unsigned long long)j->seed);
}

/* On machines where the others share no link with the job. */
static void check_spectators(const job *j, fs_run_options options, double step_s)
{
    fs_work *work = work_of(j, j->spare);
    fs_result with, alone;
    job idle = {.seed = j->seed, .topo = j->topo, .ranks = j->ranks, .spare = j->spare};
    fs_work *others = work_of(&idle, j->spare);
    ASSERT_OK(run(j, work, options, &with));
    ASSERT_OK(run(j, others, options, &alone));
    double want = fmax(step_s, alone.step_time_s);
    if (!(fabs(with.step_time_s - want) <= 1e-9 * want))
        fail_msg("seed %llu: %.17g beside others, %.17g alone", (unsigned long long)j->seed, with.step_time_s, want);
    fs_result_free(&with);
    fs_result_free(&alone);
    fs_work_free(work);
    fs_work_free(others);
}

static void jobs_end_or_say_why(void **state)
{
    (void)state;
    uint32_t deadlocks = 0;
    for (uint64_t seed = 1; seed <= CASES; seed++) {
        job j = draw_job(seed);
        fs_work *work = work_of(&j, 0);
        int stuck = must_deadlock(&j);
        deadlocks += (uint32_t)stuck;
        fs_run_options options = fs_run_default();
        options.cost = fs_rng_below(&j.rng, 2) ? FS_COST_IDEAL : FS_COST_NCCL;
        for (uint32_t lowering = FS_LOWER_COUPLED; lowering <= FS_LOWER_MESSAGES; lowering++) {
            options.lowering = (fs_lowering_mode)lowering;
            fs_result once, again;
            fs_status status = run(&j, work, options, &once);
            if ((status == FS_E_SIM) != stuck)
                fail_msg("seed %llu: %s", (unsigned long long)seed, stuck ? "must deadlock, and ends" : failure.text);
            if (stuck)
                continue;
            ASSERT_OK(run(&j, work, options, &again));
            check_result(&j, &once);
            check_same(&j, &once, &again);
            if (j.separate && j.spare > 0)
                check_spectators(&j, options, once.step_time_s);
            fs_result_free(&once);
            fs_result_free(&again);
        }
        fs_work_free(work);
        fs_topo_free(j.topo);
    }
    assert_in_range(deadlocks, CASES / 10, CASES / 2); /* the draw is worth something */
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(jobs_end_or_say_why)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
