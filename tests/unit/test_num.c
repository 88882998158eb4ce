/* test_num.c - numbers, quantities, formats, suggestions; the same under a comma-decimal locale. */
#include "base/num.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <float.h>
#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LENGTH(array) (sizeof(array) / sizeof *(array))

static void assert_same(double a, double b)
{
    if (memcmp(&a, &b, sizeof a) != 0)
        fail_msg("%.17g is not %.17g", a, b);
}

static void check_numbers(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        double value;
    } good[] = {
        {"0", 0.0},
        {"-0", -0.0},
        {"1", 1.0},
        {"+1.5", 1.5},
        {".5", 0.5},
        {"2.", 2.0},
        {"1e3", 1000.0},
        {"1E+3", 1000.0},
        {"25e-3", 0.025},
        {"0.1", 0.1},
        {"1e22", 1e22},
        {"1e23", 1e23},
        {"-7e-9", -7e-9},
        {"1e308", 1e308},
        {"1.7976931348623157e308", DBL_MAX},
        {"5e-324", 5e-324},
        {"0e999999999999", 0},
        {"9007199254740993", 9007199254740992.0},
        {"123456789012345678901234567890", 123456789012345678901234567890.0},
        {"3.141592653589793238462643383279", 3.14159265358979311600},
        {"0.000000000000000000000000000000000000001", 1e-39},
    };
    for (size_t i = 0; i < LENGTH(good); i++) {
        double value = 42;
        assert_int_equal(fs_parse_number(good[i].text, &value), 0);
        assert_same(value, good[i].value);
    }
    static const char *const bad[] = {"",       " 1",    "1 ",       "1,5",      "nan",
                                      "inf",    "-inf",  "0x10",     "1e",       "e5",
                                      ".",      "-",     "+-1",      "1e999",    "-1e999",
                                      "1e-999", "1.2.3", "1e+",      "1_0",      "--1",
                                      "1d3",    "1e1.5", "\xd9\xa1", "Infinity", "1e99999999999999999999"};
    for (size_t i = 0; i < LENGTH(bad); i++) {
        double value = 42;
        assert_int_equal(fs_parse_number(bad[i], &value), -1);
        assert_same(value, 42);
    }
    double value = 42;
    assert_int_equal(fs_parse_number_n("123", 2, &value), 0);
    assert_same(value, 12);
    char longest[1026];
    memset(longest, '0', sizeof longest);
    longest[1024] = '\0';
    assert_int_equal(fs_parse_number(longest, &value), 0);
    longest[1024] = '0';
    longest[1025] = '\0';
    assert_int_equal(fs_parse_number(longest, &value), -1);
}

static void check_uint(void **state)
{
    (void)state;
    uint64_t value = 42;
    assert_int_equal(fs_parse_uint("0", &value), 0);
    assert_int_equal(value, 0);
    assert_int_equal(fs_parse_uint("18446744073709551615", &value), 0);
    assert_true(value == UINT64_MAX);
    static const char *const bad[] = {"", "-1", "+1", "1.0", "1e3", " 1", "1 ", "18446744073709551616", "0x1"};
    value = 42;
    for (size_t i = 0; i < LENGTH(bad); i++)
        assert_int_equal(fs_parse_uint(bad[i], &value), -1);
    assert_int_equal(value, 42);
}

