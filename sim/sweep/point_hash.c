/* point_hash.c - see point_hash.h.
 *
 * The program counts by its version and by the bytes of its file: while somebody works on a model, the version stays and
 * results change, and stale points would be worse than points computed twice. */
#include "sweep/point_hash.h"

#include "base/rng.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static uint64_t hash_text(uint64_t hash, const char *text)
{
    return fs_hash_bytes(hash, text, strlen(text) + 1);
}

static fs_status hash_file(const char *path, uint64_t *hash, fs_err *err)
{
    char *text = NULL;
    size_t length = 0;
    fs_status status = fs_file_read(path, &text, &length, err);
    if (status != FS_OK)
        return status;
    *hash = fs_hash_bytes(*hash, text, length + 1);
    fs_free(text);
    return FS_OK;
}

static uint64_t hash_program(void)
{
    uint64_t hash = hash_text(FS_HASH_START, FABSIM_VERSION);
    fs_err ignored;
    if (hash_file("/proc/self/exe", &hash, &ignored) != FS_OK)
        return hash; /* the version alone, where /proc is not there */
    return hash;
}

/* The file of requests that an inference trace names, from the trace's directory. */
static fs_status hash_requests(const char *trace, const char *file, uint64_t *hash, fs_err *err)
{
    char path[4096];
    const char *slash = strrchr(trace, '/');
    int directory = slash && file[0] != '/' ? (int)(slash + 1 - trace) : 0;
    int length = snprintf(path, sizeof path, "%.*s%s", directory, trace, file);
    if (length < 0 || (size_t)length >= sizeof path)
        return fs_fail(err, FS_E_IO, "%.200s: a path of more than %zu bytes", file, sizeof path - 1);
    return hash_file(path, hash, err);
}

static fs_status hash_trace(const char *path, uint64_t *hash, fs_err *err)
{
    fs_json_doc *doc = NULL;
    fs_status status = fs_json_read(path, FS_E_TRACE, &doc, err);
    if (status != FS_OK)
        return status;
    uint64_t text = fs_json_hash(doc);
    *hash = fs_hash_bytes(FS_HASH_START, &text, sizeof text);
    const fs_json *root = fs_json_root(doc);
    const fs_json *requests = fs_json_kind(root) == FS_JSON_OBJECT ? fs_json_get(root, "requests") : NULL;
    const fs_json *file = fs_json_kind(requests) == FS_JSON_OBJECT ? fs_json_get(requests, "file") : NULL;
    if (fs_json_kind(file) == FS_JSON_STRING)
        status = hash_requests(path, fs_json_string(file), hash, err);
    fs_json_free(doc);
    return status;
}

fs_status fs_sweep_hashes_make(const fs_sweep *sweep, fs_sweep_hashes *hashes, fs_err *err)
{
    fs_sweep_hashes h = {.program = hash_program(),
                         .topologies = fs_zalloc(sweep->n_topologies, sizeof *h.topologies),
                         .traces = fs_zalloc(sweep->n_traces, sizeof *h.traces)};
    fs_status status = h.topologies && h.traces ? FS_OK : fs_fail_nomem(err);
    for (uint32_t i = 0; i < sweep->n_topologies && status == FS_OK; i++)
        status = fs_topo_hash_files(sweep->topologies[i].path, &h.topologies[i], err);
    for (uint32_t i = 0; i < sweep->n_traces && status == FS_OK; i++)
        status = hash_trace(sweep->traces[i].path, &h.traces[i], err);
    if (status == FS_OK)
        *hashes = h;
    else
        fs_sweep_hashes_free(&h);
    return status;
}

void fs_sweep_hashes_free(fs_sweep_hashes *hashes)
{
    fs_free(hashes->topologies);
    fs_free(hashes->traces);
}

/* Files that a setting names count by what is in them. */
static fs_status hash_named_files(const fs_point *point, uint64_t *hash, fs_err *err)
{
    fs_status status = FS_OK;
    for (uint32_t i = 0; i < point->count && status == FS_OK; i++) {
        const fs_setting *s = &point->settings[i];
        if (s->value.kind != FS_VALUE_TEXT)
            continue;
        if (strcmp(s->name, "requests.file") == 0)
            status = hash_requests(point->trace->path, s->value.text, hash, err);
        else if (strcmp(s->name, "options.nccl") == 0)
            status = hash_file(s->value.text, hash, err);
    }
    return status;
}

fs_status fs_point_hash(const fs_sweep *sweep, const fs_sweep_hashes *hashes, const fs_point *point,
                        const char *settings, char hash[FS_POINT_HASH_SIZE], fs_err *err)
{
    uint64_t words[] = {hashes->program, hashes->topologies[point->topology - sweep->topologies],
                        hashes->traces[point->trace - sweep->traces], FS_HASH_START};
    fs_status status = hash_named_files(point, &words[3], err);
    if (status != FS_OK)
        return status;
    uint64_t first = hash_text(fs_hash_bytes(FS_HASH_START, words, sizeof words), settings);
    uint64_t second = hash_text(fs_hash_bytes(~FS_HASH_START, words, sizeof words), settings);
    snprintf(hash, FS_POINT_HASH_SIZE, "%016" PRIx64 "%016" PRIx64, first, second);
    return FS_OK;
}
