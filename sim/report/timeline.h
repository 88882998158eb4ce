/* timeline.h - what each GPU did when, for viewers: Perfetto (ui.perfetto.dev), chrome://tracing, Holistic Trace Analysis.
 *
 * One process per class of ranks that do the same at the same times, named after its first GPU and how many are alike
 * (one per GPU in a run that is not folded; or the ranks that were asked for, each its own), one thread per stream. Each op is a slice;
 * communication that had to wait for others has two slices inside, "wait" and "move". Arrows lead from a send to its recv. Each tier is
 * a process with a counter: its load in percent of its capacity. Streamed while the run goes on; only the counters are kept
 * until the end.
 * timeline.c chooses tracks and times; timeline_chrome.c, timeline_perfetto.c and timeline_kineto.c write. */
#ifndef FS_TIMELINE_H
#define FS_TIMELINE_H

#include "work/work.h"

typedef struct fs_timeline fs_timeline;

typedef enum fs_timeline_kind {
    FS_TIMELINE_AUTO,     /* by the name: .pftrace is Perfetto's, all else Chrome's */
    FS_TIMELINE_CHROME,   /* "Trace Event Format" (Google, 2016), JSON object form */
    FS_TIMELINE_PERFETTO, /* protobuf, perfetto/protos/perfetto/trace/ (TracePacket, TrackEvent) */
    FS_TIMELINE_KINETO,   /* a folder with a file for each rank, as PyTorch's profiler writes them */
    FS_TIMELINE_KINDS
} fs_timeline_kind;
extern const char *const fs_timeline_kind_names[FS_TIMELINE_KINDS];

enum { FS_TIMELINE_TRACKS_MAX = 4096 /* ranks that were asked for */, FS_TIMELINE_FILES_MAX = 256 /* of kineto */ };

typedef struct fs_rank_range {
    uint32_t first, last;
} fs_rank_range;

typedef struct fs_timeline_options {
    fs_timeline_kind kind;
    uint32_t n_ranges; /* 0: a track for each class */
    const fs_rank_range *ranges;
    double from_s, to_s; /* what does not touch this time is left out; to_s 0: all */
} fs_timeline_options;

/* What ranks there are. */
typedef struct fs_tracks {
    uint32_t n;
    const uint32_t *rank;    /* (n) one of the class */
    const uint32_t *count;   /* (n) ranks in it */
    const uint32_t *of_rank; /* (ranks) its class */
} fs_tracks;

/* `path` ends in .gz: compressed. The work, the topology and the tracks must outlive the timeline. FS_E_USAGE for ranks that there are not
 * and for more than may be. */
FS_MUST_CHECK fs_status fs_timeline_open(const char *path, const fs_timeline_options *options, const fs_work *work,
                                         const fs_topo *topo, fs_tracks tracks, fs_timeline **timeline, fs_err *err);

/* The life of an op of a class, times never decrease. Both sides of a transfer move, and end, in a row, the sender first. */
void fs_timeline_issue(fs_timeline *timeline, uint32_t actor, uint32_t op, double now_s);
void fs_timeline_move(fs_timeline *timeline, uint32_t actor, uint32_t op, double now_s);
void fs_timeline_end(fs_timeline *timeline, uint32_t actor, uint32_t op, double now_s);
/* The load of a tier changes by `delta`, a fraction of its capacity. */
void fs_timeline_load(fs_timeline *timeline, uint32_t tier, double delta, double now_s);

/* Write the counters and the end, close, free. FS_E_IO where anything could not be written. */
FS_MUST_CHECK fs_status fs_timeline_close(fs_timeline *timeline, double end_s, fs_err *err);
/* Free without looking at errors; NULL is fine. */
void fs_timeline_discard(fs_timeline *timeline);

#endif
