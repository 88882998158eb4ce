/* spec.h - a topology being built: devices and links by name, before it is frozen.
 *
 * The XML reader, the hwloc importer and tests fill a spec; fs_spec_freeze turns it into an fs_topo and checks
 * it. Names and patterns are resolved here ("gpu[0-7]"), so that all three share one set of rules. */
#ifndef FS_SPEC_H
#define FS_SPEC_H

#include "topo/topo.h"

typedef struct fs_spec fs_spec;

/* Where something was written, for errors. file must outlive the spec; NULL = not from a file. */
typedef struct fs_place {
    const char *file;
    uint32_t line, column;
} fs_place;

fs_spec *fs_spec_new(const char *name, const char *path); /* NULL when out of memory */
void fs_spec_free(fs_spec *spec);
void fs_spec_set_forwarding(fs_spec *spec, bool gpu_forwarding);
void fs_spec_set_cross_rail(fs_spec *spec, bool cross_rail);

/* Add one thing; strings are copied. Duplicate names and references to unknown names are FS_E_TOPOLOGY at `place`
 * with a suggestion. fs_link_type's tier field is ignored: the tier is given by name. */
FS_MUST_CHECK fs_status fs_spec_part(fs_spec *spec, const fs_part *part, fs_place place, fs_err *err);
FS_MUST_CHECK fs_status fs_spec_link_type(fs_spec *spec, const fs_link_type *type, const char *tier, fs_place place,
                                          fs_err *err);
FS_MUST_CHECK fs_status fs_spec_node(fs_spec *spec, const char *name, uint32_t *node, fs_place place, fs_err *err);
FS_MUST_CHECK fs_status fs_spec_device(fs_spec *spec, const char *name, const char *part, uint32_t node, fs_place place,
                                       fs_err *err);
FS_MUST_CHECK fs_status fs_spec_link(fs_spec *spec, const char *from, const char *to, const char *type, uint32_t lanes,
                                     fs_place place, fs_err *err);

/* ---- boards: stored once, placed in copies ------------------------------------------------------------------------- */

/* From here to fs_spec_unit_end nodes, devices, links and places go into a new unit, where names and ids are its own.
 * node: all of it is one node, whose id is 0 and whose name is that of the copy. Units may be begun within units. */
FS_MUST_CHECK fs_status fs_spec_unit_begin(fs_spec *spec, bool node, fs_err *err);
uint32_t fs_spec_unit_end(fs_spec *spec); /* the id of the unit */
/* Copies of a unit: "NAME0/...", "NAME1/...", or one "NAME/..." where they are not numbered; with NAME "" the only board
 * of a system, under its own names. Within a unit the copies are written out, in the system they are stored once. */
FS_MUST_CHECK fs_status fs_spec_place(fs_spec *spec, uint32_t unit, const char *name, bool numbered, uint32_t copies,
                                      fs_place place, fs_err *err);

/* ---- networks: many switches and cables, by id -------------------------------------------------------------------- */

/* A network: its switches are those that are told so, by fs_spec_switches or fs_spec_join. */
FS_MUST_CHECK fs_status fs_spec_network(fs_spec *spec, const fs_network *network, fs_place place, fs_err *err);
/* An existing NVSwitch or network switch belongs to a network. */
FS_MUST_CHECK fs_status fs_spec_join(fs_spec *spec, uint32_t device, uint32_t network, fs_place place, fs_err *err);
/* `count` switches of a network, named PREFIX0, PREFIX1, ..., with consecutive ids from *first. */
FS_MUST_CHECK fs_status fs_spec_switches(fs_spec *spec, const char *prefix, uint32_t count, uint32_t part,
                                         uint32_t network, uint32_t *first, fs_place place, fs_err *err);
/* A link type under the label of a tier: itself where that is its tier, else a copy "TYPE.TIER", made once. */
FS_MUST_CHECK fs_status fs_spec_tier_type(fs_spec *spec, const char *type, const char *tier, uint32_t *id,
                                          fs_place place, fs_err *err);
/* One connection of 1 to 4096 lanes between two different devices. */
FS_MUST_CHECK fs_status fs_spec_cable(fs_spec *spec, uint32_t from, uint32_t to, uint32_t type, uint32_t lanes,
                                      fs_place place, fs_err *err);

/* The first <place> of that name in the system: its run, and its copies. */
FS_MUST_CHECK fs_status fs_spec_find_place(fs_spec *spec, const char *name, uint32_t *run, uint32_t *copies,
                                           fs_place place, fs_err *err);
/* A device of the first copy by its name within the board; it has *stride between its ids in one copy and the next. */
FS_MUST_CHECK fs_status fs_spec_run_device(fs_spec *spec, uint32_t run, const char *name, uint32_t *device,
                                           uint32_t *stride, fs_place place, fs_err *err);

/* Freeze and check: at least one GPU, every GPU connected to something (a single one may stand alone), no link from a
 * device to itself, at most 2^28 devices and links, capacities finite and positive. Leaves the spec usable; the
 * topology owns copies. */
FS_MUST_CHECK fs_status fs_spec_freeze(const fs_spec *spec, fs_topo **topo, fs_err *err);

/* One line to a test topology, as hwloc does it: "gpus:8 nvlink:25GB/s,500ns" = GPUs on one crossbar switch;
 * "ring:4 ...", "mesh:4 ...", "pcie:8 ...", "nodes:2 gpus:4 nvlink:... nic:...". Grammar in spec_oneline.c. */
FS_MUST_CHECK fs_status fs_spec_oneline(const char *text, fs_topo **topo, fs_err *err);

#endif
