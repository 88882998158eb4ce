/* test_pattern.c - interning of rows: equal rows share an id, whatever the order of their shares. */
#include "base/mem.h"
#include "base/pattern.h"
#include "base/rng.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <math.h>
#include <stdlib.h>

static uint32_t add(fs_pattern_table *table, const fs_share *shares, uint32_t count)
{
    fs_err err;
    uint32_t id = FS_NONE;
    assert_int_equal(fs_pattern_add(table, shares, count, &id, &err), FS_OK);
    return id;
}

static void check_interning(void **state)
{
    (void)state;
    fs_pattern_table *t = fs_pattern_table_new();
    assert_non_null(t);
    assert_int_equal(fs_pattern_count(t), 0);
    assert_int_equal(add(t, (fs_share[]){{3, 1.0}, {1, 2.0}}, 2), 0);
    assert_int_equal(add(t, NULL, 0), 1);
    assert_int_equal(add(t, (fs_share[]){{1, 2.0}, {3, 1.0}}, 2), 0);
    assert_int_equal(add(t, (fs_share[]){{1, 1.5}, {3, 1.0}, {1, 0.5}}, 3), 0);
    assert_int_equal(add(t, (fs_share[]){{1, 2.0}}, 1), 2);
    assert_int_equal(add(t, (fs_share[]){{1, 2.5}}, 1), 3);
    assert_int_equal(add(t, NULL, 0), 1);
    assert_int_equal(fs_pattern_count(t), 4);
    uint32_t count;
    const fs_share *row = fs_pattern_row(t, 0, &count);
    assert_int_equal(count, 2);
    assert_true(row[0].resource == 1 && row[0].coefficient == 2.0);
    assert_true(row[1].resource == 3 && row[1].coefficient == 1.0);
    fs_pattern_row(t, 1, &count);
    assert_int_equal(count, 0);
    fs_pattern_table_free(t);
    fs_pattern_table_free(NULL);
    assert_int_equal(fs_mem_live(), 0);
}

/* Rows of any length come out sorted and merged, the same for every order of their shares. */
static void check_sorting(void **state)
{
    (void)state;
    static const uint32_t counts[] = {2, 63, 64, 65, 1000, 5000};
    fs_rng rng = fs_rng_seed(7);
    for (size_t c = 0; c < sizeof counts / sizeof *counts; c++) {
        uint32_t n = counts[c], spread = fs_rng_below(&rng, 2) ? n / 2 : UINT32_MAX;
        fs_share *row = fs_alloc(n, sizeof *row), *other = fs_alloc(n, sizeof *other);
        double sum = 0.0, sorted_sum = 0.0;
        for (uint32_t i = 0; i < n; i++) {
            row[i] = (fs_share){fs_rng_below(&rng, spread), 1.0 + fs_rng_unit(&rng)};
            sum += row[i].coefficient;
        }
        for (uint32_t i = 0; i < n; i++)
            other[i] = row[n - 1 - i];
        uint32_t count = fs_shares_sort(row, n);
        assert_int_equal(fs_shares_sort(other, n), count);
        for (uint32_t i = 0; i < count; i++) {
            assert_true(row[i].resource == other[i].resource);
            assert_true(row[i].coefficient == other[i].coefficient); /* bit for bit */
            assert_true(i == 0 || row[i - 1].resource < row[i].resource);
            sorted_sum += row[i].coefficient;
        }
        assert_true(fabs(sum - sorted_sum) < 1e-9 * sum);
        fs_free(row);
        fs_free(other);
    }
}

static void check_refused(void **state)
{
    (void)state;
    fs_pattern_table *t = fs_pattern_table_new();
    assert_non_null(t);
    static const double bad[] = {0, -1, (double)INFINITY, (double)NAN};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        fs_err err;
        uint32_t id = 42;
        assert_int_equal(fs_pattern_add(t, &(fs_share){7, bad[i]}, 1, &id, &err), FS_E_SIM);
        assert_int_equal(id, 42);
        if (bad[i] == -1)
            assert_string_equal(err.text, "transfer loads resource 7 with coefficient -1, expected a positive one");
    }
    assert_int_equal(fs_pattern_count(t), 0);
    fs_pattern_table_free(t);
}

