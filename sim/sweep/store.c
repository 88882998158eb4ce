/* store.c - see store.h. Opening, writing, merging.
 *
 * WAL with synchronous = NORMAL: a commit writes to the log and does not wait for the disk. What a process that dies had
 * committed is there; a machine that loses power may lose the last commits, never consistency, and the sweep computes
 * them again. Writers wait for each other (busy timeout), so sweeps may share a file. */
#include "sweep/store_in.h"

#include "base/mem.h"

#include <string.h>

enum { BUSY_MS = 60000 };

fs_status fs_store_fail(const fs_store *store, fs_err *err)
{
    if (store->db && sqlite3_errcode(store->db) == SQLITE_NOMEM)
        return fs_fail_nomem(err);
    return fs_fail_at(err, FS_E_IO, store->path, 0, 0, "%.1000s", store->db ? sqlite3_errmsg(store->db) : "no memory");
}

fs_status fs_store_do(fs_store *store, const char *sql, fs_err *err)
{
    return sqlite3_exec(store->db, sql, NULL, NULL, NULL) == SQLITE_OK ? FS_OK : fs_store_fail(store, err);
}

/* End a transaction: as a whole, or not at all. */
static fs_status finish(fs_store *store, fs_status status, fs_err *err)
{
    fs_err ignored;
    if (status == FS_OK)
        status = fs_store_do(store, "COMMIT", err);
    if (status != FS_OK && !sqlite3_get_autocommit(store->db) && fs_store_do(store, "ROLLBACK", &ignored) != FS_OK)
        return status; /* the first error is the one to tell */
    return status;
}

static fs_status prepare(fs_store *store, const char *sql, sqlite3_stmt **statement, fs_err *err)
{
    return sqlite3_prepare_v2(store->db, sql, -1, statement, NULL) == SQLITE_OK ? FS_OK : fs_store_fail(store, err);
}

#define PUT                                                                                                            \
    "INSERT INTO points(hash, version, topology, trace, settings, status, exit_status, message, result, wall_s,"       \
    " peak_bytes, finished) VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, strftime('%Y-%m-%dT%H:%M:%SZ', 'now'))"            \
    " ON CONFLICT(hash) DO "
#define REPLACE_FAILED                                                                                                 \
    "UPDATE SET status = excluded.status, exit_status = excluded.exit_status, message = excluded.message,"             \
    " result = excluded.result, wall_s = excluded.wall_s, peak_bytes = excluded.peak_bytes,"                           \
    " finished = excluded.finished WHERE points.status = 'failed'"

static fs_status prepare_writing(fs_store *store, fs_err *err)
{
    fs_status status =
        fs_store_do(store, "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; BEGIN IMMEDIATE", err);
    if (status == FS_OK)
        status = finish(store, fs_store_check_schema(store, true, err), err);
    if (status == FS_OK)
        status = prepare(store, PUT "NOTHING", &store->put, err);
    if (status == FS_OK)
        status = prepare(store, PUT REPLACE_FAILED, &store->put_over_failed, err);
    return status;
}

fs_status fs_store_open(const char *path, bool write, fs_store **store, fs_err *err)
{
    fs_store *s = fs_zalloc(1, sizeof *s);
    if (!s)
        return fs_fail_nomem(err);
    s->path = fs_strdup(path);
    if (!s->path) {
        fs_store_close(s);
        return fs_fail_nomem(err);
    }
    int flags = write ? SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE : SQLITE_OPEN_READONLY;
    fs_status status = FS_OK;
    if (sqlite3_open_v2(path, &s->db, flags, NULL) != SQLITE_OK)
        status = fs_store_fail(s, err);
    if (status == FS_OK) {
        sqlite3_busy_timeout(s->db, BUSY_MS);
        status = write ? prepare_writing(s, err) : fs_store_check_schema(s, false, err);
    }
    if (status == FS_OK)
        status = prepare(s, "SELECT status FROM points WHERE hash = ?", &s->state, err);
    if (status != FS_OK) {
        fs_store_close(s);
        return status;
    }
    *store = s;
    return FS_OK;
}

void fs_store_close(fs_store *store)
{
    if (!store)
        return;
    sqlite3_finalize(store->put);
    sqlite3_finalize(store->put_over_failed);
    sqlite3_finalize(store->state);
    sqlite3_close(store->db);
    fs_free(store->path);
    fs_free(store);
}

static void bind_text(sqlite3_stmt *s, int at, const char *text)
{
    sqlite3_bind_text(s, at, text, -1, SQLITE_STATIC); /* NULL binds null */
}

/* Run to its end a statement that yields no rows, and make it ready again. */
static fs_status execute(fs_store *store, sqlite3_stmt *statement, fs_err *err)
{
    fs_status status = sqlite3_step(statement) == SQLITE_DONE ? FS_OK : fs_store_fail(store, err);
    sqlite3_reset(statement);
    sqlite3_clear_bindings(statement);
    return status;
}

