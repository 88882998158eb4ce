/* prop_fill.c - rates follow changes exactly in systems of the shapes that fabrics have: hashed flows on fat trees, rings
 * over thousands of links, many transfers through few large resources; with capacities that change and vanish, and
 * transfers that are led another way. After every event all rates and loads equal those of naive progressive filling, and
 * in the end the bytes are what those rates carried. */
#include "base/mem.h"
#include "base/rng.h"
#include "engine/fluid.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

enum { TRANSFERS_MAX = 512, RESOURCES_MAX = 8192, CHANGES = 24, RESTARTS = 40, TIMER_TAG = 1000000 };
static const double TOLERANCE = 1e-12;

typedef struct system {
    fs_rng rng;
    uint64_t seed;
    fs_pattern_table *patterns;
    fs_fluid *fluid;
    uint32_t n_resources, n_transfers, n_restarts;
    double capacity[RESOURCES_MAX], usual[RESOURCES_MAX];
    uint32_t pattern[TRANSFERS_MAX];
    double started_s[TRANSFERS_MAX], latency_s[TRANSFERS_MAX];
    bool moving[TRANSFERS_MAX];
    double bytes[RESOURCES_MAX]; /* that must have crossed: the integral of the twin's rates */
    double rate[TRANSFERS_MAX];  /* the twin's */
    bool frozen[TRANSFERS_MAX];
} system_;

static system_ w; /* too large for the stack */

static const fs_share *row_of(uint32_t t, uint32_t *count)
{
    return fs_pattern_row(w.patterns, w.pattern[t], count);
}

/* ---- the slow twin: progressive filling by the definition, everything summed anew in each round ---- */

static bool counts(uint32_t t)
{
    return w.moving[t] && w.started_s[t] + w.latency_s[t] <= fs_fluid_now(w.fluid);
}

static void solve_slowly(void)
{
    static double used[RESOURCES_MAX], weight[RESOURCES_MAX];
    for (uint32_t t = 0; t < w.n_transfers; t++)
        w.frozen[t] = !counts(t);
    for (;;) {
        double level = INFINITY;
        uint32_t narrowest = 0, count;
        for (uint32_t r = 0; r < w.n_resources; r++)
            used[r] = weight[r] = 0;
        for (uint32_t t = 0; t < w.n_transfers; t++) {
            const fs_share *row = row_of(t, &count);
            for (uint32_t i = 0; i < count && counts(t); i++)
                *(w.frozen[t] ? &used[row[i].resource] : &weight[row[i].resource]) +=
                    row[i].coefficient * (w.frozen[t] ? w.rate[t] : 1);
        }
        for (uint32_t r = 0; r < w.n_resources; r++)
            if (weight[r] > 0 && fmax(0, w.capacity[r] - used[r]) / weight[r] < level) {
                level = fmax(0, w.capacity[r] - used[r]) / weight[r];
                narrowest = r;
            }
        if (isinf(level))
            return;
        for (uint32_t t = 0; t < w.n_transfers; t++) {
            const fs_share *row = row_of(t, &count);
            for (uint32_t i = 0; i < count && !w.frozen[t]; i++)
                if (row[i].resource == narrowest) {
                    w.frozen[t] = true;
                    w.rate[t] = level;
                }
        }
    }
}

static void check_rates(void)
{
    static double load[RESOURCES_MAX];
    solve_slowly();
    for (uint32_t r = 0; r < w.n_resources; r++)
        load[r] = 0;
    for (uint32_t t = 0; t < w.n_transfers; t++) {
        if (!counts(t))
            continue;
        double found = fs_fluid_rate(w.fluid, t);
        if (fabs(found - w.rate[t]) > TOLERANCE * w.rate[t])
            fail_msg("seed %llu at %.17g s: transfer %u runs at %.17g, the slow twin says %.17g",
                     (unsigned long long)w.seed, fs_fluid_now(w.fluid), t, found, w.rate[t]);
        uint32_t count;
        const fs_share *row = row_of(t, &count);
        for (uint32_t i = 0; i < count; i++)
            load[row[i].resource] += row[i].coefficient * w.rate[t];
    }
    for (uint32_t r = 0; r < w.n_resources; r++) {
        double found = fs_fluid_load(w.fluid, r);
        if (found > w.capacity[r] || fabs(found - load[r]) > TOLERANCE * load[r])
            fail_msg("seed %llu: load %.17g of resource %u with capacity %.17g, the slow twin says %.17g",
                     (unsigned long long)w.seed, found, r, w.capacity[r], load[r]);
    }
}

