/* fluid_state.h - the state that fluid.c, fluid_uses.c and fill.c share. Nobody else includes it.
 *
 * Three pools with 32-bit ids: resources (fixed), slots (one per timer or transfer that has not ended) and uses (one
 * per transfer that moves and resource it crosses). The uses of a slot lie side by side, first_use .. first_use +
 * n_uses; those of a resource are in a doubly linked list. What is freed is used again, so the steady state allocates
 * nothing. Hot and cold state of a resource are apart: filling touches one cache line of each resource that it sees. */
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
    double amount;    /* of one edge, along the pattern that it has now */
    double remaining; /* at since_s */
    double since_s;   /* last change of the rate */
    double rate;      /* settled; the uses hold that of the solve under way */
    uint64_t tag;
    uint64_t sequence;
    uint32_t pattern;
    uint32_t first_use; /* of a free slot: the next free one */
    uint32_t n_uses;    /* 0 unless MOVING */
    uint8_t kind;       /* fs_slot_kind */
    bool listed;        /* among fresh[] */
    bool changed;       /* among changed[] */
} fs_slot;

typedef struct fs_use {
    double coefficient;
    double rate; /* of the transfer; the same in all its uses */
    uint32_t slot, resource;
    uint32_t next, prev; /* in the resource's list; next of a free block: the next free one of its size */
} fs_use;

/* What filling needs of a resource: one cache line. */
typedef struct fs_resource {
    double capacity;
    double level;          /* no transfer here is faster; INFINITY: the resource is not full and holds nobody back */
    double load, load_low; /* sum of coefficient x rate, in two parts: rounding never piles up */
    double held;           /* sum of the coefficients of the n_held transfers that run at `level`, to rounding */
    double target;         /* what `level` should be, of the last exact look; NAN: unknown */
    uint32_t first_use, n_uses, n_held;
    uint8_t stale; /* fs_stale: among stale[] */
    bool touched;  /* among touched[] */
    bool sealed;   /* `level` is final in the solve under way */
} fs_resource;

typedef enum fs_stale {
    STALE_NOT,
    STALE_LOWERED, /* only lower rates since it was last looked at */
    STALE_RAISED   /* anything */
} fs_stale;

/* The rest of a resource. */
typedef struct fs_resource_log {
    double load; /* settled */
    double busy_since_s;
    fs_resource_use use; /* of ended transfers; busy_s up to busy_since_s */
    uint32_t carried;    /* transfers of the carrier that cross it */
} fs_resource_log;

/* Blocks of uses come in sizes 1, 2, 3, 4, 6, 8, 12, 16, ...: two to an octave. */
enum { USE_SIZES = 64 };

struct fs_fluid {
    const fs_pattern_table *patterns;
    fs_carrier carrier;
    uint64_t max_events;
    double now_s;
    uint64_t next_sequence;
    fs_engine_counters count;
    uint32_t n_moving;

    uint32_t n_resources;
    fs_resource *resources; /* (n_resources) */
    fs_resource_log *logs;  /* (n_resources) */

    uint32_t slot_capacity, slots_made, free_slot; /* slots [slots_made, slot_capacity) were never used */
    fs_slot *slots;                                /* (slot_capacity) */
    fs_event_heap heap;                            /* of slots */
    uint32_t use_capacity, uses_made;
    fs_use *uses;                  /* (use_capacity) */
    uint32_t free_uses[USE_SIZES]; /* first free block of each size */

    /* Between solves: what has changed. In fill.c: what is under way. */
    double floor;        /* of the solve under way: rates below are final */
    uint32_t *fresh;     /* (slot_capacity) transfers without a rate */
    uint32_t *changed;   /* (slot_capacity) transfers whose rate has changed */
    uint32_t *stale;     /* (n_resources) to look at */
    uint32_t *touched;   /* (n_resources) whose load has changed */
    fs_event_heap queue; /* of resources whose level is wrong, by the lowest level that they may have now */
    uint32_t n_fresh, n_changed, n_stale, n_touched;
};

/* ---- fluid_uses.c ---- */

/* Room for one more block of uses for `count` shares. */
FS_MUST_CHECK fs_status fs_uses_reserve(fs_fluid *fluid, uint32_t count, fs_err *err);
/* The slot crosses the resources of a row, at rate 0; room is reserved. It becomes fresh. */
void fs_uses_link(fs_fluid *fluid, uint32_t slot, const fs_share *row, uint32_t count);
/* It no longer does. `amount` of each edge has crossed them. */
void fs_uses_unlink(fs_fluid *fluid, uint32_t slot, double amount);

/* ---- fill.c ---- */

/* Give every transfer its max-min rate again; then the loads. */
void fs_fill(fs_fluid *fluid, const fs_engine_calls *calls);

static inline void fs_mark_stale(fs_fluid *fluid, uint32_t resource, fs_stale how)
{
    fs_resource *r = &fluid->resources[resource];
    if (r->stale == STALE_NOT)
        fluid->stale[fluid->n_stale++] = resource;
    if (r->stale < how)
        r->stale = (uint8_t)how;
}

static inline void fs_mark_touched(fs_fluid *fluid, uint32_t resource)
{
    if (!fluid->resources[resource].touched) {
        fluid->resources[resource].touched = true;
        fluid->touched[fluid->n_touched++] = resource;
    }
}

/* A transfer runs at the level of the resource; or no longer does. */
static inline void fs_hold(fs_resource *r, double coefficient)
{
    r->held += coefficient;
    r->n_held++;
}

static inline void fs_let_go(fs_resource *r, double coefficient)
{
    r->held = --r->n_held > 0 ? r->held - coefficient : 0;
}

/* Add to the load and keep what rounding drops (Knuth's exact two-sum). */
static inline void fs_add_load(fs_resource *r, double load)
{
    double sum = r->load + load, part = sum - r->load;
    r->load_low += (r->load - (sum - part)) + (load - part);
    r->load = sum;
}

#endif
