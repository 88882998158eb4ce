/* forwarded.c - tokens to their experts and back, each over the network once for a domain; see algorithms.h.
 *
 * As DeepEP's normal kernels and HybridEP do it (github.com/deepseek-ai/DeepEP; DeepSeek-V3, arXiv 2412.19437, section
 * 3.2.2): a token goes by its owner's own NIC to the GPU of the owner's place in each domain that holds any of its k
 * experts; that GPU forwards it over NVLink, once to each GPU that holds any. On the way back GPUs add up what their
 * experts made of it, the forwarder adds up its domain's, and one sum crosses the network.
 *
 * How often is that, copies.h says. All is streamed in pieces of a few tokens, so network and NVLinks work at the same time, and there is no order among the
 * transfers; the latency of the last forward adds to that of the network. Cost: O(ranks x domains + pairs within). */
#include "coll/copies.h"
#include "coll/direct.h"

#include "base/mem.h"

#include <math.h>

/* Copies that reach ranks of this weight, in units of what a plain all-to-all sends to a mean rank. */
static double copies(const fs_algo_run *run, double weight)
{
    return fs_copies_reach(weight, run->top_k, run->top_domains, run->form->n_domains) * run->group.n / run->top_k;
}

static double weight_of(const fs_algo_run *run, uint32_t rank)
{
    return run->load != NULL ? run->load[rank] : 1.0 / run->group.n;
}

/* Its place among the members of its domain. */
static uint32_t place_of(const fs_domain *domain, uint32_t rank)
{
    uint32_t i = 0;
    while (domain->members[i] != rank)
        i++;
    return i;
}

/* Between owners elsewhere and their forwarders in a domain. passes[i]: owners that the i-th member forwards for, itself
 * included. */
static fs_status add_across(const fs_algo_run *run, uint32_t d, const uint32_t *place, double share, double hop_s,
                            uint32_t *passes, fs_direct_classes *c, fs_err *err)
{
    const fs_domain *domain = &run->form->domains[d];
    double weight = 0.0;
    fs_status status = FS_OK;
    for (uint32_t i = 0; i < domain->n; i++) {
        weight += weight_of(run, domain->members[i]);
        passes[i] = 1;
    }
    for (uint32_t owner = 0; owner < run->group.n && status == FS_OK; owner++) {
        uint32_t i = place[owner] % domain->n, forwarder = domain->members[i];
        if (run->form->domain_of[owner] == d)
            continue;
        passes[i]++;
        status = fs_direct_pair(run, run->transpose ? forwarder : owner, run->transpose ? owner : forwarder, share,
                                copies(run, weight), hop_s, c, err);
    }
    return status;
}

static fs_status add_within(const fs_algo_run *run, uint32_t d, double share, const uint32_t *passes,
                            fs_direct_classes *c, fs_err *err)
{
    const fs_domain *domain = &run->form->domains[d];
    fs_status status = FS_OK;
    for (uint32_t i = 0; i < domain->n; i++)
        for (uint32_t j = 0; j < domain->n && status == FS_OK; j++) {
            uint32_t forwarder = domain->members[i], expert = domain->members[j];
            status = fs_direct_pair(run, run->transpose ? expert : forwarder, run->transpose ? forwarder : expert,
                                    share, passes[i] * copies(run, weight_of(run, expert)), 0.0, c, err);
        }
    return status;
}

/* The longest way within a domain. */
static fs_status find_hop(const fs_algo_run *run, double *hop_s, fs_err *err)
{
    fs_status status = FS_OK;
    for (uint32_t d = 0; d < run->form->n_domains; d++) {
        const fs_domain *domain = &run->form->domains[d];
        for (uint32_t j = 1; j < domain->n && status == FS_OK; j++) {
            fs_way way;
            status = fs_way_pair(run, domain->members[0], domain->members[j], 0.0, &way, err);
            *hop_s = fmax(*hop_s, way.latency_s);
        }
    }
    fs_shape_drop(run->b);
    return status;
}

fs_status fs_forwarded_emit(const fs_algo_run *run, fs_err *err)
{
    uint32_t n = run->group.n, *place = fs_alloc(n, sizeof *place), *passes = fs_alloc(n, sizeof *passes);
    double share = 1.0 / n, hop_s = 0.0;
    fs_direct_classes c = {0};
    fs_status status = place != NULL && passes != NULL ? FS_OK : fs_fail_nomem(err);
    if (status == FS_OK && run->b->mode != FS_LOWER_COUPLED)
        status = fs_shape_check_moves(run->kind, FS_ALGO_FORWARDED, n, (double)n * (n - 1), err);
    for (uint32_t rank = 0; rank < n && status == FS_OK; rank++)
        place[rank] = place_of(&run->form->domains[run->form->domain_of[rank]], rank);
    if (status == FS_OK && run->form->n_domains > 1)
        status = find_hop(run, &hop_s, err);
    for (uint32_t d = 0; d < run->form->n_domains && status == FS_OK; d++) {
        status = add_across(run, d, place, share, hop_s, passes, &c, err);
        if (status == FS_OK)
            status = add_within(run, d, share, passes, &c, err);
    }
    if (status == FS_OK)
        status = fs_direct_end(run, share, &c, err);
    fs_free(place);
    fs_free(passes);
    return status;
}