static void check_quantities(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        fs_unit unit;
        double value;
    } good[] = {
        {"0.5", FS_UNIT_NONE, 0.5},         {"700ns", FS_UNIT_SECONDS, 700e-9}, {"700 ns", FS_UNIT_SECONDS, 700e-9},
        {"1.5us", FS_UNIT_SECONDS, 1.5e-6}, {"2 ms", FS_UNIT_SECONDS, 0.002},   {"0s", FS_UNIT_SECONDS, 0},
        {"64MiB", FS_UNIT_BYTES, 67108864}, {"1GB", FS_UNIT_BYTES, 1e9},        {"25GB/s", FS_UNIT_BPS, 25e9},
        {"400Gb/s", FS_UNIT_BPS, 50e9},     {"1e2MB/s", FS_UNIT_BPS, 1e8},      {"989TFLOP/s", FS_UNIT_FLOPS, 989e12},
        {"1.5PFLOP", FS_UNIT_FLOP, 1.5e15}, {"700W", FS_UNIT_WATTS, 700},       {"1.2MW", FS_UNIT_WATTS, 1.2e6},
    };
    const char *why = NULL;
    for (size_t i = 0; i < LENGTH(good); i++) {
        double value = 42;
        assert_int_equal(fs_parse_quantity(good[i].text, good[i].unit, &value, &why), 0);
        assert_same(value, good[i].value);
    }
    static const struct {
        const char *text;
        fs_unit unit;
        const char *why;
    } bad[] = {
        {"25", FS_UNIT_BPS, "expected a rate such as 25GB/s, found '25'"},
        {"", FS_UNIT_SECONDS, "expected a time such as 700ns, found ''"},
        {"fast", FS_UNIT_BPS, "expected a rate such as 25GB/s, found 'fast'"},
        {"25GBps", FS_UNIT_BPS,
         "expected a rate such as 25GB/s, found '25GBps' with unknown unit 'GBps' (did you mean 'GB/s'?)"},
        {"25gb/s", FS_UNIT_BPS,
         "expected a rate such as 25GB/s, found '25gb/s' with unknown unit 'gb/s' (did you mean 'GB/s'?)"},
        {"400Gbps", FS_UNIT_BPS,
         "expected a rate such as 25GB/s, found '400Gbps' with unknown unit 'Gbps' (did you mean 'Gb/s'?)"},
        {"400 gbps", FS_UNIT_BPS,
         "expected a rate such as 25GB/s, found '400 gbps' with unknown unit 'gbps' (did you mean 'Gb/s'?)"},
        {"3.2Tbit/s", FS_UNIT_BPS,
         "expected a rate such as 25GB/s, found '3.2Tbit/s' with unknown unit 'Tbit/s' (did you mean 'Tb/s'?)"},
        {"3 weeks", FS_UNIT_SECONDS, "expected a time such as 700ns, found '3 weeks' with unknown unit 'weeks'"},
        {"5W", FS_UNIT_NONE, "expected a number such as 0.5, found '5W'"},
        {"5 ", FS_UNIT_NONE, "expected a number such as 0.5, found '5 '"},
        {"nanW", FS_UNIT_WATTS, "expected a power such as 700W, found 'nanW'"},
        {"1,5GB", FS_UNIT_BYTES, "expected a size such as 64MiB, found '1,5GB' with unknown unit ',5GB'"},
        {"1e308GB", FS_UNIT_BYTES, "'1e308GB' is out of range"},
        {"1e999 FLOP", FS_UNIT_FLOP, "'1e999 FLOP' is out of range"},
        {"1FLOP", FS_UNIT_FLOPS,
         "expected a compute rate such as 989TFLOP/s, found '1FLOP' with unknown unit 'FLOP' (did you mean 'FLOP/s'?)"},
        {"1", FS_UNIT_FLOP, "expected an amount of work such as 10GFLOP, found '1'"},
    };
    for (size_t i = 0; i < LENGTH(bad); i++) {
        double value = 42;
        assert_int_equal(fs_parse_quantity(bad[i].text, bad[i].unit, &value, &why), -1);
        assert_string_equal(why, bad[i].why);
        assert_same(value, 42);
    }
}

static void check_sizes(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        double value;
    } good[] = {{"8", 8},       {"64K", 65536},      {"128M", 134217728}, {"8G", 8589934592.0},
                {"1T", 0x1p40}, {"64MiB", 67108864}, {"1GB", 1e9},        {"0", 0}};
    const char *why = NULL;
    for (size_t i = 0; i < LENGTH(good); i++) {
        double value = 42;
        assert_int_equal(fs_parse_size(good[i].text, &value, &why), 0);
        assert_same(value, good[i].value);
    }
    static const char *const bad[] = {"", "-8", "8k", "G", "8 G", "8GG", "1e999"};
    for (size_t i = 0; i < LENGTH(bad); i++) {
        double value = 42;
        assert_int_equal(fs_parse_size(bad[i], &value, &why), -1);
        assert_same(value, 42);
    }
    double value;
    assert_int_equal(fs_parse_size("8k", &value, &why), -1);
    assert_string_equal(why, "expected a size such as 8, 64K, 128M or 1GB, found '8k'");
    assert_int_equal(fs_parse_size("1e999", &value, &why), -1);
    assert_string_equal(why, "'1e999' is out of range");
}

typedef char *formatter(double, char *, size_t);

