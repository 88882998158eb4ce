/* prop_cm02.c - random systems: the fluid model and SimGrid's own flows (CM02) give the same times.
 *
 * They share the clock and the latencies, nothing else: CM02 has its own solver, its own heap and its own progress. */
#include "base/rng.h"
#include "engine/engine.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

enum { CASES = 400, RESOURCES = 10, PATTERNS = 8, TRANSFERS = 40, TIMER_TAG = 1000 };
static const double TOLERANCE = 1e-6;

typedef struct trial {
    fs_pattern_table *patterns;
    uint32_t n_resources, n_transfers;
    double capacity[RESOURCES];
    uint32_t parent[TRANSFERS]; /* starts when that one ends; FS_NONE: at once */
    uint32_t pattern_of[TRANSFERS];
    double amount[TRANSFERS];
    double latency_s[TRANSFERS];
    double change_s, change_to; /* capacity of resource 0 */
    fs_engine *engine;
    double end_s[TRANSFERS];
} trial;

static fs_status start_children(trial *w, uint32_t parent, fs_err *err)
{
    fs_status status = FS_OK;
    for (uint32_t t = 0; t < w->n_transfers && status == FS_OK; t++)
        if (w->parent[t] == parent)
            status = fs_engine_transfer(w->engine, w->pattern_of[t], w->amount[t], w->latency_s[t], t, err);
    return status;
}

static fs_status on_done(void *context, uint64_t tag, double now_s, fs_err *err)
{
    trial *w = context;
    if (tag == TIMER_TAG) {
        fs_engine_set_capacity(w->engine, 0, w->change_to);
        return FS_OK;
    }
    w->end_s[tag] = now_s;
    return start_children(w, (uint32_t)tag, err);
}

static void make_trial(trial *w, uint64_t seed)
{
    fs_err err;
    fs_rng rng = fs_rng_seed(seed);
    const double usual[] = {1, 1, 1, 1, 2, 0.5, 1.0 / 3, 1.25};
    *w = (trial){.patterns = fs_pattern_table_new()};
    w->n_resources = 1 + fs_rng_below(&rng, RESOURCES);
    w->n_transfers = 1 + fs_rng_below(&rng, TRANSFERS);
    int with_latency = (int)fs_rng_below(&rng, 2), whole = (int)fs_rng_below(&rng, 2);
    for (uint32_t i = 0; i < w->n_resources; i++)
        w->capacity[i] = 1e9 * (fs_rng_below(&rng, 2) ? 25 : 10 + 90 * fs_rng_unit(&rng));
    for (uint32_t i = 0; i < PATTERNS; i++) {
        fs_share row[4];
        uint32_t id, count = 1 + fs_rng_below(&rng, 4);
        for (uint32_t j = 0; j < count; j++)
            row[j] = (fs_share){.resource = fs_rng_below(&rng, w->n_resources),
                                .coefficient = usual[fs_rng_below(&rng, whole ? 4 : 8)]};
        assert_int_equal(fs_pattern_add(w->patterns, row, count, &id, &err), FS_OK);
    }
    for (uint32_t t = 0; t < w->n_transfers; t++) {
        uint32_t parent = fs_rng_below(&rng, t + 4);
        w->parent[t] = parent < t ? parent : FS_NONE;
        w->pattern_of[t] = fs_rng_below(&rng, fs_pattern_count(w->patterns));
        w->amount[t] =
            fs_rng_below(&rng, 2) ? 1e6 * (1 + (double)fs_rng_below(&rng, 64)) : 1e6 + 1e9 * fs_rng_unit(&rng);
        w->latency_s[t] = with_latency ? 1e-5 * fs_rng_unit(&rng) : 0;
    }
    w->change_s = 0.1 * fs_rng_unit(&rng);
    w->change_to = w->capacity[0] * (0.5 + fs_rng_unit(&rng));
}

/* The uses of all resources, and end_s. */
static void run_with(trial *w, fs_backend backend, uint64_t seed, fs_resource_use *uses)
{
    fs_err err = {0};
    fs_engine_def def = {.backend = backend,
                         .n_resources = w->n_resources,
                         .n_links = w->n_resources,
                         .capacity = w->capacity,
                         .patterns = w->patterns};
    const fs_engine_calls calls = {.context = w, .done = on_done};
    fs_status status = fs_engine_new(&def, &w->engine, &err);
    if (status == FS_OK)
        status = fs_engine_timer(w->engine, w->change_s, TIMER_TAG, &err);
    if (status == FS_OK)
        status = start_children(w, FS_NONE, &err);
    if (status == FS_OK)
        status = fs_engine_run(w->engine, &calls, &err);
    if (status != FS_OK)
        fail_msg("seed %llu, %s: %s", (unsigned long long)seed, fs_backend_name(backend), err.text);
    for (uint32_t r = 0; r < w->n_resources; r++)
        uses[r] = fs_engine_use(w->engine, r);
    fs_engine_free(w->engine);
}

static void compare(uint64_t seed, const char *what, uint32_t of, double fabric, double cm02)
{
    if (fabs(fabric - cm02) > TOLERANCE * fabric)
        fail_msg("seed %llu, %s of %u: fabric says %.12g, cm02 says %.12g", (unsigned long long)seed, what, of, fabric,
                 cm02);
}

