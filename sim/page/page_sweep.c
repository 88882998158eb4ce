/* page_sweep.c - a sweep's database as data of a page: the rows of its view `results`. */
#include "page/page_in.h"

#include "base/num.h"
#include "sweep/store.h"

#include <stdio.h>
#include <string.h>

enum { ROWS_MAX = 20000 }; /* what a browser draws at ease, and some 3 MB */

bool fs_page_is_sweep(const char *path)
{
    static const char magic[16] = "SQLite format 3"; /* with its NUL: sqlite.org/fileformat.html, section 1.3 */
    char head[sizeof magic];
    FILE *file = strcmp(path, "-") == 0 ? NULL : fopen(path, "rb");
    if (!file)
        return false;
    size_t n = fread(head, 1, sizeof head, file);
    fclose(file);
    return n == sizeof head && memcmp(head, magic, sizeof magic) == 0;
}

static void write_cell(const fs_rows *rows, uint32_t column, fs_out *out)
{
    char text[32];
    switch (fs_rows_kind(rows, column)) {
    case FS_CELL_NULL: fs_out_puts(out, "null"); return;
    case FS_CELL_TEXT: fs_page_string(out, fs_rows_text(rows, column)); return;
    case FS_CELL_NUMBER: break;
    }
    fs_snprintf(text, sizeof text, "%.7g", fs_rows_number(rows, column)); /* more than anybody can see */
    bool finite = strpbrk(text, "in") == NULL;                            /* inf, nan: no JSON */
    fs_out_puts(out, finite ? text : "null");
}

static fs_status write_rows(fs_rows *rows, uint32_t *count, fs_out *out, fs_err *err)
{
    fs_status status = FS_OK;
    bool more = false;
    *count = 0;
    while ((status = fs_rows_next(rows, &more, err)) == FS_OK && more) {
        if ((*count)++ >= ROWS_MAX)
            continue;
        fs_out_puts(out, *count > 1 ? ",\n[" : "[");
        for (uint32_t i = 0; i < fs_rows_columns(rows); i++) {
            if (i > 0)
                fs_out_puts(out, ",");
            write_cell(rows, i, out);
        }
        fs_out_puts(out, "]");
    }
    return status;
}

static fs_status write_settings(fs_store *store, fs_out *out, fs_err *err)
{
    fs_rows *names = NULL;
    bool more = false, any = false;
    fs_status status = fs_rows_open(store, "SELECT name FROM setting_names ORDER BY name", &names, err);
    fs_out_puts(out, ",\"settings\":[");
    while (status == FS_OK && (status = fs_rows_next(names, &more, err)) == FS_OK && more) {
        if (any)
            fs_out_puts(out, ",");
        fs_page_string(out, fs_rows_text(names, 0));
        any = true;
    }
    fs_out_puts(out, "]");
    fs_rows_close(names);
    return status;
}

static fs_status write_table(fs_store *store, fs_out *out, fs_err *err)
{
    fs_rows *rows = NULL;
    uint32_t count = 0;
    fs_status status = fs_rows_open(store, "SELECT * FROM results ORDER BY sweep, number", &rows, err);
    if (status != FS_OK)
        return status;
    fs_out_puts(out, ",\"columns\":[");
    for (uint32_t i = 0; i < fs_rows_columns(rows); i++) {
        if (i > 0)
            fs_out_puts(out, ",");
        fs_page_string(out, fs_rows_name(rows, i));
    }
    fs_out_puts(out, "],\"rows\":[");
    status = write_rows(rows, &count, out, err);
    fs_out_printf(out, "],\"total\":%u", count);
    fs_rows_close(rows);
    return status;
}

fs_status fs_page_sweep(const char *path, fs_out *out, fs_err *err)
{
    fs_store *store = NULL;
    fs_status status = fs_store_open(path, false, &store, err);
    if (status != FS_OK)
        return status;
    fs_out_puts(out, "{\"kind\":\"sweep\",\"file\":");
    fs_page_string(out, path);
    status = write_settings(store, out, err);
    if (status == FS_OK)
        status = write_table(store, out, err);
    fs_out_puts(out, "}");
    fs_store_close(store);
    return status;
}