static void check_formats(void **state)
{
    (void)state;
    static const struct {
        formatter *format;
        double value;
        const char *text;
    } cases[] = {
        {fs_format_seconds, 0, "0 s"},
        {fs_format_seconds, 1.5e-3, "1.50 ms"},
        {fs_format_seconds, 9.9997e-4, "1.00 ms"},
        {fs_format_seconds, 12.345, "12.3 s"},
        {fs_format_seconds, 7e-7, "700 ns"},
        {fs_format_seconds, 1e-12, "0.001 ns"},
        {fs_format_seconds, 123456, "123456 s"},
        {fs_format_seconds, -1.5e-3, "-1.50 ms"},
        {fs_format_seconds, 2, "2.00 s"},
        {fs_format_seconds, (double)INFINITY, "inf s"},
        {fs_format_bytes, -0.0, "0 B"},
        {fs_format_bytes, 8, "8 B"},
        {fs_format_bytes, 67108864, "64.0 MiB"},
        {fs_format_bytes, 1023.9, "1.00 KiB"},
        {fs_format_bytes, 1000, "1000 B"},
        {fs_format_bytes, 1024 * 1000.0, "1000 KiB"},
        {fs_format_bps, 370e9, "370 GB/s"},
        {fs_format_bps, 3.35e12, "3.35 TB/s"},
        {fs_format_flops, 989e12, "989 TFLOP/s"},
        {fs_format_flops, 1.979e15, "1.98 PFLOP/s"},
    };
    for (size_t i = 0; i < LENGTH(cases); i++) {
        char buffer[64];
        assert_string_equal(cases[i].format(cases[i].value, buffer, sizeof buffer), cases[i].text);
    }
    static const struct {
        uint64_t value;
        const char *text;
    } counts[] = {
        {0, "0"}, {999, "999"}, {1000, "1,000"}, {1048576, "1,048,576"}, {UINT64_MAX, "18,446,744,073,709,551,615"}};
    for (size_t i = 0; i < LENGTH(counts); i++) {
        char buffer[64];
        assert_string_equal(fs_format_count(counts[i].value, buffer, sizeof buffer), counts[i].text);
    }
}

static void check_exact(void **state)
{
    (void)state;
    static const struct {
        double value;
        const char *text;
    } cases[] = {{0, "0"},
                 {1, "1"},
                 {0.1, "0.1"},
                 {1e22, "1e+22"},
                 {1234567, "1234567"},
                 {2.5e-7, "2.5e-07"},
                 {-1.5, "-1.5"},
                 {5e-324, "4.94065645841247e-324"}};
    for (size_t i = 0; i < LENGTH(cases); i++) {
        char buffer[40];
        assert_string_equal(fs_format_exact(cases[i].value, buffer, sizeof buffer), cases[i].text);
    }
    uint64_t bits = 1; /* random bit patterns; Knuth's MMIX generator */
    for (int i = 0; i < 100000; i++) {
        bits = bits * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        double value, back = 0;
        memcpy(&value, &bits, sizeof value);
        if (!isfinite(value))
            continue;
        char buffer[40];
        assert_int_equal(fs_parse_number(fs_format_exact(value, buffer, sizeof buffer), &back), 0);
        assert_same(back, value);
    }
}

static void check_suggestions(void **state)
{
    (void)state;
    static const char *const keys[] = {"layers", "hidden", "heads", "kv_heads", "seq", "tp", "dp"};
    char long_name[80];
    memset(long_name, 'a', sizeof long_name - 1);
    long_name[sizeof long_name - 1] = '\0';
    const struct {
        const char *name, *near;
    } cases[] = {{"hiden", "hidden"},  {"hidden", "hidden"}, {"hiddne", "hidden"},    {"Heads", "heads"},
                 {"sec", "seq"},       {"TP", "tp"},         {"kvheads", "kv_heads"}, {"pp", NULL},
                 {"vocabulary", NULL}, {"", NULL},           {long_name, NULL},       {"HID", "hidden"},
                 {"head", "heads"},    {"kv_", "kv_heads"},  {"ads", "heads"},        {"dd", NULL}};
    for (size_t i = 0; i < LENGTH(cases); i++) {
        const char *near = fs_suggest(cases[i].name, keys, LENGTH(keys));
        if (cases[i].near == NULL)
            assert_null(near);
        else
            assert_string_equal(near, cases[i].near);
    }
    assert_null(fs_suggest("x", NULL, 0));
}

static int enter_comma_locale(void **state)
{
    (void)state;
    static const char *const names[] = {"de_DE.UTF-8", "de_DE.utf8", "de_DE", "fr_FR.UTF-8", "fr_FR.utf8"};
    for (size_t i = 0; i < LENGTH(names); i++)
        if (setlocale(LC_ALL, names[i]) != NULL)
            return 0;
    print_message("no comma-decimal locale is installed: the C locale is tested twice\n");
    return 0;
}

static int leave_comma_locale(void **state)
{
    (void)state;
    return setlocale(LC_ALL, "C") == NULL;
}

#define IN_COMMA_LOCALE(test)                                                                                          \
    {                                                                                                                  \
#test " under a comma-decimal locale", test, enter_comma_locale, leave_comma_locale, NULL                      \
    }

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(check_numbers),     cmocka_unit_test(check_uint),    cmocka_unit_test(check_quantities),
        cmocka_unit_test(check_sizes),       cmocka_unit_test(check_formats), cmocka_unit_test(check_exact),
        cmocka_unit_test(check_suggestions), IN_COMMA_LOCALE(check_numbers),  IN_COMMA_LOCALE(check_quantities),
        IN_COMMA_LOCALE(check_sizes),        IN_COMMA_LOCALE(check_formats),  IN_COMMA_LOCALE(check_exact),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
