/* timeline.h - what each GPU did when, as a Chrome trace: for Perfetto (ui.perfetto.dev) and chrome://tracing.
 *
 * One process per class of ranks that do the same at the same times, named after its first GPU and how many are alike
 * (one per GPU in a run that is not folded), one thread per stream. Each op is a slice; communication that had to wait for others has two
 * slices inside, "wait" and "move". Arrows lead from a send to its recv. Each tier is a process with a counter: its
 * load in percent of its capacity. Streamed while the run goes on; only the counters are kept until the end. Format:
 * "Trace Event Format" (Google, 2016), JSON object form. */
#ifndef FS_TIMELINE_H
#define FS_TIMELINE_H

#include "work/work.h"

typedef struct fs_timeline fs_timeline;

/* Whose processes there are. */
typedef struct fs_tracks {
    uint32_t n;
    const uint32_t *rank;  /* (n) one of the class */
    const uint32_t *count; /* (n) ranks in it */
} fs_tracks;

/* `path` ends in .gz: compressed. The work, the topology and the tracks must outlive the timeline. */
FS_MUST_CHECK fs_status fs_timeline_open(const char *path, const fs_work *work, const fs_topo *topo, fs_tracks tracks,
                                         fs_timeline **timeline, fs_err *err);

/* The life of an op, times never decrease. Both sides of a transfer move, and end, in a row, the sender first. */
void fs_timeline_issue(fs_timeline *timeline, uint32_t track, uint32_t op, double now_s);
void fs_timeline_move(fs_timeline *timeline, uint32_t track, uint32_t op, double now_s);
void fs_timeline_end(fs_timeline *timeline, uint32_t track, uint32_t op, double now_s);
/* The load of a tier changes by `delta`, a fraction of its capacity. */
void fs_timeline_load(fs_timeline *timeline, uint32_t tier, double delta, double now_s);

/* Write the counters and the end, close, free. FS_E_IO where anything could not be written. */
FS_MUST_CHECK fs_status fs_timeline_close(fs_timeline *timeline, double end_s, fs_err *err);
/* Free without looking at errors; NULL is fine. */
void fs_timeline_discard(fs_timeline *timeline);

#endif
