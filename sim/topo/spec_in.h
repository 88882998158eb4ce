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
    const char *name; /* within its unit */
    uint32_t part, node, network;
    fs_place place;
} fs_spec_device_row;

typedef struct fs_spec_link_row { /* one connection: two links */
    uint32_t from, to, type, lanes;
} fs_spec_link_row;

/* A board with all that is placed in it, stored once. Or devices and nodes of the system, one after the other: then the
 * ids of nodes are those of the system, names are in the spec's own sets, and there are no links. */
typedef struct fs_spec_unit {
    FS_VEC(fs_spec_device_row) devices;
    FS_VEC(fs_spec_link_row) links; /* ids within the unit */
    FS_VEC(const char *) nodes;
    fs_names device_names, node_names;
    uint32_t outer; /* the unit that was open when this one was begun */
} fs_spec_unit;

typedef struct fs_spec_run { /* copies of a unit, one after the other */
    uint32_t unit, copies;
    const char *name; /* NULL: devices of the system */
    bool numbered;
    uint32_t first_device, first_node;
} fs_spec_run;

struct fs_spec {
    fs_arena *arena; /* every string */
    const char *name, *path;
    bool gpu_forwarding, cross_rail;
    FS_VEC(fs_part) parts;
    FS_VEC(fs_link_type) types; /* .tier = id in tier_names, in order of first mention */
    FS_VEC(fs_spec_unit) units;
    FS_VEC(fs_spec_run) runs; /* in the order of their ids */
    FS_VEC(fs_spec_link_row) cables;
    FS_VEC(fs_network) networks;
    uint32_t open; /* the unit that is being filled, FS_NONE = the system */
    uint32_t n_devices, n_nodes;
    uint64_t n_connections;
    fs_names part_names, type_names, tier_names, network_names;
    fs_names loose_devices, loose_nodes; /* of the system itself */
    FS_VEC(uint32_t) loose_device_ids;   /* (loose_devices.count) */
    FS_VEC(uint32_t) loose_node_ids;     /* (loose_nodes.count) */
    fs_index run_index;                  /* runs by name */
    fs_names place_names;                /* of the boards that the system places, each name once */
    FS_VEC(uint32_t) place_runs;         /* (place_names.count) the first run of that name */
    /* After a failure: the field of the offending thing, by its name in XML ("part", "lanes"). NULL = the thing. */
    const char *blame;
};

static inline const fs_spec_unit *fs_spec_unit_of(const fs_spec *spec, const fs_spec_run *run)
{
    return &spec->units.data[run->unit];
}

/* The row of a device of the system; a device of a board has one for all copies. */
fs_spec_device_row *fs_spec_device_at(const fs_spec *spec, uint32_t device);
/* Full name: "node3/gpu0". FS_NAME_MAX + 1 bytes hold every one. */
const char *fs_spec_device_name(const fs_spec *spec, uint32_t device, char *buffer, size_t size);
/* FS_NONE: none of that name. */
uint32_t fs_spec_find_device(const fs_spec *spec, const char *name);
uint32_t fs_spec_find_node(const fs_spec *spec, const char *name);
/* Connections so far: of the open unit, or of the system with all copies. */
uint64_t fs_spec_connections(const fs_spec *spec);
/* Without checks: to the open unit or to the system. */
FS_MUST_CHECK fs_status fs_spec_add_node(fs_spec *spec, const char *name, fs_err *err);
FS_MUST_CHECK fs_status fs_spec_add_device(fs_spec *spec, const char *name, fs_spec_device_row row, fs_err *err);

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
