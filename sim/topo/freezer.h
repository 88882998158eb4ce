/* freezer.h - what the steps of freezing a spec share. Internal to spec_freeze*.c. */
#ifndef FS_FREEZER_H
#define FS_FREEZER_H

#include "topo/spec_in.h"

typedef struct fs_freezer {
    const fs_spec *spec;
    fs_topo *topo;
    uint32_t *part_of, *type_of, *tier_of, *unit_of; /* id in the spec -> id in the topology, FS_NONE = unused */
    FS_VEC(fs_link_shape) shapes;
    fs_index shape_index;
} fs_freezer;

/* Devices, nodes and names of the units, and the runs. False when out of memory. */
bool fs_freeze_units(fs_freezer *f);
/* Links of the units and cables, when the units are there. False when out of memory. */
bool fs_freeze_links(fs_freezer *f);
/* Of a frozen topology's content. */
uint64_t fs_topo_hash(const fs_topo *topo);

#endif
