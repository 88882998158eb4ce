/* experts.c - see experts.h. O(copies x experts + experts x gpus). */
#include "serve/experts.h"

#include "base/mem.h"

#include <math.h>
#include <stdlib.h>

/* E of the greatest of n: integral of 1 - P^n - (1 - P)^n over x > 0, P the distribution; Simpson's rule. */
static double expected_greatest(uint32_t n)
{
    enum { STEPS = 800 };
    const double far = 8, step = far / STEPS;
    double sum = 0;
    for (uint32_t i = 0; i <= STEPS; i++) {
        double above = 0.5 * erfc(i * step / sqrt(2.0));
        double here = -expm1(n * log1p(-above)) - pow(above, n);
        sum += here * (i == 0 || i == STEPS ? 1 : i % 2 ? 4 : 2);
    }
    return sum * step / 3;
}

static void deal_out(const fs_moe *moe, fs_expert_spread *s)
{
    for (uint32_t e = 0; e < moe->experts; e++)
        s->load[e % s->gpus] += moe->popularity[e];
}

static int by_weight(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x < y) - (x > y);
}

/* Tokens of each copy of each expert: (experts + copies). Each further copy is of the one whose copies have most. */
static fs_status weigh(const fs_moe *moe, uint32_t copies, double *weights, fs_err *err)
{
    uint32_t *times = fs_zalloc(moe->experts, sizeof *times), n = 0;
    if (!times)
        return fs_fail_nomem(err);
    for (uint32_t c = 0; c < copies; c++) {
        uint32_t most = 0;
        for (uint32_t e = 1; e < moe->experts; e++)
            if (moe->popularity[e] / (times[e] + 1) > moe->popularity[most] / (times[most] + 1))
                most = e;
        times[most]++;
    }
    for (uint32_t e = 0; e < moe->experts; e++)
        for (uint32_t i = 0; i <= times[e]; i++)
            weights[n++] = moe->popularity[e] / (times[e] + 1);
    qsort(weights, n, sizeof *weights, by_weight);
    fs_free(times);
    return FS_OK;
}

static fs_status balance(const fs_moe *moe, uint32_t copies, fs_expert_spread *s, fs_err *err)
{
    uint32_t n = moe->experts + copies, room = n / s->gpus;
    double *weights = fs_zalloc(n, sizeof *weights);
    uint32_t *full = fs_zalloc(s->gpus, sizeof *full);
    fs_status status = weights && full ? weigh(moe, copies, weights, err) : fs_fail_nomem(err);
    for (uint32_t i = 0; i < n && status == FS_OK; i++) {
        uint32_t least = FS_NONE;
        for (uint32_t g = 0; g < s->gpus; g++)
            if (full[g] < room && (least == FS_NONE || s->load[g] < s->load[least]))
                least = g;
        s->load[least] += weights[i];
        full[least]++;
    }
    fs_free(weights);
    fs_free(full);
    return status;
}

fs_status fs_experts_spread(const fs_moe *moe, uint32_t gpus, uint32_t copies, fs_expert_spread *spread, fs_err *err)
{
    fs_expert_spread s = {.gpus = gpus, .busiest = 1.0 / gpus, .excess = expected_greatest(gpus)};
    fs_status status = FS_OK;
    if (moe->popularity && gpus > 1) {
        s.busiest = 0;
        s.load = fs_zalloc(gpus, sizeof *s.load);
        if (!s.load)
            return fs_fail_nomem(err);
        if (copies > 0)
            status = balance(moe, copies, &s, err);
        else
            deal_out(moe, &s);
        for (uint32_t g = 0; g < gpus; g++)
            s.busiest = fmax(s.busiest, s.load[g]);
    }
    if (status == FS_OK)
        *spread = s;
    else
        fs_experts_free(&s);
    return status;
}

void fs_experts_free(fs_expert_spread *spread)
{
    fs_free(spread->load);
    *spread = (fs_expert_spread){0};
}

double fs_experts_busiest(const fs_expert_spread *spread, double routed)
{
    double mean = routed * spread->busiest;
    return spread->load ? mean : mean + spread->excess * sqrt(mean * (1 - spread->busiest));
}
