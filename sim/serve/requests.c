/* requests.c - see requests.h. Distributions by inversion where that has a closed form; gamma: G. Marsaglia, W. W. Tsang,
 * "A simple method for generating gamma variables", ACM TOMS 26 (2000); normal: G. E. P. Box, M. E. Muller, 1958. */
#include "serve/requests.h"

#include "base/mem.h"
#include "base/rng.h"

#include <math.h>

typedef enum part { ARRIVALS, INPUTS, OUTPUTS, PRIORITIES, PREFIXES, PLACES, PARTS } part;

static double exponential(fs_rng *rng)
{
    return -log1p(-fs_rng_unit(rng));
}

static double normal(fs_rng *rng)
{
    const double two_pi = 6.283185307179586;
    double radius = sqrt(2 * exponential(rng));
    return radius * cos(two_pi * fs_rng_unit(rng));
}

/* Mean 1, shape k. */
static double gamma_of(fs_rng *rng, double k)
{
    double boost = k < 1 ? pow(1 - fs_rng_unit(rng), 1 / k) : 1; /* of shape k + 1, brought down */
    double d = (k < 1 ? k + 1 : k) - 1.0 / 3, c = 1 / sqrt(9 * d);
    for (;;) {
        double x = normal(rng), v = 1 + c * x;
        if (v <= 0)
            continue;
        v = v * v * v;
        if (log(1 - fs_rng_unit(rng)) < 0.5 * x * x + d - d * v + d * log(v))
            return boost * d * v / k;
    }
}

static uint32_t draw_length(fs_rng *rng, const fs_length *l)
{
    double x = l->mean;
    switch (l->kind) {
    case FS_UNIFORM: return l->low + fs_rng_below(rng, l->high - l->low + 1);
    case FS_LOGNORMAL: {
        double variance = log1p(l->cv * l->cv);
        x = exp(log(l->mean) - variance / 2 + sqrt(variance) * normal(rng));
        break;
    }
    case FS_EXPONENTIAL: x = l->mean * exponential(rng); break;
    case FS_FIXED:
    case FS_LENGTH_KINDS: break;
    }
    x = floor(x + 0.5);
    return x < l->low ? l->low : x > l->high ? l->high : (uint32_t)x;
}

static uint32_t least(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

/* The time to the next arrival; several come at one time in bursts. */
static double draw_gap(fs_rng *rng, const fs_request_source *s, uint32_t index)
{
    switch (s->arrival) {
    case FS_POISSON: return exponential(rng) / s->rate;
    case FS_GAMMA: return gamma_of(rng, 1 / (s->cv * s->cv)) / s->rate;
    case FS_BURSTS: return index % s->burst == 0 ? exponential(rng) * s->burst / s->rate : 0;
    case FS_CONSTANT: return 1 / s->rate;
    case FS_CLOSED:
    case FS_ARRIVALS: break;
    }
    return 0;
}

static uint32_t draw_priority(fs_rng *rng, const fs_request_source *s)
{
    double x = fs_rng_unit(rng), below = 0;
    for (uint32_t i = 0; i + 1 < s->n_priorities; i++) {
        below += s->priority_share[i];
        if (x < below)
            return i;
    }
    return s->n_priorities - 1;
}

/* Prompts of group g begin with hash g, which stands for all of the prefix, and share nothing behind it. */
static fs_status share_prefixes(const fs_request_source *s, fs_arena *arena, fs_rng *rng, fs_request *all,
                                fs_requests *made, fs_err *err)
{
    uint64_t *hashes = fs_arena_alloc(arena, s->prefix_groups, sizeof *hashes);
    if (!hashes)
        return fs_fail_nomem(err);
    for (uint32_t g = 0; g < s->prefix_groups; g++)
        hashes[g] = g;
    for (uint32_t i = 0; i < s->count; i++) {
        all[i].first_hash = fs_rng_below(rng, s->prefix_groups);
        all[i].n_hashes = all[i].input >= s->prefix_tokens;
    }
    made->hashes = hashes;
    made->hash_tokens = s->prefix_tokens;
    return FS_OK;
}

fs_status fs_requests_make(const fs_request_source *s, uint64_t seed, fs_arena *arena, fs_requests *requests,
                           fs_err *err)
{
    if (s->requests) {
        *requests = (fs_requests){s->count, s->requests, s->hashes, s->hash_tokens};
        return FS_OK;
    }
    fs_request *all = fs_arena_alloc(arena, s->count, sizeof *all);
    if (!all)
        return fs_fail_nomem(err);
    fs_requests made = {.n = s->count, .all = all};
    fs_rng seeds = fs_rng_seed(seed), rng[PARTS];
    for (uint32_t p = 0; p < PARTS; p++)
        rng[p] = fs_rng_seed(fs_rng_u64(&seeds));
    double now_s = 0;
    for (uint32_t i = 0; i < s->count; i++) {
        now_s += draw_gap(&rng[ARRIVALS], s, i);
        all[i] = (fs_request){.arrival_s = now_s,
                              .input = least(draw_length(&rng[INPUTS], &s->input), s->context - 1),
                              .output = draw_length(&rng[OUTPUTS], &s->output),
                              .priority = draw_priority(&rng[PRIORITIES], s)};
    }
    for (uint32_t i = 0; i < s->count; i++) /* engines stop at the end of the context */
        all[i].output = least(all[i].output, s->context - all[i].input);
    for (uint32_t i = 0; i < s->count && s->staggered && i < s->concurrency; i++)
        all[i].output = 1 + fs_rng_below(&rng[PLACES], all[i].output);
    fs_status status = s->prefix_groups ? share_prefixes(s, arena, &rng[PREFIXES], all, &made, err) : FS_OK;
    if (status == FS_OK)
        *requests = made;
    return status;
}
