/* prop_fluid.c - random systems: after every event the rates of the incremental model equal those of the slow twin and
 * are max-min fair by certificate, no resource is above its capacity, and the bytes add up. */
#include "base/rng.h"
#include "engine/fluid.h"
#include "maxmin_twin.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

enum { CASES = 4000, PATTERNS = 8, TRANSFERS = TWIN_TRANSFERS, CHANGES = 4, TIMER_TAG = 1000 };
static const double TOLERANCE = 1e-12;

typedef enum phase { NOT_STARTED, STARTED, ENDED } phase;

typedef struct trial {
    fs_rng rng;
    uint64_t seed;
    uint32_t n_resources, n_transfers, n_patterns, n_started;
    fs_pattern_table *patterns;
    fs_fluid *fluid;
    double capacity[TWIN_RESOURCES];
    uint32_t pattern_of[TRANSFERS];
    double amount[TRANSFERS];
    double latency_s[TRANSFERS];
    double started_s[TRANSFERS];
    phase phase[TRANSFERS];
    uint32_t changed[CHANGES];
    double changed_to[CHANGES];
} trial;

static double random_coefficient(fs_rng *rng)
{
    static const double usual[] = {1, 1, 1, 2, 0.5, 1.0 / 3, 0.25, 1.75};
    uint32_t pick = fs_rng_below(rng, 10);
    return pick < 8 ? usual[pick] : 0.1 + 3 * fs_rng_unit(rng);
}

static fs_status start_next(trial *w, fs_err *err)
{
    if (w->n_started == w->n_transfers)
        return FS_OK;
    uint32_t t = w->n_started++;
    w->phase[t] = STARTED;
    w->started_s[t] = fs_fluid_now(w->fluid);
    return fs_fluid_transfer(w->fluid, w->pattern_of[t], w->amount[t], w->latency_s[t], t, err);
}

static fs_status on_done(void *context, uint64_t tag, double now_s, fs_err *err)
{
    trial *w = context;
    if (tag >= TIMER_TAG) {
        uint64_t change = tag - TIMER_TAG;
        w->capacity[w->changed[change]] = w->changed_to[change];
        fs_fluid_set_capacity(w->fluid, w->changed[change], w->changed_to[change]);
        return FS_OK;
    }
    assert_int_equal(w->phase[tag], STARTED);
    assert_true(now_s >= w->started_s[tag] + w->latency_s[tag]);
    w->phase[tag] = ENDED;
    fs_status status = start_next(w, err);
    if (status == FS_OK && fs_rng_below(&w->rng, 3) == 0)
        status = start_next(w, err);
    return status;
}

static void make_trial(trial *w, uint64_t seed)
{
    fs_err err;
    *w = (trial){.rng = fs_rng_seed(seed), .seed = seed};
    fs_rng *rng = &w->rng;
    w->n_resources = 1 + fs_rng_below(rng, TWIN_RESOURCES);
    w->n_patterns = 1 + fs_rng_below(rng, PATTERNS);
    w->n_transfers = 1 + fs_rng_below(rng, TRANSFERS);
    w->patterns = fs_pattern_table_new();
    for (uint32_t i = 0; i < w->n_resources; i++)
        w->capacity[i] = fs_rng_below(rng, 2) ? 10 : 1 + 99 * fs_rng_unit(rng);
    for (uint32_t i = 0; i < w->n_patterns; i++) {
        fs_share row[4];
        uint32_t id, count = fs_rng_below(rng, 5);
        for (uint32_t j = 0; j < count; j++)
            row[j] = (fs_share){.resource = fs_rng_below(rng, w->n_resources), .coefficient = random_coefficient(rng)};
        assert_int_equal(fs_pattern_add(w->patterns, row, count, &id, &err), FS_OK);
    }
    for (uint32_t t = 0; t < w->n_transfers; t++) {
        w->pattern_of[t] = fs_rng_below(rng, fs_pattern_count(w->patterns));
        w->amount[t] = fs_rng_below(rng, 3) ? 1 + (double)fs_rng_below(rng, 4) : 100 * fs_rng_unit(rng);
        w->latency_s[t] = fs_rng_below(rng, 2) ? 0 : fs_rng_unit(rng);
    }
    fs_engine_def def = {
        .n_resources = w->n_resources, .n_links = w->n_resources, .capacity = w->capacity, .patterns = w->patterns};
    assert_int_equal(fs_fluid_new(&def, NULL, &w->fluid, &err), FS_OK);
    for (uint32_t i = 0; i < CHANGES; i++) {
        bool heal = i % 2; /* a change may take all capacity away; the next one gives some back */
        w->changed[i] = heal ? w->changed[i - 1] : fs_rng_below(rng, w->n_resources);
        w->changed_to[i] = !heal && fs_rng_below(rng, 2) ? 0 : 1 + 20 * fs_rng_unit(rng);
        assert_int_equal(fs_fluid_timer(w->fluid, 1 + i + fs_rng_unit(rng), TIMER_TAG + i, &err), FS_OK);
    }
    for (uint32_t t = 0; t < 1 + w->n_transfers / 3; t++)
        assert_int_equal(start_next(w, &err), FS_OK);
}

