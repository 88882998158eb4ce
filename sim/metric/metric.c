/* metric.c - see metric.h. Counters of ops under way per actor and category, and one bit for each that is not zero.
 *
 * The state of an actor is its lowest set bit; when an event comes, the seconds since the last one are added to that
 * state. Cost of an event: O(categories / 64), in practice one word.
 * A tier's load is a running sum of changes. Changes of one instant come one after the other, so the sum counts as a
 * peak only once time moves on: what holds for no time is no load. */
#include "metric/metric.h"

#include "base/mem.h"

enum { WORD_BITS = 64 };

#define FIRST_STEP_S 1e-9 /* far below anything that one would look at */

typedef struct tier {
    double load, since_s, peak;
    double step_s;
    double areas[FS_METRIC_STEPS]; /* load x time in each step */
} tier;

struct fs_metric {
    uint32_t n_categories, n_words;
    uint32_t *under_way; /* (n_actors x n_categories) */
    uint64_t *active;    /* (n_actors x n_words) bit c: category c is under way */
    double *seconds;     /* (n_actors x (n_categories + 1)) */
    double *since_s;     /* (n_actors) up to when seconds are counted */
    tier *tiers;
    uint32_t n_actors, n_tiers;
};

fs_status fs_metric_new(uint32_t n_actors, uint32_t n_categories, uint32_t n_tiers, fs_metric **metric, fs_err *err)
{
    fs_metric *m = fs_zalloc(1, sizeof *m);
    if (!m)
        return fs_fail_nomem(err);
    m->n_actors = n_actors;
    m->n_categories = n_categories;
    m->n_tiers = n_tiers;
    m->n_words = n_categories / WORD_BITS + 1;
    m->under_way = fs_zalloc((size_t)n_actors * n_categories, sizeof *m->under_way);
    m->active = fs_zalloc((size_t)n_actors * m->n_words, sizeof *m->active);
    m->seconds = fs_zalloc((size_t)n_actors * ((size_t)n_categories + 1), sizeof *m->seconds);
    m->since_s = fs_zalloc(n_actors, sizeof *m->since_s);
    m->tiers = fs_zalloc(n_tiers, sizeof *m->tiers);
    if (!m->under_way || !m->active || !m->seconds || !m->since_s || !m->tiers) {
        fs_metric_free(m);
        return fs_fail_nomem(err);
    }
    for (uint32_t t = 0; t < n_tiers; t++)
        m->tiers[t].step_s = FIRST_STEP_S;
    *metric = m;
    return FS_OK;
}

void fs_metric_free(fs_metric *metric)
{
    if (!metric)
        return;
    fs_free(metric->under_way);
    fs_free(metric->active);
    fs_free(metric->seconds);
    fs_free(metric->since_s);
    fs_free(metric->tiers);
    fs_free(metric);
}

static uint32_t state_of(const fs_metric *m, uint32_t actor)
{
    const uint64_t *active = m->active + (size_t)actor * m->n_words;
    for (uint32_t w = 0; w < m->n_words; w++)
        if (active[w])
            return w * WORD_BITS + (uint32_t)__builtin_ctzll(active[w]);
    return m->n_categories;
}

static void count_up_to(fs_metric *m, uint32_t actor, double now_s)
{
    double passed = now_s - m->since_s[actor];
    if (passed > 0)
        m->seconds[(size_t)actor * ((size_t)m->n_categories + 1) + state_of(m, actor)] += passed;
    m->since_s[actor] = now_s;
}

void fs_metric_begin(fs_metric *metric, uint32_t actor, uint32_t category, double now_s)
{
    count_up_to(metric, actor, now_s);
    metric->under_way[(size_t)actor * metric->n_categories + category]++;
    metric->active[(size_t)actor * metric->n_words + category / WORD_BITS] |= UINT64_C(1) << category % WORD_BITS;
}

void fs_metric_end(fs_metric *metric, uint32_t actor, uint32_t category, double now_s)
{
    count_up_to(metric, actor, now_s);
    if (--metric->under_way[(size_t)actor * metric->n_categories + category] == 0)
        metric->active[(size_t)actor * metric->n_words + category / WORD_BITS] &=
            ~(UINT64_C(1) << category % WORD_BITS);
}

static void double_steps(tier *t)
{
    for (uint32_t i = 0; i < FS_METRIC_STEPS; i++)
        t->areas[i] = i < FS_METRIC_STEPS / 2 ? t->areas[2 * (size_t)i] + t->areas[2 * (size_t)i + 1] : 0;
    t->step_s *= 2;
}

/* The load has held since since_s. */
static void spread(tier *t, double now_s)
{
    while (now_s > t->step_s * FS_METRIC_STEPS)
        double_steps(t);
    if (t->load == 0)
        return;
    double from_s = t->since_s;
    for (uint32_t i = (uint32_t)(from_s / t->step_s); i < FS_METRIC_STEPS && from_s < now_s; i++) {
        double end_s = (i + 1) * t->step_s;
        end_s = end_s < now_s ? end_s : now_s;
        if (end_s > from_s) {
            t->areas[i] += t->load * (end_s - from_s);
            from_s = end_s;
        }
    }
}

static void settle(tier *t, double now_s)
{
    if (now_s > t->since_s)
        spread(t, now_s);
    if (now_s > t->since_s && t->load > t->peak)
        t->peak = t->load;
    t->since_s = now_s;
}

void fs_metric_load(fs_metric *metric, uint32_t tier_id, double delta_Bps, double now_s)
{
    tier *t = &metric->tiers[tier_id];
    settle(t, now_s);
    t->load += delta_Bps;
}

void fs_metric_finish(fs_metric *metric, double end_s)
{
    for (uint32_t a = 0; a < metric->n_actors; a++)
        count_up_to(metric, a, end_s);
    for (uint32_t t = 0; t < metric->n_tiers; t++)
        settle(&metric->tiers[t], end_s);
}

double fs_metric_seconds(const fs_metric *metric, uint32_t actor, uint32_t category)
{
    return metric->seconds[(size_t)actor * ((size_t)metric->n_categories + 1) + category];
}

double fs_metric_step_s(const fs_metric *metric)
{
    return metric->n_tiers > 0 ? metric->tiers[0].step_s : FIRST_STEP_S; /* finish brought all to one time */
}

double fs_metric_tier_load(const fs_metric *metric, uint32_t tier_id, uint32_t i)
{
    const tier *t = &metric->tiers[tier_id];
    double left_s = t->since_s - i * t->step_s;
    double covered_s = left_s < t->step_s ? left_s : t->step_s;
    return covered_s > 0 && t->areas[i] > 0 ? t->areas[i] / covered_s : 0;
}

double fs_metric_tier_peak(const fs_metric *metric, uint32_t tier_id)
{
    return metric->tiers[tier_id].peak;
}
