/* request_file.c - requests from files that others publish; see inference_reader.h.
 *
 * CSV: the first line names the columns, in any order; TIMESTAMP is seconds, or a date and time of day such as
 * "2023-11-16 18:15:46.6805900". Columns with other names are passed over. JSON Lines: an object a line, read by the
 * JSON reader; its errors are moved to the line. Arrivals may not go back in time: that would be another order of
 * requests than the one that was measured. */
#include "work/inference_reader.h"

#include "base/mem.h"
#include "base/num.h"
#include "base/rng.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof *(array))

enum { MOONCAKE_HASH_TOKENS = 512 }; /* what a hash_id stands for: Qin et al., "Mooncake", FAST 2025, section 4 */

typedef struct rows {
    const char *path;
    uint32_t most, line;
    double speed, first_s, last_s; /* as in the file */
    double first_day;              /* dates count from it: a double has not digits enough for 1970; NAN: no date yet */
    FS_VEC(fs_request) requests;
    FS_VEC(uint64_t) hashes;
} rows;

FS_PRINTF(4, 5) static fs_status bad(const rows *f, uint32_t column, fs_err *err, const char *format, ...)
{
    char text[512];
    va_list args;
    va_start(args, format);
    fs_vsnprintf(text, sizeof text, format, args);
    va_end(args);
    return fs_fail_at(err, FS_E_TRACE, f->path, f->line, column, "%s", text);
}

static fs_status add(rows *f, uint32_t column, double at_s, fs_request request, fs_err *err)
{
    if (f->requests.count == 0)
        f->first_s = at_s;
    else if (at_s < f->last_s)
        return bad(f, column, err, "a request arrives at %.6g s, %.3g s before the one above it", at_s - f->first_s,
                   f->last_s - at_s);
    if (f->requests.count == FS_REQUESTS_MAX)
        return bad(f, 1, err, "more than %d requests", FS_REQUESTS_MAX);
    f->last_s = at_s;
    request.arrival_s = (at_s - f->first_s) / f->speed;
    return FS_PUSH(&f->requests, request) ? FS_OK : fs_fail_nomem(err);
}

/* ---- CSV --------------------------------------------------------------------------------------------------------- */

enum { TIMESTAMP, CONTEXT, GENERATED, COLUMNS, CELLS_MAX = 64 };
static const char *const columns[COLUMNS] = {"TIMESTAMP", "ContextTokens", "GeneratedTokens"};

typedef struct cell {
    const char *text;
    uint32_t length, column;
} cell;

/* Cells of a line, without quotes and blanks around them. */
static uint32_t split(const char *line, size_t length, cell *cells)
{
    uint32_t n = 0;
    size_t begin = 0;
    for (size_t i = 0; i <= length && n < CELLS_MAX; i++) {
        if (i < length && line[i] != ',')
            continue;
        size_t from = begin, to = i;
        while (from < to && (line[from] == ' ' || line[from] == '"'))
            from++;
        while (to > from && (line[to - 1] == ' ' || line[to - 1] == '"'))
            to--;
        cells[n++] = (cell){line + from, (uint32_t)(to - from), (uint32_t)from + 1};
        begin = i + 1;
    }
    return n;
}

static fs_status read_heading(rows *f, const cell *cells, uint32_t n, uint32_t *where, fs_err *err)
{
    for (uint32_t c = 0; c < COLUMNS; c++) {
        where[c] = FS_NONE;
        for (uint32_t i = 0; i < n; i++)
            if (cells[i].length == strlen(columns[c]) && memcmp(cells[i].text, columns[c], cells[i].length) == 0)
                where[c] = i;
        if (where[c] == FS_NONE)
            return bad(f, 1, err, "no column '%s'; expected TIMESTAMP, ContextTokens and GeneratedTokens", columns[c]);
    }
    return FS_OK;
}

/* Days from 1970-01-01 in the Gregorian calendar (H. Hinnant, "chrono-compatible low-level date algorithms"). */
static double days_from_civil(int y, unsigned m, unsigned d)
{
    y -= m <= 2;
    int era = (y >= 0 ? y : y - 399) / 400;
    unsigned yoe = (unsigned)(y - era * 400), doy = (153 * (m > 2 ? m - 3 : m + 9) + 2) / 5 + d - 1;
    unsigned doe = yoe * 365 + yoe / 4 - yoe / 100 + doy;
    return (double)era * 146097 + doe - 719468;
}

static bool digits(const char *text, uint32_t n, unsigned *out)
{
    *out = 0;
    for (uint32_t i = 0; i < n; i++) {
        if (text[i] < '0' || text[i] > '9')
            return false;
        *out = *out * 10 + (unsigned)(text[i] - '0');
    }
    return true;
}

