/* run_fabric.c - see run_fabric.h. */
#include "run_fabric.h"

#include "base/mem.h"
#include "topo/bundle.h"

#include <sys/resource.h>
#include <time.h>

double fs_run_clock_s(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

uint64_t fs_run_peak_memory_bytes(void)
{
    struct rusage use;
    if (getrusage(RUSAGE_SELF, &use) != 0)
        return 0;
    return (uint64_t)use.ru_maxrss * 1024; /* Linux counts in KiB */
}

/* What folds is bundled first: switches that nothing tells apart are one, before any route is looked for. */
static fs_status choose_topo(const fs_topo *whole, const fs_run_options *options, fs_run_fabric *f, fs_err *err)
{
    fs_status status = options->fold == FS_FOLD_AUTO ? fs_topo_bundle(whole, &f->bundled, err) : FS_OK;
    f->topo = f->bundled ? f->bundled : whole;
    return status;
}

/* One for the healthy machine, which decides what collectives look like, and where links fail one for each epoch. */
static fs_status make_routers(const fs_run_options *options, fs_run_fabric *f, fs_err *err)
{
    fs_router_options routing = {
        .single_path = options->network == FS_BACKEND_NS3, .epoch = FS_NONE, .seed = options->seed};
    fs_status status = fs_router_new(f->topo, routing, &f->router, err);
    if (status != FS_OK || f->topo->link_faults.count == 0)
        return status;
    f->epochs = fs_zalloc(f->topo->n_epochs, sizeof(fs_router *));
    f->n_epochs = f->topo->n_epochs;
    if (!f->epochs)
        return fs_fail_nomem(err);
    for (routing.epoch = 0; status == FS_OK && routing.epoch < f->n_epochs; routing.epoch++)
        status = fs_router_new(f->topo, routing, &f->epochs[routing.epoch], err);
    return status;
}

fs_status fs_run_fabric_open(const fs_topo *whole, const fs_run_options *options, fs_nccl_use use, fs_run_fabric *f,
                             fs_err *err)
{
    fs_status status = choose_topo(whole, options, f, err);
    if (status == FS_OK)
        status = make_routers(options, f, err);
    if (status != FS_OK)
        return status;
    f->patterns = fs_pattern_table_new();
    if (!f->patterns)
        return fs_fail_nomem(err);
    fs_lowering_options how = {.cost = options->cost,
                               .mode = options->lowering,
                               .cross_rail = use.cross_rail,
                               .epochs = f->epochs,
                               .nccl = options->nccl,
                               .registered = options->registered || use.registered,
                               .sharp = options->sharp || use.sharp};
    return fs_lowering_new(f->topo, f->router, f->patterns, how, &f->lowering, err);
}

void fs_run_fabric_close(fs_run_fabric *f)
{
    fs_lowering_free(f->lowering);
    fs_pattern_table_free(f->patterns);
    for (uint32_t e = 0; f->epochs && e < f->n_epochs; e++)
        fs_router_free(f->epochs[e]);
    fs_free(f->epochs);
    fs_router_free(f->router);
    fs_topo_free(f->bundled);
}
