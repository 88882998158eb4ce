/* progress.h - how far many tasks have come, for whoever watches.
 *
 * On a terminal one line that is written over: a bar, what is done, what failed, the rate, the time left. Elsewhere (a
 * log) a plain line now and then: at every tenth of the way, and at least once a minute. */
#ifndef FS_PROGRESS_H
#define FS_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

typedef struct fs_progress {
    FILE *file; /* NULL: silence */
    bool terminal;
    uint32_t total, done, failed; /* failed ones are among the done */
    double start_s, shown_s;      /* of the monotonic clock */
    uint32_t shown_tenths;
} fs_progress;

fs_progress fs_progress_start(FILE *file, uint32_t total);
void fs_progress_count(fs_progress *p, bool failed); /* one more is done */
void fs_progress_show(fs_progress *p);               /* where enough time has passed since the last time */
void fs_progress_stop(fs_progress *p);               /* clears the bar, or says how it ended */

/* One line without its end, at most `width` columns (terminal: with the bar), `elapsed_s` after the start. */
void fs_progress_format(const fs_progress *p, double elapsed_s, uint32_t width, char *text, size_t size);

#endif