static void fabric_equals_cm02(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= CASES; seed++) {
        static trial fabric, cm02;
        fs_resource_use fabric_use[RESOURCES], cm02_use[RESOURCES];
        make_trial(&fabric, seed);
        cm02 = fabric;
        run_with(&fabric, FS_BACKEND_FABRIC, seed, fabric_use);
        run_with(&cm02, FS_BACKEND_CM02, seed, cm02_use);
        for (uint32_t t = 0; t < fabric.n_transfers; t++)
            compare(seed, "end", t, fabric.end_s[t], cm02.end_s[t]);
        for (uint32_t r = 0; r < fabric.n_resources; r++) {
            compare(seed, "bytes", r, fabric_use[r].amount, cm02_use[r].amount);
            compare(seed, "peak", r, fabric_use[r].peak, cm02_use[r].peak);
            compare(seed, "busy time", r, fabric_use[r].busy_s, cm02_use[r].busy_s);
        }
        fs_pattern_table_free(fabric.patterns);
    }
}

static void run_expecting(fs_pattern_table *patterns, uint32_t count, const double *capacity, const char *text)
{
    fs_err err = {0};
    fs_engine *engine = NULL;
    fs_engine_def def = {
        .backend = FS_BACKEND_CM02, .n_resources = count, .n_links = count, .capacity = capacity, .patterns = patterns};
    assert_int_equal(fs_engine_new(&def, &engine, &err), FS_E_SIM);
    assert_string_equal(err.text, text);
    assert_null(engine);
}

static void what_flows_cannot_carry_is_refused(void **state)
{
    (void)state;
    fs_err err;
    uint32_t id;
    const double capacity[] = {1, 1};
    fs_pattern_table *patterns = fs_pattern_table_new();
    assert_int_equal(fs_pattern_add(patterns, &(fs_share){1, 0.5}, 1, &id, &err), FS_OK);
    trial w = {.patterns = patterns};
    fs_engine_def def = {
        .backend = FS_BACKEND_CM02, .n_resources = 2, .n_links = 2, .capacity = capacity, .patterns = patterns};
    const fs_engine_calls calls = {.context = &w, .done = on_done};
    assert_int_equal(fs_engine_new(&def, &w.engine, &err), FS_OK);
    uint32_t late, long_one;
    assert_int_equal(fs_pattern_add(patterns, &(fs_share){0, 0.125}, 1, &late, &err), FS_OK);
    assert_int_equal(fs_pattern_add(patterns, &(fs_share){0, 1e6}, 1, &long_one, &err), FS_OK);
    assert_int_equal(fs_engine_transfer(w.engine, late, 1, 0, 0, &err), FS_OK);
    assert_int_equal(fs_engine_run(w.engine, &calls, &err), FS_E_SIM);
    assert_string_equal(err.text,
                        "the network backend cm02 was made for coefficients in units of 1/2, but pattern 1 loads "
                        "resource 0 with 0.125");
    fs_engine_free(w.engine);
    assert_int_equal(fs_engine_new(&def, &w.engine, &err), FS_OK);
    assert_int_equal(fs_engine_transfer(w.engine, long_one, 1, 0, 0, &err), FS_OK);
    assert_int_equal(fs_engine_run(w.engine, &calls, &err), FS_E_SIM);
    assert_string_equal(err.text,
                        "the network backend cm02 would need 8000000 route entries for pattern 2, at most 1000000");
    fs_engine_free(w.engine);
    assert_int_equal(fs_pattern_add(patterns, &(fs_share){0, 0.70710678118654752}, 1, &late, &err), FS_OK);
    run_expecting(
        patterns, 2, capacity,
        "the network backend cm02 needs coefficients with a common denominator of at most 5040, but pattern 3 loads "
        "resource 0 with 0.70710678118654757");
    fs_pattern_table_free(patterns);
}

static void no_capacity_is_standing_still(void **state)
{
    (void)state;
    fs_err err;
    uint32_t id;
    const double capacity[] = {10};
    fs_pattern_table *patterns = fs_pattern_table_new();
    assert_int_equal(fs_pattern_add(patterns, &(fs_share){0, 1}, 1, &id, &err), FS_OK);
    trial w = {.patterns = patterns, .change_to = 0};
    fs_engine_def def = {
        .backend = FS_BACKEND_CM02, .n_resources = 1, .n_links = 1, .capacity = capacity, .patterns = patterns};
    const fs_engine_calls calls = {.context = &w, .done = on_done};
    for (int round = 0; round < 2; round++) {
        assert_int_equal(fs_engine_new(&def, &w.engine, &err), FS_OK);
        assert_int_equal(fs_engine_transfer(w.engine, id, 100, 0, 0, &err), FS_OK);
        assert_int_equal(fs_engine_timer(w.engine, 4, TIMER_TAG, &err), FS_OK);
        assert_int_equal(fs_engine_run(w.engine, &calls, &err), FS_E_SIM);
        assert_string_equal(err.text,
                            "standing still at 4 s: 1 of the transfers cannot move; the first needs resource 0, which "
                            "has no capacity");
        fs_engine_free(w.engine);
    }
    fs_pattern_table_free(patterns);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fabric_equals_cm02),
        cmocka_unit_test(what_flows_cannot_carry_is_refused),
        cmocka_unit_test(no_capacity_is_standing_still),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
