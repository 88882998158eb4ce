/* pattern.h - which resources a transfer loads, and how much.
 *
 * A pattern is a sparse row: resources with coefficients. Coefficient a(r) = how many of the transfer's edges
 * cross resource r (a fraction where an edge is spread over equal paths). The table interns rows: equal
 * rows have equal ids. Resources are links first [0, n_links), then one SM pool per rank.
 * Written by coll and fold, read by engine; ids are dense and stable: the n-th distinct row has id n. */
#ifndef FS_PATTERN_H
#define FS_PATTERN_H

#include "base/err.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct fs_share {
    uint32_t resource;
    double coefficient; /* > 0 */
} fs_share;

/* Sort by resource and add up what is repeated, in an order that does not depend on the one given; the new count. */
uint32_t fs_shares_sort(fs_share *shares, uint32_t count);

typedef struct fs_pattern_table fs_pattern_table;

fs_pattern_table *fs_pattern_table_new(void); /* NULL when out of memory */
void fs_pattern_table_free(fs_pattern_table *table);

/* Intern a row. Shares may come unsorted and may repeat a resource (coefficients then add up); the stored row is
 * sorted by resource. An empty row is allowed: such a transfer takes only its latency. */
FS_MUST_CHECK fs_status fs_pattern_add(fs_pattern_table *table, const fs_share *shares, uint32_t count, uint32_t *id,
                                       fs_err *err);
uint32_t fs_pattern_count(const fs_pattern_table *table);
/* The row; valid until the next fs_pattern_add. */
const fs_share *fs_pattern_row(const fs_pattern_table *table, uint32_t id, uint32_t *count);

#ifdef __cplusplus
}
#endif

#endif
