/* unit_index.h - orders in which the devices and links of a unit are found. Internal to topo. */
#ifndef FS_UNIT_INDEX_H
#define FS_UNIT_INDEX_H

#include "base/mem.h"
#include "topo/unit.h"

/* by_name of a unit that has its names. False when out of memory. Cost: O(n log n). */
bool fs_unit_order_names(fs_arena *arena, fs_topo_unit *unit);

/* Links by source, ascending, from connections with consecutive link ids from `first`. begin (n_devices + 1) is zero on
 * entry, out (n_links). Cost: a counting sort. */
void fs_unit_index_links(const fs_connection *connections, uint32_t n_links, uint32_t first, uint32_t n_devices,
                         uint32_t *begin, uint32_t *out);

#endif
