/* timeline_kineto.c - a folder with a file for each rank, in the form of PyTorch's profiler (Kineto), for tools that read its traces,
 * such as Holistic Trace Analysis (github.com/facebookresearch/HolisticTraceAnalysis, hta/common/trace_parser.py).
 *
 * Those want: distributedInfo at the head; kernels of category "kernel" with their stream, and a correlation that a call of category
 * "cuda_runtime" on the CPU has too; the step as an annotation "ProfilerStep#0". A kernel whose name begins with nccl and has Kernel in
 * it is communication. The CPU is not simulated: a kernel is launched at the time that its stream gets to it. */
#include "base/mem.h"
#include "report/spans.h"
#include "report/timeline_in.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

enum { PATH_MAX_BYTES = 4096, CPU = 1000000 /* a process id that no GPU has */, FIRST_STREAM = 7 /* as CUDA counts */ };

typedef struct kineto {
    fs_out **files;     /* (n_tracks) */
    uint64_t *number;   /* (n_tracks) of the next kernel, from 1 */
    uint32_t *device;   /* (n_tracks) */
    const char **names; /* (n_names) escaped */
} kineto;

static void add_time(fs_out *out, const char *key, uint64_t ns)
{
    fs_out_printf(out, ",\"%s\":%llu.%03u", key, (unsigned long long)(ns / 1000), (unsigned)(ns % 1000));
}

/* The track's GPU in its node, as CUDA numbers them. */
static uint32_t device_of(const fs_timeline *t, uint32_t track)
{
    uint32_t gpu = t->work->gpu_of[t->rank[track]], node = fs_topo_device(t->topo, t->topo->gpus[gpu]).node, n = 0;
    if (node == FS_NONE)
        return gpu;
    while (n < gpu && fs_topo_device(t->topo, t->topo->gpus[gpu - n - 1]).node == node)
        n++;
    return n;
}

static fs_status open_file(fs_timeline *t, const char *folder, uint32_t track, fs_err *err)
{
    kineto *k = t->state;
    char path[PATH_MAX_BYTES];
    const char *plain = fs_timeline_track_name(t, track), *name = plain ? fs_timeline_escape(t->arena, plain) : NULL;
    int n = snprintf(path, sizeof path, "%s/rank%u.json.gz", folder, t->rank[track]);
    if (!name)
        return fs_fail_nomem(err);
    if (n < 0 || (size_t)n >= sizeof path)
        return fs_fail(err, FS_E_IO, "a path of more than %d bytes", PATH_MAX_BYTES - 1);
    fs_status status = fs_out_open(path, &k->files[track], err);
    if (status != FS_OK)
        return status;
    fs_out *out = k->files[track];
    uint32_t device = k->device[track] = device_of(t, track);
    fs_out_printf(out,
                  "{\"schemaVersion\":1,\"distributedInfo\":{\"backend\":\"nccl\",\"rank\":%u,\"world_size\":%u},"
                  "\"displayTimeUnit\":\"ms\",\"baseTimeNanoseconds\":0,\"traceEvents\":[\n",
                  t->rank[track], t->work->n_ranks);
    fs_out_printf(out,
                  "{\"ph\":\"M\",\"pid\":%u,\"tid\":0,\"ts\":0,\"name\":\"process_name\",\"args\":{\"name\":\"%s\"}}",
                  device, name);
    for (uint32_t s = 0; s < t->work->n_streams; s++) {
        const char *stream = fs_timeline_escape(t->arena, t->work->streams[s]);
        if (!stream)
            return fs_fail_nomem(err);
        if (fs_timeline_uses(t, track, s))
            fs_out_printf(out,
                          ",\n{\"ph\":\"M\",\"pid\":%u,\"tid\":%u,\"ts\":0,\"name\":\"thread_name\",\"args\":{\"name\":"
                          "\"stream %u %s\"}}",
                          device, FIRST_STREAM + s, FIRST_STREAM + s, stream);
    }
    return FS_OK;
}