/* "2023-11-16 18:15:46.6805900", with a T for the blank, and with a zone ("+00:00", "Z"), which is passed over. */
static bool read_date(const char *t, uint32_t length, double *first_day, double *out)
{
    unsigned y, mo, d, h, mi, s;
    double fraction = 0;
    if (length < 19 || t[4] != '-' || t[7] != '-' || (t[10] != ' ' && t[10] != 'T') || t[13] != ':' || t[16] != ':' ||
        !digits(t, 4, &y) || !digits(t + 5, 2, &mo) || !digits(t + 8, 2, &d) || !digits(t + 11, 2, &h) ||
        !digits(t + 14, 2, &mi) || !digits(t + 17, 2, &s) || mo < 1 || mo > 12 || d < 1 || d > 31 || h > 23 ||
        mi > 59 || s > 60)
        return false;
    uint32_t end = 19;
    if (end < length && t[end] == '.') {
        for (end++; end < length && t[end] >= '0' && t[end] <= '9'; end++)
            continue;
        if (end == 20 || fs_parse_number_n(t + 18, end - 18, &fraction) != 0) /* the last digit and what follows */
            return false;
        fraction -= s % 10;
    }
    if (end < length && t[end] != '+' && t[end] != '-' && t[end] != 'Z')
        return false;
    double day = days_from_civil((int)y, mo, d);
    if (isnan(*first_day))
        *first_day = day;
    *out = (day - *first_day) * 86400 + h * 3600 + mi * 60 + s + fraction;
    return true;
}

static fs_status read_time(rows *f, const cell *c, double *at_s, fs_err *err)
{
    if (fs_parse_number_n(c->text, c->length, at_s) == 0 || read_date(c->text, c->length, &f->first_day, at_s))
        return FS_OK;
    return bad(f, c->column, err, "TIMESTAMP: expected seconds or a date such as 2023-11-16 18:15:46.68, found '%.*s'",
               (int)(c->length < 40 ? c->length : 40), c->text);
}

static fs_status read_tokens(const rows *f, const cell *c, const char *what, uint32_t *out, fs_err *err)
{
    double value = 0;
    if (fs_parse_number_n(c->text, c->length, &value) != 0 || !(value >= 1 && value <= FS_TOKENS_MAX) ||
        floor(value) < value)
        return bad(f, c->column, err, "%s: expected tokens, an integer from 1 to %d, found '%.*s'", what, FS_TOKENS_MAX,
                   (int)(c->length < 40 ? c->length : 40), c->text);
    *out = (uint32_t)value;
    return FS_OK;
}

static fs_status read_row(rows *f, const cell *cells, uint32_t n, const uint32_t *where, fs_err *err)
{
    double at_s = 0;
    fs_request request = {0};
    for (uint32_t c = 0; c < COLUMNS; c++)
        if (where[c] >= n)
            return bad(f, 1, err, "%u cells, but '%s' is in column %u", n, columns[c], where[c] + 1);
    fs_status status = read_time(f, &cells[where[TIMESTAMP]], &at_s, err);
    if (status == FS_OK)
        status = read_tokens(f, &cells[where[CONTEXT]], columns[CONTEXT], &request.input, err);
    if (status == FS_OK)
        status = read_tokens(f, &cells[where[GENERATED]], columns[GENERATED], &request.output, err);
    return status == FS_OK ? add(f, cells[where[TIMESTAMP]].column, at_s, request, err) : status;
}

static fs_status read_csv_line(rows *f, const char *line, size_t length, uint32_t *where, fs_err *err)
{
    cell cells[CELLS_MAX];
    uint32_t n = split(line, length, cells);
    return f->line == 1 ? read_heading(f, cells, n, where, err) : read_row(f, cells, n, where, err);
}

/* ---- JSON Lines -------------------------------------------------------------------------------------------------- */

static fs_status read_hashes(rows *f, const fs_json_doc *doc, const fs_json *list, fs_request *request, fs_err *err)
{
    request->first_hash = f->hashes.count;
    if (list && fs_json_kind(list) != FS_JSON_ARRAY)
        return fs_json_fail(doc, list, false, err, "'hash_ids' is a list of integers");
    for (const fs_json *v = fs_json_first(list); v; v = fs_json_next(v)) {
        double id = fs_json_kind(v) == FS_JSON_NUMBER ? fs_json_number(v) : -1;
        if (!(id >= 0 && id < 0x1p53) || floor(id) < id)
            return fs_json_fail(doc, v, false, err, "expected a hash: an integer from 0 to 2^53 - 1");
        if (f->hashes.count == FS_NONE - 1 || !FS_PUSH(&f->hashes, (uint64_t)id))
            return fs_fail_nomem(err);
    }
    uint32_t n = f->hashes.count - request->first_hash, whole = request->input / MOONCAKE_HASH_TOKENS;
    request->n_hashes = n < whole ? n : whole; /* of a block that is not full nobody else has the rest */
    return FS_OK;
}