/* ---- what happens ---- */

static fs_status start(uint32_t t, fs_err *err)
{
    double amount = fs_rng_below(&w.rng, 2) ? 10 : 1 + 20 * fs_rng_unit(&w.rng);
    w.latency_s[t] = fs_rng_below(&w.rng, 4) ? 0 : fs_rng_unit(&w.rng);
    w.started_s[t] = fs_fluid_now(w.fluid);
    w.moving[t] = true;
    return fs_fluid_transfer(w.fluid, w.pattern[t], amount, w.latency_s[t], t, err);
}

static void change(uint32_t r, double capacity)
{
    w.capacity[r] = capacity;
    fs_fluid_set_capacity(w.fluid, r, capacity);
}

/* One in four takes the pattern of somebody else. */
static uint32_t another_pattern(void *context, uint64_t tag, uint32_t pattern)
{
    (void)context;
    assert_int_equal(pattern, w.pattern[tag]);
    if (fs_rng_below(&w.rng, 4) == 0)
        w.pattern[tag] = w.pattern[fs_rng_below(&w.rng, w.n_transfers)];
    return w.pattern[tag];
}

static fs_status on_done(void *context, uint64_t tag, double now_s, fs_err *err)
{
    (void)context;
    (void)now_s;
    if (tag >= TIMER_TAG) { /* odd ones heal all, so that nothing stands still for good */
        for (uint32_t i = 0; i < 1 + w.n_resources / 8 && tag % 2 == 0; i++) {
            uint32_t r = fs_rng_below(&w.rng, w.n_resources);
            change(r, fs_rng_below(&w.rng, 4) ? w.usual[r] * 2 * fs_rng_unit(&w.rng) : 0);
        }
        for (uint32_t r = 0; r < w.n_resources && tag % 2; r++)
            change(r, w.usual[r]);
        return tag % 3 ? FS_OK : fs_fluid_repattern(w.fluid, another_pattern, NULL, err);
    }
    assert_true(w.moving[tag]);
    w.moving[tag] = false;
    for (int i = 0; i < 2 && w.n_restarts < RESTARTS; i++) {
        uint32_t t = fs_rng_below(&w.rng, w.n_transfers);
        if (w.moving[t])
            continue;
        w.n_restarts++;
        fs_status status = start(t, err);
        if (status != FS_OK)
            return status;
    }
    return FS_OK;
}

static void carry(double duration_s)
{
    for (uint32_t t = 0; t < w.n_transfers; t++) {
        uint32_t count;
        const fs_share *row = row_of(t, &count);
        for (uint32_t i = 0; i < count && counts(t); i++)
            w.bytes[row[i].resource] += row[i].coefficient * w.rate[t] * duration_s;
    }
}

static void add(const fs_share *row, uint32_t count)
{
    fs_err err;
    assert_true(w.n_transfers < TRANSFERS_MAX);
    assert_int_equal(fs_pattern_add(w.patterns, row, count, &w.pattern[w.n_transfers++], &err), FS_OK);
}

/* `make` sets the capacities and adds the transfers. */
static void run_system(uint64_t seed, void (*make)(fs_rng *rng))
{
    fs_err err = {0};
    w = (system_){.rng = fs_rng_seed(seed), .seed = seed, .patterns = fs_pattern_table_new()};
    make(&w.rng);
    for (uint32_t r = 0; r < w.n_resources; r++)
        w.usual[r] = w.capacity[r];
    fs_engine_def def = {
        .n_resources = w.n_resources, .n_links = w.n_resources, .capacity = w.capacity, .patterns = w.patterns};
    assert_int_equal(fs_fluid_new(&def, NULL, &w.fluid, &err), FS_OK);
    for (uint32_t t = 0; t < w.n_transfers; t++)
        assert_int_equal(start(t, &err), FS_OK);
    for (uint32_t i = 0; i < CHANGES; i++)
        assert_int_equal(fs_fluid_timer(w.fluid, 0.3 * (i + fs_rng_unit(&w.rng)), TIMER_TAG + i, &err), FS_OK);
    const fs_engine_calls calls = {.context = &w, .done = on_done};
    for (;;) {
        fs_fluid_settle(w.fluid, &calls);
        double next_s = fs_fluid_next(w.fluid);
        if (next_s > fs_fluid_now(w.fluid))
            check_rates();
        if (isinf(next_s))
            break;
        if (next_s > fs_fluid_now(w.fluid))
            carry(next_s - fs_fluid_now(w.fluid));
        if (fs_fluid_deliver(w.fluid, next_s, &calls, &err) != FS_OK)
            fail_msg("seed %llu: %s", (unsigned long long)seed, err.text);
    }
    assert_int_equal(fs_fluid_at_rest(w.fluid, &err), FS_OK);
    for (uint32_t r = 0; r < w.n_resources; r++) {
        fs_resource_use use = fs_fluid_use(w.fluid, r);
        if (fabs(use.amount - w.bytes[r]) > 1e-9 * w.bytes[r] + 1e-12 || use.peak > 2 * w.usual[r])
            fail_msg("seed %llu: %.17g bytes crossed resource %u, expected %.17g", (unsigned long long)seed, use.amount,
                     r, w.bytes[r]);
    }
    fs_fluid_free(w.fluid);
    fs_pattern_table_free(w.patterns);
}

