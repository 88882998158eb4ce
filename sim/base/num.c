/* num.c - numbers and quantities, the same in every locale.
 *
 * Reading: a scanner checks the grammar and gathers the digits. Up to 2^53 and powers of ten up to 10^22 both
 * are exact doubles, so that one multiplication or division rounds correctly (W. D. Clinger, "How to
 * read floating point numbers accurately", PLDI 1990); nearly every number in a trace is of this kind.
 * The others go through strtod, under the C locale: a thread's locale is switched for the call only
 * (uselocale is POSIX, strtod_l is not).
 * Writing: printf under the same locale. */
#include "base/num.h"

#include <locale.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    NUMBER_LENGTH_MAX = 1024, /* characters; an exact double never needs more than 767 digits */
    EXPONENT_MAX = 100000,    /* decimal; beyond it every number is out of range */
    EXACT_POWER_MAX = 22      /* 10^22 is the last power of ten that a double holds exactly */
};
#define EXACT_INTEGER_MAX (UINT64_C(1) << 53)

/* ---- the C locale ------------------------------------------------------------------------------------------------ */

static locale_t c_locale(void)
{
    static locale_t locale; /* made once, lives as long as the program; glibc allocates nothing for "C" */
    if (locale == (locale_t)0)
        locale = newlocale(LC_ALL_MASK, "C", (locale_t)0);
    return locale;
}

int fs_vsnprintf(char *buffer, size_t size, const char *format, va_list args)
{
    locale_t before = uselocale(c_locale());
    int n = vsnprintf(buffer, size, format, args);
    uselocale(before);
    return n;
}

int fs_snprintf(char *buffer, size_t size, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int n = fs_vsnprintf(buffer, size, format, args);
    va_end(args);
    return n;
}

/* ---- reading ----------------------------------------------------------------------------------------------------- */

typedef struct scan {
    uint64_t digits; /* significant digits read as an integer, where they fit */
    int exponent;    /* value = digits * 10^exponent */
    bool negative, fits, zero;
    size_t length; /* characters that belong to the number; 0 = no number here */
} scan;

static bool digit_at(const char *text, size_t length, size_t i)
{
    return i < length && text[i] >= '0' && text[i] <= '9';
}

static void add_digit(scan *s, char c)
{
    unsigned digit = (unsigned)(c - '0');
    if (s->digits > (UINT64_MAX - digit) / 10)
        s->fits = false;
    else
        s->digits = s->digits * 10 + digit;
    if (digit != 0)
        s->zero = false;
}

/* The longest prefix of text[0, length) that is a decimal number: [+-] digits [. digits] [e [+-] digits]. */
static scan scan_number(const char *text, size_t length)
{
    scan s = {.fits = true, .zero = true};
    size_t i = 0, digits = 0;
    if (i < length && (text[i] == '-' || text[i] == '+'))
        s.negative = text[i++] == '-';
    for (; digit_at(text, length, i); i++, digits++)
        add_digit(&s, text[i]);
    if (i < length && text[i] == '.') {
        for (i++; digit_at(text, length, i); i++, digits++, s.exponent--)
            add_digit(&s, text[i]);
    }
    if (digits == 0 || i > NUMBER_LENGTH_MAX)
        return (scan){0};
    s.length = i;
    if (i < length && (text[i] == 'e' || text[i] == 'E')) {
        bool negative = false;
        int exponent = 0;
        i++;
        if (i < length && (text[i] == '-' || text[i] == '+'))
            negative = text[i++] == '-';
        if (!digit_at(text, length, i))
            return s; /* "5e" is the number 5 and a unit that nobody knows */
        for (; digit_at(text, length, i); i++)
            if (exponent < EXPONENT_MAX)
                exponent = exponent * 10 + (text[i] - '0');
        if (i > NUMBER_LENGTH_MAX)
            return (scan){0};
        s.exponent += negative ? -exponent : exponent;
        s.length = i;
    }
    return s;
}

/* The slow way, right for every number. */
static int convert_slowly(const char *text, size_t length, double *value)
{
    char copy[NUMBER_LENGTH_MAX + 1];
    memcpy(copy, text, length);
    copy[length] = '\0';
    locale_t before = uselocale(c_locale());
    char *end;
    *value = strtod(copy, &end);
    uselocale(before);
    return *end == '\0' ? 0 : -1;
}