fs_status fs_store_put(fs_store *store, const fs_point_row *row, bool replace_failed, fs_err *err)
{
    sqlite3_stmt *s = replace_failed ? store->put_over_failed : store->put;
    const char *texts[] = {row->hash, row->version, row->topology, row->trace, row->settings};
    for (int i = 0; i < 5; i++)
        bind_text(s, i + 1, texts[i]);
    bind_text(s, 6, row->status == FS_OK ? "ok" : "failed");
    sqlite3_bind_int(s, 7, fs_exit_status(row->status));
    bind_text(s, 8, row->message);
    if (row->result)
        sqlite3_bind_text64(s, 9, row->result, row->result_size, SQLITE_STATIC, SQLITE_UTF8);
    sqlite3_bind_double(s, 10, row->wall_s);
    sqlite3_bind_double(s, 11, row->peak_bytes);
    return execute(store, s, err);
}

fs_status fs_store_state(fs_store *store, const char *hash, fs_point_state *state, fs_err *err)
{
    bind_text(store->state, 1, hash);
    int how = sqlite3_step(store->state);
    fs_status status = how == SQLITE_ROW || how == SQLITE_DONE ? FS_OK : fs_store_fail(store, err);
    if (how == SQLITE_ROW)
        *state = strcmp((const char *)sqlite3_column_text(store->state, 0), "ok") == 0 ? FS_POINT_OK : FS_POINT_FAILED;
    else if (how == SQLITE_DONE)
        *state = FS_POINT_ABSENT;
    sqlite3_reset(store->state);
    return status;
}

/* ---- members ------------------------------------------------------------------------------------------------------ */

static fs_status add_member(fs_store *store, sqlite3_stmt *add, const char *sweep, uint32_t number, const fs_member *m,
                            fs_err *err)
{
    bind_text(add, 1, sweep);
    sqlite3_bind_int64(add, 2, number);
    bind_text(add, 3, m->hash);
    sqlite3_bind_int(add, 4, m->baseline);
    return execute(store, add, err);
}

static fs_status replace_members(fs_store *store, const char *sweep, const fs_member *members, uint32_t count,
                                 fs_err *err)
{
    sqlite3_stmt *drop = NULL, *add = NULL, *name = NULL;
    fs_status status = prepare(store, "DELETE FROM members WHERE sweep = ?", &drop, err);
    if (status == FS_OK)
        status = prepare(store, "INSERT INTO members VALUES(?, ?, ?, ?)", &add, err);
    if (status == FS_OK)
        status = prepare(store, "INSERT OR IGNORE INTO setting_names SELECT key FROM json_each(?)", &name, err);
    if (status == FS_OK) {
        bind_text(drop, 1, sweep);
        status = execute(store, drop, err);
    }
    for (uint32_t i = 0; i < count && status == FS_OK; i++) {
        status = add_member(store, add, sweep, i, &members[i], err);
        if (status == FS_OK) {
            bind_text(name, 1, members[i].settings);
            status = execute(store, name, err);
        }
    }
    sqlite3_finalize(drop);
    sqlite3_finalize(add);
    sqlite3_finalize(name);
    return status == FS_OK ? fs_store_make_view(store, err) : status;
}

fs_status fs_store_set_members(fs_store *store, const char *sweep, const fs_member *members, uint32_t count,
                               fs_err *err)
{
    fs_status status = fs_store_do(store, "BEGIN IMMEDIATE", err);
    return status == FS_OK ? finish(store, replace_members(store, sweep, members, count, err), err) : status;
}

/* ---- merging ------------------------------------------------------------------------------------------------------ */

static const char merge[] =
    "INSERT INTO points SELECT * FROM other.points WHERE true ON CONFLICT(hash) DO " REPLACE_FAILED
    " AND excluded.status = 'ok';\n"
    "INSERT OR REPLACE INTO members SELECT * FROM other.members;\n"
    "INSERT OR IGNORE INTO setting_names SELECT * FROM other.setting_names;\n";

static fs_status merge_attached(fs_store *store, fs_err *err)
{
    fs_status status = fs_store_do(store, "BEGIN IMMEDIATE", err);
    if (status != FS_OK)
        return status;
    status = fs_store_do(store, merge, err);
    if (status == FS_OK)
        status = fs_store_make_view(store, err);
    return finish(store, status, err);
}

fs_status fs_store_merge(fs_store *store, const char *path, fs_err *err)
{
    fs_store *other = NULL;
    fs_status status = fs_store_open(path, false, &other, err); /* that it is a sweep's */
    fs_store_close(other);
    if (status != FS_OK)
        return status;
    sqlite3_stmt *attach = NULL;
    status = prepare(store, "ATTACH ? AS other", &attach, err);
    if (status != FS_OK)
        return status;
    bind_text(attach, 1, path);
    status = execute(store, attach, err);
    sqlite3_finalize(attach);
    if (status != FS_OK)
        return status;
    status = merge_attached(store, err);
    fs_err ignored;
    fs_status detached = fs_store_do(store, "DETACH other", status == FS_OK ? err : &ignored);
    return status == FS_OK ? detached : status;
}
