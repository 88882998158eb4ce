/* spec_in.h - inside of a spec: for spec*.c and for the XML reader, which points at attributes. */
#ifndef FS_SPEC_IN_H
#define FS_SPEC_IN_H

#include "topo/names.h"
#include "topo/spec.h"

/* Limits of the format. A build with smaller ones (fuzzing) defines them on the command line. */
#ifndef FS_DEVICES_MAX
#define FS_DEVICES_MAX (UINT32_C(1) << 28)
#endif
#ifndef FS_LINKS_MAX
#define FS_LINKS_MAX (UINT32_C(1) << 28)
#endif
enum { FS_LANES_MAX = 4096 };

typedef struct fs_spec_device_row {
    const char *name;
    uint32_t part, node;
    fs_place place;
} fs_spec_device_row;

typedef struct fs_spec_link_row { /* one connection: two links */
    uint32_t from, to, type, lanes;
} fs_spec_link_row;

struct fs_spec {
    fs_arena *arena; /* every string */
    const char *name, *path;
    bool gpu_forwarding;
    FS_VEC(fs_part) parts;
    FS_VEC(fs_link_type) types; /* .tier = id in tier_names, in order of first mention */
    FS_VEC(fs_spec_device_row) devices;
    FS_VEC(fs_spec_link_row) links;
    fs_names part_names, type_names, tier_names, node_names, device_names;
    /* After a failure: the field of the offending thing, by its name in XML ("part", "lanes"). NULL = the thing. */
    const char *blame;
};

#endif