static int convert(const char *text, const scan *s, double *out)
{
    static const double power[EXACT_POWER_MAX + 1] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,
                                                      1e8,  1e9,  1e10, 1e11, 1e12, 1e13, 1e14, 1e15,
                                                      1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};
    double value;
    if (s->fits && s->digits <= EXACT_INTEGER_MAX && abs(s->exponent) <= EXACT_POWER_MAX) {
        value = (double)s->digits;
        value = s->exponent < 0 ? value / power[-s->exponent] : value * power[s->exponent];
        value = s->negative ? -value : value;
    } else if (convert_slowly(text, s->length, &value) != 0) {
        return -1;
    }
    /* Too large, or so small that nothing is left of it. */
    if (!isfinite(value) || (value == 0.0 && !s->zero))
        return -1;
    *out = value;
    return 0;
}

int fs_parse_number_n(const char *text, size_t length, double *out)
{
    scan s = scan_number(text, length);
    return s.length > 0 && s.length == length ? convert(text, &s, out) : -1;
}

int fs_parse_number(const char *text, double *out)
{
    return fs_parse_number_n(text, strlen(text), out);
}

int fs_parse_uint(const char *text, uint64_t *out)
{
    scan s = {.fits = true};
    size_t length = strlen(text), i = 0;
    while (digit_at(text, length, i))
        add_digit(&s, text[i++]);
    if (i == 0 || i < length || !s.fits)
        return -1;
    *out = s.digits;
    return 0;
}

/* ---- quantities -------------------------------------------------------------------------------------------------- */

typedef struct named_scale {
    const char *name;
    double scale; /* SI units in one */
} named_scale;

enum { UNIT_NAMES_MAX = 10, UNIT_TEXT = 16 };

static const struct unit_kind {
    const char *expected;                  /* what a message asks for */
    named_scale names[UNIT_NAMES_MAX + 1]; /* ends with a NULL name */
} kinds[] = {
    [FS_UNIT_NONE] = {"a number such as 0.5", {{NULL, 0}}},
    [FS_UNIT_SECONDS] = {"a time such as 700ns", {{"s", 1}, {"ms", 1e-3}, {"us", 1e-6}, {"ns", 1e-9}}},
    [FS_UNIT_BYTES] = {"a size such as 64MiB",
                       {{"B", 1},
                        {"kB", 1e3},
                        {"MB", 1e6},
                        {"GB", 1e9},
                        {"TB", 1e12},
                        {"KiB", 0x1p10},
                        {"MiB", 0x1p20},
                        {"GiB", 0x1p30},
                        {"TiB", 0x1p40}}},
    [FS_UNIT_BPS] = {"a rate such as 25GB/s",
                     {{"B/s", 1},
                      {"kB/s", 1e3},
                      {"MB/s", 1e6},
                      {"GB/s", 1e9},
                      {"TB/s", 1e12},
                      {"Mb/s", 1e6 / 8},
                      {"Gb/s", 1e9 / 8},
                      {"Tb/s", 1e12 / 8}}},
    [FS_UNIT_FLOPS] = {"a compute rate such as 989TFLOP/s",
                       {{"FLOP/s", 1}, {"GFLOP/s", 1e9}, {"TFLOP/s", 1e12}, {"PFLOP/s", 1e15}}},
    [FS_UNIT_FLOP] = {"an amount of work such as 10GFLOP",
                      {{"FLOP", 1}, {"GFLOP", 1e9}, {"TFLOP", 1e12}, {"PFLOP", 1e15}}},
    [FS_UNIT_WATTS] = {"a power such as 700W", {{"W", 1}, {"kW", 1e3}, {"MW", 1e6}, {"GW", 1e9}}},
};

static char reason[256]; /* what *why points to: valid until the next call */

FS_PRINTF(2, 3) static int refuse(const char **why, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fs_vsnprintf(reason, sizeof reason, format, args);
    va_end(args);
    *why = reason;
    return -1;
}

static int scaled(const char *text, const scan *s, double scale, double *out, const char **why)
{
    double value;
    if (convert(text, s, &value) != 0 || !isfinite(value * scale))
        return refuse(why, "'%.60s' is out of range", text);
    /* 1e-6 is no exact double, 1e6 is: dividing keeps "700us" equal to 700e-6 as people write it. */
    *out = scale < 1 ? value / (double)llround(1 / scale) : value * scale;
    return 0;
}

/* "Gbps" and "Gbit/s" as they are spelt here, "Gb/s". fs_suggest alone, to which case is free, would make bits bytes. */
static const char *plain_unit(const char *unit, char spelt[UNIT_TEXT])
{
    static const char *const ends[][2] = {{"bps", "b/s"}, {"Bps", "B/s"}, {"bit/s", "b/s"}};
    for (size_t i = 0; i < sizeof ends / sizeof ends[0]; i++) {
        size_t length = strlen(unit), end = strlen(ends[i][0]);
        if (length > end && length < UNIT_TEXT && strcmp(unit + length - end, ends[i][0]) == 0) {
            fs_snprintf(spelt, UNIT_TEXT, "%.*s%s", (int)(length - end), unit, ends[i][1]);
            spelt[0] = spelt[0] == 'g' ? 'G' : spelt[0] == 'm' ? 'M' : spelt[0] == 't' ? 'T' : spelt[0];
            return spelt;
        }
    }
    return unit;
}

