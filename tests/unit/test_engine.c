/* test_engine.c - closed forms of the fluid model through the engine's own interface, and every error it makes. */
#include "base/mem.h"
#include "engine/engine.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

enum { ENDS_MAX = 64, LOADS_MAX = 64 };

/* A small system, and what happened in it. */
typedef struct world {
    fs_pattern_table *patterns;
    fs_engine *engine;
    double capacity[8];
    fs_engine_calls calls;
    uint32_t n_ends;
    uint64_t tag[ENDS_MAX];
    double end_s[ENDS_MAX];
    uint32_t n_loads;
    struct {
        uint32_t resource;
        double load, now_s;
    } loads[LOADS_MAX];
    /* Called when a tag ends; NULL: nothing happens. */
    fs_status (*react)(struct world *world, uint64_t tag, fs_err *err);
} world;

static fs_status note_end(void *context, uint64_t tag, double now_s, fs_err *err)
{
    world *w = context;
    assert_true(w->n_ends < ENDS_MAX);
    w->tag[w->n_ends] = tag;
    w->end_s[w->n_ends++] = now_s;
    assert_true(fs_engine_now(w->engine) == now_s);
    return w->react ? w->react(w, tag, err) : FS_OK;
}

static void note_load(void *context, uint32_t resource, double load, double now_s)
{
    world *w = context;
    assert_true(w->n_loads < LOADS_MAX);
    w->loads[w->n_loads].resource = resource;
    w->loads[w->n_loads].load = load;
    w->loads[w->n_loads++].now_s = now_s;
}

static uint32_t pattern(world *w, const fs_share *shares, uint32_t count)
{
    uint32_t id;
    fs_err err;
    assert_int_equal(fs_pattern_add(w->patterns, shares, count, &id, &err), FS_OK);
    return id;
}
#define PATTERN(w, ...)                                                                                                \
    pattern(w, (const fs_share[]){__VA_ARGS__}, (uint32_t)(sizeof(const fs_share[]){__VA_ARGS__} / sizeof(fs_share)))

static void open_world(world *w, uint32_t n, const double *capacity, uint64_t max_events)
{
    *w = (world){0};
    w->calls = (fs_engine_calls){.context = w, .done = note_end, .load = note_load};
    w->patterns = fs_pattern_table_new();
    assert_non_null(w->patterns);
    for (uint32_t i = 0; i < n; i++)
        w->capacity[i] = capacity[i];
    fs_engine_def def = {
        .n_resources = n, .n_links = n, .capacity = w->capacity, .patterns = w->patterns, .max_events = max_events};
    fs_err err;
    assert_int_equal(fs_engine_new(&def, &w->engine, &err), FS_OK);
}
#define OPEN(w, ...)                                                                                                   \
    open_world(w, (uint32_t)(sizeof(double[]){__VA_ARGS__} / sizeof(double)), (double[]){__VA_ARGS__}, 0)

static void close_world(world *w)
{
    fs_engine_free(w->engine);
    fs_pattern_table_free(w->patterns);
}

static void start(world *w, uint32_t id, double amount, double latency_s, uint64_t tag)
{
    fs_err err;
    assert_int_equal(fs_engine_transfer(w->engine, id, amount, latency_s, tag, &err), FS_OK);
}

static void run(world *w)
{
    fs_err err = {0};
    assert_int_equal(fs_engine_run(w->engine, &w->calls, &err), FS_OK);
}

static void run_fails(world *w, const char *text)
{
    fs_err err = {0};
    assert_int_equal(fs_engine_run(w->engine, &w->calls, &err), FS_E_SIM);
    assert_string_equal(err.text, text);
}

static double end_of(const world *w, uint64_t tag)
{
    for (uint32_t i = 0; i < w->n_ends; i++)
        if (w->tag[i] == tag)
            return w->end_s[i];
    fail_msg("transfer %d has not ended", (int)tag);
    return 0;
}

