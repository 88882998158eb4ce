/* result_file.c - see result_file.h. What a file must hold is a table of members and of the columns of their rows. */
#include "report/result_file.h"

#include <string.h>

/* What a member may be. OR_NULL: not known. */
typedef enum type { NUMBER, NUMBER_OR_NULL, TEXT, TEXT_OR_NULL } type;

typedef struct member {
    const char *key;
    type type;
} member;

/* A list of objects, all of which have these members. */
typedef struct list {
    const char *key;
    member columns[12]; /* up to the first without a key */
} list;

static const member run_members[] = {
    {"fabsim", TEXT},
    {"command", TEXT},
    {"step_time_s", NUMBER},
    {"tflops_per_gpu", NUMBER_OR_NULL},
    {"mfu", NUMBER_OR_NULL},
    {"hfu", NUMBER_OR_NULL},
    {"tokens_per_s", NUMBER_OR_NULL},
    {"tokens_per_s_per_gpu", NUMBER_OR_NULL},
};

static const list run_lists[] = {
    {"breakdown", {{"name", TEXT}, {"seconds", NUMBER}, {"max_s", NUMBER}, {"max_rank", NUMBER}}},
    {"communication",
     {{"group", TEXT},
      {"operation", TEXT},
      {"size_bytes", NUMBER},
      {"ranks", NUMBER},
      {"count", NUMBER},
      {"algo", TEXT},
      {"protocol", TEXT},
      {"channels", NUMBER},
      {"mean_s", NUMBER},
      {"algbw_Bps", NUMBER},
      {"busbw_Bps", NUMBER}}},
    {"tiers",
     {{"name", TEXT},
      {"links", NUMBER},
      {"capacity_Bps", NUMBER},
      {"bytes", NUMBER},
      {"mean_utilization", NUMBER},
      {"peak_utilization", NUMBER},
      {"busiest_link", TEXT_OR_NULL}}},
    {"links",
     {{"link", TEXT},
      {"tier", TEXT},
      {"count", NUMBER},
      {"bytes", NUMBER},
      {"mean_utilization", NUMBER},
      {"peak_utilization", NUMBER},
      {"busy_s", NUMBER}}},
    {"scaling",
     {{"gpus", NUMBER},
      {"step_time_s", NUMBER},
      {"tokens_per_s", NUMBER_OR_NULL},
      {"mfu", NUMBER_OR_NULL},
      {"efficiency", NUMBER_OR_NULL},
      {"exposed", NUMBER},
      {"bubble", NUMBER}}},
};

static const member input_members[] = {{"name", TEXT}, {"file", TEXT}, {"hash", TEXT}};

static const member serving_members[] = {
    {"requests", NUMBER},
    {"requests_per_s", NUMBER},
    {"output_tokens_per_s", NUMBER},
    {"output_tokens_per_s_per_gpu", NUMBER},
    {"output_tokens_per_s_per_user", NUMBER},
};

static const char *const latencies[] = {"ttft_s", "queue_s", "tpot_s", "itl_s", "e2e_s"};
static const member latency_members[] = {{"count", NUMBER}, {"mean", NUMBER}, {"p50", NUMBER}, {"p90", NUMBER},
                                         {"p99", NUMBER},   {"min", NUMBER},  {"max", NUMBER}};

static const list pools = {"pools",
                           {{"name", TEXT},
                            {"role", TEXT},
                            {"replicas", NUMBER},
                            {"gpus", NUMBER},
                            {"mean_batch", NUMBER},
                            {"busy", NUMBER},
                            {"compute", NUMBER},
                            {"kv_mean", NUMBER},
                            {"kv_peak", NUMBER},
                            {"weight_bytes", NUMBER},
                            {"kv_bytes", NUMBER},
                            {"gpu_bytes", NUMBER}}};

static const member coll_members[] = {
    {"topology", TEXT}, {"file", TEXT}, {"op", TEXT}, {"ranks", NUMBER}, {"cost", TEXT}};
static const list coll_rows = {"rows",
                               {{"size_bytes", NUMBER},
                                {"time_us", NUMBER},
                                {"algbw_GBps", NUMBER},
                                {"busbw_GBps", NUMBER},
                                {"algo", TEXT},
                                {"protocol", TEXT},
                                {"channels", NUMBER}}};

