/* fluid_state.h - the state that fluid.c and fill.c share. Nobody else includes it.
 *
 * Three pools with 32-bit ids: resources (fixed), slots (one per timer or transfer that has not ended) and uses (one
 * per transfer that moves and resource it crosses). A use is in two lists: of its resource (doubly linked) and of its
 * slot. Free slots and uses are chained, so the steady state allocates nothing. */
#ifndef FS_FLUID_STATE_H
#define FS_FLUID_STATE_H

#include "engine/event_heap.h"
#include "engine/fluid.h"

#include <stdbool.h>

typedef enum fs_slot_kind {
    SLOT_FREE,
    SLOT_TIMER,
    SLOT_WAITING, /* a transfer that pays its latency */
    SLOT_MOVING,  /* a transfer with uses */
    SLOT_CARRIED  /* a transfer that the carrier moves; has no uses */
} fs_slot_kind;

typedef struct fs_slot {
    double amount;    /* of one edge */
    double remaining; /* at since_s */
    double since_s;   /* last change of the rate */
    double rate;
    double level; /* of the solve under way; < 0 while not frozen */
    uint64_t tag;
    uint64_t sequence;
    uint64_t stamp; /* last solve that saw it */
    uint32_t pattern;
    uint32_t first_use; /* FS_NONE: none. Of a free slot: the next free one */
    fs_slot_kind kind;
} fs_slot;

typedef struct fs_use {
    double coefficient;
    uint32_t slot, resource;
    uint32_t next, prev; /* in the resource's list */
    uint32_t sibling;    /* in the slot's list; of a free use: the next free one */
} fs_use;

typedef struct fs_resource {
    double capacity;
    double load;        /* of the last solve */
    double spare;       /* capacity that frozen transfers leave, in the solve under way */
    double weight;      /* sum of coefficients of transfers that are not frozen */
    double full_weight; /* weight at the start of the solve */
    double new_load;
    uint64_t stamp; /* last solve that saw it */
    uint32_t first_use;
    uint32_t open;    /* transfers not frozen */
    uint32_t carried; /* transfers of the carrier that cross it */
    bool dirty;
    double busy_since_s;
    fs_resource_use use; /* of ended transfers; busy_s up to busy_since_s */
} fs_resource;

typedef struct fs_fill_entry {
    double level;
    uint32_t resource;
} fs_fill_entry;

struct fs_fluid {
    const fs_pattern_table *patterns;
    fs_carrier carrier;
    uint64_t max_events;
    double now_s;
    uint64_t next_sequence, stamp;
    fs_engine_counters count;
    uint32_t n_moving;

    uint32_t n_resources;
    fs_resource *resources; /* (n_resources) */
    uint32_t *dirty;        /* (n_resources) the first n_dirty changed since the last solve */
    uint32_t n_dirty;

    uint32_t slot_capacity, free_slot;
    fs_slot *slots;     /* (slot_capacity) */
    fs_event_heap heap; /* of slots */
    uint32_t use_capacity, free_use, n_free_uses;
    fs_use *uses; /* (use_capacity) */

    /* Scratch of fill.c: the component under way. */
    uint32_t *part_resources; /* (n_resources) */
    uint32_t *part_slots;     /* (slot_capacity) */
    fs_fill_entry *levels;    /* (n_resources) */
};

/* Give every transfer its max-min rate again where resources are dirty; then the loads. */
void fs_fill(fs_fluid *fluid, const fs_engine_calls *calls);

#endif
