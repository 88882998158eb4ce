/* store_schema.c - tables and view of a sweep's database, see docs/FORMATS.md. */
#include "sweep/store_in.h"

#include "base/file.h"
#include "base/mem.h"

#include <string.h>

/* "fsim": file(1) and others can tell whose database it is. */
enum { APPLICATION_ID = 0x6673696d };

static const char tables[] =
    "CREATE TABLE points(\n"
    "  hash TEXT PRIMARY KEY NOT NULL,\n" /* of all inputs and of the program's version */
    "  version TEXT NOT NULL,\n"
    "  topology TEXT NOT NULL,\n"
    "  trace TEXT NOT NULL,\n"
    "  settings TEXT NOT NULL,\n"
    "  status TEXT NOT NULL CHECK(status IN ('ok', 'failed')),\n"
    "  exit_status INTEGER NOT NULL,\n" /* what `fabsim` alone would have ended with */
    "  message TEXT,\n"
    "  result TEXT,\n"
    "  wall_s REAL, peak_bytes REAL, finished TEXT);\n" /* the columns that are no function of the inputs */
    "CREATE TABLE members(\n"
    "  sweep TEXT NOT NULL,\n"
    "  number INTEGER NOT NULL,\n"
    "  hash TEXT NOT NULL,\n"
    "  baseline INTEGER NOT NULL,\n"
    "  PRIMARY KEY(sweep, number)) WITHOUT ROWID;\n"
    "CREATE TABLE setting_names(name TEXT PRIMARY KEY NOT NULL) WITHOUT ROWID;\n";

/* Figures of the view: a column and where it stands in the result. */
static const struct {
    const char *column, *expression;
} figures[] = {
#define AT(path) "json_extract(p.result, '$." path "')"
#define BREAKDOWN(condition)                                                                                           \
    "(SELECT sum(json_extract(value, '$.seconds')) FROM json_each(p.result, '$.breakdown')"                            \
    " WHERE json_extract(value, '$.name') " condition ")"
    {"gpus", AT("trace.ranks")},
    {"step_s", AT("step_time_s")},
    {"tokens_per_s", AT("tokens_per_s")},
    {"tokens_per_s_per_gpu", AT("tokens_per_s_per_gpu")},
    {"tflops_per_gpu", AT("tflops_per_gpu")},
    {"mfu", AT("mfu")},
    {"hfu", AT("hfu")},
    {"memory_bytes", AT("memory.total_bytes")},
    {"memory_fits", AT("memory.fits")},
    {"energy_j", AT("energy_j")},
    {"tokens_per_s_per_mw", AT("tokens_per_s_per_mw")},
    {"compute_s", BREAKDOWN("= 'compute'")},
    {"exposed_s", BREAKDOWN("LIKE 'exposed %'")},
    {"bubble_s", BREAKDOWN("= 'bubble'")},
    {"busbw_Bps", AT("communication[0].busbw_Bps")},
    {"busiest_tier", AT("links[0].tier")},
    {"busiest_utilization", AT("links[0].mean_utilization")},
    {"requests_per_s", AT("serving.requests_per_s")},
    {"output_tokens_per_s", AT("serving.output_tokens_per_s")},
    {"output_tokens_per_s_per_gpu", AT("serving.output_tokens_per_s_per_gpu")},
    {"output_tokens_per_s_per_user", AT("serving.output_tokens_per_s_per_user")},
    {"ttft_p50_s", AT("serving.ttft_s.p50")},
    {"ttft_p99_s", AT("serving.ttft_s.p99")},
    {"tpot_p50_s", AT("serving.tpot_s.p50")},
    {"tpot_p99_s", AT("serving.tpot_s.p99")},
    {"goodput_per_s", AT("serving.slo.goodput_per_s")},
#undef AT
#undef BREAKDOWN
};

/* The name as an identifier or, with '\'', as a string: the quote doubled within. */
static void write_quoted(fs_out *out, const char *name, char quote)
{
    fs_out_write(out, &quote, 1);
    for (; *name; name++) {
        if (*name == quote)
            fs_out_write(out, &quote, 1);
        fs_out_write(out, name, 1);
    }
    fs_out_write(out, &quote, 1);
}

