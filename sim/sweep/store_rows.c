/* store_rows.c - reading a store, see store.h. */
#include "sweep/store_in.h"

#include "base/mem.h"

struct fs_rows {
    fs_store *store;
    sqlite3_stmt *statement;
};

fs_status fs_rows_open(fs_store *store, const char *sql, fs_rows **rows, fs_err *err)
{
    fs_rows *r = fs_zalloc(1, sizeof *r);
    if (!r)
        return fs_fail_nomem(err);
    r->store = store;
    if (sqlite3_prepare_v2(store->db, sql, -1, &r->statement, NULL) != SQLITE_OK) {
        fs_free(r);
        return fs_store_fail(store, err);
    }
    *rows = r;
    return FS_OK;
}

fs_status fs_rows_next(fs_rows *rows, bool *more, fs_err *err)
{
    int how = sqlite3_step(rows->statement);
    if (how != SQLITE_ROW && how != SQLITE_DONE)
        return fs_store_fail(rows->store, err);
    *more = how == SQLITE_ROW;
    return FS_OK;
}

void fs_rows_close(fs_rows *rows)
{
    if (rows)
        sqlite3_finalize(rows->statement);
    fs_free(rows);
}

uint32_t fs_rows_columns(const fs_rows *rows)
{
    return (uint32_t)sqlite3_column_count(rows->statement);
}

const char *fs_rows_name(const fs_rows *rows, uint32_t column)
{
    return sqlite3_column_name(rows->statement, (int)column);
}

fs_cell_kind fs_rows_kind(const fs_rows *rows, uint32_t column)
{
    switch (sqlite3_column_type(rows->statement, (int)column)) {
    case SQLITE_NULL: return FS_CELL_NULL;
    case SQLITE_INTEGER:
    case SQLITE_FLOAT: return FS_CELL_NUMBER;
    default: return FS_CELL_TEXT;
    }
}

double fs_rows_number(const fs_rows *rows, uint32_t column)
{
    return sqlite3_column_double(rows->statement, (int)column);
}

const char *fs_rows_text(const fs_rows *rows, uint32_t column)
{
    return (const char *)sqlite3_column_text(rows->statement, (int)column);
}
