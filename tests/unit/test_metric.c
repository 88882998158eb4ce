/* test_metric.c - precedence of categories, sums, peaks of tiers. */
#include "base/mem.h"
#include "metric/metric.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static fs_metric *make(uint32_t actors, uint32_t categories, uint32_t tiers)
{
    fs_metric *metric = NULL;
    fs_err err;
    assert_int_equal(fs_metric_new(actors, categories, tiers, &metric, &err), FS_OK);
    return metric;
}

static void expect(const fs_metric *metric, uint32_t actor, uint32_t category, double seconds)
{
    assert_true(fs_metric_seconds(metric, actor, category) == seconds);
}

static void idle_when_nothing_runs(void **state)
{
    (void)state;
    fs_metric *m = make(2, 3, 0);
    fs_metric_finish(m, 5);
    expect(m, 0, 3, 5);
    expect(m, 1, 3, 5);
    expect(m, 0, 0, 0);
    fs_metric_free(m);
}

static void the_smallest_category_under_way_counts(void **state)
{
    (void)state;
    fs_metric *m = make(2, 3, 0);
    fs_metric_begin(m, 0, 2, 1);
    fs_metric_begin(m, 0, 1, 2);
    fs_metric_begin(m, 0, 0, 3);
    fs_metric_end(m, 0, 1, 4);
    fs_metric_end(m, 0, 0, 6);
    fs_metric_end(m, 0, 2, 8);
    fs_metric_finish(m, 10);
    expect(m, 0, 2, 1 + 2);
    expect(m, 0, 1, 1);
    expect(m, 0, 0, 3);
    expect(m, 0, 3, 1 + 2);
    expect(m, 1, 3, 10);
    fs_metric_free(m);
}

static void ops_of_one_category_may_overlap(void **state)
{
    (void)state;
    fs_metric *m = make(1, 1, 0);
    fs_metric_begin(m, 0, 0, 0);
    fs_metric_begin(m, 0, 0, 1);
    fs_metric_end(m, 0, 0, 2);
    fs_metric_end(m, 0, 0, 4);
    fs_metric_finish(m, 4);
    expect(m, 0, 0, 4);
    expect(m, 0, 1, 0);
    fs_metric_free(m);
}

/* More categories than one word has bits, at the word's edges. */
static void many_categories(void **state)
{
    (void)state;
    enum { N = 200 };
    static const uint32_t marks[] = {199, 128, 127, 64, 63, 62, 33, 32, 31, 1, 0};
    fs_metric *m = make(1, N, 0);
    double now = 0;
    for (uint32_t i = 0; i < sizeof marks / sizeof *marks; i++)
        fs_metric_begin(m, 0, marks[i], now++);
    fs_metric_finish(m, now);
    for (uint32_t i = 0; i < sizeof marks / sizeof *marks; i++)
        expect(m, 0, marks[i], 1);
    expect(m, 0, N, 0);
    fs_metric_free(m);
}

static void a_peak_lasts(void **state)
{
    (void)state;
    fs_metric *m = make(0, 0, 2);
    fs_metric_load(m, 0, 10, 1);
    fs_metric_load(m, 0, 90, 2); /* on the way from one settled load to the next: 100 for no time */
    fs_metric_load(m, 0, -60, 2);
    fs_metric_load(m, 0, -40, 3);
    fs_metric_load(m, 1, 7, 3);
    fs_metric_finish(m, 4);
    assert_true(fs_metric_tier_peak(m, 0) == 40);
    assert_true(fs_metric_tier_peak(m, 1) == 7);
    fs_metric_free(m);
}

/* Loads over equal steps are those that a sum over all changes gives. */
static void loads_over_time(void **state)
{
    (void)state;
    enum { CHANGES = 3000 };
    static double times[CHANGES + 1], loads[CHANGES + 1];
    fs_metric *m = make(1, 1, 1);
    double now_s = 0, load = 0;
    for (uint32_t i = 0; i < CHANGES; i++) {
        times[i] = now_s;
        loads[i] = (double)(i * 7919 % 13);
        fs_metric_load(m, 0, loads[i] - load, now_s);
        load = loads[i];
        now_s += 1e-6 * (double)(1 + i * 104729 % 97) * (i % 500 == 0 ? 100 : 1); /* calm stretches too */
    }
    times[CHANGES] = now_s;
    fs_metric_finish(m, now_s);
    double step_s = fs_metric_step_s(m);
    assert_true(now_s / step_s > FS_METRIC_STEPS / 2 && now_s / step_s <= FS_METRIC_STEPS);
    for (uint32_t k = 0; k * step_s < now_s; k++) {
        double from_s = k * step_s, to_s = (k + 1) * step_s < now_s ? (k + 1) * step_s : now_s, area = 0;
        for (uint32_t i = 0; i < CHANGES; i++) {
            double a = times[i] > from_s ? times[i] : from_s, b = times[i + 1] < to_s ? times[i + 1] : to_s;
            area += b > a ? loads[i] * (b - a) : 0;
        }
        double mean = area / (to_s - from_s), difference = mean - fs_metric_tier_load(m, 0, k);
        assert_true(difference < 1e-6 && difference > -1e-6);
    }
    fs_metric_free(m);
}

static void out_of_memory(void **state)
{
    (void)state;
    fs_err err;
    uint64_t live = fs_mem_live();
    for (uint64_t n = 1;; n++) {
        fs_metric *m = NULL;
        fs_mem_fail_after(n);
        fs_status status = fs_metric_new(2, 3, 1, &m, &err);
        fs_mem_fail_after(0);
        fs_metric_free(m);
        assert_int_equal(fs_mem_live(), live);
        if (status == FS_OK)
            break;
        assert_int_equal(status, FS_E_NOMEM);
        assert_null(m);
    }
    fs_metric_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(idle_when_nothing_runs),
        cmocka_unit_test(the_smallest_category_under_way_counts),
        cmocka_unit_test(ops_of_one_category_may_overlap),
        cmocka_unit_test(many_categories),
        cmocka_unit_test(a_peak_lasts),
        cmocka_unit_test(loads_over_time),
        cmocka_unit_test(out_of_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