static const member pareto_members[] = {{"topology", TEXT}, {"trace", TEXT}, {"by", TEXT}};
static const list pareto_points = {"points",
                                   {{"state", TEXT},
                                    {"tp", NUMBER},
                                    {"dp", NUMBER},
                                    {"pp", NUMBER},
                                    {"ep", NUMBER},
                                    {"gpus", NUMBER},
                                    {"concurrency", NUMBER},
                                    {"tokens_per_s_per_gpu", NUMBER},
                                    {"tokens_per_s_per_user", NUMBER},
                                    {"ttft_p90_s", NUMBER},
                                    {"tpot_p90_s", NUMBER}}};

#define COUNT(array) (sizeof(array) / sizeof *(array))

static fs_status check_member(const fs_json_doc *doc, const fs_json *object, const member *m, fs_err *err)
{
    static const char *const expected[] = {"a number", "a number or null", "a string", "a string or null"};
    const fs_json *value = fs_json_get(object, m->key);
    if (!value)
        return fs_json_fail(doc, object, false, err, "no result of fabsim: the member '%s' is missing", m->key);
    fs_json_type is = fs_json_kind(value);
    bool null_too = m->type == NUMBER_OR_NULL || m->type == TEXT_OR_NULL;
    fs_json_type wanted = m->type == NUMBER || m->type == NUMBER_OR_NULL ? FS_JSON_NUMBER : FS_JSON_STRING;
    if (is == wanted || (null_too && is == FS_JSON_NULL))
        return FS_OK;
    return fs_json_fail(doc, value, false, err, "no result of fabsim: '%s' is expected to be %s", m->key,
                        expected[m->type]);
}

static fs_status check_members(const fs_json_doc *doc, const fs_json *object, const member *members, size_t n,
                               fs_err *err)
{
    fs_status status = FS_OK;
    for (size_t i = 0; i < n && members[i].key && status == FS_OK; i++)
        status = check_member(doc, object, &members[i], err);
    return status;
}

static fs_status check_kind(const fs_json_doc *doc, const fs_json *parent, const char *key, fs_json_type kind,
                            const fs_json **value, fs_err *err)
{
    *value = fs_json_get(parent, key);
    if (!*value)
        return fs_json_fail(doc, parent, false, err, "no result of fabsim: the member '%s' is missing", key);
    if (fs_json_kind(*value) != kind)
        return fs_json_fail(doc, *value, false, err, "no result of fabsim: '%s' is expected to be %s", key,
                            kind == FS_JSON_ARRAY ? "a list" : "an object");
    return FS_OK;
}

static fs_status check_list(const fs_json_doc *doc, const fs_json *parent, const list *l, fs_err *err)
{
    const fs_json *rows = NULL;
    fs_status status = check_kind(doc, parent, l->key, FS_JSON_ARRAY, &rows, err);
    for (const fs_json *row = status == FS_OK ? fs_json_first(rows) : NULL; row && status == FS_OK;
         row = fs_json_next(row)) {
        if (fs_json_kind(row) != FS_JSON_OBJECT)
            return fs_json_fail(doc, row, false, err, "no result of fabsim: '%s' is expected to list objects", l->key);
        status = check_members(doc, row, l->columns, COUNT(l->columns), err);
    }
    return status;
}

static fs_status check_serving(const fs_json_doc *doc, const fs_json *serving, fs_err *err)
{
    fs_status status = FS_OK;
    if (fs_json_kind(serving) == FS_JSON_NULL) /* absent too: a run that served nothing */
        return FS_OK;
    if (fs_json_kind(serving) != FS_JSON_OBJECT)
        return fs_json_fail(doc, serving, false, err, "no result of fabsim: 'serving' is expected to be an object");
    status = check_members(doc, serving, serving_members, COUNT(serving_members), err);
    for (size_t i = 0; i < COUNT(latencies) && status == FS_OK; i++) {
        const fs_json *latency = fs_json_get(serving, latencies[i]);
        if (latency && fs_json_kind(latency) == FS_JSON_NULL) /* nothing was measured */
            continue;
        status = check_kind(doc, serving, latencies[i], FS_JSON_OBJECT, &latency, err);
        if (status == FS_OK)
            status = check_members(doc, latency, latency_members, COUNT(latency_members), err);
    }
    return status == FS_OK ? check_list(doc, serving, &pools, err) : status;
}