/* Row k of the series: a few shares derived from k, in an order that the generator shuffles. */
static uint32_t make_row(uint32_t k, fs_rng *rng, fs_share row[8])
{
    uint32_t count = 1 + k % 8;
    for (uint32_t i = 0; i < count; i++)
        row[i] = (fs_share){k / 8 + i * 1000, 1.0 + (double)i / 4};
    for (uint32_t i = count; i > 1; i--) {
        uint32_t j = fs_rng_below(rng, i);
        fs_share swap = row[i - 1];
        row[i - 1] = row[j];
        row[j] = swap;
    }
    return count;
}

static void check_many(void **state)
{
    (void)state;
    enum { ROWS = 20000 };
    fs_rng rng = fs_rng_seed(1);
    fs_pattern_table *t = fs_pattern_table_new();
    assert_non_null(t);
    fs_share row[8];
    for (int pass = 0; pass < 2; pass++)
        for (uint32_t k = 0; k < ROWS; k++) {
            uint32_t count = make_row(k, &rng, row);
            assert_int_equal(add(t, row, count), k);
        }
    assert_int_equal(fs_pattern_count(t), ROWS);
    fs_pattern_table_free(t);
}

static void check_allocation_failures(void **state)
{
    (void)state;
    for (uint64_t n = 1;; n++) {
        fs_mem_fail_after(n);
        fs_rng rng = fs_rng_seed(2);
        fs_pattern_table *t = fs_pattern_table_new();
        fs_status status = t ? FS_OK : FS_E_NOMEM;
        for (uint32_t k = 0; k < 100 && status == FS_OK; k++) {
            fs_share row[8];
            fs_err err;
            uint32_t id = FS_NONE, count = make_row(k, &rng, row);
            status = fs_pattern_add(t, row, count, &id, &err);
            assert_int_equal(id, status == FS_OK ? k : FS_NONE);
            assert_int_equal(fs_pattern_count(t), status == FS_OK ? k + 1 : k);
        }
        fs_pattern_table_free(t);
        fs_mem_fail_after(0);
        assert_int_equal(fs_mem_live(), 0);
        if (status == FS_OK)
            return;
        assert_int_equal(status, FS_E_NOMEM);
        assert_true(n < 1000);
    }
}

static void check_rng(void **state)
{
    (void)state;
    fs_rng rng = fs_rng_seed(1234567); /* values of the public SplitMix64 reference code by S. Vigna */
    assert_true(fs_rng_u64(&rng) == UINT64_C(6457827717110365317));
    assert_true(fs_rng_u64(&rng) == UINT64_C(3203168211198807973));
    uint32_t seen[7] = {0};
    for (int i = 0; i < 70000; i++)
        seen[fs_rng_below(&rng, 7)]++;
    for (int i = 0; i < 7; i++)
        assert_in_range(seen[i], 9500, 10500);
    assert_int_equal(fs_rng_below(&rng, 1), 0);
    for (int i = 0; i < 1000; i++) {
        double x = fs_rng_unit(&rng);
        assert_true(x >= 0 && x < 1);
    }
    assert_true(fs_hash_bytes(FS_HASH_START, "", 0) == FS_HASH_START);
    assert_true(fs_hash_bytes(FS_HASH_START, "foobar", 6) == UINT64_C(0xeb75c47c39b5cf17));
    assert_true(fs_hash_bytes(FS_HASH_START, "eight by eight and 3", 20) == UINT64_C(0xf8f8e1c16cc9d3e7));
    assert_true(fs_hash_bytes(FS_HASH_START, "a", 1) != fs_hash_bytes(FS_HASH_START, "a", 2));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(check_interning),
        cmocka_unit_test(check_sorting),
        cmocka_unit_test(check_refused),
        cmocka_unit_test(check_many),
        cmocka_unit_test(check_allocation_failures),
        cmocka_unit_test(check_rng),
    };
    return cmocka_run_group_tests_name("pattern", tests, NULL, NULL);
}
