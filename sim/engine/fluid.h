/* fluid.h - fabsim's model of sharing: transfers as fluids, resources as pipes.
 *
 * Rates are max-min fair with coefficients: the largest common level at which every transfer runs, except those that
 * a saturated resource has frozen at a lower one,
 *     sum over transfers of coefficient(t, r) * rate(t) <= capacity(r)    for every resource r.
 *
 * Time moves only by fs_fluid_deliver. A round is: fs_fluid_settle (rates, when anything changed), fs_fluid_next (when
 * does the next thing happen), fs_fluid_deliver (let it happen). fluid.c keeps slots and events, fill.c solves for the
 * rates. */
#ifndef FS_FLUID_H
#define FS_FLUID_H

#include "engine/engine.h"

typedef struct fs_fluid fs_fluid;

/* Where transfers move whose bytes another network model carries (cm02, ns3). NULL carry: nowhere, all are fluid. */
typedef struct fs_carrier {
    void *context;
    /* Move `amount` along `pattern`; the carrier calls fs_fluid_landed(slot) when they are there. */
    fs_status (*carry)(void *context, uint32_t slot, uint32_t pattern, double amount, fs_err *err);
    /* Whether `carry` takes this pattern; FS_E_SIM where it has to and cannot. */
    fs_status (*takes)(void *context, uint32_t pattern, int *yes, fs_err *err);
} fs_carrier;

FS_MUST_CHECK fs_status fs_fluid_new(const fs_engine_def *def, const fs_carrier *carrier, fs_fluid **fluid,
                                     fs_err *err);
void fs_fluid_free(fs_fluid *fluid);

FS_MUST_CHECK fs_status fs_fluid_transfer(fs_fluid *fluid, uint32_t pattern, double amount, double latency_s,
                                          uint64_t tag, fs_err *err);
FS_MUST_CHECK fs_status fs_fluid_timer(fs_fluid *fluid, double delay_s, uint64_t tag, fs_err *err);
void fs_fluid_set_capacity(fs_fluid *fluid, uint32_t resource, double capacity);
/* As fs_engine_repattern, for transfers that are not carried. */
FS_MUST_CHECK fs_status fs_fluid_repattern(fs_fluid *fluid,
                                           uint32_t (*pattern_of)(void *context, uint64_t tag, uint32_t pattern),
                                           void *context, fs_err *err);

/* Solve what has changed since the last call; tell calls->load. Never allocates, never fails. */
void fs_fluid_settle(fs_fluid *fluid, const fs_engine_calls *calls);
/* Time of the next event, INFINITY where there is none. Rates must be settled. */
double fs_fluid_next(const fs_fluid *fluid);
/* The time is now_s >= the last one, and <= fs_fluid_next(): deliver all events up to now_s and to within rounding of
 * it, those too that they start. */
FS_MUST_CHECK fs_status fs_fluid_deliver(fs_fluid *fluid, double now_s, const fs_engine_calls *calls, fs_err *err);
/* The carrier has moved the bytes of a slot. */
FS_MUST_CHECK fs_status fs_fluid_landed(fs_fluid *fluid, uint32_t slot, const fs_engine_calls *calls, fs_err *err);
/* What the carrier says about the load of a resource: for the peak and calls->load. Optional. */
void fs_fluid_observe(fs_fluid *fluid, uint32_t resource, double load, const fs_engine_calls *calls);
/* Nothing is left to happen: FS_E_SIM if transfers still wait for capacity. */
FS_MUST_CHECK fs_status fs_fluid_at_rest(const fs_fluid *fluid, fs_err *err);

double fs_fluid_now(const fs_fluid *fluid);
/* Rate of one edge of the moving transfer with this tag, B/s; 0 where none moves. For tests: O(slots). */
double fs_fluid_rate(const fs_fluid *fluid, uint64_t tag);
double fs_fluid_load(const fs_fluid *fluid, uint32_t resource);
fs_resource_use fs_fluid_use(const fs_fluid *fluid, uint32_t resource);
fs_engine_counters fs_fluid_count(const fs_fluid *fluid);

#endif