static void assert_near(double found, double expected)
{
    if (fabs(found - expected) > 1e-12 * fabs(expected))
        fail_msg("found %.17g, expected %.17g", found, expected);
}

static void one_flow(void **state)
{
    (void)state;
    world w;
    OPEN(&w, 100);
    start(&w, PATTERN(&w, {0, 1}), 250, 0, 1);
    run(&w);
    assert_near(end_of(&w, 1), 2.5);
    fs_resource_use use = fs_engine_use(w.engine, 0);
    assert_true(use.amount == 250 && use.peak == 100 && use.busy_s == 2.5);
    assert_int_equal(w.n_loads, 2);
    assert_true(w.loads[0].load == 100 && w.loads[0].now_s == 0);
    assert_true(w.loads[1].load == 0 && w.loads[1].now_s == 2.5);
    close_world(&w);
}

static void two_share_then_one_speeds_up(void **state)
{
    (void)state;
    world w;
    OPEN(&w, 10);
    uint32_t p = PATTERN(&w, {0, 1});
    start(&w, p, 10, 0, 1);
    start(&w, p, 30, 0, 2);
    run(&w);
    assert_near(end_of(&w, 1), 2); /* at 5 each */
    assert_near(end_of(&w, 2), 4); /* 20 left at 10 */
    assert_true(fs_engine_use(w.engine, 0).amount == 40);
    assert_int_equal(fs_engine_count(w.engine).peak_active, 2);
    close_world(&w);
}

static void three_tiers(void **state)
{
    (void)state;
    world w;
    OPEN(&w, 40, 10, 25);
    start(&w, PATTERN(&w, {0, 1}, {1, 1}, {2, 1}), 100, 0.5, 1); /* narrowest: 10 */
    start(&w, PATTERN(&w, {0, 1}), 300, 0, 2);                   /* 40, then 30 beside it */
    run(&w);
    assert_near(end_of(&w, 2), 0.5 + 280 / 30.0);
    assert_near(end_of(&w, 1), 10.5);
    close_world(&w);
}

static void incast(void **state)
{
    (void)state;
    world w;
    OPEN(&w, 100, 100, 100, 100, 60);
    for (uint32_t i = 0; i < 4; i++)
        start(&w, PATTERN(&w, {i, 1}, {4, 1}), 30, 0, i);
    run(&w);
    for (uint32_t i = 0; i < 4; i++)
        assert_near(end_of(&w, i), 2);
    assert_near(fs_engine_use(w.engine, 4).amount, 120);
    assert_near(fs_engine_use(w.engine, 4).peak, 60);
    assert_int_equal(fs_engine_count(w.engine).solves, 1); /* the four end together, and nothing is left to share */
    close_world(&w);
}

static void coefficients_are_fractions_and_multiples(void **state)
{
    (void)state;
    world w;
    OPEN(&w, 12, 12);
    start(&w, PATTERN(&w, {0, 1.0 / 3}), 72, 0, 1);
    start(&w, PATTERN(&w, {0, 2}, {1, 6}), 10, 0, 2); /* rate 12 / 6 = 2 */
    run(&w);
    assert_near(end_of(&w, 2), 5);
    assert_near(end_of(&w, 1), 3); /* the other leaves it 12 - 2 * 2 = 8: rate 24 */
    assert_near(fs_engine_use(w.engine, 0).amount, 24 + 20);
    assert_near(fs_engine_use(w.engine, 1).amount, 60);
    close_world(&w);
}

static void latency_comes_before_bytes(void **state)
{
    (void)state;
    world w;
    OPEN(&w, 10);
    uint32_t p = PATTERN(&w, {0, 1});
    start(&w, p, 10, 1, 1);
    start(&w, p, 10, 0, 2); /* alone for one second */
    run(&w);
    assert_near(end_of(&w, 2), 1);
    assert_near(end_of(&w, 1), 2);
    close_world(&w);
}

