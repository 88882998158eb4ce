/* work_check.c - placement, and the order of a program's ops. See work_check.h.
 *
 * An op waits for the op before it on its stream and for its dependencies. Stream order always points backwards, so
 * a program without a forward dependency has no cycle; else a depth-first walk along "waits for" with an explicit
 * stack finds one: an edge to an op on the stack closes it. O(ops + deps). */
#include "work/work_check.h"

#include "base/mem.h"
#include "base/num.h"

#include <stdio.h>
#include <string.h>

enum { CYCLE_SHOWN = 6 };

fs_status fs_work_fail(const fs_work *work, const fs_op *op, fs_err *err, const char *format, ...)
{
    char text[FS_ERR_TEXT_MAX];
    va_list args;
    va_start(args, format);
    fs_vsnprintf(text, sizeof text, format, args);
    va_end(args);
    return fs_fail_at(err, FS_E_TRACE, work->path, op->line, op->column, "%s", text);
}

static fs_status check_placement(const fs_work *work, fs_err *err)
{
    uint32_t top = 0;
    for (uint32_t rank = 0; rank < work->n_ranks; rank++)
        top = work->gpu_of[rank] > top ? work->gpu_of[rank] : top;
    uint32_t *user = fs_zalloc((size_t)top + 1, sizeof *user); /* rank + 1 */
    if (user == NULL)
        return fs_fail_nomem(err);
    fs_status status = FS_OK;
    for (uint32_t rank = 0; rank < work->n_ranks && status == FS_OK; rank++) {
        uint32_t gpu = work->gpu_of[rank];
        if (user[gpu] != 0)
            status = fs_fail_at(err, FS_E_TRACE, work->path, 0, 0, "ranks %u and %u are both placed on GPU %u",
                                user[gpu] - 1, rank, gpu);
        user[gpu] = rank + 1;
    }
    fs_free(user);
    return status;
}

/* Where a walk through one program stands. */
typedef struct walk {
    const fs_program *program;
    uint32_t *before;  /* (n_ops) the op before it on its stream, FS_NONE */
    uint32_t *edge;    /* (n_ops) next edge to follow: 0 = stream order, then the deps; FS_NONE = done */
    uint32_t *stack;   /* (n_ops) */
    uint8_t *on_stack; /* (n_ops) */
} walk;

/* Each op of ring[] waits for the next, the last for the first. Told from its first op in the program on. */
static fs_status report_cycle(const fs_work *work, const fs_program *program, const uint32_t *ring, uint32_t n,
                              fs_err *err)
{
    uint32_t first = 0;
    for (uint32_t i = 1; i < n; i++)
        first = ring[i] < ring[first] ? i : first;
    char text[FS_ERR_TEXT_MAX / 2];
    int used = 0;
    for (uint32_t i = 0; i < n && i < CYCLE_SHOWN; i++)
        used += snprintf(text + used, sizeof text - (size_t)used, "'%.100s' -> ",
                         work->names[program->ops[ring[(first + i) % n]].name]);
    if (n > CYCLE_SHOWN)
        used += snprintf(text + used, sizeof text - (size_t)used, "%u more -> ", n - CYCLE_SHOWN);
    const fs_op *op = &program->ops[ring[first]];
    snprintf(text + used, sizeof text - (size_t)used, "'%.100s'", work->names[op->name]);
    return fs_work_fail(work, op, err,
                        "program '%.100s' has a cycle of ops that wait for each other: %s"
                        "\n-> reads 'waits for'; an op also waits for the one before it on its stream",
                        program->name, text);
}

static fs_status walk_from(const fs_work *work, walk *w, uint32_t root, fs_err *err)
{
    const fs_program *p = w->program;
    uint32_t depth = 0;
    w->stack[depth++] = root;
    w->on_stack[root] = 1;
    while (depth > 0) {
        uint32_t op = w->stack[depth - 1], edge = w->edge[op]++;
        uint32_t n_deps = p->dep_begin[op + 1] - p->dep_begin[op];
        if (edge > n_deps) {
            w->edge[op] = FS_NONE;
            w->on_stack[op] = 0;
            depth--;
            continue;
        }
        uint32_t next = edge == 0 ? w->before[op] : p->deps[p->dep_begin[op] + edge - 1];
        if (next == FS_NONE || w->edge[next] == FS_NONE)
            continue;
        if (w->on_stack[next]) {
            uint32_t from = depth - 1;
            while (w->stack[from] != next)
                from--;
            return report_cycle(work, p, w->stack + from, depth - from, err);
        }
        w->stack[depth++] = next;
        w->on_stack[next] = 1;
    }
    return FS_OK;
}

static fs_status find_cycle(const fs_work *work, const fs_program *p, fs_err *err)
{
    uint32_t n = p->n_ops;
    uint32_t *arrays = fs_zalloc(3 * (size_t)n + work->n_streams, sizeof *arrays);
    uint8_t *on_stack = fs_zalloc(n, 1);
    fs_status status = arrays && on_stack ? FS_OK : fs_fail_nomem(err);
    if (status == FS_OK) {
        walk w = {p, arrays, arrays + n, arrays + 2 * (size_t)n, on_stack};
        uint32_t *last = arrays + 3 * (size_t)n; /* (n_streams) last op + 1 */
        for (uint32_t i = 0; i < n; i++) {
            w.before[i] = last[p->ops[i].stream] - 1; /* 0 - 1 is FS_NONE */
            last[p->ops[i].stream] = i + 1;
        }
        for (uint32_t i = 0; i < n && status == FS_OK; i++)
            if (w.edge[i] != FS_NONE)
                status = walk_from(work, &w, i, err);
    }
    fs_free(arrays);
    fs_free(on_stack);
    return status;
}

fs_status fs_work_check_order(const fs_work *work, fs_err *err)
{
    fs_status status = check_placement(work, err);
    for (uint32_t i = 0; i < work->n_programs && status == FS_OK; i++) {
        const fs_program *p = &work->programs[i];
        bool forward = false;
        for (uint32_t op = 0; op < p->n_ops && status == FS_OK; op++)
            for (uint32_t d = p->dep_begin[op]; d < p->dep_begin[op + 1] && status == FS_OK; d++) {
                if (p->deps[d] >= p->n_ops)
                    status = fs_work_fail(work, &p->ops[op], err, "'%s' waits for op %u of a program of %u ops",
                                          work->names[p->ops[op].name], p->deps[d], p->n_ops);
                forward = forward || p->deps[d] >= op;
            }
        if (status == FS_OK && forward)
            status = find_cycle(work, p, err);
    }
    return status;
}
