/* test_kv.c - blocks of the KV cache: counted, shared by prompts that begin alike, given up by age. */
#include "../fixture.h"
#include "serve/kv.h"

static fs_kv *make(uint64_t blocks, uint32_t block_tokens, uint32_t hash_tokens)
{
    fs_kv *kv = NULL;
    ASSERT_OK(fs_kv_new(blocks, block_tokens, hash_tokens, &kv, &failure));
    return kv;
}

static void blocks_are_taken_and_given(void **state)
{
    (void)state;
    fs_kv *kv = make(10, 16, 0);
    assert_int_equal(fs_kv_blocks_of(kv, 0), 0);
    assert_int_equal(fs_kv_blocks_of(kv, 1), 1);
    assert_int_equal(fs_kv_blocks_of(kv, 16), 1);
    assert_int_equal(fs_kv_blocks_of(kv, 17), 2);
    assert_true(fs_kv_take(kv, 7));
    assert_false(fs_kv_take(kv, 4));
    assert_int_equal(fs_kv_available(kv), 3);
    assert_true(fs_kv_take(kv, 3));
    fs_kv_give(kv, 10);
    fs_kv_use use = fs_kv_count(kv);
    assert_int_equal(use.free, 10);
    assert_int_equal(use.taken, 10);
    assert_int_equal(use.given, 10);
    fs_kv_note_lookup(kv, 5, 0); /* prompts with hashes, and no prefix cache */
    assert_int_equal(fs_kv_count(kv).lookups, 0);
    fs_kv_free(kv);
}

/* A sequence computes a prompt of n hashes and leaves. */
static void pass(fs_kv *kv, const uint64_t *hashes, uint32_t n)
{
    uint32_t found = fs_kv_match(kv, hashes, n);
    uint64_t blocks = 0;
    fs_kv_pin(kv, hashes, found);
    assert_true(fs_kv_take(kv, (n - found) * fs_kv_hash_blocks(kv)));
    ASSERT_OK(fs_kv_store(kv, hashes + found, n - found, &blocks, &failure));
    assert_int_equal(blocks, (n - found) * fs_kv_hash_blocks(kv));
    fs_kv_unpin(kv, hashes, n);
}

static void prompts_that_begin_alike_share(void **state)
{
    (void)state;
    const uint64_t a[] = {1, 2, 3}, b[] = {1, 2, 7};
    fs_kv *kv = make(16, 16, 32); /* a hash is two blocks */
    assert_int_equal(fs_kv_match(kv, a, 3), 0);
    pass(kv, a, 3);
    assert_int_equal(fs_kv_match(kv, a, 3), 3);
    assert_int_equal(fs_kv_match(kv, b, 3), 2);
    assert_int_equal(fs_kv_available(kv), 16); /* nobody uses them now */
    fs_kv_pin(kv, b, 2);
    assert_int_equal(fs_kv_available(kv), 12);
    assert_true(fs_kv_take(kv, 12)); /* hash 3 goes, those in use stay */
    assert_int_equal(fs_kv_match(kv, a, 3), 2);
    assert_int_equal(fs_kv_count(kv).evicted, 2);
    fs_kv_give(kv, 12);
    fs_kv_unpin(kv, b, 2);
    fs_kv_free(kv);
}

/* The oldest prompt first, and of it the last hash, without which the others are still of use. */
static void the_oldest_goes_first(void **state)
{
    (void)state;
    const uint64_t a[] = {1, 2}, b[] = {5, 6};
    fs_kv *kv = make(4, 16, 16);
    pass(kv, a, 2);
    pass(kv, b, 2);
    assert_true(fs_kv_take(kv, 1));
    assert_int_equal(fs_kv_match(kv, a, 2), 1);
    assert_int_equal(fs_kv_match(kv, b, 2), 2);
    assert_true(fs_kv_take(kv, 1));
    assert_int_equal(fs_kv_match(kv, a, 2), 0);
    fs_kv_pin(kv, b, 1); /* used again: younger than its end */
    fs_kv_unpin(kv, b, 1);
    assert_true(fs_kv_take(kv, 1));
    assert_int_equal(fs_kv_match(kv, b, 2), 1);
    fs_kv_give(kv, 3);
    fs_kv_free(kv);
}

/* Two compute the same prompt at a time: one copy is kept. */
static void a_second_copy_is_given_back(void **state)
{
    (void)state;
    const uint64_t a[] = {9};
    uint64_t blocks = 0;
    fs_kv *kv = make(8, 16, 32);
    assert_true(fs_kv_take(kv, 4));
    ASSERT_OK(fs_kv_store(kv, a, 1, &blocks, &failure));
    ASSERT_OK(fs_kv_store(kv, a, 1, &blocks, &failure));
    assert_int_equal(blocks, 2);
    fs_kv_use use = fs_kv_count(kv);
    assert_int_equal(use.shared, 2);
    assert_int_equal(use.private_, 0);
    assert_int_equal(use.free, 6);
    fs_kv_unpin(kv, a, 1);
    assert_int_equal(fs_kv_count(kv).idle, 0);
    fs_kv_unpin(kv, a, 1);
    assert_int_equal(fs_kv_count(kv).idle, 2);
    fs_kv_free(kv);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(blocks_are_taken_and_given), cmocka_unit_test(prompts_that_begin_alike_share),
        cmocka_unit_test(the_oldest_goes_first), cmocka_unit_test(a_second_copy_is_given_back)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
