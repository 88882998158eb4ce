/* table.c - see table.h. */
#include "report/table.h"

#include "base/mem.h"
#include "base/num.h"

#include <assert.h>
#include <string.h>

enum { CELL_MAX = 160 }; /* bytes of one cell; longer text is cut */

struct fs_table {
    uint32_t columns;
    char alignment[FS_TABLE_COLUMNS_MAX + 1];
    FS_VEC(char *) cells;
    bool failed;
};

fs_table *fs_table_new(const char *alignment)
{
    size_t columns = strlen(alignment);
    assert(columns > 0 && columns <= FS_TABLE_COLUMNS_MAX);
    fs_table *table = fs_zalloc(1, sizeof *table);
    if (table == NULL)
        return NULL;
    table->columns = (uint32_t)columns;
    memcpy(table->alignment, alignment, columns);
    return table;
}

void fs_table_free(fs_table *table)
{
    if (table == NULL)
        return;
    for (uint32_t i = 0; i < table->cells.count; i++)
        fs_free(table->cells.data[i]);
    fs_free(table->cells.data);
    fs_free(table);
}

static bool is_control(char c)
{
    return (unsigned char)c < ' ' || c == 0x7F;
}

static bool is_continuation(char c) /* of a UTF-8 character */
{
    return ((unsigned char)c & 0xC0) == 0x80;
}

void fs_table_cell(fs_table *table, const char *format, ...)
{
    char text[CELL_MAX + 1];
    va_list args;
    va_start(args, format);
    int n = fs_vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (n > CELL_MAX) { /* cut between characters */
        size_t end = CELL_MAX - 1;
        while (end > 0 && is_continuation(text[end]))
            end--;
        text[end] = '\0';
    }
    for (char *c = text; *c; c++)
        if (is_control(*c))
            *c = '?';
    char *copy = fs_strdup(text);
    if (copy == NULL || FS_PUSH(&table->cells, copy) == NULL) {
        fs_free(copy);
        table->failed = true;
    }
}

void fs_table_heading(fs_table *table, const char *const *heading, size_t n)
{
    for (size_t i = 0; i < n; i++)
        fs_table_cell(table, "%s", heading[i]);
}

/* Characters, not bytes: a UTF-8 continuation byte takes no column. */
static uint32_t display_width(const char *text)
{
    uint32_t width = 0;
    for (; *text; text++)
        width += !is_continuation(*text);
    return width;
}

static void print_cell(const fs_table *table, const char *text, uint32_t column, uint32_t width, fs_out *out)
{
    int padding = (int)(width - display_width(text));
    bool last = column + 1 == table->columns;
    if (table->alignment[column] == 'r')
        fs_out_printf(out, "%*s%s", padding, "", text);
    else
        fs_out_printf(out, "%s%*s", text, last ? 0 : padding, "");
    if (!last)
        fs_out_puts(out, "  ");
}

fs_status fs_table_print(const fs_table *table, bool heading, fs_style style, fs_out *out, fs_err *err)
{
    if (table->failed)
        return fs_fail_nomem(err);
    uint32_t widths[FS_TABLE_COLUMNS_MAX] = {0};
    for (uint32_t i = 0; i < table->cells.count; i++) {
        uint32_t width = display_width(table->cells.data[i]);
        uint32_t column = i % table->columns;
        widths[column] = width > widths[column] ? width : widths[column];
    }
    for (uint32_t i = 0; i < table->cells.count; i++) {
        uint32_t column = i % table->columns;
        bool dim = heading && i < table->columns && style.color;
        if (column == 0)
            fs_out_puts(out, "  ");
        if (dim)
            fs_out_puts(out, "\033[2m");
        print_cell(table, table->cells.data[i], column, widths[column], out);
        if (dim)
            fs_out_puts(out, "\033[0m");
        if (column + 1 == table->columns)
            fs_out_puts(out, "\n");
    }
    return FS_OK;
}

void fs_print_name(fs_out *out, const char *text)
{
    while (*text) {
        size_t plain = 0;
        while (text[plain] && !is_control(text[plain]))
            plain++;
        fs_out_write(out, text, plain);
        text += plain;
        if (*text) {
            fs_out_puts(out, "?");
            text++;
        }
    }
}

void fs_print_bold(fs_out *out, fs_style style, const char *text)
{
    if (style.color)
        fs_out_puts(out, "\033[1m");
    fs_print_name(out, text);
    if (style.color)
        fs_out_puts(out, "\033[0m");
}
