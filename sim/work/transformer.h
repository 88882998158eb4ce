/* transformer.h - a transformer language model: its sizes, parameters and FLOPs.
 *
 * The default is GPT-like: learned positions, two layer norms and biases, dropout, input and output embedding tied.
 * `gated` makes the MLP one of two input matrices (SwiGLU); kv_heads < heads is grouped-query attention; `mla` is
 * multi-head latent attention (DeepSeek-V2, arXiv 2405.04434); `moe` replaces MLPs by experts. */
#ifndef FS_TRANSFORMER_H
#define FS_TRANSFORMER_H

#include "work/work.h"

/* Keys and values come from kv_rank numbers a token, queries from q_rank (0: from the hidden state); a head's query and
 * key have `nope` + `rope` numbers, its value `v`. kv_rank = 0: no latent attention. */
typedef struct fs_mla {
    uint32_t q_rank, kv_rank, nope, rope, v;
} fs_mla;

typedef struct fs_moe {
    uint32_t experts;         /* 0: a dense model */
    uint32_t top_k, ffn;      /* experts that a token visits; width of one */
    uint32_t shared_ffn;      /* width of the experts that every token visits, together; 0: none */
    uint32_t every, first;    /* layer i has experts where i >= first and i is a multiple of every */
    double capacity;          /* tokens that an expert takes, over its even share; 0: all that come (dropless) */
    const double *popularity; /* (experts) how much each is chosen, sum 1; NULL: all alike */
} fs_moe;

/* Of queries and keys, before they are rotated: none; of each head by itself; of all heads together. */
typedef enum fs_qk_norm { FS_QK_NONE, FS_QK_HEAD, FS_QK_ALL, FS_QK_NORMS } fs_qk_norm;

typedef struct fs_transformer {
    uint32_t layers, hidden, heads, kv_heads, head_dim, ffn, vocab, seq;
    bool gated;             /* SwiGLU and its like */
    bool tied;              /* input and output embedding share their weights */
    bool bias;              /* of matrices */
    bool norm_bias;         /* layer norm; false: RMS norm */
    bool learned_positions; /* a vector for each position; false: rotary, or none */
    bool rotary;
    bool dropout;
    bool parallel_block; /* attention and MLP read one norm, and their sums are one (Wang and Komatsuzaki 2021) */
    uint32_t mtp; /* layers behind the last, each with a loss of its own, that predict later tokens (DeepSeek-V3) */
    bool causal;  /* count only the half of the scores that the mask leaves, where a kernel can */
    uint32_t window,
        full_every;  /* a token attends to the last `window`, but in layers full_every - 1, 2 full_every - 1, ...
                                  * to all; 0: to all everywhere. Inference knows it, training does not */
    uint8_t qk_norm; /* fs_qk_norm */
    fs_mla mla;
    fs_moe moe;
} fs_transformer;

/* Every other field 0, GPT-like: head_dim hidden / heads, kv_heads = heads, ffn 4 hidden, tied, biases, dropout. */
fs_transformer fs_transformer_default(uint32_t layers, uint32_t hidden, uint32_t heads, uint32_t vocab, uint32_t seq);

uint32_t
fs_transformer_depth(const fs_transformer *m); /* layers and those for later tokens: numbers from `layers` on */
bool fs_layer_has_experts(const fs_transformer *m, uint32_t layer);
uint32_t fs_layers_with_experts(const fs_transformer *m, uint32_t first, uint32_t count);
bool fs_layer_has_window(const fs_transformer *m, uint32_t layer);
uint32_t fs_layers_with_window(const fs_transformer *m, uint32_t first, uint32_t count);

double fs_transformer_qkv_width(const fs_transformer *m);   /* columns of Q, K and V together */
double fs_transformer_query_width(const fs_transformer *m); /* of Q, all heads */
double fs_transformer_value_width(const fs_transformer *m); /* of V and of the attention's output, all query heads */
double fs_transformer_mlp_weights(const fs_transformer *m, double ffn); /* matrices only */
double fs_latent_up_weights(const fs_transformer *m);                   /* matrices from latents to Q, K and V */
uint32_t fs_moe_inputs(const fs_transformer *m);                        /* 2 where gated, else 1 */

/* Parameters of one layer: `split` is shared out by tensor parallelism, `whole` is on each of its GPUs; experts are
 * counted apart, all of them. */
typedef struct fs_layer_size {
    double split, whole, experts;
} fs_layer_size;
fs_layer_size fs_layer_parameters(const fs_transformer *m, uint32_t layer);
/* Of these, the MLP's: dense, or experts and those that are shared; no norm and no router. */
fs_layer_size fs_layer_ffn_parameters(const fs_transformer *m, uint32_t layer);
double fs_embedding_parameters(const fs_transformer *m); /* one vocab x hidden matrix: split */
double fs_position_parameters(const fs_transformer *m);
double fs_norm_parameters(const fs_transformer *m);

double fs_transformer_parameters(const fs_transformer *m);
double fs_transformer_active_parameters(const fs_transformer *m); /* that one token uses */

/* FLOPs of a forward pass of one sequence. `scores` is attention's part that is not weights. A layer for later tokens has
 * its logits in it. */
double fs_layer_weight_flops(const fs_transformer *m, uint32_t layer);
double fs_layer_mlp_flops(const fs_transformer *m, uint32_t layer); /* of its MLP, or router and experts, alone */
double fs_scores_flops(const fs_transformer *m, bool causal);
double fs_logits_flops(const fs_transformer *m);

#endif
