/* maxmin_twin.h - the slow twin of sim/engine/fill.c: max-min fair rates from the definition.
 *
 * With coefficients a(t, r), capacities c(r) and the set F of frozen transfers, all others run at one level x.
 * Resource r allows
 *     x <= (c(r) - sum over t in F of a(t, r) * rate(t)) / (sum over t not in F of a(t, r)).
 * Take the resource with the smallest bound, freeze its open transfers at it, repeat until all are frozen. Everything
 * is summed anew in each round: O(transfers^2 * resources), and nothing to get wrong. */
#ifndef FS_MAXMIN_TWIN_H
#define FS_MAXMIN_TWIN_H

#include <math.h>
#include <stdbool.h>
#include <stdint.h>

enum { TWIN_TRANSFERS = 24, TWIN_RESOURCES = 12 };

typedef struct maxmin_twin {
    uint32_t n_transfers, n_resources;
    double coefficient[TWIN_TRANSFERS][TWIN_RESOURCES]; /* 0: does not cross */
    double capacity[TWIN_RESOURCES];
    bool frozen[TWIN_TRANSFERS];
    double rate[TWIN_TRANSFERS]; /* computed by twin_solve */
} maxmin_twin;

/* The highest level that a resource allows the open transfers; INFINITY where none crosses it. */
static inline double twin_bound(const maxmin_twin *w, uint32_t r)
{
    double used = 0, weight = 0;
    for (uint32_t t = 0; t < w->n_transfers; t++) {
        if (w->frozen[t])
            used += w->coefficient[t][r] * w->rate[t];
        else
            weight += w->coefficient[t][r];
    }
    return weight > 0 ? fmax(0, w->capacity[r] - used) / weight : (double)INFINITY;
}

static inline void twin_solve(maxmin_twin *w)
{
    for (uint32_t t = 0; t < w->n_transfers; t++)
        w->frozen[t] = false;
    for (;;) {
        uint32_t narrowest = 0;
        double level = (double)INFINITY;
        for (uint32_t r = 0; r < w->n_resources; r++) {
            double bound = twin_bound(w, r);
            if (bound < level) {
                level = bound;
                narrowest = r;
            }
        }
        if (isinf(level))
            return;
        for (uint32_t t = 0; t < w->n_transfers; t++)
            if (!w->frozen[t] && w->coefficient[t][narrowest] > 0) {
                w->frozen[t] = true;
                w->rate[t] = level;
            }
    }
}

#endif
