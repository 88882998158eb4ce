/* box.h - boxes: what links other than network links join. Internal to route.
 *
 * A box is a maximal set of devices that are joined by NVLink, PCIe, C2C and CPU links: a server, a rack with NVLink
 * switches, several servers around external NVSwitches. Boxes that are equal but for where their ids start are of one
 * kind, and a way inside one of them is found once for all: in numbers relative to the box, which added to the box's own
 * give the real ones. Network switches are in no box.
 *
 * Cost: O(devices + links) once; 12 B a device, 12 B a box; the rest by kind. */
#ifndef FS_BOX_H
#define FS_BOX_H

#include "route/leg.h"

/* Which links a way inside a box may take. */
typedef enum fs_reach {
    FS_REACH_NVLINK,    /* NVLink among GPUs and NVSwitches */
    FS_REACH_FORWARDED, /* the same with one GPU between: two NVLink hops */
    FS_REACH_BOARD,     /* everything, GPUs and NICs at the ends only */
    FS_REACHES
} fs_reach;

typedef struct fs_box {
    uint32_t kind, first_device, first_link; /* device = first_device + local where the kind's members are NULL */
} fs_box;

typedef struct fs_box_edge {
    uint32_t to, link; /* local */
    fs_link_class class_;
    bool scale_up;          /* NVLink, GPU or NVSwitch at both ends */
    bool alive, alive_back; /* from here to there; from there to here */
} fs_box_edge;

/* A device of a box by which traffic enters and leaves it, and the cost of the way there (see box_leg.c). */
typedef struct fs_gate {
    uint32_t port; /* local */
    uint32_t cost;
} fs_gate;

typedef struct fs_gates {
    uint32_t n;
    const fs_gate *gates; /* (n) the nearest first; NULL = not known yet */
} fs_gates;

typedef struct fs_box_kind {
    uint32_t n;     /* devices */
    fs_box example; /* the first box of the kind */
    const uint32_t
        *members; /* (n) device ids, ascending, of a box whose ids have gaps and which is alone in its kind */
    const fs_device_kind *kinds; /* (n) */
    const uint32_t *nodes;       /* (n) of the example */
    const bool *plugged;         /* (n) has network links */
    const uint32_t *edges_begin; /* (n + 1) */
    const fs_box_edge *edges;    /* those of device i: edges[edges_begin[i] ..< edges_begin[i + 1]], by link */
    uint32_t n_ports;
    const uint32_t *ports;              /* (n_ports) local ids of devices with network links, but GPUs; ascending */
    const uint32_t **costs[FS_REACHES]; /* (n) [dst]: costs from every device to it, (n); NULL = not searched yet */
    fs_gates *exits, *entries;          /* (n) ways from a device to the ports, and from the ports to it */
} fs_box_kind;

typedef struct fs_box_item {
    uint32_t cost, device;
} fs_box_item;

typedef struct fs_boxes {
    const fs_view *view;
    bool single_path;
    fs_arena *arena;  /* kinds and what is known of them */
    uint32_t *box_of; /* (n_devices) FS_NONE: in no box */
    FS_VEC(fs_box) boxes;
    FS_VEC(fs_box_kind) kinds;
    fs_leg_store legs; /* inside boxes; space = kind * FS_REACHES + reach, ends and links local */
    /* Scratch of the search. */
    fs_dag dag;
    FS_VEC(fs_box_item) heap;
    FS_VEC(fs_box_item) found;
    uint32_t *vertex_of; /* (the largest n) FS_NONE between searches */
} fs_boxes;

/* Find the boxes of the view, which must outlive them. boxes: all zero bits; to be cleared also after a failure. */
FS_MUST_CHECK fs_status fs_boxes_init(fs_boxes *boxes, const fs_view *view, bool single_path, fs_err *err);
void fs_boxes_clear(fs_boxes *boxes);

/* A device within its box. */
uint32_t fs_box_local(const fs_boxes *boxes, uint32_t box, uint32_t device);
static inline uint32_t fs_box_device(const fs_boxes *boxes, uint32_t box, uint32_t local)
{
    const fs_box_kind *kind = &boxes->kinds.data[boxes->boxes.data[box].kind];
    return kind->members ? kind->members[local] : boxes->boxes.data[box].first_device + local;
}

/* box_leg.c: the way between two devices of a box; *leg = an id in boxes->legs. A way that is not there is a leg too
 * (fs_leg_found). */
FS_MUST_CHECK fs_status fs_box_leg(fs_boxes *boxes, uint32_t kind, fs_reach reach, uint32_t src, uint32_t dst,
                                   uint32_t *leg, fs_err *err);
/* The cost of that way, FS_NONE where there is none; inside FS_REACH_BOARD. */
FS_MUST_CHECK fs_status fs_box_cost(fs_boxes *boxes, uint32_t kind, uint32_t src, uint32_t dst, uint32_t *cost,
                                    fs_err *err);
/* Ways over the board from a device to the ports of its box (out), or from them to it. A device is the nearest to
 * itself: a GPU is a port only of its own. */
FS_MUST_CHECK fs_status fs_box_gates(fs_boxes *boxes, uint32_t kind, uint32_t device, bool out, fs_gates *gates,
                                     fs_err *err);

#endif
