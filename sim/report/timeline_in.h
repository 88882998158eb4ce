/* timeline_in.h - between the timeline and the formats that it is written in. Private to sim/report. */
#ifndef FS_TIMELINE_IN_H
#define FS_TIMELINE_IN_H

#include "base/file.h"
#include "report/timeline.h"

/* Times are whole nanoseconds (what Perfetto keeps), rounded before they are subtracted, so that slices that touch in the run touch in
 * the picture, and a child never sticks out of its parent. */
typedef struct fs_slice {
    uint32_t track, op_index;
    const fs_op *op;
    uint64_t issue_ns, move_ns, end_ns;
    bool moved;     /* communication: move_ns counts */
    uint64_t arrow; /* of a transfer; 0: none */
} fs_slice;

typedef struct fs_counter {
    uint32_t tier;
    uint64_t now_ns;
    double percent;
} fs_counter;

typedef struct fs_timeline_format {
    fs_status (*open)(fs_timeline *t, const char *path, fs_err *err); /* the head: tracks and streams */
    void (*slice)(fs_timeline *t, const fs_slice *slice);
    fs_status (*tier)(fs_timeline *t, uint32_t tier, fs_err *err); /* its counters come next; NULL: no counters */
    void (*counter)(fs_timeline *t, const fs_counter *counter);
    fs_status (*close)(fs_timeline *t, double end_s, fs_err *err);
    void (*discard)(fs_timeline *t);
} fs_timeline_format;

extern const fs_timeline_format fs_timeline_chrome, fs_timeline_perfetto, fs_timeline_kineto;

struct fs_timeline {
    const fs_timeline_format *format;
    void *state; /* the format's, in the arena */
    const fs_work *work;
    const fs_topo *topo;
    fs_tracks actors;
    uint32_t n_tracks;
    uint32_t *rank;        /* (n_tracks) */
    uint32_t *alike;       /* (n_tracks) other ranks that the track stands for */
    uint32_t *first_track; /* (actors.n) FS_NONE: nobody asked for it */
    uint32_t *next_track;  /* (n_tracks) of the same actor */
    struct fs_arena *arena;
    struct stream_state *streams; /* (actors.n x n_streams) */
    uint64_t from_ns, to_ns;
    double from_s, to_s;
    double *tier_load; /* (n_tiers) fraction of capacity */
    struct fs_load_series *tiers;
    uint64_t arrows;
};

/* Whether the track's program has ops on the stream. */
bool fs_timeline_uses(const fs_timeline *t, uint32_t track, uint32_t stream);
/* "gpu3 (node0/gpu3) and 7 alike"; the arena's, NULL when out of memory. */
const char *fs_timeline_track_name(const fs_timeline *t, uint32_t track);
/* The inside of a JSON string; the arena's, NULL when out of memory. */
const char *fs_timeline_escape(struct fs_arena *arena, const char *text);

#endif