static void nothing_to_move_takes_the_latency(void **state)
{
    (void)state;
    world w;
    OPEN(&w, 10);
    start(&w, PATTERN(&w, {0, 1}), 0, 0.25, 1);
    start(&w, pattern(&w, NULL, 0), 1e9, 0.5, 2);
    start(&w, PATTERN(&w, {0, 1}), 0, 0, 3);
    run(&w);
    assert_int_equal(w.tag[0], 3);
    assert_true(w.end_s[0] == 0);
    assert_true(end_of(&w, 1) == 0.25);
    assert_true(end_of(&w, 2) == 0.5);
    assert_true(fs_engine_use(w.engine, 0).peak == 0);
    close_world(&w);
}

static fs_status double_capacity(world *w, uint64_t tag, fs_err *err)
{
    (void)err;
    if (tag == 99)
        fs_engine_set_capacity(w->engine, 0, 20);
    return FS_OK;
}

static void capacity_changes_in_flight(void **state)
{
    (void)state;
    world w;
    OPEN(&w, 10);
    fs_err err;
    w.react = double_capacity;
    start(&w, PATTERN(&w, {0, 1}), 100, 0, 1);
    assert_int_equal(fs_engine_timer(w.engine, 4, 99, &err), FS_OK);
    run(&w);
    assert_near(end_of(&w, 1), 7); /* 40 at 10, 60 at 20 */
    assert_true(fs_engine_use(w.engine, 0).peak == 20);
    close_world(&w);
}

static fs_status kill_then_heal(world *w, uint64_t tag, fs_err *err)
{
    if (tag == 98) {
        fs_engine_set_capacity(w->engine, 0, 0);
        return fs_engine_timer(w->engine, 3, 99, err);
    }
    if (tag == 99)
        fs_engine_set_capacity(w->engine, 0, 10);
    return FS_OK;
}

static void no_capacity_for_a_while(void **state)
{
    (void)state;
    world w;
    OPEN(&w, 10);
    fs_err err;
    w.react = kill_then_heal;
    start(&w, PATTERN(&w, {0, 1}), 100, 0, 1);
    assert_int_equal(fs_engine_timer(w.engine, 4, 98, &err), FS_OK);
    run(&w);
    assert_near(end_of(&w, 1), 13);
    assert_true(fs_engine_use(w.engine, 0).busy_s == 10);
    close_world(&w);
}

static fs_status kill(world *w, uint64_t tag, fs_err *err)
{
    (void)err;
    if (tag == 98)
        fs_engine_set_capacity(w->engine, 1, 0);
    return FS_OK;
}

static void standing_still_is_an_error(void **state)
{
    (void)state;
    world w;
    OPEN(&w, 10, 10);
    fs_err err;
    w.react = kill;
    start(&w, PATTERN(&w, {0, 1}, {1, 1}), 100, 0, 1);
    assert_int_equal(fs_engine_timer(w.engine, 4, 98, &err), FS_OK);
    run_fails(
        &w, "standing still at 4 s: 1 of the transfers cannot move; the first needs resource 1, which has no capacity");
    assert_near(fs_engine_use(w.engine, 0).amount, 40); /* the moved part */
    close_world(&w);
}

static void a_collective_slows_compute_on_its_sm_pool(void **state)
{
    (void)state;
    world w;
    OPEN(&w, 100, 1);
    start(&w, PATTERN(&w, {1, 1}), 10, 0, 1);             /* 10 s of compute on a whole GPU */
    start(&w, PATTERN(&w, {0, 100}, {1, 0.25}), 4, 0, 2); /* at rate 1, its link's, it takes a quarter of the SMs */
    run(&w);
    assert_near(end_of(&w, 2), 5);  /* both at 1 / 1.25 = 0.8 */
    assert_near(end_of(&w, 1), 11); /* 4 done by then */
    close_world(&w);
}

/* Pattern 0 becomes 1, everything else stays. */
static uint32_t one_for_zero(void *context, uint64_t tag, uint32_t id)
{
    (void)context;
    (void)tag;
    return id == 0 ? 1 : id;
}

