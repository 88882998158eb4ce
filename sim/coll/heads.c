/* heads.c - see heads.h. */
#include "coll/heads.h"

#include <math.h>

void fs_heads_free(const fs_algo_run *run, fs_heads *h)
{
    for (uint32_t d = 0; h->nvls != NULL && d < run->form->n_domains; d++)
        fs_nvls_free(&h->nvls[d]);
    fs_free(h->nvls);
    fs_free(h->parent);
    fs_free(h->up_s);
    fs_free(h->down_s);
    fs_free(h->ids);
    fs_free(h->last_ids);
}

static fs_status check(const fs_algo_run *run, fs_err *err)
{
    const char *name = fs_algo_names[run->algo];
    if (run->form->n_domains < 2)
        return fs_fail(err, FS_E_TRACE, "%s is for several nodes; nvls, ring and tree do one", name);
    fs_status status = fs_form_find_rails(run->hood, run->form, err);
    if (status == FS_OK && run->form->n_rails == 0)
        return fs_fail(err, FS_E_TRACE, "%s needs a NIC on every node; ring and tree do without", name);
    run->b->channels = run->form->n_rails;
    return status;
}

fs_status fs_heads_init(const fs_algo_run *run, fs_heads *h, fs_err *err)
{
    size_t n = run->form->n_domains;
    fs_status status = check(run, err);
    if (status != FS_OK)
        return status;
    h->nvls = fs_zalloc(n, sizeof *h->nvls);
    h->parent = fs_alloc(n, sizeof *h->parent);
    h->up_s = fs_zalloc(n, sizeof *h->up_s);
    h->down_s = fs_zalloc(n, sizeof *h->down_s);
    h->ids = fs_zalloc(4 * n, sizeof *h->ids);
    h->last_ids = fs_zalloc(4 * n, sizeof *h->last_ids);
    if (!h->nvls || !h->parent || !h->up_s || !h->down_s || !h->ids || !h->last_ids)
        return fs_fail_nomem(err);
    for (uint32_t d = 0; d < n && status == FS_OK; d++)
        if (run->form->domains[d].n > 1)
            status = fs_nvls_find(run, run->form->domains[d].members, run->form->domains[d].n, &h->nvls[d], err);
    return status;
}

fs_status fs_head_nvls(const fs_algo_run *run, const fs_heads *h, uint32_t d, bool load, fs_err *err)
{
    const fs_domain *domain = &run->form->domains[d];
    fs_status status = FS_OK;
    for (uint32_t i = 0; i < domain->n && domain->n > 1 && status == FS_OK; i++) {
        bool head = domain->members[i] == fs_head_rail(run, h, d)->enter;
        if (load || head)
            status = fs_nvls_up(run, &h->nvls[d], i, 1.0, err);
        if (status == FS_OK && (!load || head))
            status = fs_nvls_down(run, &h->nvls[d], i, 1.0, err);
    }
    return status;
}

fs_status fs_head_message(const fs_algo_run *run, double share, double latency_s, uint32_t class_, uint32_t *id,
                          fs_err *err)
{
    *id = FS_NONE;
    return run->b->row.shares.count == 0 ? FS_OK : fs_shape_message_end(run->b, share, latency_s, class_, id, err);
}

fs_status fs_head_after(const fs_algo_run *run, uint32_t later, uint32_t earlier, fs_err *err)
{
    return later == FS_NONE || earlier == FS_NONE ? FS_OK : fs_shape_after(run->b, later, earlier, err);
}

double fs_heads_latency(const fs_algo_run *run, const fs_heads *h)
{
    double slowest = 0.0;
    for (uint32_t d = 0; d < run->form->n_domains; d++)
        slowest = fmax(slowest, 2.0 * h->nvls[d].latency_s);
    return slowest;
}
