/* ranges.h - lists of numbers on the command line: "0,8,16-31". Private to cli. */
#ifndef FS_RANGES_H
#define FS_RANGES_H

#include "report/timeline.h"

enum { FS_CLI_RANGES_MAX = 256 };

/* Of `text`, NULL: none. Ranges in the order written, none overlapping another. `what` is listed, "ranks"; messages name
 * the option. FS_E_USAGE. */
FS_MUST_CHECK fs_status fs_cli_ranges(const char *option, const char *what, const char *text,
                                      fs_rank_range ranges[FS_CLI_RANGES_MAX], uint32_t *count, fs_err *err);

#endif
