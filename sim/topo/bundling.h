/* bundling.h - what the steps of bundling share. Internal to bundle*.c.
 *
 * A segment is a stretch of the whole topology that becomes one run of the bundled one: copies of a unit that are alike
 * in their faults, or devices of the system itself. A mould says how a segment is bundled: one for all copies of a run
 * without faults, one for each set of copies with the same faults, one for all devices of the system. */
#ifndef FS_BUNDLING_H
#define FS_BUNDLING_H

#include "base/mem.h"
#include "topo/bundle.h"

/* Links of the bundled topology as links of the whole: of one copy of a mould, or all cables. A member is a connection of
 * the whole topology, times 2, plus 1 where its low device is the other one's high. */
typedef struct fs_bundle_map {
    uint32_t n, n_whole;     /* connections, bundled and whole */
    const uint32_t *begin;   /* (n + 1) */
    const uint32_t *members; /* (n_whole) by connection, ascending */
    const uint32_t *of;      /* (n_whole) bundled connection * 2, plus 1 where turned round */
} fs_bundle_map;

typedef struct fs_mould {
    bool loose;                        /* of the system itself */
    uint32_t n_devices;                /* of one copy, or of all loose segments together */
    uint32_t run, copy;                /* not loose: a copy that stands for all */
    uint32_t first_device, first_link; /* of that copy */
    uint32_t *ids;                     /* loose: (n_devices) in the whole topology */
    uint64_t *cables; /* (n_devices) of switches in units: a hash of their cables in all copies, 0 = none */
    bool *alone;      /* (n_devices) must not be merged */
    uint32_t n_classes;
    uint32_t *class_of;        /* (n_devices) in the order of the first members */
    uint32_t *begin, *members; /* (n_classes + 1), (n_devices) by class, ascending */
    fs_topo_unit *unit;        /* not loose: what is made of it */
    fs_bundle_map links;
} fs_mould;

typedef struct fs_segment {
    uint32_t mould;
    uint32_t first_run, first_copy, copies; /* runs of the whole topology: of loose segments the first of several */
    uint32_t first_device, first_link;      /* in the whole topology */
    uint32_t n_devices, n_links;            /* of one copy there */
    uint32_t offset;                        /* loose: of its devices among all loose ones */
    uint32_t first_class;                   /* loose: class of its first device */
    uint32_t n_classes;                     /* of one copy */
    uint32_t first;                         /* id of its first device in the bundled topology */
} fs_segment;

/* Part of the bundled topology, in its arena. Segment k is run k. */
typedef struct fs_bundle {
    const fs_topo *whole;
    uint32_t n_segments, n_moulds;
    fs_segment *segments;
    fs_mould *moulds;
    fs_bundle_map cables;
} fs_bundle;

typedef struct fs_bundling {
    const fs_topo *whole;
    fs_arena *arena; /* of the topology that is made */
    FS_VEC(fs_segment) segments;
    FS_VEC(fs_mould) moulds;
    uint32_t loose; /* id of the mould of the system's own devices, FS_NONE = there are none */
} fs_bundling;

static inline bool fs_is_switch(fs_device_kind kind)
{
    return kind == FS_DEVICE_NVSWITCH || kind == FS_DEVICE_PCIE_SWITCH || kind == FS_DEVICE_NET_SWITCH;
}

/* A device of the whole topology in its segment: which copy (from 0), and its id in the mould. */
typedef struct fs_spot {
    const fs_segment *segment;
    uint32_t copy, local;
} fs_spot;

static inline fs_spot fs_spot_of(const fs_segment *segments, uint32_t n, uint32_t device)
{
    uint32_t low = 0, high = n;
    while (high - low > 1) {
        uint32_t middle = low + (high - low) / 2;
        if (segments[middle].first_device <= device)
            low = middle;
        else
            high = middle;
    }
    const fs_segment *s = &segments[low];
    uint32_t offset = device - s->first_device, copy = offset < s->n_devices ? 0 : offset / s->n_devices;
    return (fs_spot){s, copy, s->offset + offset - copy * s->n_devices};
}

/* Id in the bundled topology, once there are classes. */
static inline uint32_t fs_bundled_id(const fs_segment *segments, uint32_t n, const fs_mould *moulds, uint32_t device)
{
    fs_spot at = fs_spot_of(segments, n, device);
    const fs_segment *s = at.segment;
    return s->first + at.copy * s->n_classes + moulds[s->mould].class_of[at.local] - s->first_class;
}

/* The device that stands for number `local` of a mould. */
static inline uint32_t fs_mould_device(const fs_mould *mould, uint32_t local)
{
    return mould->loose ? mould->ids[local] : mould->first_device + local;
}

/* Whether it is a switch of a network where each flow has one path: then every switch and every cable counts. */
bool fs_picks_paths(const fs_topo *topo, uint32_t device);

/* What tells links apart: shapes and factors of both directions, as seen from the device that it leaves. */
uint64_t fs_link_colour(const fs_topo *topo, uint32_t link);

FS_MUST_CHECK fs_status fs_bundle_segments(fs_bundling *b, fs_err *err);             /* bundle_segments.c */
FS_MUST_CHECK fs_status fs_bundle_classes(fs_bundling *b, fs_err *err);              /* bundle_classes.c */
FS_MUST_CHECK fs_status fs_bundle_build(fs_bundling *b, fs_topo *topo, fs_err *err); /* bundle_build.c */

#endif
