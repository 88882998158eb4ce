/* test_mem.c - allocation: counted, checked, injectable; arenas and growable arrays; error texts. */
#include "base/err.h"
#include "base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

static void check_counting(void **state)
{
    (void)state;
    uint64_t before = fs_mem_allocations();
    char *a = fs_alloc(3, 5), *b = fs_zalloc(4, 4), *c = fs_strdup("text");
    void *none = fs_alloc(0, 8);
    assert_non_null(a);
    assert_non_null(b);
    assert_string_equal(c, "text");
    assert_non_null(none);
    assert_int_equal(fs_mem_allocations() - before, 4);
    assert_int_equal(fs_mem_live(), 4);
    for (int i = 0; i < 16; i++)
        assert_int_equal(b[i], 0);
    b = fs_realloc(b, 1000, 4);
    assert_non_null(b);
    assert_int_equal(fs_mem_live(), 4);
    fs_free(a);
    fs_free(b);
    fs_free(c);
    fs_free(none);
    fs_free(NULL);
    assert_int_equal(fs_mem_live(), 0);
}

static void check_overflow(void **state)
{
    (void)state;
    assert_null(fs_alloc(SIZE_MAX, 2));
    assert_null(fs_alloc(SIZE_MAX / 2 + 2, 2));
    assert_null(fs_alloc(SIZE_MAX, 1));
    assert_null(fs_zalloc(SIZE_MAX / 8, 16));
    char *block = fs_alloc(1, 8);
    assert_non_null(block);
    assert_null(fs_realloc(block, SIZE_MAX / 8, 16));
    fs_free(block); /* still ours */
    fs_arena *arena = fs_arena_new();
    assert_non_null(arena);
    assert_null(fs_arena_alloc(arena, SIZE_MAX, 2));
    assert_null(fs_arena_alloc(arena, PTRDIFF_MAX, 1));
    assert_null(fs_arena_alloc(arena, SIZE_MAX, 1));
    fs_arena_free(arena);
    assert_int_equal(fs_mem_live(), 0);
}

static void check_injection(void **state)
{
    (void)state;
    fs_mem_fail_after(2);
    void *first = fs_alloc(1, 1);
    assert_non_null(first);
    assert_null(fs_alloc(1, 1));
    assert_null(fs_zalloc(1, 1)); /* and every later one */
    assert_null(fs_strdup("x"));
    assert_null(fs_realloc(first, 2, 1));
    fs_mem_fail_after(0);
    first = fs_realloc(first, 2, 1);
    assert_non_null(first);
    fs_free(first);
    fs_mem_fail_after(1);
    assert_null(fs_arena_new());
    fs_mem_fail_after(2);
    fs_arena *arena = fs_arena_new();
    assert_non_null(arena);
    assert_null(fs_arena_alloc(arena, 1, 1));
    fs_mem_fail_after(0);
    assert_non_null(fs_arena_alloc(arena, 1, 1));
    fs_arena_free(arena);
    assert_int_equal(fs_mem_live(), 0);
}

/* Blocks of many sizes: aligned, zeroed, apart from each other, kept. */
static void check_arena(void **state)
{
    (void)state;
    enum { BLOCKS = 3000 };
    fs_arena *arena = fs_arena_new();
    assert_non_null(arena);
    assert_int_equal(fs_arena_bytes(arena), 0);
    unsigned char *block[BLOCKS];
    size_t size[BLOCKS];
    for (size_t i = 0; i < BLOCKS; i++) {
        size[i] = i % 500 == 499 ? 100000 + i * 1000 : i * 37 % 200;
        block[i] = fs_arena_alloc(arena, size[i], 1);
        assert_non_null(block[i]);
        assert_int_equal((uintptr_t)block[i] % _Alignof(max_align_t), 0);
        for (size_t k = 0; k < size[i]; k++)
            if (block[i][k] != 0)
                fail_msg("block %zu is not zeroed", i);
        memset(block[i], (int)(i % 255 + 1), size[i]);
    }
    for (size_t i = 0; i < BLOCKS; i++)
        for (size_t k = 0; k < size[i]; k++)
            if (block[i][k] != i % 255 + 1)
                fail_msg("block %zu was overwritten", i);
    assert_true(fs_arena_bytes(arena) > 6 * 100000);
    assert_string_equal(fs_arena_strdup(arena, "word"), "word");
    assert_string_equal(fs_arena_strndup(arena, "word", 2), "wo");
    fs_arena_free(arena);
    fs_arena_free(NULL);
    assert_int_equal(fs_mem_live(), 0);
}

static void check_vector(void **state)
{
    (void)state;
    FS_VEC(uint64_t) v = {0};
    for (uint64_t i = 0; i < 1000; i++) {
        uint64_t *slot = FS_PUSH(&v, i * i);
        assert_non_null(slot);
        assert_int_equal(*slot, i * i);
    }
    assert_int_equal(v.count, 1000);
    assert_int_equal(v.data[999], 999 * 999);
    while (v.count < v.capacity)
        assert_non_null(FS_PUSH(&v, 1u));
    uint32_t full = v.count;
    fs_mem_fail_after(1);
    const uint64_t *pushed = FS_PUSH(&v, 2u);
    assert_null(pushed);
    fs_mem_fail_after(0);
    assert_int_equal(v.count, full);
    assert_int_equal(v.data[999], 999 * 999);
    assert_non_null(FS_PUSH(&v, 2u));
    fs_free(v.data);
    assert_int_equal(fs_mem_live(), 0);
}

static void check_errors(void **state)
{
    (void)state;
    fs_err err;
    char text[3000];
    assert_int_equal(fs_fail(&err, FS_E_SIM, "stuck at %g s", 1.5), FS_E_SIM);
    fs_err_format(&err, text, sizeof text);
    assert_string_equal(text, "fabsim: error: stuck at 1.5 s");
    assert_int_equal(fs_fail_at(&err, FS_E_TRACE, "a.json", 3, 14, "bad"), FS_E_TRACE);
    fs_err_format(&err, text, sizeof text);
    assert_string_equal(text, "a.json:3:14: error: bad");
    (void)fs_fail_at(&err, FS_E_TRACE, "a.json", 3, 0, "bad");
    fs_err_format(&err, text, sizeof text);
    assert_string_equal(text, "a.json:3: error: bad");
    (void)fs_fail_at(&err, FS_E_TRACE, "a.json", 0, 0, "bad");
    fs_err_format(&err, text, sizeof text);
    assert_string_equal(text, "a.json: error: bad");
    (void)fs_fail_at(&err, FS_E_TRACE, NULL, 0, 0, "bad");
    fs_err_format(&err, text, sizeof text);
    assert_string_equal(text, "fabsim: error: bad");
    assert_int_equal(fs_fail_nomem(&err), FS_E_NOMEM);
    assert_string_equal(err.text, "out of memory");
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    (void)fs_fail(&err, FS_E_SIM, "%s", text); /* a cut text says so */
    assert_int_equal(strlen(err.text), FS_ERR_TEXT_MAX - 1);
    assert_string_equal(err.text + FS_ERR_TEXT_MAX - 5, "x...");
    static const int exit_status[] = {0, 1, 1, 1, 2, 3, 4};
    for (int i = 0; i < 7; i++)
        assert_int_equal(fs_exit_status((fs_status)i), exit_status[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(check_counting), cmocka_unit_test(check_overflow), cmocka_unit_test(check_injection),
        cmocka_unit_test(check_arena),    cmocka_unit_test(check_vector),   cmocka_unit_test(check_errors),
    };
    return cmocka_run_group_tests_name("mem", tests, NULL, NULL);
}
