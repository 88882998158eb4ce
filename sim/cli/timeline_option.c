/* timeline_option.c - see timeline_option.h. */
#include "cli/timeline_option.h"

#include "base/num.h"

#include <string.h>

/* An end of the window; nothing: *out stays. */
static bool read_time(const char *text, size_t length, double *out)
{
    char word[32] = "";
    const char *why = "";
    if (length == 0)
        return true;
    if (length >= sizeof word)
        return false;
    memcpy(word, text, length);
    return fs_parse_quantity(word, FS_UNIT_SECONDS, out, &why) == 0 && *out >= 0;
}

static fs_status read_window(const fs_cli_timeline *t, fs_timeline_options *options, fs_err *err)
{
    const char *dots = t->window ? strstr(t->window, "..") : NULL;
    if (!t->window)
        return FS_OK;
    if (!dots || !read_time(t->window, (size_t)(dots - t->window), &options->from_s) ||
        !read_time(dots + 2, strlen(dots + 2), &options->to_s))
        return fs_fail(err, FS_E_USAGE, "--timeline-window: expected times FROM..TO such as 0.5s..1.5s, found '%s'",
                       t->window);
    if (dots[2] != '\0' && !(options->to_s > options->from_s))
        return fs_fail(err, FS_E_USAGE, "--timeline-window: '%s' ends before it begins", t->window);
    return FS_OK;
}

fs_status fs_cli_timeline_read(fs_cli_timeline *timeline, fs_timeline_options *options, fs_err *err)
{
    const char *without = timeline->ranks    ? "--timeline-ranks"
                          : timeline->window ? "--timeline-window"
                          : timeline->kind   ? "--timeline-format"
                                             : NULL;
    *options = (fs_timeline_options){.kind = (fs_timeline_kind)timeline->kind, .ranges = timeline->ranges};
    if (without && !timeline->path)
        return fs_fail(err, FS_E_USAGE, "%s means nothing without --timeline", without);
    if (timeline->kind == FS_TIMELINE_KINETO && strcmp(timeline->path, "-") == 0)
        return fs_fail(err, FS_E_USAGE, "--timeline-format kineto writes a folder, which stdout is not");
    fs_status status =
        fs_cli_ranges("--timeline-ranks", "ranks", timeline->ranks, timeline->ranges, &options->n_ranges, err);
    return status == FS_OK ? read_window(timeline, options, err) : status;
}
