/* store_in.h - inside of the store. Private to sim/sweep. */
#ifndef FS_STORE_IN_H
#define FS_STORE_IN_H

#include "sweep/store.h"

#include <sqlite3.h>

struct fs_store {
    sqlite3 *db;
    char *path;
    sqlite3_stmt *put, *put_over_failed, *state;
};

/* Statements without parameters or rows. */
FS_MUST_CHECK fs_status fs_store_do(fs_store *store, const char *sql, fs_err *err);
/* What SQLite says of the last call, with the file's name. */
fs_status fs_store_fail(const fs_store *store, fs_err *err);

/* Inside a transaction: the view `results` with a column for each name of setting_names. */
FS_MUST_CHECK fs_status fs_store_make_view(fs_store *store, fs_err *err);
/* Inside a transaction: make the schema in an empty file, else see that it is ours. */
FS_MUST_CHECK fs_status fs_store_check_schema(fs_store *store, bool may_create, fs_err *err);

#endif
