/* nvls_links.c - see nvls_links.h. Cost: O(members x links of a GPU x switches). */
#include "coll/nvls_links.h"

#include <math.h>

void fs_nvls_free(fs_nvls *v)
{
    fs_free(v->switches);
    fs_free(v->fraction);
    fs_free(v->up.data);
    fs_free(v->down.data);
    fs_free(v->begin.data);
}

/* In the run's epoch, the worse direction counts: what goes up must come down. */
static double capacity(const fs_algo_run *run, uint32_t link)
{
    const fs_topo *topo = run->hood->topo;
    double whole = fs_topo_link(topo, link).effective_Bps;
    if (run->epoch == FS_NONE)
        return whole;
    return whole * fmin(fs_topo_link_factor(topo, link, run->epoch), fs_topo_link_factor(topo, link ^ 1u, run->epoch));
}

/* Capacity of all NVLinks from a GPU to a switch. */
static double capacity_to(const fs_algo_run *run, uint32_t gpu, uint32_t device)
{
    const fs_topo *topo = run->hood->topo;
    double sum = 0.0;
    for (uint32_t k = 0; k < fs_topo_out_count(topo, gpu); k++) {
        uint32_t link = fs_topo_out_link(topo, gpu, k);
        if (fs_topo_link(topo, link).dst == device)
            sum += capacity(run, link);
    }
    return sum;
}

static bool multicasts(const fs_topo *topo, uint32_t device)
{
    const fs_device d = fs_topo_device(topo, device);
    return d.kind == FS_DEVICE_NVSWITCH && topo->parts[d.part].multicast;
}

static fs_status refuse(const fs_algo_run *run, uint32_t gpu, fs_err *err)
{
    if (run->epoch != FS_NONE)
        return fs_fail(err, FS_E_TOPOLOGY, "a fault cuts '%s' or a member of its group off the NVSwitches",
                       FS_DEVICE_NAME(run->hood->topo, gpu));
    return fs_fail(err, FS_E_TRACE,
                   "%s needs all GPUs of %s on the same NVSwitches with multicast; ring and tree do without",
                   fs_algo_names[run->algo], run->algo == FS_ALGO_NVLS ? "the group" : "a node");
}

/* The multicast switches that all members share, and what part of the bytes each takes. */
static fs_status find_switches(const fs_algo_run *run, const uint32_t *members, uint32_t n, fs_nvls *v, fs_err *err)
{
    const fs_topo *topo = run->hood->topo;
    uint32_t gpu = run->group.gpus[members[0]], links = fs_topo_out_count(topo, gpu);
    fs_free(v->switches);
    fs_free(v->fraction);
    v->n_switches = 0;
    v->switches = fs_alloc(links, sizeof *v->switches);
    v->fraction = fs_alloc(links, sizeof *v->fraction);
    if (v->switches == NULL || v->fraction == NULL)
        return fs_fail_nomem(err);
    double total = 0.0;
    for (uint32_t k = 0; k < links; k++) {
        uint32_t device = fs_topo_link(topo, fs_topo_out_link(topo, gpu, k)).dst;
        bool known = !multicasts(topo, device);
        for (uint32_t i = 0; i < v->n_switches && !known; i++)
            known = v->switches[i] == device;
        double least = known ? 0.0 : INFINITY;
        for (uint32_t i = 0; i < n && least > 0.0; i++)
            least = fmin(least, capacity_to(run, run->group.gpus[members[i]], device));
        if (least <= 0.0)
            continue;
        v->switches[v->n_switches] = device;
        v->fraction[v->n_switches++] = least;
        total += least;
    }
    if (v->n_switches == 0)
        return refuse(run, gpu, err);
    for (uint32_t i = 0; i < v->n_switches; i++)
        v->fraction[i] /= total;
    return FS_OK;
}

fs_status fs_nvls_find(const fs_algo_run *run, const uint32_t *members, uint32_t n, fs_nvls *v, fs_err *err)
{
    const fs_topo *topo = run->hood->topo;
    double up_s = 0.0, down_s = 0.0;
    /* One domain's switches are nothing to the GPUs of another. */
    fs_status status = run->algo == FS_ALGO_NVLS && n < run->group.n ? refuse(run, FS_NONE, err)
                                                                     : find_switches(run, members, n, v, err);
    v->up.count = v->down.count = v->begin.count = 0;
    for (uint32_t i = 0; i < n && status == FS_OK; i++) {
        uint32_t gpu = run->group.gpus[members[i]];
        if (FS_PUSH(&v->begin, v->up.count) == NULL)
            return fs_fail_nomem(err);
        for (uint32_t s = 0; s < v->n_switches; s++) {
            double all = capacity_to(run, gpu, v->switches[s]);
            for (uint32_t k = 0; k < fs_topo_out_count(topo, gpu); k++) {
                uint32_t link = fs_topo_out_link(topo, gpu, k);
                double part = v->fraction[s] * capacity(run, link) / all;
                if (fs_topo_link(topo, link).dst != v->switches[s] || !(part > 0.0))
                    continue;
                up_s = fmax(up_s, fs_topo_link(topo, link).latency_s);
                down_s = fmax(down_s, fs_topo_link(topo, link ^ 1u).latency_s);
                if (FS_PUSH(&v->up, ((fs_share){link, part})) == NULL ||
                    FS_PUSH(&v->down, ((fs_share){link ^ 1u, part})) == NULL)
                    return fs_fail_nomem(err);
            }
        }
    }
    if (status == FS_OK && FS_PUSH(&v->begin, v->up.count) == NULL)
        return fs_fail_nomem(err);
    v->latency_s = up_s + down_s;
    return status;
}

fs_status fs_nvls_up(const fs_algo_run *run, const fs_nvls *v, uint32_t i, double times, fs_err *err)
{
    const uint32_t *begin = v->begin.data + i;
    return fs_shape_add(run->b, v->up.data + begin[0], begin[1] - begin[0], 0, times, err);
}

fs_status fs_nvls_down(const fs_algo_run *run, const fs_nvls *v, uint32_t i, double times, fs_err *err)
{
    const uint32_t *begin = v->begin.data + i;
    return fs_shape_add(run->b, v->down.data + begin[0], begin[1] - begin[0], 0, times, err);
}