static fs_status read_object(rows *f, const fs_json_doc *doc, fs_err *err)
{
    const fs_json *root = fs_json_root(doc);
    uint64_t input = 0, output = 0;
    double ms = 0;
    fs_request request = {0};
    if (fs_json_kind(root) != FS_JSON_OBJECT)
        return fs_json_fail(doc, root, false, err,
                            "expected a request: {\"timestamp\": 0, \"input_length\": 100, \"output_length\": 10}");
    fs_status status = fs_json_number_in(doc, root, "timestamp", true, 0, 1e15, &ms, err);
    if (status == FS_OK)
        status = fs_json_uint_in(doc, root, "input_length", true, 1, FS_TOKENS_MAX, &input, err);
    if (status == FS_OK)
        status = fs_json_uint_in(doc, root, "output_length", true, 1, FS_TOKENS_MAX, &output, err);
    request.input = (uint32_t)input;
    request.output = (uint32_t)output;
    if (status == FS_OK)
        status = read_hashes(f, doc, fs_json_get(root, "hash_ids"), &request, err);
    if (status != FS_OK)
        return status;
    uint32_t line, column;
    fs_json_place(&(fs_json_cursor){.doc = doc}, fs_json_get(root, "timestamp"), &line, &column);
    return add(f, column, ms * 1e-3, request, err);
}

static fs_status read_json_line(rows *f, const char *line, size_t length, fs_err *err)
{
    fs_json_doc *doc = NULL;
    fs_status status = fs_json_parse(f->path, line, length, FS_E_TRACE, &doc, err);
    if (status == FS_OK)
        status = read_object(f, doc, err);
    fs_json_free(doc);
    if (status != FS_OK && status != FS_E_NOMEM)
        err->line = f->line;
    return status;
}

/* ---- the file ---------------------------------------------------------------------------------------------------- */

static bool is_blank(const char *line, size_t length)
{
    for (size_t i = 0; i < length; i++)
        if (line[i] != ' ' && line[i] != '\t')
            return false;
    return true;
}

static fs_status read_lines(rows *f, const char *text, size_t length, fs_err *err)
{
    bool json = strstr(f->path, ".jsonl") != NULL;
    uint32_t where[COLUMNS];
    fs_status status = FS_OK;
    for (size_t at = 0; at < length && status == FS_OK && (f->most == 0 || f->requests.count < f->most);) {
        const char *end = memchr(text + at, '\n', length - at);
        size_t n = end ? (size_t)(end - text) - at : length - at, kept = n;
        if (kept > 0 && text[at + kept - 1] == '\r')
            kept--;
        f->line++;
        if (!is_blank(text + at, kept))
            status = json ? read_json_line(f, text + at, kept, err) : read_csv_line(f, text + at, kept, where, err);
        else if (f->line == 1 && !json)
            status = bad(f, 1, err, "the first line names the columns");
        at += n + 1;
    }
    if (status == FS_OK && f->requests.count == 0)
        status = fs_fail_at(err, FS_E_TRACE, f->path, 0, 0, "no requests");
    return status;
}

static fs_status keep(const rows *f, fs_arena *arena, fs_request_source *source, fs_err *err)
{
    fs_request *requests = fs_arena_alloc(arena, f->requests.count, sizeof *requests);
    uint64_t *hashes = fs_arena_alloc(arena, f->hashes.count, sizeof *hashes);
    if (!requests || !hashes)
        return fs_fail_nomem(err);
    memcpy(requests, f->requests.data, f->requests.count * sizeof *requests);
    if (f->hashes.count > 0)
        memcpy(hashes, f->hashes.data, f->hashes.count * sizeof *hashes);
    double span_s = requests[f->requests.count - 1].arrival_s;
    *source = (fs_request_source){.arrival = FS_POISSON,
                                  .count = f->requests.count,
                                  .rate = span_s > 0 ? f->requests.count / span_s : 0,
                                  .n_priorities = 1,
                                  .requests = requests,
                                  .hashes = hashes,
                                  .n_hashes = f->hashes.count,
                                  .hash_tokens = f->hashes.count > 0 ? MOONCAKE_HASH_TOKENS : 0};
    return FS_OK;
}

fs_status fs_request_file_read(const char *path, uint32_t most, double speed, fs_arena *arena,
                               fs_request_source *source, fs_err *err)
{
    char *text = NULL;
    size_t length = 0;
    fs_status status = fs_file_read(path, &text, &length, err);
    if (status != FS_OK)
        return status;
    rows f = {.path = path, .most = most, .speed = speed, .first_day = NAN};
    status = read_lines(&f, text, length, err);
    if (status == FS_OK)
        status = keep(&f, arena, source, err);
    if (status == FS_OK)
        source->file_hash = fs_hash_bytes(FS_HASH_START, text, length);
    fs_free(f.requests.data);
    fs_free(f.hashes.data);
    fs_free(text);
    return status;
}
