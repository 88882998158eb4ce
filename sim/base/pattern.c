/* pattern.c - see pattern.h.
 *
 * Rows lie one after another in one array; row i is shares[start[i] .. start[i + 1]). An index over the sorted,
 * merged shares finds equal rows. Equal means equal bits: coefficients that are meant to be equal come from the
 * same arithmetic.
 * Rows of large collectives have 10,000s of shares, so long ones are sorted by radix. Cost: O(n) for a row of n shares,
 * amortised; about 20 ns a share, less where it comes sorted, 16 B a share. */
#include "base/pattern.h"

#include "base/index.h"
#include "base/mem.h"
#include "base/rng.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

struct fs_pattern_table {
    FS_VEC(fs_share) shares; /* all rows, one after another */
    FS_VEC(uint32_t) start;  /* (rows + 1): where each row starts in shares */
    fs_index rows;
};

fs_pattern_table *fs_pattern_table_new(void)
{
    fs_pattern_table *t = fs_zalloc(1, sizeof *t);
    if (t == NULL)
        return NULL;
    if (FS_PUSH(&t->start, 0) == NULL) {
        fs_pattern_table_free(t);
        return NULL;
    }
    return t;
}

void fs_pattern_table_free(fs_pattern_table *table)
{
    if (table == NULL)
        return;
    fs_free(table->shares.data);
    fs_free(table->start.data);
    fs_index_free(&table->rows);
    fs_free(table);
}

uint32_t fs_pattern_count(const fs_pattern_table *table)
{
    return table->start.count - 1;
}

const fs_share *fs_pattern_row(const fs_pattern_table *table, uint32_t id, uint32_t *count)
{
    *count = table->start.data[id + 1] - table->start.data[id];
    return table->shares.data + table->start.data[id];
}

/* Coefficients order equal resources, so that sums do not depend on the order in which shares came. */
static int by_resource(const void *a, const void *b)
{
    const fs_share *x = a, *y = b;
    if (x->resource != y->resource)
        return x->resource < y->resource ? -1 : 1;
    return (x->coefficient > y->coefficient) - (x->coefficient < y->coefficient);
}

enum {
    RADIX_LEAST = 64,  /* shares: below it insertion is faster */
    RADIX_LONG = 2048, /* from here on wide digits save passes */
    NARROW_BITS = 8,
    WIDE_BITS = 11
};

/* Stable counting sort by digits of the resource, least digit first; digits that all shares have in common are passed
 * over. False where there is no memory for the copy: nothing has changed. */
static bool radix_sort(fs_share *row, uint32_t count)
{
    fs_share *copy = fs_alloc(count, sizeof *copy), *from = row, *to = copy;
    if (copy == NULL)
        return false;
    uint32_t differ = 0, bits = count < RADIX_LONG ? NARROW_BITS : WIDE_BITS, mask = (1u << bits) - 1;
    for (uint32_t i = 1; i < count; i++)
        differ |= row[i].resource ^ row[0].resource;
    for (uint32_t shift = 0; shift < 32; shift += bits) {
        uint32_t place[1 << WIDE_BITS], sum = 0;
        if ((differ >> shift & mask) == 0)
            continue;
        memset(place, 0, ((size_t)mask + 1) * sizeof *place);
        for (uint32_t i = 0; i < count; i++)
            place[from[i].resource >> shift & mask]++;
        for (uint32_t d = 0; d <= mask; d++) {
            uint32_t here = place[d];
            place[d] = sum;
            sum += here;
        }
        for (uint32_t i = 0; i < count; i++)
            to[place[from[i].resource >> shift & mask]++] = from[i];
        fs_share *swap = from;
        from = to;
        to = swap;
    }
    if (from != row)
        memcpy(row, from, count * sizeof *row);
    fs_free(copy);
    return true;
}

static void insertion_sort(fs_share *row, uint32_t count)
{
    for (uint32_t i = 1; i < count; i++) {
        fs_share share = row[i];
        uint32_t at = i;
        for (; at > 0 && row[at - 1].resource > share.resource; at--)
            row[at] = row[at - 1];
        row[at] = share;
    }
}

/* Shares of one resource by coefficient. */
static void sort_run(fs_share *run, uint32_t count)
{
    if (count >= RADIX_LEAST) {
        qsort(run, count, sizeof *run, by_resource);
        return;
    }
    for (uint32_t i = 1; i < count; i++) {
        fs_share share = run[i];
        uint32_t at = i;
        for (; at > 0 && run[at - 1].coefficient > share.coefficient; at--)
            run[at] = run[at - 1];
        run[at] = share;
    }
}