static fs_status check_run(const fs_json_doc *doc, const fs_json *root, fs_err *err)
{
    uint64_t version = 0;
    const fs_json *topology = NULL, *trace = NULL, *options = NULL;
    fs_status status = fs_json_uint_in(doc, root, "schema_version", true, 0, UINT32_MAX, &version, err);
    if (status == FS_OK && version != FS_RESULT_SCHEMA)
        status = fs_json_fail(doc, fs_json_get(root, "schema_version"), false, err,
                              "a result with schema_version %u; this fabsim reads %d: run it again", (unsigned)version,
                              FS_RESULT_SCHEMA);
    if (status == FS_OK)
        status = check_members(doc, root, run_members, COUNT(run_members), err);
    if (status == FS_OK)
        status = check_kind(doc, root, "topology", FS_JSON_OBJECT, &topology, err);
    if (status == FS_OK)
        status = check_members(doc, topology, input_members, COUNT(input_members), err);
    if (status == FS_OK)
        status = check_kind(doc, root, "trace", FS_JSON_OBJECT, &trace, err);
    if (status == FS_OK)
        status = check_members(doc, trace, input_members, COUNT(input_members), err);
    if (status == FS_OK)
        status = check_kind(doc, root, "options", FS_JSON_OBJECT, &options, err);
    for (size_t i = 0; i < COUNT(run_lists) && status == FS_OK; i++)
        status = check_list(doc, root, &run_lists[i], err);
    return status == FS_OK ? check_serving(doc, fs_json_get(root, "serving"), err) : status;
}

static fs_status check(const fs_json_doc *doc, fs_result_kind *kind, fs_err *err)
{
    const fs_json *root = fs_json_root(doc);
    if (fs_json_get(root, "schema_version")) {
        *kind = FS_RESULT_RUN;
        return check_run(doc, root, err);
    }
    if (fs_json_get(root, "op") && fs_json_get(root, "rows")) {
        *kind = FS_RESULT_COLL;
        fs_status status = check_members(doc, root, coll_members, COUNT(coll_members), err);
        return status == FS_OK ? check_list(doc, root, &coll_rows, err) : status;
    }
    if (fs_json_get(root, "points") && fs_json_get(root, "by")) {
        *kind = FS_RESULT_PARETO;
        fs_status status = check_members(doc, root, pareto_members, COUNT(pareto_members), err);
        return status == FS_OK ? check_list(doc, root, &pareto_points, err) : status;
    }
    const char *what = fs_json_get(root, "kind")
                           ? "this looks like a trace: simulate it with --json FILE first"
                           : "expected what --json of a simulation, of fabsim coll or of fabsim pareto wrote";
    return fs_json_fail(doc, root, false, err, "no result of fabsim: %s", what);
}

static fs_status finish(fs_json_doc *made, fs_result_kind *kind, fs_json_doc **doc, fs_err *err)
{
    fs_result_kind found = FS_RESULT_RUN;
    fs_status status = check(made, &found, err);
    if (status != FS_OK) {
        fs_json_free(made);
        return status;
    }
    *kind = found;
    *doc = made;
    return FS_OK;
}

fs_status fs_result_read(const char *path, fs_result_kind *kind, fs_json_doc **doc, fs_err *err)
{
    fs_json_doc *made = NULL;
    fs_status status = fs_json_read(path, FS_E_IO, &made, err);
    return status == FS_OK ? finish(made, kind, doc, err) : status;
}

fs_status fs_result_parse(const char *path, const char *text, size_t length, fs_result_kind *kind, fs_json_doc **doc,
                          fs_err *err)
{
    fs_json_doc *made = NULL;
    fs_status status = fs_json_parse(path, text, length, FS_E_IO, &made, err);
    return status == FS_OK ? finish(made, kind, doc, err) : status;
}
