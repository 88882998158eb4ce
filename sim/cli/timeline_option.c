/* timeline_option.c - see timeline_option.h. */
#include "cli/timeline_option.h"

#include "base/num.h"

#include <string.h>

static fs_status bad_ranks(const char *text, fs_err *err)
{
    return fs_fail(err, FS_E_USAGE, "--timeline-ranks: expected ranks such as 0,8,16-31, found '%s'", text);
}

/* One number up to an end among ",-" or the text's. */
static bool read_rank(const char **at, uint32_t *rank)
{
    char word[12] = "";
    size_t length = strcspn(*at, ",-");
    uint64_t number = 0;
    if (length == 0 || length >= sizeof word)
        return false;
    memcpy(word, *at, length);
    if (fs_parse_uint(word, &number) != 0 || number >= UINT32_MAX)
        return false;
    *rank = (uint32_t)number;
    *at += length;
    return true;
}

static fs_status read_ranks(fs_cli_timeline *t, uint32_t *count, fs_err *err)
{
    *count = 0;
    for (const char *at = t->ranks; at;) {
        fs_rank_range range;
        if (!read_rank(&at, &range.first))
            return bad_ranks(t->ranks, err);
        range.last = range.first;
        if (*at == '-') {
            at++;
            if (!read_rank(&at, &range.last) || *at == '-' || range.last < range.first)
                return bad_ranks(t->ranks, err);
        }
        for (uint32_t i = 0; i < *count; i++)
            if (range.first <= t->ranges[i].last && t->ranges[i].first <= range.last)
                return fs_fail(err, FS_E_USAGE, "--timeline-ranks: a rank stands in '%s' twice", t->ranks);
        if (*count == FS_CLI_RANGES_MAX)
            return fs_fail(err, FS_E_USAGE, "--timeline-ranks: more than %d ranges", FS_CLI_RANGES_MAX);
        t->ranges[(*count)++] = range;
        at = *at == ',' ? at + 1 : NULL;
    }
    return FS_OK;
}

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
    fs_status status = read_ranks(timeline, &options->n_ranges, err);
    return status == FS_OK ? read_window(timeline, options, err) : status;
}
