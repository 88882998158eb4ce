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
    uint32_t part, node, network;
    fs_place place;
} fs_spec_device_row;

typedef struct fs_spec_link_row { /* one connection: two links */
    uint32_t from, to, type, lanes;
} fs_spec_link_row;

typedef struct fs_spec_run_row { /* the copies of a placed board */
    bool numbered;
    uint32_t copies, first, size; /* copy k: devices first + k * size, size of them */
} fs_spec_run_row;

struct fs_spec {
    fs_arena *arena; /* every string */
    const char *name, *path;
    bool gpu_forwarding, cross_rail;
    FS_VEC(fs_part) parts;
    FS_VEC(fs_link_type) types; /* .tier = id in tier_names, in order of first mention */
    FS_VEC(fs_spec_device_row) devices;
    FS_VEC(fs_spec_link_row) links;
    FS_VEC(fs_network) networks;
    FS_VEC(fs_spec_run_row) runs;
    fs_names part_names, type_names, tier_names, node_names, device_names, network_names, run_names;
    /* After a failure: the field of the offending thing, by its name in XML ("part", "lanes"). NULL = the thing. */
    const char *blame;
};

/* Fail, and blame a field. */
#define FS_SPEC_FAIL(spec, field, place, err, ...)                                                                     \
    ((spec)->blame = (field), fs_fail_at((err), FS_E_TOPOLOGY, (place).file, (place).line, (place).column, __VA_ARGS__))

/* A new name of some kind of thing: well formed and not yet taken. */
FS_MUST_CHECK fs_status fs_spec_check_new(fs_spec *spec, const fs_names *set, const char *what, const char *name,
                                          bool slash, fs_place place, fs_err *err);
/* The id of a name, or a failure that blames `field` and suggests. */
FS_MUST_CHECK fs_status fs_spec_find(fs_spec *spec, const fs_names *set, const char *field, const char *what,
                                     const char *name, uint32_t *id, fs_place place, fs_err *err);
/* Copy a name into the spec and give it the next id. NULL when out of memory. */
const char *fs_spec_intern(fs_spec *spec, fs_names *set, const char *name);

#endif
