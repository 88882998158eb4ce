/* heads.h - all_reduce over several nodes by NVLS in each and something else between their heads.
 *
 * The buffer is cut into one slice per rail. On each node the head of a slice, the GPU beside the NIC of that rail, gets
 * the node's sum of its slice by multimem.ld_reduce; the heads of one rail all-reduce over the network (nvls_tree.c,
 * sharp.c); each gives the result to its node by multimem.st. nvls.c says what these two put on the links: per GPU
 * S + S/heads each way. A node with one GPU needs no NVLS. */
#ifndef FS_HEADS_H
#define FS_HEADS_H

#include "coll/nvls_links.h"

/* One rail. Heads are numbered as their domains. */
typedef struct fs_heads {
    uint32_t rail;
    fs_nvls *nvls;            /* (n_domains) links of each domain; of one GPU: none */
    uint32_t *parent;         /* (n_domains) nvls_tree.c: FS_NONE for the root */
    double *up_s, *down_s;    /* (n_domains) latency to the parent, from it; or to the network, from it */
    uint32_t *ids, *last_ids; /* (4 x n_domains) messages of this chunk and the one before */
} fs_heads;

/* FS_E_TRACE where there is one domain, or one without NICs, or without the switches that NVLS needs. */
FS_MUST_CHECK fs_status fs_heads_init(const fs_algo_run *run, fs_heads *h, fs_err *err);
void fs_heads_free(const fs_algo_run *run, fs_heads *h);

static inline const fs_rail *fs_head_rail(const fs_algo_run *run, const fs_heads *h, uint32_t domain)
{
    return &run->form->domains[domain].rails[h->rail];
}

/* The head loads the sum of its slice (all go up, it gets one), or stores it (it sends one, all get it). */
FS_MUST_CHECK fs_status fs_head_nvls(const fs_algo_run *run, const fs_heads *h, uint32_t domain, bool load,
                                     fs_err *err);
/* A message of what has been added; *id = FS_NONE where that is nothing. What never was comes before and after nothing. */
FS_MUST_CHECK fs_status fs_head_message(const fs_algo_run *run, double share, double latency_s, uint32_t class_,
                                        uint32_t *id, fs_err *err);
FS_MUST_CHECK fs_status fs_head_after(const fs_algo_run *run, uint32_t later, uint32_t earlier, fs_err *err);
/* Of a load and a store on the slowest node. */
double fs_heads_latency(const fs_algo_run *run, const fs_heads *h);

#endif
