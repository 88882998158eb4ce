/* nvls.c - multicast and reduction in the NVSwitch (NVLink SHARP); see algorithms.h.
 *
 * Two instructions (PTX ISA, multimem): multimem.ld_reduce makes the switch read one address from all n GPUs, add, and
 * give the sum to the one that asked; multimem.st makes it write one value to all n GPUs. Both include the GPU that
 * asks. With S the size and each rank in charge of a slice of S/n, the links of one GPU carry:
 *
 *                            GPU -> switches               switches -> GPU
 *   reduce_scatter           S    its part of all slices   S/n  its slice's sum
 *   all_gather               S/n  its slice                S    all slices
 *   all_reduce = both        S + S/n                       S + S/n
 *   broadcast, root / rest   S / 0                         S / S
 *
 * (B. Klenk, N. Jiang, G. Thorson, L. Dennison, "An in-network architecture for accelerating shared-memory
 * multiprocessor collectives", ISCA 2020, derive the same factor of about two against a ring.)
 * An address lives in one switch, the same for all GPUs, so the fraction of the bytes that goes to a switch is the same
 * for all: in proportion to the narrowest GPU's lanes to it. Within a GPU's lanes to one switch they spread evenly.
 * Latency: up and down once per instruction. Flows: one transfer per rank's slice. Messages: per slice a load and,
 * after it, a store. */
#include "coll/algorithms.h"

#include <math.h>

/* The links of one GPU to and from the switches, with fractions; slice of one array per direction. */
typedef struct nvls {
    uint32_t n_switches;
    uint32_t *switches; /* (n_switches) device ids */
    double *fraction;   /* (n_switches) of the bytes; sums to 1 */
    FS_VEC(fs_share) up, down;
    uint32_t *begin;  /* (n + 1) shares of each GPU in up and down */
    double latency_s; /* up and down */
} nvls;

static void free_nvls(nvls *v)
{
    fs_free(v->switches);
    fs_free(v->fraction);
    fs_free(v->up.data);
    fs_free(v->down.data);
    fs_free(v->begin);
}

/* Capacity of all NVLinks from a GPU to a switch. */
static double capacity_to(const fs_topo *topo, uint32_t gpu, uint32_t device)
{
    double sum = 0.0;
    for (uint32_t k = 0; k < fs_topo_out_count(topo, gpu); k++)
        if (fs_topo_link(topo, fs_topo_out_link(topo, gpu, k)).dst == device)
            sum += fs_topo_link(topo, fs_topo_out_link(topo, gpu, k)).effective_Bps;
    return sum;
}

static bool multicasts(const fs_topo *topo, uint32_t device)
{
    return fs_topo_device(topo, device).kind == FS_DEVICE_NVSWITCH &&
           topo->parts[fs_topo_device(topo, device).part].multicast;
}

/* The multicast switches that all GPUs share, and what part of the bytes each takes. */
static fs_status find_switches(const fs_algo_run *run, nvls *v, fs_err *err)
{
    const fs_topo *topo = run->hood->topo;
    const fs_group *group = &run->group;
    uint32_t gpu = group->gpus[0], links = fs_topo_out_count(topo, gpu);
    v->switches = fs_alloc(links, sizeof *v->switches);
    v->fraction = fs_alloc(links, sizeof *v->fraction);
    v->begin = fs_alloc((size_t)group->n + 1, sizeof *v->begin);
    if (v->switches == NULL || v->fraction == NULL || v->begin == NULL)
        return fs_fail_nomem(err);
    double total = 0.0;
    for (uint32_t k = 0; k < fs_topo_out_count(topo, gpu); k++) {
        uint32_t device = fs_topo_link(topo, fs_topo_out_link(topo, gpu, k)).dst;
        bool known = !multicasts(topo, device);
        for (uint32_t i = 0; i < v->n_switches && !known; i++)
            known = v->switches[i] == device;
        double least = known ? 0.0 : INFINITY;
        for (uint32_t i = 0; i < group->n && least > 0.0; i++)
            least = fmin(least, capacity_to(topo, group->gpus[i], device));
        if (least <= 0.0)
            continue;
        v->switches[v->n_switches] = device;
        v->fraction[v->n_switches++] = least;
        total += least;
    }
    if (v->n_switches == 0)
        return fs_fail(
            err, FS_E_TRACE,
            "nvls needs all GPUs of the group on the same NVSwitches with multicast; ring and tree do without");
    for (uint32_t i = 0; i < v->n_switches; i++)
        v->fraction[i] /= total;
    return FS_OK;
}

