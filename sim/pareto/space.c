/* space.c - see space.h. */
#include "pareto/space.h"

#include "base/mem.h"
#include "base/num.h"
#include "serve/cluster.h"

#include <math.h>

enum { LEVELS_MIN = 5, PP_MAX = 4 };

/* ---- pools --------------------------------------------------------------------------------------------------------- */

static const fs_pool *pool_of_role(const fs_inference *in, fs_role role)
{
    for (uint32_t i = 0; i < in->n_pools; i++)
        if (in->pools[i].role == role)
            return &in->pools[i];
    return NULL;
}

void fs_candidate_pools(const fs_inference *in, const fs_candidate *c, fs_pool *pools, uint32_t *n)
{
    const fs_pool *prefill = pool_of_role(in, FS_ROLE_PREFILL), *both = pool_of_role(in, FS_ROLE_BOTH);
    uint32_t next = 0;
    *n = 0;
    if (c->prefill_replicas > 0) {
        pools[*n] = *prefill;
        pools[*n].replicas = c->prefill_replicas;
        pools[*n].first_gpu = 0;
        next = c->prefill_replicas * fs_pool_replica_gpus(prefill);
        ++*n;
    }
    fs_pool *main = &pools[(*n)++];
    *main = both ? *both : *pool_of_role(in, FS_ROLE_DECODE);
    main->replicas = 1;
    main->first_gpu = next;
    main->tp = c->tp;
    main->dp = c->dp;
    main->pp = c->pp;
    main->ep = c->ep;
    if (main->max_seqs < c->concurrency) /* a limit would only make requests wait */
        main->max_seqs = c->concurrency;
}

const char *fs_candidate_text(const fs_candidate *c, char *text, size_t size)
{
    char dp[24] = "", pp[24] = "", ep[24] = "", prefill[32] = "";
    if (c->dp > 1)
        fs_snprintf(dp, sizeof dp, " x DP %u", c->dp);
    if (c->pp > 1)
        fs_snprintf(pp, sizeof pp, " x PP %u", c->pp);
    if (c->ep > 1)
        fs_snprintf(ep, sizeof ep, ", EP %u", c->ep);
    if (c->prefill_replicas > 0)
        fs_snprintf(prefill, sizeof prefill, " + %u x prefill", c->prefill_replicas);
    fs_snprintf(text, size, "TP %u%s%s%s%s", c->tp, dp, pp, ep, prefill);
    return text;
}

/* ---- layouts ------------------------------------------------------------------------------------------------------- */

typedef FS_VEC(fs_candidate) candidates;

/* Every layout that the model splits into; concurrency is left open. */
static bool list_layouts(const fs_inference *in, const fs_space_limits *limits, candidates *layouts)
{
    const fs_pool *prefill = pool_of_role(in, FS_ROLE_PREFILL);
    uint32_t unit = prefill ? fs_pool_replica_gpus(prefill) : 0, experts = in->model.moe.experts;
    for (uint32_t pp = 1; pp <= PP_MAX && pp <= in->model.layers; pp *= 2)
        for (uint32_t tp = 1; tp * pp <= limits->gpus; tp *= 2)
            for (uint32_t dp = 1; tp * dp * pp <= limits->gpus && (dp == 1 || experts > 0); dp *= 2)
                for (uint32_t replicas = prefill ? 1 : 0; replicas * unit + tp * dp * pp <= limits->gpus;
                     replicas *= 2) {
                    fs_candidate c = {.tp = tp,
                                      .dp = dp,
                                      .pp = pp,
                                      .ep = experts > 0 ? tp * dp : 1,
                                      .prefill_replicas = replicas,
                                      .gpus = replicas * unit + tp * dp * pp};
                    fs_pool pools[2];
                    uint32_t n = 0;
                    fs_candidate_pools(in, &c, pools, &n);
                    if (fs_pool_splits(&in->model, &pools[n - 1]) && !FS_PUSH(layouts, c))
                        return false;
                    if (!prefill)
                        break;
                }
    return true;
}

static double mean_length(const fs_length *l)
{
    return l->kind == FS_UNIFORM ? (l->low + (double)l->high) / 2 : l->mean;
}