static fs_status reroute(world *w, uint64_t tag, fs_err *err)
{
    return tag == 99 ? fs_engine_repattern(w->engine, one_for_zero, NULL, err) : FS_OK;
}

static void transfers_under_way_take_another_way(void **state)
{
    (void)state;
    world w;
    OPEN(&w, 10, 20, 5);
    fs_err err;
    uint32_t old = PATTERN(&w, {0, 1}, {2, 0.5}), new = PATTERN(&w, {1, 1}, {2, 0.25}), other = PATTERN(&w, {1, 1});
    assert_true(old == 0 && new == 1);
    w.react = reroute;
    start(&w, old, 100, 0, 1);
    start(&w, old, 40, 5, 2);   /* in latency then: all of it goes the new way */
    start(&w, other, 80, 0, 3); /* not asked to move; ends at that time */
    start(&w, other, 0, 6, 4);
    assert_int_equal(fs_engine_timer(w.engine, 4, 99, &err), FS_OK);
    run(&w);
    assert_near(end_of(&w, 3), 4);
    assert_true(end_of(&w, 4) == 6);
    assert_near(end_of(&w, 1), 9); /* 40 at 10, 20 at 20 alone, 40 at 10 beside the other */
    assert_near(end_of(&w, 2), 9);
    assert_near(fs_engine_use(w.engine, 0).amount, 40);
    assert_near(fs_engine_use(w.engine, 0).busy_s, 4);
    assert_near(fs_engine_use(w.engine, 1).amount, 80 + 60 + 40);
    assert_near(fs_engine_use(w.engine, 2).amount, 20 + 0.25 * 100);
    close_world(&w);
}

static void a_failed_link_is_left_and_the_rest_moves_on(void **state)
{
    (void)state;
    world w;
    OPEN(&w, 10, 10);
    fs_err err;
    start(&w, PATTERN(&w, {0, 1}), 100, 0, 1);
    (void)PATTERN(&w, {1, 2});
    fs_engine_set_capacity(w.engine, 0, 0);
    run_fails(
        &w, "standing still at 0 s: 1 of the transfers cannot move; the first needs resource 0, which has no capacity");
    assert_int_equal(fs_engine_repattern(w.engine, one_for_zero, NULL, &err), FS_OK);
    run(&w);
    assert_near(end_of(&w, 1), 20);
    assert_true(fs_engine_use(w.engine, 0).amount == 0 && fs_engine_use(w.engine, 0).busy_s == 0);
    assert_near(fs_engine_use(w.engine, 1).amount, 200);
    close_world(&w);
}

static void no_way_left_is_an_error(void **state)
{
    (void)state;
    for (int waiting = 0; waiting < 2; waiting++) {
        world w;
        OPEN(&w, 10);
        fs_err err;
        w.react = reroute;
        start(&w, PATTERN(&w, {0, 1}), 100, waiting ? 8 : 0, 1);
        (void)pattern(&w, NULL, 0);
        assert_int_equal(fs_engine_timer(w.engine, 4, 99, &err), FS_OK);
        run_fails(&w, waiting ? "no way is left for a transfer with 100 bytes to move at 4 s"
                              : "no way is left for a transfer with 60 bytes to move at 4 s");
        close_world(&w);
    }
}

static void what_has_moved_needs_no_way(void **state)
{
    (void)state;
    world w;
    OPEN(&w, 10);
    fs_err err;
    w.react = reroute;
    assert_int_equal(fs_engine_timer(w.engine, 10, 99, &err), FS_OK); /* before the end at the same time */
    start(&w, PATTERN(&w, {0, 1}), 100, 0, 1);
    (void)pattern(&w, NULL, 0);
    run(&w);
    assert_true(end_of(&w, 1) == 10 && fs_engine_use(w.engine, 0).amount == 100);
    close_world(&w);
}

static uint32_t no_such(void *context, uint64_t tag, uint32_t id)
{
    (void)context;
    (void)tag;
    return id + 7;
}

