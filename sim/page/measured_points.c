/* measured_points.c - what was measured on the machine of a table of collectives: rows of tests/validation/collectives.csv. */
#include "page/page_in.h"

#include <string.h>

static const unsigned char measured[] = {
#include "collectives.csv.h"
    0 /* each byte of it ends in a comma */
};

enum { SERIES, TOPOLOGY, OP, GPUS, SIZE, TIME, BUSBW, OPTIONS, CLASS, FITTED, SOURCE, COLUMNS, FIELD_MAX = 256 };

typedef struct row {
    char fields[COLUMNS][FIELD_MAX]; /* cut at their end */
} row;

/* One field from *at on; quotes are taken off. Returns what ended it. */
static char read_field(const char **at, char field[FIELD_MAX])
{
    size_t n = 0;
    bool quoted = **at == '"';
    const char *c = quoted ? *at + 1 : *at;
    for (; *c && (quoted || (*c != ',' && *c != '\n')); c++) {
        if (quoted && *c == '"' && *++c != '"')
            break;
        if (n + 1 < FIELD_MAX)
            field[n++] = *c;
    }
    field[n] = '\0';
    char end = *c;
    *at = end ? c + 1 : c;
    return end;
}

/* False at the end of the table. */
static bool read_row(const char **at, row *r)
{
    if (!**at)
        return false;
    memset(r, 0, sizeof *r);
    for (int i = 0; read_field(at, r->fields[i < COLUMNS ? i : COLUMNS - 1]) == ','; i++)
        continue;
    return true;
}

static const char *string_of(const fs_json *object, const char *key)
{
    const fs_json *value = fs_json_get(object, key);
    return fs_json_kind(value) == FS_JSON_STRING ? fs_json_string(value) : "";
}

/* "topologies/dgx-h100.xml" is topology "dgx-h100". */
static bool is_topology(const char *file, const char *name)
{
    const char *slash = strrchr(file, '/'), *base = slash ? slash + 1 : file;
    size_t n = strlen(name);
    return strncmp(base, name, n) == 0 && strcmp(base + n, ".xml") == 0;
}

static void write_point(const row *r, fs_out *out)
{
    fs_out_puts(out, "{\"series\":");
    fs_page_string(out, r->fields[SERIES]);
    fs_out_printf(out, ",\"size_bytes\":%s,\"time_us\":%s,\"busbw_GBps\":%s,\"fitted\":%s,\"source\":", r->fields[SIZE],
                  r->fields[TIME], r->fields[BUSBW], strcmp(r->fields[FITTED], "yes") == 0 ? "true" : "false");
    fs_page_string(out, r->fields[SOURCE]);
    fs_out_puts(out, "}");
}

static bool is_number(const char *text)
{
    double value = 0;
    return fs_parse_number(text, &value) == 0;
}

void fs_page_measured(const fs_json *table, fs_out *out)
{
    const char *at = (const char *)measured, *file = string_of(table, "file"), *op = string_of(table, "op");
    double ranks = fs_json_number(fs_json_get(table, "ranks"));
    bool any = false;
    row r;
    fs_out_puts(out, "[");
    while (read_row(&at, &r)) {
        double gpus = 0;
        if (fs_parse_number(r.fields[GPUS], &gpus) != 0 || gpus != ranks || strcmp(r.fields[OP], op) != 0 ||
            !is_topology(file, r.fields[TOPOLOGY]) || r.fields[OPTIONS][0] || !is_number(r.fields[SIZE]) ||
            !is_number(r.fields[TIME]) || !is_number(r.fields[BUSBW]))
            continue; /* options: measured in another way than the table */
        if (any)
            fs_out_puts(out, ",");
        write_point(&r, out);
        any = true;
    }
    fs_out_puts(out, "]");
}