/* ---- shapes ---- */

/* A random permutation on a fat tree of full bisection, pods x radix x radix hosts, each flow on hashed paths. */
static void hashed_fat_tree(fs_rng *rng)
{
    uint32_t radix = 2 + fs_rng_below(rng, 3), pod = radix * radix, hosts = pod * (1 + fs_rng_below(rng, 6));
    uint32_t to[TRANSFERS_MAX];
    w.n_resources = 6 * hosts;
    double odd = fs_rng_below(rng, 2);
    for (uint32_t r = 0; r < w.n_resources; r++)
        w.capacity[r] = 10 + odd * fs_rng_unit(rng);
    for (uint32_t i = 0; i < hosts; i++) {
        uint32_t j = fs_rng_below(rng, i + 1);
        to[i] = to[j];
        to[j] = i;
    }
    for (uint32_t i = 0; i < hosts; i++) {
        uint32_t j = to[i], spine = fs_rng_below(rng, radix), core = fs_rng_below(rng, radix);
        fs_share row[6] = {{i, 1},
                           {hosts + j, 1},
                           {2 * hosts + i / radix * radix + spine, 1},
                           {3 * hosts + j / radix * radix + spine, 1},
                           {4 * hosts + i / pod * pod + spine * radix + core, 1},
                           {5 * hosts + j / pod * pod + spine * radix + core, 1}};
        add(row, i / pod != j / pod ? 6 : i / radix != j / radix ? 4 : 2);
    }
}

/* Rings over many links, with coefficients, that meet here and there. */
static void rings(fs_rng *rng)
{
    static fs_share row[4096];
    w.n_resources = 2000 + fs_rng_below(rng, 6000);
    for (uint32_t r = 0; r < w.n_resources; r++)
        w.capacity[r] = 5 + fs_rng_below(rng, 6);
    for (uint32_t n = 4 + fs_rng_below(rng, 12); n > 0; n--) {
        uint32_t count = 500 + fs_rng_below(rng, 1500), first = fs_rng_below(rng, w.n_resources);
        uint32_t stride = 1 + fs_rng_below(rng, 7);
        for (uint32_t i = 0; i < count; i++)
            row[i] = (fs_share){(first + i * stride) % w.n_resources, fs_rng_below(rng, 8) ? 1 : 2};
        add(row, count);
    }
}

/* Everybody has a link of their own and shares of a few large ones, as spread routes over bundles give it. */
static void bundles(fs_rng *rng)
{
    uint32_t n = 20 + fs_rng_below(rng, 100), large = 1 + fs_rng_below(rng, 4);
    w.n_resources = n + large;
    for (uint32_t r = 0; r < w.n_resources; r++)
        w.capacity[r] = r < n ? 1 + 9 * fs_rng_unit(rng) : 2 * n * fs_rng_unit(rng) + 1;
    for (uint32_t i = 0; i < n; i++) {
        fs_share row[3] = {{i, 1}};
        uint32_t count = 1;
        for (uint32_t k = 0; k < 2; k++)
            row[count++] = (fs_share){n + fs_rng_below(rng, large), 1.0 / (1 + fs_rng_below(rng, 3))};
        add(row, count);
    }
}

static void flows_on_fat_trees(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 200; seed++)
        run_system(seed, hashed_fat_tree);
}

static void rings_over_thousands_of_links(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 20; seed++)
        run_system(seed, rings);
}

static void many_transfers_through_few_bundles(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 200; seed++)
        run_system(seed, bundles);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(flows_on_fat_trees),
        cmocka_unit_test(rings_over_thousands_of_links),
        cmocka_unit_test(many_transfers_through_few_bundles),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
