/* pattern.c - see pattern.h.
 *
 * Rows lie one after another in one array; row i is shares[start[i] .. start[i + 1]). A hash table with open
 * addressing and linear probing finds equal rows: it holds ids, is a power of two and at most half full. A row
 * is hashed over its sorted, merged shares. Equal means equal bits: coefficients that are meant to be
 * equal come from the same arithmetic.
 * Cost: O(n log n) for a row of n shares (the sort; a sorted row is seen and not sorted), amortised. */
#include "base/pattern.h"

#include "base/mem.h"
#include "base/rng.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

struct fs_pattern_table {
    FS_VEC(fs_share) shares;  /* all rows, one after another */
    FS_VEC(uint32_t) start;   /* (rows + 1): where each row starts in shares */
    FS_VEC(uint64_t) hash;    /* (rows) */
    uint32_t *slot;           /* (slots): id or FS_NONE */
    uint32_t slots;           /* power of two, > 2 * rows */
};

enum { FIRST_SLOTS = 64 };

fs_pattern_table *fs_pattern_table_new(void)
{
    fs_pattern_table *t = fs_zalloc(1, sizeof *t);
    if (t == NULL)
        return NULL;
    t->slots = FIRST_SLOTS;
    t->slot = fs_alloc(t->slots, sizeof *t->slot);
    if (t->slot == NULL || FS_PUSH(&t->start, 0) == NULL) {
        fs_pattern_table_free(t);
        return NULL;
    }
    memset(t->slot, 0xff, t->slots * sizeof *t->slot);
    return t;
}

void fs_pattern_table_free(fs_pattern_table *table)
{
    if (table == NULL)
        return;
    fs_free(table->shares.data);
    fs_free(table->start.data);
    fs_free(table->hash.data);
    fs_free(table->slot);
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

uint32_t fs_shares_sort(fs_share *row, uint32_t count)
{
    bool sorted = true; /* strictly: such a row is canonical as it is */
    for (uint32_t i = 1; i < count && sorted; i++)
        sorted = row[i - 1].resource < row[i].resource;
    if (sorted)
        return count;
    qsort(row, count, sizeof *row, by_resource);
    uint32_t n = 0;
    for (uint32_t i = 1; i < count; i++) {
        if (row[i].resource == row[n].resource)
            row[n].coefficient += row[i].coefficient;
        else
            row[++n] = row[i];
    }
    return n + 1;
}

static uint64_t hash_row(const fs_share *row, uint32_t count)
{
    uint64_t hash = FS_HASH_START;
    for (uint32_t i = 0; i < count; i++) { /* member by member: the padding between them is not defined */
        hash = fs_hash_bytes(hash, &row[i].resource, sizeof row[i].resource);
        hash = fs_hash_bytes(hash, &row[i].coefficient, sizeof row[i].coefficient);
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

/* FNV's low bits see only the low bits of each byte: fold the high half in. */
static uint32_t first_slot(uint64_t hash, uint32_t slots)
{
    return (uint32_t)(hash ^ (hash >> 32)) & (slots - 1);
}

/* The slot that holds this row, or the empty one where it belongs. */
static uint32_t find_slot(const fs_pattern_table *t, const fs_share *row, uint32_t count, uint64_t hash)
{
    uint32_t at = first_slot(hash, t->slots);
    for (; t->slot[at] != FS_NONE; at = (at + 1) & (t->slots - 1)) {
        uint32_t id = t->slot[at], n;
        const fs_share *stored = fs_pattern_row(t, id, &n);
        if (t->hash.data[id] == hash && n == count && equal_rows(stored, row, count))
            break;
    }
    return at;
}

static bool grow_slots(fs_pattern_table *t)
{
    uint32_t rows = fs_pattern_count(t);
    if (rows < t->slots / 2)
        return true;
    if (t->slots > UINT32_MAX / 2)
        return false;
    uint32_t slots = t->slots * 2, *slot = fs_alloc(slots, sizeof *slot);
    if (slot == NULL)
        return false;
    memset(slot, 0xff, slots * sizeof *slot);
    for (uint32_t id = 0; id < rows; id++) {
        uint32_t at = first_slot(t->hash.data[id], slots);
        while (slot[at] != FS_NONE)
            at = (at + 1) & (slots - 1);
        slot[at] = id;
    }
    fs_free(t->slot);
    t->slot = slot;
    t->slots = slots;
    return true;
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
    if (!grow_slots(table))
        return fs_fail_nomem(err);
    uint32_t at = find_slot(table, row, count, hash);
    if (table->slot[at] == FS_NONE) {
        uint32_t next = fs_pattern_count(table), end = table->shares.count + count;
        if (FS_PUSH(&table->hash, hash) == NULL)
            return fs_fail_nomem(err);
        if (FS_PUSH(&table->start, end) == NULL) {
            table->hash.count--;
            return fs_fail_nomem(err);
        }
        table->shares.count = end;
        table->slot[at] = next;
    }
    *id = table->slot[at];
    return FS_OK;
}
