/* unit_index.c - see unit_index.h. */
#include "topo/unit_index.h"

#include <stdlib.h>
#include <string.h>

typedef struct named {
    const char *name;
    uint32_t id;
} named;

static int compare_names(const void *left, const void *right)
{
    return strcmp(((const named *)left)->name, ((const named *)right)->name);
}

bool fs_unit_order_names(fs_arena *arena, fs_topo_unit *unit)
{
    uint32_t *by_name = fs_arena_alloc(arena, unit->n_devices, sizeof *by_name);
    named *sorted = fs_alloc(unit->n_devices, sizeof *sorted);
    bool good = by_name && sorted;
    for (uint32_t i = 0; good && i < unit->n_devices; i++)
        sorted[i] = (named){unit->names[i], i};
    if (good)
        qsort(sorted, unit->n_devices, sizeof *sorted, compare_names);
    for (uint32_t i = 0; good && i < unit->n_devices; i++)
        by_name[i] = sorted[i].id;
    fs_free(sorted);
    unit->by_name = by_name;
    return good;
}

void fs_unit_index_links(const fs_connection *connections, uint32_t n_links, uint32_t first, uint32_t n_devices,
                         uint32_t *begin, uint32_t *out)
{
    for (uint32_t i = 0; i < n_links / 2; i++) {
        begin[connections[i].low + 1]++;
        begin[connections[i].high + 1]++;
    }
    for (uint32_t d = 0; d < n_devices; d++)
        begin[d + 1] += begin[d];
    for (uint32_t i = 0; i < n_links / 2; i++) {
        out[begin[connections[i].low]++] = first + 2 * i;
        out[begin[connections[i].high]++] = first + 2 * i + 1;
    }
    memmove(begin + 1, begin, n_devices * sizeof *begin); /* each has moved on to where the next begins */
    begin[0] = 0;
}