static void bad_reroutes_are_refused(void **state)
{
    (void)state;
    world w;
    OPEN(&w, 10);
    fs_err err;
    start(&w, PATTERN(&w, {0, 1}), 100, 0, 1);
    assert_int_equal(fs_engine_repattern(w.engine, no_such, NULL, &err), FS_E_SIM);
    assert_string_equal(err.text, "transfer along pattern 7, but there are 1 patterns");
    close_world(&w);
    fs_engine_def def = {.backend = FS_BACKEND_CM02, .capacity = w.capacity, .patterns = fs_pattern_table_new()};
    assert_int_equal(fs_engine_new(&def, &w.engine, &err), FS_OK);
    assert_int_equal(fs_engine_repattern(w.engine, one_for_zero, NULL, &err), FS_E_SIM);
    assert_string_equal(err.text, "the network backend cm02 cannot lead transfers that move another way; use fabric");
    fs_engine_free(w.engine);
    fs_pattern_table_free((fs_pattern_table *)(uintptr_t)def.patterns);
}

static fs_status start_at_once(world *w, uint64_t tag, fs_err *err)
{
    if (tag < 10)
        return fs_engine_transfer(w->engine, 0, 10, 0, tag + 10, err);
    return FS_OK;
}

static void simultaneous_events_are_solved_once_in_order_of_start(void **state)
{
    (void)state;
    world w;
    OPEN(&w, 10);
    fs_err err;
    uint32_t p = PATTERN(&w, {0, 1});
    assert_int_equal(p, 0);
    w.react = start_at_once;
    assert_int_equal(fs_engine_timer(w.engine, 1, 3, &err), FS_OK);
    assert_int_equal(fs_engine_timer(w.engine, 1, 1, &err), FS_OK);
    start(&w, pattern(&w, NULL, 0), 1, 1, 2);
    run(&w);
    const uint64_t order[] = {3, 1, 2, 13, 11, 12};
    assert_int_equal(w.n_ends, 6);
    for (uint32_t i = 0; i < 6; i++)
        assert_int_equal(w.tag[i], order[i]);
    assert_near(w.end_s[5], 4);
    assert_int_equal(fs_engine_count(w.engine).solves, 1);
    assert_int_equal(fs_engine_count(w.engine).events, 6);
    assert_int_equal(fs_engine_count(w.engine).transfers, 4);
    close_world(&w);
}

static fs_status forever(world *w, uint64_t tag, fs_err *err)
{
    w->n_ends = 0;
    return fs_engine_timer(w->engine, 0.5, tag, err);
}

static void events_have_a_limit(void **state)
{
    (void)state;
    world w;
    open_world(&w, 1, (double[]){1}, 1000);
    fs_err err;
    w.react = forever;
    assert_int_equal(fs_engine_timer(w.engine, 0.5, 1, &err), FS_OK);
    run_fails(&w, "stopped after 1000 events at 500.5 s: the limit of events is reached");
    close_world(&w);
}

static fs_status refuse(world *w, uint64_t tag, fs_err *err)
{
    (void)w;
    return tag == 5 ? fs_fail(err, FS_E_SIM, "no more") : FS_OK;
}

static void a_status_of_done_ends_the_run(void **state)
{
    (void)state;
    world w;
    OPEN(&w, 10);
    fs_err err;
    w.react = refuse;
    assert_int_equal(fs_engine_timer(w.engine, 1, 5, &err), FS_OK);
    assert_int_equal(fs_engine_timer(w.engine, 2, 6, &err), FS_OK);
    run_fails(&w, "no more");
    assert_int_equal(w.n_ends, 1);
    close_world(&w);
}

static void engines_follow_each_other_from_time_zero(void **state)
{
    (void)state;
    for (int round = 0; round < 3; round++) {
        world w;
        OPEN(&w, 3);
        assert_true(fs_engine_now(w.engine) == 0);
        start(&w, PATTERN(&w, {0, 1}), 1, 0.1, 1);
        run(&w);
        assert_true(end_of(&w, 1) == 0.1 + 1.0 / 3); /* the same bits each time */
        close_world(&w);
    }
}

