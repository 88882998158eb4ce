/* space.c - see space.h. */
#include "pareto/space.h"

#include "base/num.h"
#include "serve/cluster.h"

#include <math.h>
#include <string.h>

enum { LEVELS_MIN = 5, PP_MAX = 4, TEXT = 48 };

/* ---- pools --------------------------------------------------------------------------------------------------------- */

const fs_pool *fs_space_pool(const fs_inference *in, fs_role role)
{
    for (uint32_t i = 0; i < in->n_pools; i++)
        if (in->pools[i].role == role)
            return &in->pools[i];
    return NULL;
}

static const fs_pool *main_pool(const fs_inference *in)
{
    const fs_pool *both = fs_space_pool(in, FS_ROLE_BOTH);
    return both ? both : fs_space_pool(in, FS_ROLE_DECODE);
}

fs_pool fs_layout_pool(const fs_pool *pool, const fs_layout *layout)
{
    fs_pool p = *pool;
    p.replicas = 1;
    p.first_gpu = 0;
    p.tp = layout->tp;
    p.dp = layout->dp;
    p.pp = layout->pp;
    p.ep = layout->ep;
    return p;
}

void fs_candidate_pools(const fs_inference *in, const fs_candidate *c, fs_pool *pools, uint32_t *n)
{
    uint32_t next = 0;
    *n = 0;
    if (c->prefill_replicas > 0) {
        pools[*n] = fs_layout_pool(fs_space_pool(in, FS_ROLE_PREFILL), &c->prefill);
        pools[*n].replicas = c->prefill_replicas;
        next = c->prefill_replicas * fs_layout_gpus(&c->prefill);
        ++*n;
    }
    fs_pool *main = &pools[(*n)++];
    *main = fs_layout_pool(main_pool(in), &c->main);
    main->first_gpu = next;
    if (main->max_seqs < c->concurrency) /* a limit would only make requests wait */
        main->max_seqs = c->concurrency;
}

static const char *layout_text(const fs_layout *l, char text[TEXT])
{
    char dp[16] = "", pp[16] = "", ep[16] = "";
    if (l->dp > 1)
        fs_snprintf(dp, sizeof dp, " x DP %u", l->dp);
    if (l->pp > 1)
        fs_snprintf(pp, sizeof pp, " x PP %u", l->pp);
    if (l->ep > 1)
        fs_snprintf(ep, sizeof ep, ", EP %u", l->ep);
    fs_snprintf(text, TEXT, "TP %u%s%s%s", l->tp, dp, pp, ep);
    return text;
}

const char *fs_candidate_text(const fs_candidate *c, char *text, size_t size)
{
    char main[TEXT], prefill[TEXT];
    if (c->prefill_replicas > 0)
        fs_snprintf(text, size, "%s + %u x prefill %s", layout_text(&c->main, main), c->prefill_replicas,
                    layout_text(&c->prefill, prefill));
    else
        fs_snprintf(text, size, "%s", layout_text(&c->main, main));
    return text;
}

bool fs_candidate_alike(const fs_candidate *a, const fs_candidate *b)
{
    return memcmp(&a->main, &b->main, sizeof a->main) == 0 &&
           memcmp(&a->prefill, &b->prefill, sizeof a->prefill) == 0 && a->prefill_replicas == b->prefill_replicas;
}

/* ---- layouts ------------------------------------------------------------------------------------------------------- */

/* Requests that the KV cache of a replica holds, of prompts alone where it does not decode; 0 where the model does not fit,
 * and then why. */
static fs_status count_requests(const fs_topo *topo, const fs_work *work, const fs_pool *pool, double *most,
                                char *reason, size_t size, fs_err *err)
{
    const fs_request_source *source = &work->inference->source;
    double request = fs_mean_length(&source->input);
    uint64_t tokens = 0;
    if (pool->role != FS_ROLE_PREFILL)
        request += fs_mean_length(&source->output);
    fs_status status = fs_pool_capacity(work->inference, work->path, topo, pool, &tokens, err);
    *most = 0;
    if (status == FS_E_TRACE) { /* said with counts in the end */
        fs_snprintf(reason, size, "%s", err->text);
        return FS_OK;
    }
    *most = floor((double)tokens / request);
    if (*most < 1)
        fs_snprintf(reason, size, "its KV cache holds no request");
    return status;
}

/* If the model splits so. */
static fs_status try_layout(const fs_topo *topo, const fs_work *work, const fs_pool *pool, const fs_layout *layout,
                            fs_layouts *layouts, fs_err *err)
{
    const fs_pool p = fs_layout_pool(pool, layout);
    char reason[sizeof layouts->reason] = "";
    double most = 0;
    if (!fs_pool_splits(&work->inference->model, &p))
        return FS_OK;
    fs_status status = count_requests(topo, work, &p, &most, reason, sizeof reason, err);
    if (status != FS_OK)
        return status;
    if (most < 1) {
        if (layouts->unfit++ == 0)
            fs_snprintf(layouts->reason, sizeof layouts->reason, "%s", reason);
        return FS_OK;
    }
    return FS_PUSH(&layouts->fit, *layout) ? FS_OK : fs_fail_nomem(err);
}

