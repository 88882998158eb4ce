/* trace_faults.c - "faults" of a trace of any kind: links, switches, NICs and GPUs that fail or slow down
 * (docs/FORMATS.md, Faults). Names are looked up where the topology is known: fs_topo_apply_faults. */
#include "work/trace.h"

#include "base/mem.h"

#include <float.h>
#include <math.h>
#include <stdio.h>

#define COUNT(array) (sizeof(array) / sizeof *(array))

typedef struct reader {
    const fs_json_doc *doc;
    fs_json_cursor at;
    char (*numbers)[24]; /* (faults) GPU numbers as names */
    fs_err *err;
} reader;

/* What fails: exactly one of the keys that are called after a kind. */
static fs_status read_kind(const reader *r, const fs_json *json, fs_fault *fault, const fs_json **target)
{
    *target = NULL;
    for (uint32_t kind = 0; kind < FS_FAULT_KINDS; kind++) {
        const fs_json *value = fs_json_get(json, fs_fault_kind_names[kind]);
        if (value && *target)
            return fs_json_fail(r->doc, value, true, r->err, "a fault has one of 'link', 'switch', 'nic', 'gpu'");
        if (value) {
            fault->kind = (fs_fault_kind)kind;
            *target = value;
        }
    }
    return *target
               ? FS_OK
               : fs_json_fail(r->doc, json, false, r->err, "a fault names a 'link', a 'switch', a 'nic' or a 'gpu'");
}

static fs_status read_target(const reader *r, const fs_json *value, char number[24], fs_fault *fault)
{
    const fs_json *first = fs_json_first(value), *second = fs_json_next(first);
    double gpu = fs_json_number(value);
    fault->name = fs_json_string(value);
    if (fault->name)
        return FS_OK;
    if (fault->kind == FS_FAULT_GPU && fs_json_kind(value) == FS_JSON_NUMBER && gpu >= 0 && gpu < FS_RANKS_MAX &&
        gpu <= floor(gpu)) {
        snprintf(number, 24, "%u", (uint32_t)gpu);
        fault->name = number;
        return FS_OK;
    }
    if (fault->kind == FS_FAULT_LINK && fs_json_kind(value) == FS_JSON_ARRAY && fs_json_count(value) == 2) {
        fault->name = fs_json_string(first);
        fault->other = fs_json_string(second);
    }
    if (fault->name && fault->other)
        return FS_OK;
    static const char *const expected[FS_FAULT_KINDS] = {"two names, or \"A - B\" or \"A -> B\"", "a name", "a name",
                                                         "a name or a number"};
    return fs_json_fail(r->doc, value, false, r->err, "'%s': expected %s", fs_fault_kind_names[fault->kind],
                        expected[fault->kind]);
}

static fs_status read_speed(const reader *r, const fs_json *json, fs_fault *fault)
{
    bool down = false, given = fs_json_get(json, "speed") != NULL;
    fs_status status = fs_json_bool_in(r->doc, json, "down", false, &down, r->err);
    if (status == FS_OK)
        status = fs_json_number_in(r->doc, json, "speed", false, 0, 1, &fault->speed, r->err);
    if (status == FS_OK && given == down)
        status = fs_json_fail(r->doc, json, false, r->err, "a fault has either 'speed', from 0 to 1, or 'down': true");
    return status;
}

static fs_status read_fault(reader *r, const fs_json *json, const char *path, char number[24], fs_fault *fault)
{
    static const char *const keys[] = {"link", "switch", "nic", "gpu", "speed", "down", "from_s", "to_s"};
    const fs_json *target = NULL;
    *fault = (fs_fault){.to_s = INFINITY, .origin = path, .status_if_bad = FS_E_TRACE};
    if (fs_json_kind(json) != FS_JSON_OBJECT)
        return fs_json_fail(r->doc, json, false, r->err, "expected a fault: {\"switch\": \"leaf3\", \"down\": true}");
    fs_json_place(&r->at, json, &fault->line, &fault->column);
    fs_status status = fs_json_only(r->doc, json, keys, COUNT(keys), r->err);
    if (status == FS_OK)
        status = read_kind(r, json, fault, &target);
    if (status == FS_OK)
        status = read_target(r, target, number, fault);
    if (status == FS_OK)
        status = read_speed(r, json, fault);
    if (status == FS_OK)
        status = fs_json_number_in(r->doc, json, "from_s", false, 0, FS_TRACE_SECONDS_MAX, &fault->from_s, r->err);
    if (status == FS_OK)
        status = fs_json_number_in(r->doc, json, "to_s", false, 0, DBL_MAX, &fault->to_s, r->err);
    return status;
}

fs_status fs_trace_read_faults(const fs_json_doc *doc, const char *path, fs_work_builder *b, fs_err *err)
{
    const fs_json *list = fs_json_get(fs_json_root(doc), "faults");
    uint32_t n = fs_json_count(list), i = 0;
    if (list == NULL)
        return FS_OK;
    if (fs_json_kind(list) != FS_JSON_ARRAY || n > FS_FAULTS_MAX)
        return fs_json_fail(doc, list, false, err, "'faults': expected a list of at most %d", FS_FAULTS_MAX);
    fs_fault *faults = fs_alloc(n, sizeof *faults);
    reader r = {.doc = doc, .at = {.doc = doc}, .numbers = fs_alloc(n, sizeof *r.numbers), .err = err};
    fs_status status = faults && r.numbers ? FS_OK : fs_fail_nomem(err);
    for (const fs_json *json = fs_json_first(list); json && status == FS_OK; json = fs_json_next(json), i++)
        status = read_fault(&r, json, path, r.numbers[i], &faults[i]);
    if (status == FS_OK)
        status = fs_work_set_faults(b, faults, n, err);
    fs_free(faults);
    fs_free(r.numbers);
    return status;
}