static void a_second_run_goes_on(void **state)
{
    (void)state;
    world w;
    OPEN(&w, 4);
    uint32_t p = PATTERN(&w, {0, 1});
    start(&w, p, 4, 0, 1);
    run(&w);
    start(&w, p, 4, 0, 2);
    run(&w);
    assert_near(end_of(&w, 2), 2);
    run(&w);
    assert_int_equal(w.n_ends, 2);
    close_world(&w);
}

static void extreme_numbers_end(void **state)
{
    (void)state;
    world w;
    OPEN(&w, 1e-300, 1e300, 1);
    start(&w, PATTERN(&w, {1, 1}), 1e-300, 0, 1); /* a duration far below the clock's resolution */
    start(&w, PATTERN(&w, {1, 1e-9}, {2, 1e9}), 1, 1e6, 2);
    start(&w, PATTERN(&w, {2, 1e-9}), 1e3, 1e6, 3);
    run(&w);
    assert_int_equal(w.n_ends, 3);
    assert_true(end_of(&w, 1) < 1e-290);
    close_world(&w);
}

static void bad_definitions_are_refused(void **state)
{
    (void)state;
    fs_err err;
    fs_engine *engine = NULL;
    fs_pattern_table *patterns = fs_pattern_table_new();
    double capacity[] = {1, 0};
    fs_engine_def def = {.n_resources = 2, .n_links = 2, .capacity = capacity, .patterns = patterns};
    assert_int_equal(fs_engine_new(&def, &engine, &err), FS_E_SIM);
    assert_string_equal(err.text, "resource 1 has a capacity of 0, expected more than 0");
    capacity[1] = 1;
    def.n_links = 3;
    assert_int_equal(fs_engine_new(&def, &engine, &err), FS_E_SIM);
    assert_string_equal(err.text, "3 links among 2 resources");
    def.n_links = 2;
    def.backend = (fs_backend)7;
    assert_int_equal(fs_engine_new(&def, &engine, &err), FS_E_SIM);
    assert_string_equal(err.text, "unknown network backend 7");
    assert_string_equal(fs_backend_name(def.backend), "unknown");
    assert_null(engine);
    def.backend = FS_BACKEND_FABRIC;
    assert_int_equal(fs_engine_new(&def, &engine, &err), FS_OK);
    fs_engine *second = NULL;
    assert_int_equal(fs_engine_new(&def, &second, &err), FS_E_SIM);
    assert_string_equal(err.text, "there is an engine already: one at a time in a process");
    fs_engine_free(engine);
    fs_engine_free(NULL);
    def.backend = FS_BACKEND_NS3;
    assert_int_equal(fs_engine_new(&def, &engine, &err), FS_E_SIM);
    assert_string_equal(err.text,
                        "this process has started SimGrid for the network backend cm02 and cannot switch to ns3");
    fs_pattern_table_free(patterns);
}

static void bad_starts_are_refused(void **state)
{
    (void)state;
    world w;
    OPEN(&w, 1);
    fs_err err;
    uint32_t p = PATTERN(&w, {0, 1}), beyond = PATTERN(&w, {1, 1});
    assert_int_equal(fs_engine_transfer(w.engine, p, -1, 0, 0, &err), FS_E_SIM);
    assert_string_equal(err.text, "transfer of -1 bytes, expected 0 or more");
    assert_int_equal(fs_engine_transfer(w.engine, p, (double)NAN, 0, 0, &err), FS_E_SIM);
    assert_int_equal(fs_engine_transfer(w.engine, p, 1, (double)INFINITY, 0, &err), FS_E_SIM);
    assert_string_equal(err.text, "transfer with a latency of inf s, expected 0 or more");
    assert_int_equal(fs_engine_transfer(w.engine, 7, 1, 0, 0, &err), FS_E_SIM);
    assert_string_equal(err.text, "transfer along pattern 7, but there are 2 patterns");
    assert_int_equal(fs_engine_transfer(w.engine, beyond, 1, 0, 0, &err), FS_E_SIM);
    assert_string_equal(err.text, "pattern 1 loads resource 1, but there are 1 resources");
    assert_int_equal(fs_engine_timer(w.engine, -2, 0, &err), FS_E_SIM);
    assert_string_equal(err.text, "timer of -2 s, expected 0 or more");
    run(&w);
    fs_engine_set_capacity(w.engine, 0, -1);
    run_fails(&w, "resource 0 of 1 gets a capacity of -1, expected 0 or more");
    close_world(&w);
}

