/* json_place.c - places of many values, in the order of the text; see json.h. */
#include "base/json_tree.h"

#include <string.h>

void fs_json_place(fs_json_cursor *cursor, const fs_json *value, uint32_t *line, uint32_t *column)
{
    const char *text = cursor->doc->text;
    *line = *column = 0;
    if (value == NULL || value->offset > cursor->doc->length)
        return;
    if (value->offset < cursor->line_start)
        cursor->seen = cursor->line_start = cursor->lines = 0;
    while (cursor->seen < value->offset) {
        const char *feed = memchr(text + cursor->seen, '\n', value->offset - cursor->seen);
        cursor->seen = feed ? (uint32_t)(feed + 1 - text) : value->offset;
        if (feed) {
            cursor->lines++;
            cursor->line_start = cursor->seen;
        }
    }
    *line = cursor->lines + 1;
    *column = value->offset - cursor->line_start + 1;
}
