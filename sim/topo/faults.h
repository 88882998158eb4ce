/* faults.h - what fails, when and how badly: from a list of faults to what is left of each link and GPU.
 *
 * The times at which faults begin and end cut the run into epochs. In each epoch a link or a GPU has a factor in [0, 1],
 * what is left of its speed (fs_topo_link_factor, fs_topo_gpu_factor); where several faults meet, the worst counts, so
 * their order means nothing. A switch or a NIC that slows down slows all its links, in both directions. Who reroutes
 * and what that costs is the router's business. */
#ifndef FS_FAULTS_H
#define FS_FAULTS_H

#include "topo/topo.h"

typedef enum fs_fault_kind { FS_FAULT_LINK, FS_FAULT_SWITCH, FS_FAULT_NIC, FS_FAULT_GPU, FS_FAULT_KINDS } fs_fault_kind;

enum {
    FS_EPOCHS_MAX = 64,  /* each costs a router and a set of patterns */
    FS_FAULTS_MAX = 4096 /* in one list */
};

/* One fault. Names may be patterns ("leaf[0-3]"); a GPU also goes by its number ("17", "[0-7]"). */
typedef struct fs_fault {
    fs_fault_kind kind;
    /* What fails. Of a link one end, and the other in `other`; or with other == NULL both: "leaf3-spine2", and with
     * "leaf3->spine2" or "leaf3>spine2" that direction alone. Blanks around the sign are fine, and needed where names
     * hold a '-' of their own and it could be read in two ways. */
    const char *name, *other;
    double speed;        /* what is left, [0, 1]; 0 = down */
    double from_s, to_s; /* [from, to); INFINITY: to the end */
    /* Who said so, for messages: a file and the place in it, or "--fault ..." and 0, 0; and whose mistake it is. */
    const char *origin;
    uint32_t line, column;
    fs_status status_if_bad;
} fs_fault;

/* An error at the fault's origin. */
FS_PRINTF(3, 4) fs_status fs_fault_fail(const fs_fault *fault, fs_err *err, const char *format, ...);

/* Give the topology its epochs and factors. Once, before anybody else looks at it: a second list would replace the
 * first. Everything is copied. Unknown names (with a suggestion), links that are not there, speeds and times out of
 * range, a GPU down for good, and more than FS_EPOCHS_MAX epochs are errors at the fault; then nothing has changed.
 * Cost: O(names x log + links of the devices named). */
FS_MUST_CHECK fs_status fs_topo_apply_faults(fs_topo *topo, const fs_fault *faults, uint32_t n_faults, fs_err *err);

/* A deep copy, owned by the arena. NULL when out of memory. */
const fs_fault *fs_faults_copy(struct fs_arena *arena, const fs_fault *faults, uint32_t n_faults);

/* "switch:spine2=0.5@0.1s..2s", as on the command line. Returns the buffer. */
char *fs_fault_text(const fs_fault *fault, char *buffer, size_t size);

extern const char *const fs_fault_kind_names[FS_FAULT_KINDS]; /* "link" */

#endif
