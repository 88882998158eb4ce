/* table.h - aligned text columns. Cells are collected, widths computed, then printed. */
#ifndef FS_TABLE_H
#define FS_TABLE_H

#include "base/file.h"

#include <stdbool.h>

/* How a report may look: decided once by the command line (terminal, NO_COLOR). */
typedef struct fs_style {
    bool color;
} fs_style;

enum { FS_TABLE_COLUMNS_MAX = 12 };

typedef struct fs_table fs_table;

/* One letter a column: 'l' left, 'r' right. NULL when out of memory. */
fs_table *fs_table_new(const char *alignment);
void fs_table_free(fs_table *table);
/* The next cell, row by row; text is copied. Control characters, which names may hold, show as '?'. A cell that cannot
 * be kept (no memory) makes fs_table_print fail. */
FS_PRINTF(2, 3) void fs_table_cell(fs_table *table, const char *format, ...);
/* A row of n cells that are no format: the heading, where it comes first. */
void fs_table_heading(fs_table *table, const char *const *heading, size_t n);
/* The first row is a heading where heading is set. Rows are indented by two spaces. */
FS_MUST_CHECK fs_status fs_table_print(const fs_table *table, bool heading, fs_style style, fs_out *out, fs_err *err);

/* Text that somebody else wrote, on one line: control characters show as '?'. */
void fs_print_name(fs_out *out, const char *text);
/* The same in bold where the style has colour. */
void fs_print_bold(fs_out *out, fs_style style, const char *text);

#endif
