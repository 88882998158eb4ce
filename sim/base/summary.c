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

/* The first bin up to which there is at least this part of all; no further than the samples go. */
static double percentile(const fs_samples *s, double part)
{
    double below = 0;
    uint32_t bin = 0;
    while (bin < BINS - 1 && below + s->bins[bin] < part * s->count)
        below += s->bins[bin++];
    double value = bin == 0 ? 0 : LOWEST * pow(RATIO, bin);
    return value < s->least ? s->least : value > s->greatest ? s->greatest : value;
}

fs_summary fs_samples_summary(const fs_samples *s)
{
    if (!(s->count > 0))
        return (fs_summary){0};
    return (fs_summary){.count = s->count,
                        .mean = s->sum / s->count,
                        .p50 = percentile(s, 0.5),
                        .p90 = percentile(s, 0.9),
                        .p99 = percentile(s, 0.99),
                        .least = s->least,
                        .greatest = s->greatest};
}