static int unknown_unit(const char *text, const char *unit, const struct unit_kind *kind, const char **why)
{
    const char *names[UNIT_NAMES_MAX];
    size_t count = 0;
    while (kind->names[count].name != NULL) {
        names[count] = kind->names[count].name;
        count++;
    }
    char spelt[UNIT_TEXT];
    const char *near = fs_suggest(plain_unit(unit, spelt), names, count);
    if (near != NULL)
        return refuse(why, "expected %s, found '%.60s' with unknown unit '%.20s' (did you mean '%s'?)", kind->expected,
                      text, unit, near);
    return refuse(why, "expected %s, found '%.60s' with unknown unit '%.20s'", kind->expected, text, unit);
}

int fs_parse_quantity(const char *text, fs_unit unit, double *out, const char **why)
{
    const struct unit_kind *kind = &kinds[unit];
    scan s = scan_number(text, strlen(text));
    const char *rest = text + s.length;
    while (s.length > 0 && unit != FS_UNIT_NONE && *rest == ' ')
        rest++;
    bool bare = *rest == '\0';
    if (s.length == 0 || bare != (unit == FS_UNIT_NONE))
        return refuse(why, "expected %s, found '%.60s'", kind->expected, text);
    if (bare)
        return scaled(text, &s, 1, out, why);
    for (const named_scale *u = kind->names; u->name != NULL; u++)
        if (strcmp(rest, u->name) == 0)
            return scaled(text, &s, u->scale, out, why);
    return unknown_unit(text, rest, kind, why);
}

int fs_parse_size(const char *text, double *out, const char **why)
{
    static const named_scale shorthand[] = {{"", 1}, {"K", 0x1p10}, {"M", 0x1p20}, {"G", 0x1p30}, {"T", 0x1p40}};
    scan s = scan_number(text, strlen(text));
    if (s.length > 0 && !(s.negative && !s.zero)) {
        for (size_t i = 0; i < sizeof shorthand / sizeof shorthand[0]; i++)
            if (strcmp(text + s.length, shorthand[i].name) == 0)
                return scaled(text, &s, shorthand[i].scale, out, why);
        if (fs_parse_quantity(text, FS_UNIT_BYTES, out, why) == 0)
            return 0;
    }
    return refuse(why, "expected a size such as 8, 64K, 128M or 1GB, found '%.60s'", text);
}

/* ---- writing ----------------------------------------------------------------------------------------------------- */

/* value in the largest of the rising units in which it is at least 1 (once rounded to three digits). */
static char *format_scaled(double value, const named_scale *units, size_t count, char *buffer, size_t size)
{
    size_t i = 0;
    while (i + 1 < count && fabs(value) >= units[i + 1].scale * 0.9995)
        i++;
    double shown = value / units[i].scale, magnitude = fabs(shown);
    bool whole = i == 0 && units[i].scale == 1 && shown == floor(shown) && magnitude < 1000; /* "8 B", not "8.00 B" */
    if (value == 0 || !isfinite(value) || whole)
        fs_snprintf(buffer, size, "%g %s", shown + 0.0 /* no "-0" */, units[i].name);
    else if (magnitude < 0.9995)
        fs_snprintf(buffer, size, "%.3g %s", shown, units[i].name);
    else
        fs_snprintf(buffer, size, "%.*f %s", magnitude < 10 ? 2 : magnitude < 100 ? 1 : 0, shown, units[i].name);
    return buffer;
}

#define FORMAT_SCALED(units) format_scaled(value, units, sizeof(units) / sizeof((units)[0]), buffer, size)

char *fs_format_seconds(double value, char *buffer, size_t size)
{
    static const named_scale units[] = {{"ns", 1e-9}, {"us", 1e-6}, {"ms", 1e-3}, {"s", 1}};
    return value == 0 ? format_scaled(value, units + 3, 1, buffer, size) : FORMAT_SCALED(units);
}

char *fs_format_bytes(double value, char *buffer, size_t size)
{
    static const named_scale units[] = {{"B", 1},        {"KiB", 0x1p10}, {"MiB", 0x1p20},
                                        {"GiB", 0x1p30}, {"TiB", 0x1p40}, {"PiB", 0x1p50}};
    return FORMAT_SCALED(units);
}

