/* test_index.c - ids by hash: found again while the index grows, told apart where hashes collide, intact after a
 * failed allocation. */
#include "base/err.h"
#include "base/index.h"
#include "base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <stdint.h>

/* How often a search for the hash yields the id. */
static uint32_t times_found(const fs_index *index, uint64_t hash, uint32_t wanted, uint32_t *candidates)
{
    uint32_t found = 0;
    *candidates = 0;
    fs_index_probe probe = fs_index_search(index, hash);
    for (uint32_t id = fs_index_next(&probe); id != FS_NONE; id = fs_index_next(&probe)) {
        found += id == wanted;
        ++*candidates;
    }
    return found;
}

static void check_empty(void **state)
{
    (void)state;
    fs_index index = {0};
    uint32_t candidates;
    assert_int_equal(times_found(&index, 0, 0, &candidates), 0);
    assert_int_equal(candidates, 0);
    fs_index_free(&index);
    assert_true(fs_index_add(&index, 7, 3));
    assert_int_equal(index.count, 1);
    assert_int_equal(times_found(&index, 7, 3, &candidates), 1);
    assert_int_equal(times_found(&index, 8, 3, &candidates), 0);
    fs_index_free(&index);
    assert_int_equal(index.count, 0);
    assert_int_equal(times_found(&index, 7, 3, &candidates), 0);
    assert_int_equal(fs_mem_live(), 0);
}

/* Hashes that differ in few bits, low or high: plain numbers, and what a bad hash makes of them. */
static void check_growth(void **state)
{
    (void)state;
    enum { IDS = 5000 };
    for (unsigned shift = 0; shift <= 48; shift += 16) {
        fs_index index = {0};
        uint32_t candidates, strangers = 0;
        for (uint32_t id = 0; id < IDS; id++) {
            assert_true(fs_index_add(&index, (uint64_t)id << shift, id));
            assert_true(index.n_slots >= 2 * index.count);
            assert_int_equal(index.n_slots & (index.n_slots - 1), 0);
        }
        assert_int_equal(index.count, IDS);
        for (uint32_t id = 0; id < IDS; id++) {
            assert_int_equal(times_found(&index, (uint64_t)id << shift, id, &candidates), 1);
            strangers += candidates - 1;
        }
        assert_true(strangers <= 2); /* two of 5000 have the same 32 bits with a probability of 0.3 % */
        assert_int_equal(times_found(&index, UINT64_MAX, 0, &candidates), 0);
        fs_index_free(&index);
    }
    assert_int_equal(fs_mem_live(), 0);
}

/* All of one hash, the first and the last id among them: every one is a candidate once. */
static void check_collisions(void **state)
{
    (void)state;
    enum { IDS = 100 };
    fs_index index = {0};
    uint32_t candidates;
    for (uint32_t id = 0; id < IDS; id++)
        assert_true(fs_index_add(&index, 42, id));
    assert_true(fs_index_add(&index, 42, FS_NONE - 1));
    for (uint32_t id = 0; id < IDS; id++) {
        assert_int_equal(times_found(&index, 42, id, &candidates), 1);
        assert_int_equal(candidates, IDS + 1);
    }
    assert_int_equal(times_found(&index, 42, FS_NONE - 1, &candidates), 1);
    assert_int_equal(times_found(&index, 43, 0, &candidates), 0);
    assert_int_equal(candidates, 0);
    assert_true(fs_index_add(&index, 42, 5)); /* again: found twice */
    assert_int_equal(times_found(&index, 42, 5, &candidates), 2);
    fs_index_free(&index);
    assert_int_equal(fs_mem_live(), 0);
}

/* A search that begins at the last slot goes on at the first one. */
static void check_wrap(void **state)
{
    (void)state;
    fs_index index = {0};
    uint32_t candidates;
    uint64_t top = UINT64_C(0x0e217c1e66c88cc3); /* times the multiplier it is 2^64 - 1: all ones, the last slot */
    for (uint32_t id = 0; id < 3; id++)
        assert_true(fs_index_add(&index, top, id));
    for (uint32_t id = 0; id < 3; id++)
        assert_int_equal(times_found(&index, top, id, &candidates), 1);
    assert_int_equal(candidates, 3);
    assert_int_equal(fs_index_search(&index, top).at, index.n_slots - 1);
    fs_index_free(&index);
}

static void check_failure(void **state)
{
    (void)state;
    fs_index index = {0};
    uint32_t candidates, id = 0;
    fs_mem_fail_after(1);
    assert_false(fs_index_add(&index, 1, 0));
    assert_int_equal(index.count, 0);
    for (uint64_t growths = 1; growths <= 4; growths++) {
        fs_mem_fail_after(2); /* the next growth succeeds, the one after it fails */
        while (fs_index_add(&index, id, id))
            id++;
        fs_mem_fail_after(0);
        assert_int_equal(index.count, id);
        for (uint32_t i = 0; i <= id; i++)
            assert_int_equal(times_found(&index, i, i, &candidates), i < id);
    }
    assert_int_equal(id, 32 * 8); /* half of 64 slots, doubled three times */
    fs_index_free(&index);
    assert_int_equal(fs_mem_live(), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(check_empty), cmocka_unit_test(check_growth),  cmocka_unit_test(check_collisions),
        cmocka_unit_test(check_wrap),  cmocka_unit_test(check_failure),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
