/* topo.h - the machine: parts, devices, links, frozen and constant.
 *
 * Life: fs_topo_load reads XML (topo_xml.c), collects boards and systems (topo_build.c) in a spec that checks every
 * addition (spec.c), and freezes that (spec_freeze.c). After that nothing changes.
 * Ids are dense and stable: those of devices follow document order, and an expanded topology written back reads the same.
 * Parts, link types and tiers that nothing uses are left out.
 * A physical connection is two links, one per direction: ids 2k (from -> to) and 2k + 1 (to -> from).
 * Boards are stored once (unit.h): functions answer for their copies, and nothing is stored per copy but its cables. */
#ifndef FS_TOPO_H
#define FS_TOPO_H

#include "base/err.h"
#include "base/file.h"
#include "topo/factors.h"
#include "topo/unit.h"

#include <stdbool.h>

enum {
    FS_NAME_MAX = 255,                      /* bytes of the name of a device, part, node, ... */
    FS_LINK_NAME_SIZE = 2 * FS_NAME_MAX + 5 /* two names, an arrow, the NUL */
};

typedef struct fs_topo {
    const char *name;
    const char *path;    /* the file it came from */
    uint64_t hash;       /* of its expanded content */
    bool gpu_forwarding; /* may a GPU pass on traffic of others over NVLink */
    bool cross_rail;     /* traffic for another rail goes through the network's spines, not over NVLink first (PXN) */

    uint32_t n_parts, n_link_types, n_tiers, n_networks, n_devices, n_links, n_gpus, n_nodes;
    const fs_part *parts;           /* (n_parts) */
    const fs_link_type *link_types; /* (n_link_types) */
    const fs_tier *tiers;           /* (n_tiers), in the order of their link types */
    const fs_network *networks;     /* (n_networks) */
    const uint32_t *gpus;           /* (n_gpus) device ids; GPU number -> device */
    uint32_t n_epochs;              /* >= 1: times between which links fail, slow down or come back */
    const double *epoch_start_s;    /* (n_epochs) ascending, the first 0 */
    fs_factors link_faults;         /* by link id */
    fs_factors gpu_faults;          /* by GPU number */
    uint32_t n_faults;
    const struct fs_fault *faults; /* (n_faults) what made these (faults.h) */
    /* Storage: read it through the functions below. */
    uint32_t n_units, n_runs, first_cable; /* first_cable: links below belong to units */
    const fs_topo_unit *units;             /* (n_units) */
    const fs_topo_run *runs;               /* (n_runs), in the order of their devices */
    const fs_connection *cables;           /* ((n_links - first_cable) / 2) sorted */
    const uint32_t *cable_begin;           /* (n_devices + 1) */
    const uint32_t *cable_links;           /* (n_links - first_cable) link ids by source, ascending */
    uint32_t n_shapes;
    const fs_link_shape *shapes;    /* (n_shapes) what the connections refer to */
    const struct fs_bundle *bundle; /* of a bundled topology: what it stands for (bundle.h); else NULL */
    struct fs_arena *arena;         /* owns everything above */
} fs_topo;

/* One `--set topo:NAME.ATTRIBUTE=VALUE`: the element with that name attribute gets the value before validation. The name
 * may say the kind, too, and the tier of a network: "gpu.h100-sxm5", "network.ib.leaf"; "system" has none. */
typedef struct fs_topo_override {
    const char *name, *attribute, *value;
} fs_topo_override;

/* Whether a path that begins with this word is one into a topology: it is a kind of element that overrides can name. No
 * key of a trace is such a word. */
bool fs_topo_is_kind(const char *word, size_t length);

/* Of the text of a topology's file and of all that it includes. */
FS_MUST_CHECK fs_status fs_topo_hash_files(const char *path, uint64_t *hash, fs_err *err);

FS_MUST_CHECK fs_status fs_topo_load(const char *path, const fs_topo_override *overrides, uint32_t n_overrides,
                                     fs_topo **topo, fs_err *err);
/* The same from memory (fuzzing, tests); `path` is for messages and relative XIncludes. */
FS_MUST_CHECK fs_status fs_topo_parse(const char *path, const char *xml, size_t length,
                                      const fs_topo_override *overrides, uint32_t n_overrides, fs_topo **topo,
                                      fs_err *err);
/* One GPU of a part that ships with fabsim. FS_E_USAGE with a suggestion where there is no such part. */
FS_MUST_CHECK fs_status fs_topo_of_part(const char *part, const fs_topo_override *overrides, uint32_t n_overrides,
                                        fs_topo **topo, fs_err *err);
void fs_topo_free(fs_topo *topo);

/* Explicit XML of the same machine: every device and link written out. Reads back as the same, with equal ids. */
void fs_topo_write_xml(const fs_topo *topo, fs_out *out);
void fs_topo_write_dot(const fs_topo *topo, fs_out *out); /* Graphviz */

/* Which copy of which unit a device belongs to. Cost: O(log runs), and there are mostly two. */
static inline fs_where fs_topo_where(const fs_topo *topo, uint32_t device)
{
    uint32_t low = 0, high = topo->n_runs;
    while (high - low > 1) {
        uint32_t middle = low + (high - low) / 2;
        if (topo->runs[middle].first_device <= device)
            low = middle;
        else
            high = middle;
    }
    const fs_topo_run *run = &topo->runs[low];
    uint32_t offset = device - run->first_device, n = run->unit->n_devices;
    uint32_t copy = offset < n ? 0 : offset / n;
    return (fs_where){run, copy, offset - copy * n};
}

