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
 * Latency: up and down once per instruction. Flows: one transfer per rank's slice. Messages: per slice a load and,
 * after it, a store. */
#include "coll/nvls_links.h"

/* Slice r, or the root's whole buffer: a load with reduction into r, a multicast store from r, or both. */
static fs_status add_slice(const fs_algo_run *run, const fs_nvls *v, uint32_t r, bool load, bool store, fs_err *err)
{
    fs_status status = FS_OK;
    for (uint32_t i = 0; i < run->group.n && status == FS_OK; i++) {
        double up = (load ? 1.0 : 0.0) + (store && i == r ? 1.0 : 0.0);
        double down = (store ? 1.0 : 0.0) + (load && i == r ? 1.0 : 0.0);
        if (up > 0.0)
            status = fs_nvls_up(run, v, i, up, err);
        if (status == FS_OK && down > 0.0)
            status = fs_nvls_down(run, v, i, down, err);
    }
    return status;
}

static fs_status emit_slice(const fs_algo_run *run, const fs_nvls *v, uint32_t r, double share, bool load, bool store,
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
static fs_status emit_coupled(const fs_algo_run *run, const fs_nvls *v, bool load, bool store, fs_err *err)
{
    double slice = 1.0 / run->group.n;
    fs_status status = FS_OK;
    for (uint32_t i = 0; i < run->group.n && status == FS_OK; i++) {
        status = fs_nvls_up(run, v, i, (load ? 1.0 : 0.0) + (store ? slice : 0.0), err);
        if (status == FS_OK)
            status = fs_nvls_down(run, v, i, (store ? 1.0 : 0.0) + (load ? slice : 0.0), err);
    }
    return status == FS_OK ? fs_shape_move_end(run->b, 1.0, (load && store ? 2.0 : 1.0) * v->latency_s, err) : status;
}

fs_status fs_nvls_emit(const fs_algo_run *run, fs_err *err)
{
    bool load = run->kind == FS_ALL_REDUCE || run->kind == FS_REDUCE_SCATTER, store = run->kind != FS_REDUCE_SCATTER;
    uint32_t n = run->group.n;
    fs_nvls v = {0};
    fs_status status = fs_nvls_find(run, run->form->domains[0].members, run->form->domains[0].n, &v, err);
    if (status == FS_OK && run->b->mode != FS_LOWER_COUPLED)
        status = fs_shape_check_moves(run->kind, FS_ALGO_NVLS, n, 2.0 * n, err);
    if (status == FS_OK && run->kind == FS_BROADCAST)
        status = emit_slice(run, &v, run->root, 1.0, false, true, err);
    else if (status == FS_OK && run->b->mode == FS_LOWER_COUPLED)
        status = emit_coupled(run, &v, load, store, err);
    else
        for (uint32_t r = 0; r < n && status == FS_OK; r++)
            status = emit_slice(run, &v, r, 1.0 / n, load, store, err);
    fs_nvls_free(&v);
    return status;
}