static fs_status open_kineto(fs_timeline *t, const char *path, fs_err *err)
{
    kineto *k = t->state = fs_arena_alloc(t->arena, 1, sizeof *k);
    if (!k || !(k->files = fs_arena_alloc(t->arena, t->n_tracks, sizeof(fs_out *))) ||
        !(k->number = fs_arena_alloc(t->arena, t->n_tracks, sizeof *k->number)) ||
        !(k->device = fs_arena_alloc(t->arena, t->n_tracks, sizeof *k->device)) ||
        !(k->names = fs_arena_alloc(t->arena, t->work->n_names, sizeof *k->names)))
        return fs_fail_nomem(err);
    for (uint32_t i = 0; i < t->work->n_names; i++)
        if (!(k->names[i] = fs_timeline_escape(t->arena, t->work->names[i])))
            return fs_fail_nomem(err);
    if (mkdir(path, 0777) != 0 && errno != EEXIST)
        return fs_fail_at(err, FS_E_IO, path, 0, 0, "cannot make this directory: %s", strerror(errno));
    fs_status status = FS_OK;
    for (uint32_t track = 0; track < t->n_tracks && status == FS_OK; track++)
        status = open_file(t, path, track, err);
    return status;
}

/* NCCL's names of kernels since 2.19: ncclDevKernel_AllReduce_... */
static const char *nccl_kernel(const fs_op *op)
{
    static const char *const names[FS_COLL_KINDS] = {
        "ncclDevKernel_AllReduce", "ncclDevKernel_AllGather", "ncclDevKernel_ReduceScatter", "ncclDevKernel_SendRecv",
        "ncclDevKernel_Broadcast", "ncclDevKernel_Reduce",    "ncclDevKernel_AllReduce",     "ncclDevKernel_SendRecv"};
    if (op->kind == FS_OP_SEND || op->kind == FS_OP_RECV)
        return "ncclDevKernel_SendRecv";
    return op->kind == FS_OP_COLLECTIVE ? names[op->coll] : NULL;
}

static void write_slice(fs_timeline *t, const fs_slice *s)
{
    kineto *k = t->state;
    fs_out *out = k->files[s->track];
    const char *nccl = nccl_kernel(s->op), *label = fs_op_title(s->op, k->names);
    unsigned long long number = ++k->number[s->track];
    uint32_t device = k->device[s->track], stream = FIRST_STREAM + s->op->stream;
    if (s->op->kind == FS_OP_DELAY) /* nothing runs */
        return;
    fs_out_printf(out, ",\n{\"ph\":\"X\",\"cat\":\"cuda_runtime\",\"name\":\"cudaLaunchKernel\",\"pid\":%d,\"tid\":%d",
                  CPU, CPU);
    add_time(out, "ts", s->issue_ns);
    add_time(out, "dur", 0);
    fs_out_printf(out, ",\"args\":{\"correlation\":%llu,\"External id\":%llu}}", number, number);
    fs_out_printf(out, ",\n{\"ph\":\"X\",\"cat\":\"kernel\",\"name\":\"%s%s%s%s\",\"pid\":%u,\"tid\":%u",
                  nccl ? nccl : "", nccl ? " (" : "", label, nccl ? ")" : "", device, stream);
    add_time(out, "ts", s->issue_ns);
    add_time(out, "dur", s->end_ns - s->issue_ns);
    fs_out_printf(out, ",\"args\":{\"device\":%u,\"stream\":%u,\"correlation\":%llu,\"External id\":%llu", device,
                  stream, number, number);
    if (nccl)
        fs_out_printf(out, ",\"Collective name\":\"%s\",\"In msg nelems\":%.0f,\"dtype\":\"Byte\"",
                      fs_op_category(s->op), s->op->size_bytes);
    fs_out_puts(out, "}}");
}

static fs_status close_kineto(fs_timeline *t, double end_s, fs_err *err)
{
    kineto *k = t->state;
    fs_status status = FS_OK;
    double ends_ns = end_s * 1e9;
    for (uint32_t track = 0; track < t->n_tracks; track++) {
        fs_out *out = k->files[track];
        fs_out_printf(out,
                      ",\n{\"ph\":\"X\",\"cat\":\"user_annotation\",\"name\":\"ProfilerStep#0\",\"pid\":%d,\"tid\":%d",
                      CPU, CPU);
        add_time(out, "ts", 0);
        add_time(out, "dur", (uint64_t)(ends_ns + 0.5));
        fs_out_puts(out, ",\"args\":{\"External id\":0}}\n]}\n");
        k->files[track] = NULL;
        status = fs_out_finish(out, status, err);
    }
    return status;
}

static void discard_kineto(fs_timeline *t)
{
    kineto *k = t->state;
    for (uint32_t track = 0; k->files && track < t->n_tracks; track++)
        fs_out_discard(k->files[track]);
}

const fs_timeline_format fs_timeline_kineto = {
    .open = open_kineto, .slice = write_slice, .close = close_kineto, .discard = discard_kineto};