/* Allocation 1, 2, 3, ... fails: a clean error, and nothing leaks. */
static void memory_may_run_out_anywhere(void **state)
{
    (void)state;
    fs_pattern_table *patterns = fs_pattern_table_new();
    const fs_share wide[] = {{0, 1}, {1, 1}, {2, 1}};
    double capacity[] = {1, 2, 3};
    uint32_t p, narrow;
    fs_err err;
    assert_int_equal(fs_pattern_add(patterns, wide, 3, &p, &err), FS_OK);
    assert_int_equal(fs_pattern_add(patterns, wide, 1, &narrow, &err), FS_OK);
    assert_true(p == 0 && narrow == 1);
    fs_engine_def def = {.n_resources = 3, .n_links = 3, .capacity = capacity, .patterns = patterns};
    fs_status status = FS_E_NOMEM;
    for (uint64_t n = 1; status != FS_OK; n++) {
        assert_true(n < 100);
        uint64_t live = fs_mem_live();
        world w = {.calls = {.context = &w, .done = note_end}};
        fs_mem_fail_after(n);
        status = fs_engine_new(&def, &w.engine, &err);
        for (uint64_t i = 0; status == FS_OK && i < ENDS_MAX; i++)
            status = fs_engine_transfer(w.engine, p, 1, 0, i, &err);
        if (status == FS_OK)
            status = fs_engine_repattern(w.engine, one_for_zero, NULL, &err);
        if (status == FS_OK)
            status = fs_engine_run(w.engine, &w.calls, &err);
        fs_mem_fail_after(0);
        if (status != FS_OK) {
            assert_int_equal(status, FS_E_NOMEM);
            assert_string_equal(err.text, "out of memory");
        }
        fs_engine_free(w.engine);
        assert_int_equal(fs_mem_live(), live);
    }
    fs_pattern_table_free(patterns);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_flow),
        cmocka_unit_test(two_share_then_one_speeds_up),
        cmocka_unit_test(three_tiers),
        cmocka_unit_test(incast),
        cmocka_unit_test(coefficients_are_fractions_and_multiples),
        cmocka_unit_test(latency_comes_before_bytes),
        cmocka_unit_test(nothing_to_move_takes_the_latency),
        cmocka_unit_test(capacity_changes_in_flight),
        cmocka_unit_test(no_capacity_for_a_while),
        cmocka_unit_test(standing_still_is_an_error),
        cmocka_unit_test(a_collective_slows_compute_on_its_sm_pool),
        cmocka_unit_test(transfers_under_way_take_another_way),
        cmocka_unit_test(a_failed_link_is_left_and_the_rest_moves_on),
        cmocka_unit_test(no_way_left_is_an_error),
        cmocka_unit_test(what_has_moved_needs_no_way),
        cmocka_unit_test(bad_reroutes_are_refused),
        cmocka_unit_test(simultaneous_events_are_solved_once_in_order_of_start),
        cmocka_unit_test(events_have_a_limit),
        cmocka_unit_test(a_status_of_done_ends_the_run),
        cmocka_unit_test(engines_follow_each_other_from_time_zero),
        cmocka_unit_test(a_second_run_goes_on),
        cmocka_unit_test(extreme_numbers_end),
        cmocka_unit_test(bad_definitions_are_refused),
        cmocka_unit_test(bad_starts_are_refused),
        cmocka_unit_test(memory_may_run_out_anywhere),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
