/* summary.c - see summary.h. */
#include "base/summary.h"

#include "base/mem.h"

#include <math.h>

#define LOWEST 1e-9 /* middle of the lowest bin */
#define RATIO 1.001
enum { BINS = 41468 }; /* log(1e18) / log(RATIO) */

struct fs_samples {
    double count, sum, least, greatest;
    double bins[BINS];
};

fs_samples *fs_samples_new(void)
{
    return fs_zalloc(1, sizeof(fs_samples));
}

void fs_samples_free(fs_samples *samples)
{
    fs_free(samples);
}

void fs_samples_add(fs_samples *s, double value, double weight)
{
    double at = value > LOWEST ? log(value / LOWEST) / log(RATIO) + 0.5 : 0;
    if (!(weight > 0))
        return;
    s->bins[at < BINS - 1 ? (uint32_t)at : BINS - 1] += weight;
    if (s->count == 0 || value < s->least)
        s->least = value;
    if (value > s->greatest)
        s->greatest = value;
    s->count += weight;
    s->sum += weight * value;
}

/* Where a search for percentiles stands: below the bin are this many. */
typedef struct cursor {
    double below;
    uint32_t bin;
} cursor;

/* The first bin up to which there is at least this part of all; no further than the samples go. Parts must not fall. */
static double percentile(const fs_samples *s, cursor *at, double part)
{
    while (at->bin < BINS - 1 && at->below + s->bins[at->bin] < part * s->count)
        at->below += s->bins[at->bin++];
    double value = at->bin == 0 ? 0 : LOWEST * pow(RATIO, at->bin);
    return value < s->least ? s->least : value > s->greatest ? s->greatest : value;
}

static double one_percentile(const fs_samples *s, double part)
{
    return percentile(s, &(cursor){0}, part);
}

fs_summary fs_samples_summary(const fs_samples *s)
{
    if (!(s->count > 0))
        return (fs_summary){0};
    fs_summary made = {.count = s->count,
                       .mean = s->sum / s->count,
                       .p50 = one_percentile(s, 0.5),
                       .p90 = one_percentile(s, 0.9),
                       .p99 = one_percentile(s, 0.99),
                       .least = s->least,
                       .greatest = s->greatest};
    cursor at = {0};
    made.quantiles[0] = s->least;
    for (int i = 1; i < FS_QUANTILES - 1; i++)
        made.quantiles[i] = percentile(s, &at, i / (FS_QUANTILES - 1.0));
    made.quantiles[FS_QUANTILES - 1] = s->greatest;
    return made;
}
