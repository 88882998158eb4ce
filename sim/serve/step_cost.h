/* step_cost.h - what an iteration costs a GPU of a pool: seconds of kernels, bytes of weights and of KV cache, bytes on
 * their way to others. docs/MODEL.md, Serving, has the kernels.
 *
 * All GPUs of a stage do the same; of the dp ranks the busiest counts, which has the sequences divided by dp and rounded
 * up: they are dealt out evenly, and in a layer with experts all wait for each other. */
#ifndef FS_STEP_COST_H
#define FS_STEP_COST_H

#include "gpu/gpu.h"
#include "serve/batcher.h"
#include "work/inference.h"

typedef struct fs_step_model fs_step_model;

/* FS_E_TRACE at the pool where the part lacks a number format. ideal: no launches and no inefficiency. */
FS_MUST_CHECK fs_status fs_step_model_new(const fs_inference *inference, const fs_pool *pool, const fs_part *gpu,
                                          bool ideal, const char *trace_path, fs_step_model **model, fs_err *err);
void fs_step_model_free(fs_step_model *model);

double fs_step_weight_bytes(const fs_step_model *model); /* on the fullest GPU */
double fs_step_kv_bytes(const fs_step_model *model);     /* of a token, on the GPU that keeps most */
double fs_step_kv_all_bytes(const fs_step_model *model); /* of a token, once, in all layers */

/* Seconds of the kernels of one stage, on a GPU at full speed. */
double fs_step_compute_s(fs_step_model *model, uint32_t stage, const fs_batch *batch);

/* Sizes of the communication of a stage, as coll.h means them; a layer's is the same `count` times. */
typedef struct fs_step_comm {
    double tp_bytes, tp_count;                      /* all-reduce in each group of tp */
    double norm_bytes, norm_count;                  /* all-reduce of sums of squares; 0: none */
    double logits_bytes, logits_count;              /* all-gather in each of them; 0: none */
    double dispatch_bytes, combine_bytes, ep_count; /* all-to-all over all tp x dp */
    double send_bytes;                              /* from each GPU to its like in the next stage; 0: none */
} fs_step_comm;
fs_step_comm fs_step_communication(const fs_step_model *model, uint32_t stage, const fs_batch *batch);

/* Shares of the routed tokens by position among the ep GPUs, NULL where all are alike. */
const double *fs_step_expert_load(const fs_step_model *model);

#endif