static fs_status find_links(const fs_algo_run *run, nvls *v, fs_err *err)
{
    const fs_topo *topo = run->hood->topo;
    double up_s = 0.0, down_s = 0.0;
    for (uint32_t i = 0; i < run->group.n; i++) {
        uint32_t gpu = run->group.gpus[i];
        v->begin[i] = v->up.count;
        for (uint32_t s = 0; s < v->n_switches; s++) {
            double all = capacity_to(topo, gpu, v->switches[s]);
            for (uint32_t k = 0; k < fs_topo_out_count(topo, gpu); k++) {
                uint32_t link = fs_topo_out_link(topo, gpu, k);
                if (fs_topo_link(topo, link).dst != v->switches[s])
                    continue;
                double part = v->fraction[s] * fs_topo_link(topo, link).effective_Bps / all;
                up_s = fmax(up_s, fs_topo_link(topo, link).latency_s);
                down_s = fmax(down_s, fs_topo_link(topo, link ^ 1u).latency_s);
                if (FS_PUSH(&v->up, ((fs_share){link, part})) == NULL ||
                    FS_PUSH(&v->down, ((fs_share){link ^ 1u, part})) == NULL)
                    return fs_fail_nomem(err);
            }
        }
    }
    v->begin[run->group.n] = v->up.count;
    v->latency_s = up_s + down_s;
    return FS_OK;
}

static fs_status add_up(const fs_algo_run *run, const nvls *v, uint32_t i, double times, fs_err *err)
{
    return fs_shape_add(run->b, v->up.data + v->begin[i], v->begin[i + 1] - v->begin[i], times, err);
}

static fs_status add_down(const fs_algo_run *run, const nvls *v, uint32_t i, double times, fs_err *err)
{
    return fs_shape_add(run->b, v->down.data + v->begin[i], v->begin[i + 1] - v->begin[i], times, err);
}

/* Slice r, or the root's whole buffer: a load with reduction into r, a multicast store from r, or both. */
static fs_status add_slice(const fs_algo_run *run, const nvls *v, uint32_t r, bool load, bool store, fs_err *err)
{
    fs_status status = FS_OK;
    for (uint32_t i = 0; i < run->group.n && status == FS_OK; i++) {
        double up = (load ? 1.0 : 0.0) + (store && i == r ? 1.0 : 0.0);
        double down = (store ? 1.0 : 0.0) + (load && i == r ? 1.0 : 0.0);
        if (up > 0.0)
            status = add_up(run, v, i, up, err);
        if (status == FS_OK && down > 0.0)
            status = add_down(run, v, i, down, err);
    }
    return status;
}

static fs_status emit_slice(const fs_algo_run *run, const nvls *v, uint32_t r, double share, bool load, bool store,
                            fs_err *err)
{
    double latency = (load && store ? 2.0 : 1.0) * v->latency_s;
    uint32_t loaded = FS_NONE, stored = FS_NONE;
    fs_status status = FS_OK;
    if (run->b->mode != FS_LOWER_MESSAGES) {
        status = add_slice(run, v, r, load, store, err);
        return status == FS_OK ? fs_shape_move_end(run->b, share, latency, err) : status;
    }
    if (load) {
        status = add_slice(run, v, r, true, false, err);
        if (status == FS_OK)
            status = fs_shape_message_end(run->b, share, v->latency_s, FS_CLASS_NVLINK, &loaded, err);
    }
    if (store && status == FS_OK) {
        status = add_slice(run, v, r, false, true, err);
        if (status == FS_OK)
            status = fs_shape_message_end(run->b, share, v->latency_s, FS_CLASS_NVLINK, &stored, err);
        if (status == FS_OK && load)
            status = fs_shape_after(run->b, stored, loaded, err);
    }
    return status == FS_OK ? fs_shape_move_end(run->b, 0.0, latency, err) : status;
}

/* All slices in one transfer whose edges carry S: the table at the top. */
static fs_status emit_coupled(const fs_algo_run *run, const nvls *v, bool load, bool store, fs_err *err)
{
    double slice = 1.0 / run->group.n;
    fs_status status = FS_OK;
    for (uint32_t i = 0; i < run->group.n && status == FS_OK; i++) {
        status = add_up(run, v, i, (load ? 1.0 : 0.0) + (store ? slice : 0.0), err);
        if (status == FS_OK)
            status = add_down(run, v, i, (store ? 1.0 : 0.0) + (load ? slice : 0.0), err);
    }
    return status == FS_OK ? fs_shape_move_end(run->b, 1.0, (load && store ? 2.0 : 1.0) * v->latency_s, err) : status;
}

fs_status fs_nvls_emit(const fs_algo_run *run, fs_err *err)
{
    bool load = run->kind == FS_ALL_REDUCE || run->kind == FS_REDUCE_SCATTER, store = run->kind != FS_REDUCE_SCATTER;
    uint32_t n = run->group.n;
    nvls v = {0};
    fs_status status = find_switches(run, &v, err);
    if (status == FS_OK && run->b->mode != FS_LOWER_COUPLED)
        status = fs_shape_check_moves(run->kind, FS_ALGO_NVLS, n, 2.0 * n, err);
    if (status == FS_OK)
        status = find_links(run, &v, err);
    if (status == FS_OK && run->kind == FS_BROADCAST)
        status = emit_slice(run, &v, run->root, 1.0, false, true, err);
    else if (status == FS_OK && run->b->mode == FS_LOWER_COUPLED)
        status = emit_coupled(run, &v, load, store, err);
    else
        for (uint32_t r = 0; r < n && status == FS_OK; r++)
            status = emit_slice(run, &v, r, 1.0 / n, load, store, err);
    free_nvls(&v);
    return status;
}