char *fs_format_bps(double value, char *buffer, size_t size)
{
    static const named_scale units[] = {{"B/s", 1},    {"kB/s", 1e3},  {"MB/s", 1e6},
                                        {"GB/s", 1e9}, {"TB/s", 1e12}, {"PB/s", 1e15}};
    return FORMAT_SCALED(units);
}

char *fs_format_flops(double value, char *buffer, size_t size)
{
    static const named_scale units[] = {{"FLOP/s", 1},     {"kFLOP/s", 1e3},  {"MFLOP/s", 1e6}, {"GFLOP/s", 1e9},
                                        {"TFLOP/s", 1e12}, {"PFLOP/s", 1e15}, {"EFLOP/s", 1e18}};
    return FORMAT_SCALED(units);
}

char *fs_format_count(uint64_t value, char *buffer, size_t size)
{
    char text[32]; /* 20 digits, 6 commas */
    char *at = text + sizeof text;
    *--at = '\0';
    for (int digits = 0; digits == 0 || value != 0; digits++, value /= 10) {
        if (digits > 0 && digits % 3 == 0)
            *--at = ',';
        *--at = (char)('0' + value % 10);
    }
    snprintf(buffer, size, "%s", at);
    return buffer;
}

char *fs_format_exact(double value, char *buffer, size_t size)
{
    /* Every decimal of at most 15 digits survives a double; %g drops its trailing zeros. */
    for (int digits = 15; digits <= 17; digits++) {
        char text[40];
        double back;
        fs_snprintf(text, sizeof text, "%.*g", digits, value);
        snprintf(buffer, size, "%s", text);
        if (fs_parse_number(text, &back) == 0 && back == value)
            break;
    }
    return buffer;
}

/* ---- suggestions ------------------------------------------------------------------------------------------------- */

enum {
    SUGGEST_LENGTH_MAX = 63,
    SUGGEST_PART_MIN = 3
}; /* letters: longer names get no suggestion, shorter are no part */

static char lower(char c) /* tolower() asks the locale */
{
    return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

static bool same_letter(char a, char b)
{
    return lower(a) == lower(b);
}

static unsigned least(unsigned a, unsigned b)
{
    return a < b ? a : b;
}

/* Optimal string alignment: insert, delete, replace, swap neighbours, each at cost 1. Case is free. */
static unsigned edit_distance(const char *a, size_t n, const char *b, size_t m)
{
    unsigned row[3][SUGGEST_LENGTH_MAX + 1];
    for (size_t j = 0; j <= m; j++)
        row[0][j] = (unsigned)j;
    for (size_t i = 1; i <= n; i++) {
        unsigned *now = row[i % 3], *above = row[(i + 2) % 3], *above2 = row[(i + 1) % 3];
        now[0] = (unsigned)i;
        for (size_t j = 1; j <= m; j++) {
            now[j] = least(least(above[j], now[j - 1]) + 1, above[j - 1] + !same_letter(a[i - 1], b[j - 1]));
            if (i > 1 && j > 1 && same_letter(a[i - 1], b[j - 2]) && same_letter(a[i - 2], b[j - 1]))
                now[j] = least(now[j], above2[j - 2] + 1);
        }
    }
    return row[n % 3][m];
}

/* Is `name` the start or the end of `candidate`, "h100" of "h100-sxm5", "leaf0" of "ib/leaf0"? */
static bool part_of(const char *name, size_t n, const char *candidate, size_t m)
{
    size_t start = 0, end = 0;
    while (start < n && start < m && same_letter(name[start], candidate[start]))
        start++;
    while (end < n && end < m && same_letter(name[n - 1 - end], candidate[m - 1 - end]))
        end++;
    return start == n || end == n;
}

const char *fs_suggest(const char *name, const char *const *candidates, size_t count)
{
    size_t n = strlen(name);
    const char *best = NULL, *longer = NULL;
    unsigned best_distance = UINT32_MAX;
    for (size_t i = 0; i < count && n <= SUGGEST_LENGTH_MAX; i++) {
        size_t m = strlen(candidates[i]);
        if (strcmp(name, candidates[i]) == 0)
            return candidates[i];
        if (m > SUGGEST_LENGTH_MAX)
            continue;
        unsigned distance = edit_distance(name, n, candidates[i], m);
        if (distance < best_distance && distance * 3 <= (n > m ? n : m)) {
            best = candidates[i];
            best_distance = distance;
        }
        if (longer == NULL && n >= SUGGEST_PART_MIN && part_of(name, n, candidates[i], m))
            longer = candidates[i];
    }
    return best ? best : longer;
}