fs_status fs_space_layouts(const fs_topo *topo, const fs_work *work, const fs_pool *pool, uint32_t gpus,
                           fs_layouts *layouts, fs_err *err)
{
    uint32_t experts = work->inference->model.moe.experts;
    fs_status status = FS_OK;
    *layouts = (fs_layouts){0};
    for (uint32_t pp = 1; pp <= PP_MAX && pp <= work->inference->model.layers; pp *= 2)
        for (uint32_t tp = 1; tp * pp <= gpus; tp *= 2)
            for (uint32_t dp = 1; tp * dp * pp <= gpus && (dp == 1 || experts > 0) && status == FS_OK; dp *= 2) {
                const fs_layout layout = {tp, dp, pp, experts > 0 ? tp * dp : 1};
                status = try_layout(topo, work, pool, &layout, layouts, err);
            }
    if (status == FS_OK && layouts->fit.count == 0)
        status = fs_fail(err, FS_E_TRACE, "%s: no layout of pool '%.100s' runs on %u GPUs or fewer%s%s", work->path,
                         pool->name, gpus, layouts->unfit ? "; the first: " : ": the model splits into none",
                         layouts->reason);
    if (status != FS_OK) {
        fs_free(layouts->fit.data);
        *layouts = (fs_layouts){0};
    }
    return status;
}

/* ---- rates --------------------------------------------------------------------------------------------------------- */

/* Requests that a replica ends in a second with so many under way, all of them decoding and no time for communication: it
 * never takes more prompts than that. */
static double rate_at(fs_step_model *model, const fs_inference *in, const fs_pool *pool, double concurrency)
{
    double input = fs_mean_length(&in->source.input), output = fs_mean_length(&in->source.output), time_s = 0;
    uint32_t here = (uint32_t)ceil(concurrency / pool->pp);
    const fs_batch batch = {.decodes = here,
                            .step = 1,
                            .verified = 1 + pool->draft_tokens,
                            .decode_context = (uint64_t)(here * (input + output / 2)),
                            .outputs = here};
    for (uint32_t stage = 0; stage < pool->pp; stage++)
        time_s += fs_step_compute_s(model, stage, &batch);
    return concurrency * fs_pool_step_tokens(pool) / (output * time_s);
}

/* ---- points -------------------------------------------------------------------------------------------------------- */

typedef FS_VEC(fs_candidate) candidates;

/* One layout to decode in, one for prompts or none. */
typedef struct combination {
    fs_layout main;
    const fs_prefill *prefill;
    double least, most; /* requests under way */
    double spare;       /* prefill replicas that the GPUs suffice for */
} combination;

typedef FS_VEC(combination) combinations;

static uint32_t replicas_for(const combination *c, fs_step_model *model, const fs_inference *in, const fs_pool *pool,
                             double concurrency)
{
    return c->prefill ? (uint32_t)fmax(1, ceil(rate_at(model, in, pool, concurrency) / c->prefill->prompts_per_s)) : 0;
}

/* Under a load that no number of prefill replicas keeps up with, they would only have a queue. */
static bool keeps_up(combination *c, fs_step_model *model, const fs_inference *in, const fs_pool *pool)
{
    if (!c->prefill)
        return true;
    if (c->spare < 1)
        return false;
    while (c->most > c->least && replicas_for(c, model, in, pool, c->most) > c->spare)
        c->most = fmax(c->least, floor(c->most * 0.8));
    return replicas_for(c, model, in, pool, c->most) <= c->spare;
}

static fs_status add_combinations(const fs_topo *topo, const fs_work *work, const fs_space_limits *limits,
                                  const fs_layout *main, const fs_prefill *prefills, uint32_t n_prefills,
                                  combinations *all, fs_err *err)
{
    const fs_inference *in = work->inference;
    const fs_pool pool = fs_layout_pool(main_pool(in), main);
    fs_step_model *model = NULL;
    char reason[256];
    double most = 0;
    fs_status status = count_requests(topo, work, &pool, &most, reason, sizeof reason, err);
    if (status == FS_OK)
        status = fs_pool_step_model(in, work->path, topo, &pool, &model, err);
    most = fmin(most, limits->concurrency);
    for (uint32_t i = 0; i < (n_prefills ? n_prefills : 1) && status == FS_OK; i++) {
        combination c = {.main = *main,
                         .prefill = n_prefills ? &prefills[i] : NULL,
                         .least = fmin(main->dp * main->pp, most),
                         .most = most};
        if (c.prefill)
            c.spare = floor(((double)limits->gpus - fs_layout_gpus(main)) / fs_layout_gpus(&c.prefill->layout));
        if (keeps_up(&c, model, in, &pool) && !FS_PUSH(all, c))
            status = fs_fail_nomem(err);
    }
    fs_step_model_free(model);
    return status;
}