/* Requests that the KV cache of the candidate's decoding replica holds; 0 where the model does not fit. */
static fs_status count_requests(const fs_topo *topo, const fs_work *work, const fs_candidate *c, fs_space *space,
                                double *most, fs_err *err)
{
    const fs_inference *in = work->inference;
    fs_pool pools[2];
    uint32_t n = 0;
    uint64_t tokens = 0;
    fs_candidate_pools(in, c, pools, &n);
    fs_status status = FS_OK;
    *most = 0;
    for (uint32_t i = 0; i < n && status == FS_OK; i++)
        status = fs_pool_capacity(in, work->path, topo, &pools[i], &tokens, err);
    if (status == FS_E_TRACE) { /* said with counts in the end */
        if (space->reason[0] == '\0')
            fs_snprintf(space->reason, sizeof space->reason, "%s", err->text);
        return FS_OK;
    }
    *most = floor((double)tokens / (mean_length(&in->source.input) + mean_length(&in->source.output)));
    return status;
}

/* ---- points -------------------------------------------------------------------------------------------------------- */

/* `levels` numbers of requests in equal ratios; fewer where they would be the same. */
static bool add_points(const fs_candidate *layout, double most, uint32_t levels, candidates *points)
{
    double low = layout->dp * layout->pp;
    if (most < low)
        low = most;
    for (uint32_t i = 0, last = 0; i < levels; i++) {
        fs_candidate c = *layout;
        c.concurrency = (uint32_t)(low * pow(most / low, levels > 1 ? (double)i / (levels - 1) : 1) + 0.5);
        if (c.concurrency == last)
            continue;
        last = c.concurrency;
        if (!FS_PUSH(points, c))
            return false;
    }
    return true;
}

static fs_status make_points(const fs_topo *topo, const fs_work *work, const fs_space_limits *limits,
                             const candidates *layouts, fs_space *space, candidates *points, fs_err *err)
{
    uint32_t most_layouts = limits->points / LEVELS_MIN > 0 ? limits->points / LEVELS_MIN : 1;
    space->layouts = layouts->count;
    space->layouts_tried = layouts->count < most_layouts ? layouts->count : most_layouts;
    double *most = fs_alloc(space->layouts_tried, sizeof *most);
    fs_status status = most ? FS_OK : fs_fail_nomem(err);
    for (uint32_t i = 0; i < space->layouts_tried && status == FS_OK; i++) {
        uint32_t at = (uint32_t)((uint64_t)i * layouts->count / space->layouts_tried);
        status = count_requests(topo, work, &layouts->data[at], space, &most[i], err);
        space->layouts_unfit += status == FS_OK && most[i] < 1;
    }
    uint32_t fitting = space->layouts_tried - space->layouts_unfit;
    for (uint32_t i = 0; i < space->layouts_tried && status == FS_OK; i++) {
        uint32_t at = (uint32_t)((uint64_t)i * layouts->count / space->layouts_tried);
        if (most[i] >= 1 &&
            !add_points(&layouts->data[at], fmin(most[i], limits->concurrency), limits->points / fitting, points))
            status = fs_fail_nomem(err);
    }
    fs_free(most);
    return status;
}

static fs_status check(const fs_work *work, fs_err *err)
{
    const fs_inference *in = work->inference;
    if (!in)
        return fs_fail(err, FS_E_TRACE, "%s: a search for operating points needs a trace of kind \"inference\"",
                       work->path);
    if (in->source.requests)
        return fs_fail(err, FS_E_TRACE,
                       "%s: a search draws its requests: 'requests' with 'input' and 'output' in place of a 'file'",
                       work->path);
    bool apart = pool_of_role(in, FS_ROLE_PREFILL) != NULL;
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

fs_status fs_space_make(const fs_topo *topo, const fs_work *work, const fs_space_limits *limits, fs_space *space,
                        fs_err *err)
{
    candidates layouts = {0}, points = {0};
    *space = (fs_space){0};
    fs_status status = check(work, err);
    if (status == FS_OK && !list_layouts(work->inference, limits, &layouts))
        status = fs_fail_nomem(err);
    if (status == FS_OK && layouts.count == 0)
        status = fs_fail(err, FS_E_TRACE, "%s: no layout of the model has %u GPUs or fewer", work->path, limits->gpus);
    if (status == FS_OK)
        status = make_points(topo, work, limits, &layouts, space, &points, err);
    if (status == FS_OK && points.count == 0)
        status =
            fs_fail(err, FS_E_TRACE, "%s: none of the %u layouts that were tried can run; the first: %s", work->path,
                    space->layouts_tried, space->reason[0] ? space->reason : "its KV cache holds no request");
    fs_free(layouts.data);
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
