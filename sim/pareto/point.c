/* point.c - see point.h. */
#include "pareto/point.h"

#include "base/mem.h"
#include "report/serving.h"
#include "serve_run.h"

#include <math.h>
#include <stdlib.h>

#define LATE 1.25           /* over the limit of tokens (point.h) */
#define EVENTS_MAX 20000000 /* some seconds: a run that needs more is given up */

enum {
    FILLING = 2,     /* concurrencies of requests that end before the loop is taken as full */
    GENERATIONS = 5, /* of the first run; in the last one it drains */
    FEWEST = 12,     /* beside the concurrency */
    RUNS_MAX = 4,
    FULL = 2 /* iterations' worth of prompts under way, of each lane */
};

const char *const fs_operating_states[FS_OPERATING_STATES] = {"good",          "ttft",     "tpot",  "beyond",
                                                              "not converged", "rejected", "failed"};

/* ---- the steady state ---------------------------------------------------------------------------------------------- */

static int by_value(const void *left, const void *right)
{
    double a = *(const double *)left, b = *(const double *)right;
    return (a > b) - (a < b);
}

/* Tokens of a request within [from, to]: the first at first_s, the others evenly up to done_s. */
static double tokens_within(const fs_request_row *r, double from, double to)
{
    double first = r->first_s >= from && r->first_s < to, span = r->done_s - r->first_s;
    double overlap = fmin(to, r->done_s) - fmax(from, r->first_s);
    return first + (overlap > 0 && span > 0 ? (r->output - 1.0) * overlap / span : 0);
}

/* values[] (count) is put in order. */
static double percentile(double *values, uint32_t count, double part)
{
    qsort(values, count, sizeof *values, by_value);
    return count ? values[(uint32_t)fmin(count - 1.0, floor(part * count))] : 0;
}

typedef struct window {
    double from, to;
} window;

/* Latencies of the requests that came and that ended within it. */
static void measure_latencies(const fs_serving_result *v, const window *w, double *scratch, fs_operating_point *p)
{
    uint32_t n = 0;
    double sum = 0;
    for (uint32_t i = 0; i < v->n_rows; i++)
        if (v->requests[i].arrival_s >= w->from && v->requests[i].arrival_s <= w->to)
            scratch[n++] = v->requests[i].first_s - v->requests[i].arrival_s;
    p->ttft_s = percentile(scratch, n, 0.9);
    n = 0;
    for (uint32_t i = 0; i < v->n_rows; i++) {
        const fs_request_row *r = &v->requests[i];
        if (r->done_s >= w->from && r->output > 1) {
            scratch[n] = fs_request_tpot_s(r);
            sum += scratch[n++];
        }
    }
    p->per_user = sum > 0 ? n / sum : 0;
    p->tpot_s = percentile(scratch, n, 0.9);
}

bool fs_operating_measure(const fs_serving_result *v, uint32_t concurrency, fs_operating_point *p)
{
    double *ends = fs_alloc(v->n_rows, sizeof *ends), half[2] = {0, 0};
    if (!ends)
        return false;
    for (uint32_t i = 0; i < v->n_rows; i++)
        ends[i] = v->requests[i].done_s;
    qsort(ends, v->n_rows, sizeof *ends, by_value);
    window w = {0, v->requests[v->n_rows - 1].arrival_s};
    uint64_t filling = (uint64_t)FILLING * concurrency;
    w.from = ends[filling < v->n_rows ? filling - 1 : v->n_rows - 1];
    double middle = (w.from + w.to) / 2;
    bool any = w.to > w.from;
    for (uint32_t i = 0; i < v->n_rows && any; i++) {
        half[0] += tokens_within(&v->requests[i], w.from, middle);
        half[1] += tokens_within(&v->requests[i], middle, w.to);
    }
    any = any && half[0] > 0 && half[1] > 0;
    if (any) {
        p->tokens_per_s = (half[0] + half[1]) / (w.to - w.from);
        p->unevenness = 2 * fabs(half[0] - half[1]) / (half[0] + half[1]);
        measure_latencies(v, &w, ends, p);
    }
    fs_free(ends);
    return any;
}

/* ---- the run --------------------------------------------------------------------------------------------------------- */

/* The trace with other pools and a closed loop, on the first GPUs of the topology. */
typedef struct trial {
    fs_work work;
    fs_inference in;
    fs_pool pools[2];
    uint32_t *gpus;
} trial;

static fs_status make_trial(const fs_work *work, uint32_t gpus, uint32_t concurrency, trial *t, fs_err *err)
{
    *t = (trial){.work = *work, .in = *work->inference, .gpus = fs_alloc(gpus, sizeof *t->gpus)};
    for (uint32_t i = 0; i < gpus && t->gpus; i++)
        t->gpus[i] = i;
    t->in.pools = t->pools;
    t->in.fleet = (fs_fleet){.copies = 1, .distinct = 1, .stride = gpus};
    t->in.source.arrival = FS_CLOSED;
    t->in.source.rate = 0;
    t->in.source.concurrency = concurrency;
    t->in.source.staggered = true;
    t->in.source.count = concurrency * GENERATIONS + FEWEST;
    t->work.inference = &t->in;
    t->work.n_ranks = gpus;
    t->work.gpu_of = t->gpus;
    return t->gpus ? FS_OK : fs_fail_nomem(err);
}