/* A setting's name is a key of the JSON object, within double quotes of the path. Names hold no '"' (sweep_file.c). */
static void write_setting(fs_out *out, const char *name)
{
    fs_out_puts(out, ",\n  json_extract(p.settings, '$.\"");
    for (; *name; name++)
        fs_out_write(out, *name == '\'' ? "''" : name, *name == '\'' ? 2 : 1);
    fs_out_puts(out, "\"') AS ");
}

static fs_status write_view(fs_store *store, fs_out *out, fs_err *err)
{
    fs_rows *names = NULL;
    bool more = false;
    fs_status status = fs_rows_open(store, "SELECT name FROM setting_names ORDER BY name", &names, err);
    if (status != FS_OK)
        return status;
    fs_out_puts(out, "DROP VIEW IF EXISTS results;\nCREATE VIEW results AS SELECT m.sweep, m.number, m.baseline,\n"
                     "  coalesce(p.status, 'pending') AS status, p.topology, p.trace");
    while ((status = fs_rows_next(names, &more, err)) == FS_OK && more) {
        write_setting(out, fs_rows_text(names, 0));
        write_quoted(out, fs_rows_text(names, 0), '"');
    }
    fs_rows_close(names);
    for (size_t i = 0; i < sizeof figures / sizeof *figures; i++)
        fs_out_printf(out, ",\n  %s AS %s", figures[i].expression, figures[i].column);
    fs_out_puts(out, ",\n  p.message, p.wall_s, p.peak_bytes, m.hash\n"
                     "  FROM members m LEFT JOIN points p ON p.hash = m.hash;\n");
    return status;
}

fs_status fs_store_make_view(fs_store *store, fs_err *err)
{
    fs_out *out = NULL;
    char *sql = NULL;
    size_t length = 0;
    fs_status status = fs_out_memory(&out, err);
    if (status != FS_OK)
        return status;
    status = write_view(store, out, err);
    if (status != FS_OK) {
        fs_out_discard(out);
        return status;
    }
    status = fs_out_take(out, &sql, &length, err);
    if (status == FS_OK)
        status = fs_store_do(store, sql, err);
    fs_free(sql);
    return status;
}

static fs_status read_pragma(fs_store *store, const char *sql, double *value, fs_err *err)
{
    fs_rows *rows = NULL;
    bool more = false;
    fs_status status = fs_rows_open(store, sql, &rows, err);
    if (status == FS_OK && (status = fs_rows_next(rows, &more, err)) == FS_OK && more)
        *value = fs_rows_number(rows, 0);
    fs_rows_close(rows);
    return status;
}

static fs_status create(fs_store *store, fs_err *err)
{
    char pragmas[96];
    snprintf(pragmas, sizeof pragmas, "PRAGMA application_id = %d; PRAGMA user_version = %d;", APPLICATION_ID,
             FS_STORE_VERSION);
    fs_status status = fs_store_do(store, tables, err);
    if (status == FS_OK)
        status = fs_store_make_view(store, err);
    return status == FS_OK ? fs_store_do(store, pragmas, err) : status;
}

fs_status fs_store_check_schema(fs_store *store, bool may_create, fs_err *err)
{
    double objects = 0, application = 0, version = 0;
    fs_status status = read_pragma(store, "SELECT count(*) FROM sqlite_master", &objects, err);
    if (status == FS_OK)
        status = read_pragma(store, "PRAGMA application_id", &application, err);
    if (status == FS_OK)
        status = read_pragma(store, "PRAGMA user_version", &version, err);
    if (status != FS_OK)
        return status;
    if (may_create && objects == 0)
        return create(store, err);
    if ((int)application != APPLICATION_ID)
        return fs_fail_at(err, FS_E_IO, store->path, 0, 0, "this is no database of a sweep");
    if ((int)version != FS_STORE_VERSION)
        return fs_fail_at(err, FS_E_IO, store->path, 0, 0,
                          "this database has schema %d, this program knows %d: write into a new file", (int)version,
                          FS_STORE_VERSION);
    return FS_OK;
}