/* By value: nothing is stored per copy of a board. */
static inline fs_device fs_topo_device(const fs_topo *topo, uint32_t device)
{
    fs_where at = fs_topo_where(topo, device);
    const fs_topo_unit *unit = at.run->unit;
    fs_device d = unit->devices[at.local];
    d.index += at.run->first_index[d.kind] + at.copy * unit->of_kind[d.kind];
    if (d.node != FS_NONE)
        d.node += at.run->node_base + at.copy * unit->n_nodes;
    return d;
}

/* The part of the GPU of this index, from 0 to n_gpus - 1. */
static inline const fs_part *fs_topo_gpu_part(const fs_topo *topo, uint32_t gpu)
{
    return &topo->parts[fs_topo_device(topo, topo->gpus[gpu]).part];
}

/* The number of the run whose copies have that link, which is no cable. Cost: as fs_topo_where. */
static inline uint32_t fs_topo_run_of_link(const fs_topo *topo, uint32_t link)
{
    uint32_t low = 0, high = topo->n_runs;
    while (high - low > 1) {
        uint32_t middle = low + (high - low) / 2;
        if (topo->runs[middle].first_link <= link)
            low = middle;
        else
            high = middle;
    }
    return low;
}

/* The connection that a link belongs to, whose devices count from *base: the first of its copy, or 0 for a cable. */
static inline const fs_connection *fs_topo_connection(const fs_topo *topo, uint32_t link, uint32_t *base)
{
    *base = 0;
    if (link >= topo->first_cable)
        return &topo->cables[(link - topo->first_cable) / 2];
    const fs_topo_run *run = &topo->runs[fs_topo_run_of_link(topo, link)];
    uint32_t offset = link - run->first_link, n = run->unit->n_links;
    uint32_t copy = offset < n ? 0 : offset / n;
    *base = run->first_device + copy * run->unit->n_devices;
    return &run->unit->connections[(offset - copy * n) / 2];
}

static inline fs_link fs_topo_link(const fs_topo *topo, uint32_t link)
{
    uint32_t base, back = link & 1u;
    const fs_connection *c = fs_topo_connection(topo, link, &base);
    const fs_link_shape *s = &topo->shapes[c->shape[back]];
    return (fs_link){
        .src = base + (back ? c->high : c->low),
        .dst = base + (back ? c->low : c->high),
        .type = s->type,
        .lanes = s->lanes,
        .bandwidth_Bps = s->bandwidth_Bps,
        .effective_Bps = s->effective_Bps,
        .latency_s = s->latency_s,
    };
}

/* What is left of a link in an epoch: 1 whole, 0 down. */
static inline double fs_topo_link_factor(const fs_topo *topo, uint32_t link, uint32_t epoch)
{
    return fs_factor_at(&topo->link_faults, link, topo->n_epochs, epoch);
}

/* The speed of a GPU in an epoch, as a part of its part's. */
static inline double fs_topo_gpu_factor(const fs_topo *topo, uint32_t gpu, uint32_t epoch)
{
    return fs_factor_at(&topo->gpu_faults, gpu, topo->n_epochs, epoch);
}

/* The links that leave a device, ascending: those within its copy, then its cables. Ask once, then index. */
typedef struct fs_links {
    uint32_t count, n_unit, first;
    const uint32_t *unit, *cables;
} fs_links;

static inline fs_links fs_topo_out(const fs_topo *topo, uint32_t device)
{
    fs_where at = fs_topo_where(topo, device);
    const fs_topo_unit *unit = at.run->unit;
    uint32_t begin = unit->out_begin[at.local], n_unit = unit->out_begin[at.local + 1] - begin;
    uint32_t cables = topo->cable_begin[device], n_cables = topo->cable_begin[device + 1] - cables;
    return (fs_links){n_unit + n_cables, n_unit, at.run->first_link + at.copy * unit->n_links, unit->out_links + begin,
                      topo->cable_links + cables};
}

static inline uint32_t fs_links_at(const fs_links *links, uint32_t i)
{
    return i < links->n_unit ? links->first + links->unit[i] : links->cables[i - links->n_unit];
}

static inline uint32_t fs_topo_out_count(const fs_topo *topo, uint32_t device)
{
    return fs_topo_out(topo, device).count;
}

static inline uint32_t fs_topo_out_link(const fs_topo *topo, uint32_t device, uint32_t i)
{
    fs_links links = fs_topo_out(topo, device);
    return fs_links_at(&links, i);
}

/* Names, into the caller's buffer, which is returned; FS_NAME_MAX + 1 bytes hold every one. */
const char *fs_device_name(const fs_topo *topo, uint32_t device, char *buffer, size_t size);
const char *fs_node_name(const fs_topo *topo, uint32_t node, char *buffer, size_t size);
/* The same in a buffer that lives as long as the block around. */
#define FS_DEVICE_NAME(topo, device) fs_device_name(topo, device, (char[FS_NAME_MAX + 1]){0}, FS_NAME_MAX + 1)
#define FS_NODE_NAME(topo, node) fs_node_name(topo, node, (char[FS_NAME_MAX + 1]){0}, FS_NAME_MAX + 1)

/* "node0/gpu3 -> node0/nvsw1", into the caller's buffer; FS_LINK_NAME_SIZE bytes hold every one. */
char *fs_link_name(const fs_topo *topo, uint32_t link, char *buffer, size_t size);
/* Device of that name, or FS_NONE. */
uint32_t fs_topo_find(const fs_topo *topo, const char *name);

#endif
