/* experts.h - where experts stand among the GPUs of a stage, and how much the busiest of them has to do. */
#ifndef FS_EXPERTS_H
#define FS_EXPERTS_H

#include "base/err.h"
#include "work/transformer.h"

typedef struct fs_expert_spread {
    uint32_t gpus;
    double *load;   /* (gpus) shares of the routed tokens by position, which sum to 1; NULL where all are alike */
    double busiest; /* the greatest of them */
    double excess;  /* expected greatest of so many numbers of a standard normal distribution */
} fs_expert_spread;

/* Without copies, experts are dealt out in turn, the most popular ones first. `copies` of the most popular ones share
 * their tokens evenly, and all are placed one by one, the heaviest first, on the GPU that has the least and has room:
 * what DeepSeek's EPLB does within a group of nodes. gpus divides experts + copies. */
FS_MUST_CHECK fs_status fs_experts_spread(const fs_moe *moe, uint32_t gpus, uint32_t copies, fs_expert_spread *spread,
                                          fs_err *err);
void fs_experts_free(fs_expert_spread *spread);

/* Of so many routed tokens those of the busiest GPU. Where experts are alike each token is as likely to go to any GPU: the
 * busiest has more than the mean by `excess` standard deviations. */
double fs_experts_busiest(const fs_expert_spread *spread, double routed);

#endif
