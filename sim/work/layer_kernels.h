/* layer_kernels.h - the kernels of a transformer's parts, by their FLOPs and bytes, appended to a list. Private to
 * sim/work. docs/MODEL.md has the tables. */
#ifndef FS_LAYER_KERNELS_H
#define FS_LAYER_KERNELS_H

#include "base/mem.h"
#include "work/training.h"

/* Gradients of weights can wait: nobody but the optimizer needs them. */
typedef enum fs_wgrad {
    FS_WGRAD_INLINE, /* right behind the gradient of the input */
    FS_WGRAD_LATER,  /* kept in `later` until fs_kernels_resume */
    FS_WGRAD_SKIP,   /* the pass that has them runs elsewhere */
    FS_WGRAD_ONLY    /* that pass: nothing else is written */
} fs_wgrad;

/* One microbatch on one GPU. Sizes in elements; widths are this GPU's share. */
typedef struct fs_kernel_writer {
    fs_work_builder *b;
    const fs_training *t;
    fs_err *err;
    fs_status status; /* the first failure; nothing is written after it */
    FS_VEC(fs_kernel) list, later;
    fs_wgrad wgrad;
    bool new_weights; /* products in fp8 and fp4 have not cast these weights yet */
    double
        each; /* kernels that share the work of the next one; products run beside each other, what moves memory in turn */
    double launches; /* of products listed since they were last counted, beyond one each */

    double tokens, local;                    /* after context, and after sequence parallelism as well */
    double hidden, qkv, query, value, heads; /* widths */
    double H, N, Q, P, S, L; /* tensors: hidden states, the same split over tp, Q K V, output, scores, logits */
    double QK;               /* queries and keys */
    double routed;           /* tokens this rank sends to experts */
    double arrived;          /* tokens that its experts work on */
} fs_kernel_writer;

/* share: of all routed tokens, those that go to this rank's position in its expert-parallel group. */
void fs_kernels_init(fs_kernel_writer *w, fs_work_builder *b, const fs_training *t, double share, fs_err *err);
void fs_kernels_free(fs_kernel_writer *w);
void fs_kernels_resume(fs_kernel_writer *w); /* appends what was kept */

/* Memory-bound: `passes` over a tensor, in activations of 2 bytes; or so many bytes. */
void fs_kernel_pass(fs_kernel_writer *w, const char *name, double passes, double elements);
void fs_kernel_bytes(fs_kernel_writer *w, const char *name, double bytes);

void fs_kernels_norm(fs_kernel_writer *w);
void fs_kernels_residual(fs_kernel_writer *w);      /* bias, dropout and residual behind a branch */
void fs_kernels_residual_grad(fs_kernel_writer *w); /* the same, back */
void fs_kernels_branch_grad(fs_kernel_writer *w);   /* where a branch began: norm, and the sum of gradients */

/* Attention in three parts, since communication falls between them. The core is one of `blocks` equal ones. */
void fs_kernels_qkv(fs_kernel_writer *w);
void fs_kernels_latent_up(fs_kernel_writer *w); /* Q, K and V from their latents once more */
void fs_kernels_core(fs_kernel_writer *w, uint32_t blocks);
void fs_kernels_projection(fs_kernel_writer *w);
void fs_kernels_projection_grad(fs_kernel_writer *w);
void fs_kernels_core_grad(fs_kernel_writer *w, uint32_t blocks);
void fs_kernels_qkv_grad(fs_kernel_writer *w);

/* An MLP of so many columns on this GPU. */
void fs_kernels_mlp_in(fs_kernel_writer *w, double columns);
void fs_kernels_mlp_out(fs_kernel_writer *w, double columns);
void fs_kernels_mlp_grad(fs_kernel_writer *w, double columns);

void fs_kernels_route(fs_kernel_writer *w); /* router and permutation */
void fs_kernels_experts(fs_kernel_writer *w);
void fs_kernels_unroute(fs_kernel_writer *w);
void fs_kernels_unroute_grad(fs_kernel_writer *w);
void fs_kernels_experts_grad(fs_kernel_writer *w);
void fs_kernels_route_grad(fs_kernel_writer *w);

/* The hidden state and the next token's embedding, which a layer for later tokens begins with. */
void fs_kernels_join(fs_kernel_writer *w);
void fs_kernels_join_grad(fs_kernel_writer *w);

void fs_kernels_logits(fs_kernel_writer *w);
void fs_kernels_logits_grad(fs_kernel_writer *w);

#endif