static fs_status run_trial(const fs_topo *topo, const fs_run_options *options, const trial *t, fs_result *result,
                           fs_err *err)
{
    fs_run_options chosen = *options;
    if (chosen.max_events == 0)
        chosen.max_events = EVENTS_MAX;
    return fs_serve_run(topo, &t->work, &chosen, result, err);
}

static void take_power(const fs_result *r, fs_operating_point *p)
{
    p->per_gpu = p->tokens_per_s / p->candidate.gpus;
    p->rated_W = r->power.rated_W;
    p->per_MW = r->power.facility_W > 0 ? p->tokens_per_s / (r->power.facility_W * 1e-6) : 0;
    p->per_rated_MW = r->power.rated_W > 0 ? p->tokens_per_s / (r->power.rated_W * 1e-6) : 0;
}

/* Though the rate is not steady yet. */
static bool is_late(const fs_operating_point *p, const fs_operating_limits *limits)
{
    return !limits->exhaustive && limits->tpot_s > 0 && p->tpot_s > limits->tpot_s * LATE;
}

static fs_operating_state judge(const fs_operating_point *p, const fs_operating_limits *limits)
{
    if (limits->ttft_s > 0 && p->ttft_s > limits->ttft_s)
        return FS_OPERATING_TTFT;
    return limits->tpot_s > 0 && p->tpot_s > limits->tpot_s ? FS_OPERATING_TPOT : FS_OPERATING_GOOD;
}

fs_status fs_operating_simulate(const fs_topo *topo, const fs_work *work, const fs_run_options *options,
                                const fs_operating_limits *limits, fs_operating_point *p, fs_err *err)
{
    const fs_candidate *c = &p->candidate;
    trial t;
    fs_status status = make_trial(work, c->gpus, c->concurrency, &t, err);
    fs_candidate_pools(work->inference, c, t.pools, &t.in.n_pools);
    p->state = FS_OPERATING_OPEN;
    for (uint64_t run = 0, count = t.in.source.count;
         run < RUNS_MAX && count <= FS_REQUESTS_MAX && p->state == FS_OPERATING_OPEN && status == FS_OK;
         run++, count *= 2) {
        fs_result result = {0};
        t.in.source.count = (uint32_t)count;
        status = run_trial(topo, options, &t, &result, err);
        if (status != FS_OK)
            break;
        p->requests = (uint32_t)count;
        if (result.serving->n_rejected > 0)
            p->state = FS_OPERATING_REJECTED;
        else if (fs_operating_measure(result.serving, c->concurrency, p))
            p->state = p->unevenness <= FS_EVEN ? judge(p, limits)
                       : is_late(p, limits)     ? FS_OPERATING_TPOT
                                                : FS_OPERATING_OPEN;
        take_power(&result, p);
        fs_result_free(&result);
    }
    fs_free(t.gpus);
    return status;
}

/* ---- prompts alone --------------------------------------------------------------------------------------------------- */

/* Requests under way that fill every lane's iterations, and wait for the next ones. */
static uint32_t prompts_to_fill(const fs_inference *in, const fs_pool *p)
{
    double filled = ceil(p->max_tokens / fs_mean_length(&in->source.input));
    return (uint32_t)(FULL * p->pp * fmax(p->dp, fmin(filled, p->max_seqs)));
}

fs_status fs_prefill_simulate(const fs_topo *topo, const fs_work *work, const fs_run_options *options, fs_prefill *p,
                              fs_err *err)
{
    fs_pool pool = fs_layout_pool(fs_space_pool(work->inference, FS_ROLE_PREFILL), &p->layout);
    uint32_t concurrency = prompts_to_fill(work->inference, &pool);
    fs_operating_point point = {0};
    fs_result result = {0};
    trial t;
    fs_status status = make_trial(work, fs_layout_gpus(&p->layout), concurrency, &t, err);
    pool.role = FS_ROLE_BOTH; /* the first token is the answer */
    t.pools[0] = pool;
    t.in.n_pools = 1;
    t.in.source.output = (fs_length){.kind = FS_FIXED, .mean = 1, .low = 1, .high = 1};
    if (status == FS_OK)
        status = run_trial(topo, options, &t, &result, err);
    fs_free(t.gpus);
    if (status != FS_OK)
        return status;
    p->ttft_s = result.serving->alone_ttft_s;
    p->prompts_per_s = fs_operating_measure(result.serving, concurrency, &point) ? point.tokens_per_s : 0;
    fs_result_free(&result);
    return FS_OK;
}