static double coefficient_of(const trial *w, uint32_t t, uint32_t r)
{
    uint32_t count;
    const fs_share *row = fs_pattern_row(w->patterns, w->pattern_of[t], &count);
    for (uint32_t i = 0; i < count; i++)
        if (row[i].resource == r)
            return row[i].coefficient;
    return 0;
}

static bool moves(const trial *w, uint32_t t)
{
    uint32_t count;
    fs_pattern_row(w->patterns, w->pattern_of[t], &count);
    return w->phase[t] == STARTED && w->amount[t] > 0 && count > 0 &&
           w->started_s[t] + w->latency_s[t] <= fs_fluid_now(w->fluid);
}

/* Each moving transfer crosses a full resource on which none is faster: that is max-min fairness. */
static void check_certificate(const trial *w, const maxmin_twin *twin, const uint32_t *tags)
{
    for (uint32_t t = 0; t < twin->n_transfers; t++) {
        bool held = false;
        for (uint32_t r = 0; r < w->n_resources && !held; r++) {
            double load = 0, fastest = 0;
            for (uint32_t u = 0; u < twin->n_transfers; u++) {
                load += twin->coefficient[u][r] * twin->rate[u];
                if (twin->coefficient[u][r] > 0)
                    fastest = fmax(fastest, twin->rate[u]);
            }
            held = twin->coefficient[t][r] > 0 && load >= w->capacity[r] * (1 - 1e-9) &&
                   twin->rate[t] >= fastest * (1 - 1e-9);
        }
        if (!held)
            fail_msg("seed %llu: nothing holds transfer %u back", (unsigned long long)w->seed, tags[t]);
    }
}

static void check_rates(const trial *w)
{
    static maxmin_twin twin;
    uint32_t tags[TRANSFERS];
    twin.n_transfers = 0;
    twin.n_resources = w->n_resources;
    memcpy(twin.capacity, w->capacity, sizeof twin.capacity);
    for (uint32_t t = 0; t < w->n_started; t++)
        if (moves(w, t)) {
            for (uint32_t r = 0; r < w->n_resources; r++)
                twin.coefficient[twin.n_transfers][r] = coefficient_of(w, t, r);
            tags[twin.n_transfers++] = t;
        }
    twin_solve(&twin);
    check_certificate(w, &twin, tags);
    for (uint32_t i = 0; i < twin.n_transfers; i++) {
        double found = fs_fluid_rate(w->fluid, tags[i]);
        if (fabs(found - twin.rate[i]) > TOLERANCE * twin.rate[i])
            fail_msg("seed %llu at %.17g s: transfer %u runs at %.17g, the slow twin says %.17g",
                     (unsigned long long)w->seed, fs_fluid_now(w->fluid), tags[i], found, twin.rate[i]);
    }
    for (uint32_t r = 0; r < w->n_resources; r++) {
        double load = 0;
        for (uint32_t i = 0; i < twin.n_transfers; i++)
            load += twin.coefficient[i][r] * twin.rate[i];
        double found = fs_fluid_load(w->fluid, r);
        if (found > w->capacity[r] || fabs(found - load) > TOLERANCE * load)
            fail_msg("seed %llu: load %.17g of resource %u with capacity %.17g, the slow twin says %.17g",
                     (unsigned long long)w->seed, found, r, w->capacity[r], load);
    }
}

static void check_bytes(const trial *w)
{
    for (uint32_t r = 0; r < w->n_resources; r++) {
        double expected = 0;
        for (uint32_t t = 0; t < w->n_transfers; t++)
            expected += coefficient_of(w, t, r) * w->amount[t];
        fs_resource_use use = fs_fluid_use(w->fluid, r);
        if (fabs(use.amount - expected) > TOLERANCE * expected)
            fail_msg("seed %llu: %.17g bytes crossed resource %u, expected %.17g", (unsigned long long)w->seed,
                     use.amount, r, expected);
        assert_true(use.busy_s <= fs_fluid_now(w->fluid) * (1 + TOLERANCE));
    }
}

static void run_trial(uint64_t seed)
{
    static trial w;
    fs_err err = {0};
    make_trial(&w, seed);
    const fs_engine_calls calls = {.context = &w, .done = on_done};
    uint32_t rounds = 0;
    for (;;) {
        fs_fluid_settle(w.fluid, &calls);
        double next_s = fs_fluid_next(w.fluid);
        if (next_s > fs_fluid_now(w.fluid)) /* else something that costs no latency starts now */
            check_rates(&w);
        if (isinf(next_s))
            break;
        assert_true(next_s >= fs_fluid_now(w.fluid));
        assert_true(rounds++ < 1000);
        if (fs_fluid_deliver(w.fluid, next_s, &calls, &err) != FS_OK)
            fail_msg("seed %llu: %s", (unsigned long long)seed, err.text);
    }
    assert_int_equal(fs_fluid_at_rest(w.fluid, &err), FS_OK);
    for (uint32_t t = 0; t < w.n_transfers; t++)
        assert_int_equal(w.phase[t], ENDED);
    check_bytes(&w);
    fs_fluid_free(w.fluid);
    fs_pattern_table_free(w.patterns);
}

static void fluid_equals_the_slow_twin(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= CASES; seed++)
        run_trial(seed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(fluid_equals_the_slow_twin)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
