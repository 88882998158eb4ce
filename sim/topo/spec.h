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

/* Freeze and check: at least one GPU, every GPU connected to something (a single one may stand alone), no link from a
 * device to itself, at most 2^28 devices and links, capacities finite and positive. Leaves the spec usable; the
 * topology owns copies. */
FS_MUST_CHECK fs_status fs_spec_freeze(const fs_spec *spec, fs_topo **topo, fs_err *err);

/* One line to a test topology, as hwloc does it: "gpus:8 nvlink:25GB/s,500ns" = GPUs on one crossbar switch;
 * "ring:4 ...", "mesh:4 ...", "pcie:8 ...", "nodes:2 gpus:4 nvlink:... nic:...". Grammar in spec_oneline.c. */
FS_MUST_CHECK fs_status fs_spec_oneline(const char *text, fs_topo **topo, fs_err *err);

#endif