/* `levels` numbers of requests in equal ratios; fewer where they would be the same. */
static fs_status add_points(const fs_topo *topo, const fs_work *work, const combination *from, uint32_t levels,
                            candidates *points, fs_err *err)
{
    const fs_inference *in = work->inference;
    const fs_pool pool = fs_layout_pool(main_pool(in), &from->main);
    fs_step_model *model = NULL;
    fs_status status = fs_pool_step_model(in, work->path, topo, &pool, &model, err);
    for (uint32_t i = 0, last = 0; i < levels && status == FS_OK; i++) {
        fs_candidate c = {.main = from->main};
        double part = levels > 1 ? (double)i / (levels - 1) : 1;
        c.concurrency = (uint32_t)(from->least * pow(from->most / from->least, part) + 0.5);
        if (c.concurrency == last)
            continue;
        last = c.concurrency;
        c.gpus = fs_layout_gpus(&c.main);
        if (from->prefill) {
            c.prefill = from->prefill->layout;
            c.prefill_replicas = (uint32_t)fmin(from->spare, replicas_for(from, model, in, &pool, c.concurrency));
            c.gpus += c.prefill_replicas * fs_layout_gpus(&c.prefill);
        }
        if (!FS_PUSH(points, c))
            status = fs_fail_nomem(err);
    }
    fs_step_model_free(model);
    return status;
}

static fs_status make_points(const fs_topo *topo, const fs_work *work, const fs_space_limits *limits,
                             const combinations *all, fs_space *space, candidates *points, fs_err *err)
{
    uint32_t most = limits->points / LEVELS_MIN > 0 ? limits->points / LEVELS_MIN : 1;
    uint32_t tried = all->count < most ? all->count : most;
    fs_status status = FS_OK;
    space->combinations = all->count;
    space->combinations_tried = tried;
    for (uint32_t i = 0; i < tried && status == FS_OK; i++) {
        uint32_t at = (uint32_t)((uint64_t)i * all->count / tried), first = points->count;
        status = add_points(topo, work, &all->data[at], limits->points / tried, points, err);
        for (uint32_t k = first; k < points->count; k++)
            points->data[k].combination = i;
    }
    return status;
}

fs_status fs_space_check(const fs_work *work, fs_err *err)
{
    const fs_inference *in = work->inference;
    if (!in)
        return fs_fail(err, FS_E_TRACE, "%s: a search for operating points needs a trace of kind \"inference\"",
                       work->path);
    if (in->source.requests)
        return fs_fail(err, FS_E_TRACE,
                       "%s: a search draws its requests: 'requests' with 'input' and 'output' in place of a 'file'",
                       work->path);
    bool apart = fs_space_pool(in, FS_ROLE_PREFILL) != NULL;
    if (in->n_pools > (apart ? 2u : 1u))
        return fs_fail(err, FS_E_TRACE,
                       "%s: a search knows one pool of engines of role 'both', or one of 'prefill' and one of "
                       "'decode'; there are %u",
                       work->path, in->n_pools);
    for (uint32_t i = 0; i < in->n_pools; i++)
        if (in->pools[i].measured)
            return fs_fail(err, FS_E_TRACE,
                           "%s:%u:%u: pool '%.100s' has measured times, which are of one layout: nothing to search",
                           work->path, in->pools[i].line, in->pools[i].column, in->pools[i].name);
    return FS_OK;
}

fs_status fs_space_make(const fs_topo *topo, const fs_work *work, const fs_space_limits *limits,
                        const fs_prefill *prefills, uint32_t n_prefills, fs_space *space, fs_err *err)
{
    combinations all = {0};
    candidates points = {0};
    fs_layouts layouts;
    *space = (fs_space){0};
    fs_status status = fs_space_layouts(topo, work, main_pool(work->inference), limits->gpus, &layouts, err);
    if (status != FS_OK)
        return status;
    space->layouts = layouts.fit.count + layouts.unfit;
    space->layouts_unfit = layouts.unfit;
    fs_snprintf(space->reason, sizeof space->reason, "%s", layouts.reason);
    for (uint32_t i = 0; i < layouts.fit.count && status == FS_OK; i++)
        status = add_combinations(topo, work, limits, &layouts.fit.data[i], prefills, n_prefills, &all, err);
    if (status == FS_OK && all.count == 0)
        status =
            fs_fail(err, FS_E_TRACE,
                    "%s: none of the %u layouts to decode in has room for prefill replicas that keep up with it on "
                    "%u GPUs: more --gpus",
                    work->path, layouts.fit.count, limits->gpus);
    if (status == FS_OK)
        status = make_points(topo, work, limits, &all, space, &points, err);
    fs_free(layouts.fit.data);
    fs_free(all.data);
    space->all = points.data;
    space->n = points.count;
    if (status != FS_OK)
        fs_space_free(space);
    return status;
}

void fs_space_free(fs_space *space)
{
    fs_free(space->all);
    *space = (fs_space){0};
}
