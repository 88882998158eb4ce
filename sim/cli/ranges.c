/* ranges.c - see ranges.h. */
#include "cli/ranges.h"

#include "base/num.h"

#include <string.h>

/* One number up to an end among ",-" or the text's. */
static bool read_number(const char **at, uint32_t *out)
{
    char word[12] = "";
    size_t length = strcspn(*at, ",-");
    uint64_t number = 0;
    if (length == 0 || length >= sizeof word)
        return false;
    memcpy(word, *at, length);
    if (fs_parse_uint(word, &number) != 0 || number >= UINT32_MAX)
        return false;
    *out = (uint32_t)number;
    *at += length;
    return true;
}

static bool read_range(const char **at, fs_rank_range *range)
{
    if (!read_number(at, &range->first))
        return false;
    range->last = range->first;
    if (**at != '-')
        return true;
    ++*at;
    return read_number(at, &range->last) && **at != '-' && range->last >= range->first;
}

fs_status fs_cli_ranges(const char *option, const char *what, const char *text, fs_rank_range ranges[FS_CLI_RANGES_MAX],
                        uint32_t *count, fs_err *err)
{
    *count = 0;
    for (const char *at = text; at;) {
        fs_rank_range range;
        if (!read_range(&at, &range))
            return fs_fail(err, FS_E_USAGE, "%s: expected %s such as 0,8,16-31, found '%s'", option, what, text);
        for (uint32_t i = 0; i < *count; i++)
            if (range.first <= ranges[i].last && ranges[i].first <= range.last)
                return fs_fail(err, FS_E_USAGE, "%s: %u stands in '%s' twice", option,
                               range.first > ranges[i].first ? range.first : ranges[i].first, text);
        if (*count == FS_CLI_RANGES_MAX)
            return fs_fail(err, FS_E_USAGE, "%s: more than %d ranges", option, FS_CLI_RANGES_MAX);
        ranges[(*count)++] = range;
        at = *at == ',' ? at + 1 : NULL;
    }
    return FS_OK;
}
