/* timeline_option.h - what of a timeline is written, and how. Private to cli. */
#ifndef FS_TIMELINE_OPTION_H
#define FS_TIMELINE_OPTION_H

#include "cli/ranges.h"

typedef struct fs_cli_timeline {
    const char *path, *ranks, *window; /* --timeline, --timeline-ranks, --timeline-window; NULL: not given */
    uint32_t kind;                     /* --timeline-format */
    fs_rank_range ranges[FS_CLI_RANGES_MAX];
} fs_cli_timeline;

/* "0,8,16-31" and "0.5s..1.5s". FS_E_USAGE. The ranges stay the struct's. */
FS_MUST_CHECK fs_status fs_cli_timeline_read(fs_cli_timeline *timeline, fs_timeline_options *options, fs_err *err);

#endif