/* Sum up the shares of equal resources, which stand together. */
static uint32_t merge(fs_share *row, uint32_t count)
{
    uint32_t n = 0;
    for (uint32_t i = 0, end; i < count; i = end) {
        for (end = i + 1; end < count && row[end].resource == row[i].resource;)
            end++;
        bool alike = true;
        for (uint32_t k = i + 1; k < end && alike; k++)
            alike = row[k - 1].coefficient <= row[k].coefficient;
        if (!alike)
            sort_run(row + i, end - i);
        fs_share sum = row[i];
        for (uint32_t k = i + 1; k < end; k++)
            sum.coefficient += row[k].coefficient;
        row[n++] = sum;
    }
    return n;
}

uint32_t fs_shares_sort(fs_share *row, uint32_t count)
{
    bool sorted = true; /* strictly: such a row is canonical as it is */
    for (uint32_t i = 1; i < count && sorted; i++)
        sorted = row[i - 1].resource < row[i].resource;
    if (sorted)
        return count;
    if (count < RADIX_LEAST)
        insertion_sort(row, count);
    else if (!radix_sort(row, count))
        qsort(row, count, sizeof *row, by_resource);
    return merge(row, count);
}

static uint64_t hash_row(const fs_share *row, uint32_t count)
{
    uint64_t hash = FS_HASH_START;
    for (uint32_t i = 0; i < count; i++) { /* member by member: the padding between them is not defined */
        uint64_t words[2] = {row[i].resource};
        memcpy(&words[1], &row[i].coefficient, sizeof words[1]);
        hash = fs_hash_bytes(hash, words, sizeof words);
    }
    return hash;
}

static bool equal_rows(const fs_share *a, const fs_share *b, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        if (a[i].resource != b[i].resource || a[i].coefficient != b[i].coefficient)
            return false;
    return true;
}

/* The id of the row, FS_NONE where it is new. */
static uint32_t find_row(const fs_pattern_table *t, const fs_share *row, uint32_t count, uint64_t hash)
{
    fs_index_probe probe = fs_index_search(&t->rows, hash);
    for (;;) {
        uint32_t id = fs_index_next(&probe), n;
        if (id == FS_NONE)
            return FS_NONE;
        const fs_share *stored = fs_pattern_row(t, id, &n);
        if (n == count && equal_rows(stored, row, count))
            return id;
    }
}

/* Copy the row behind the last one, where it stays if it is new. */
static fs_share *stage(fs_pattern_table *t, const fs_share *shares, uint32_t count)
{
    uint32_t used = t->shares.count;
    if (count > UINT32_MAX - 1 - used)
        return NULL;
    if (used + count > t->shares.capacity || t->shares.data == NULL) {
        uint32_t wanted = t->shares.capacity > UINT32_MAX / 2 ? UINT32_MAX - 1 : t->shares.capacity * 2;
        if (wanted < used + count)
            wanted = used + count;
        fs_share *grown = fs_realloc(t->shares.data, wanted, sizeof *grown);
        if (grown == NULL)
            return NULL;
        t->shares.data = grown;
        t->shares.capacity = wanted;
    }
    fs_share *row = t->shares.data + used;
    if (count > 0)
        memcpy(row, shares, count * sizeof *row);
    return row;
}

fs_status fs_pattern_add(fs_pattern_table *table, const fs_share *shares, uint32_t count, uint32_t *id, fs_err *err)
{
    for (uint32_t i = 0; i < count; i++)
        if (!(shares[i].coefficient > 0) || !isfinite(shares[i].coefficient))
            return fs_fail(err, FS_E_SIM, "transfer loads resource %u with coefficient %g, expected a positive one",
                           shares[i].resource, shares[i].coefficient);
    fs_share *row = stage(table, shares, count);
    if (row == NULL)
        return fs_fail_nomem(err);
    count = fs_shares_sort(row, count);
    uint64_t hash = hash_row(row, count);
    uint32_t known = find_row(table, row, count, hash);
    if (known == FS_NONE) {
        known = fs_pattern_count(table);
        uint32_t end = table->shares.count + count;
        if (FS_PUSH(&table->start, end) == NULL)
            return fs_fail_nomem(err);
        if (!fs_index_add(&table->rows, hash, known)) {
            table->start.count--;
            return fs_fail_nomem(err);
        }
        table->shares.count = end;
    }
    *id = known;
    return FS_OK;
}
