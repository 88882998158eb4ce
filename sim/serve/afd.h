/* afd.h - attention and FFN apart: an iteration goes to and fro between a replica that attends and one that has the MLPs.
 *
 * Stage 2 l of an iteration is the attention of layer l, stage 2 l + 1 its MLP or experts, the last one the logits. Behind
 * the attention every GPU sends its tokens to those of the MLP's stage, to the experts that each token visits or, without
 * experts, in even parts; behind the MLP all of it goes back. Several iterations, of other sequences, are under way at a
 * time, so that one may attend while another is at the MLPs (Zhu et al., "MegaScale-Infer", arXiv 2504.02263; Wang et al.,
 * "Step-3", arXiv 2507.19427). Called by cluster.c. */
#ifndef FS_AFD_H
#define FS_AFD_H

#include "serve/cluster.h"

/* Who has whose MLPs, once all replicas are there. */
FS_MUST_CHECK fs_status fs_afd_open(fs_cluster *cluster, fs_err *err);

/* cluster.h, of replicas with r->ffn. */
uint32_t fs_afd_stages(const fs_cluster *cluster);
fs_stage_place fs_afd_place(const fs_cluster *cluster, const fs_replica *replica, uint32_t stage);
double fs_afd_compute_s(const fs_cluster *cluster, const fs_replica *replica, uint32_t stage, const fs_batch *batch);
uint32_t fs_afd_steps(const fs_cluster *cluster, const fs_replica *replica, uint32_t stage, const fs_batch *batch,
                      fs_exchange_step *steps);
uint32_t fs_afd_send(const fs_cluster *cluster, const fs_replica *replica, uint32_t stage, const fs_batch *batch,
                     fs_exchange_step *steps);

#endif
