/* Training under every kind of parallelism: sizes of published models, who is where, schedules, what is communicated,
 * memory, and every error. */
#include "base/mem.h"
#include "work/training_schedule.h"
#include "work/work.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static fs_err err;

static void close_to(double found, double expected, double relative)
{
    if (!(fabs(found - expected) <= relative * fabs(expected)))
        fail_msg("found %.17g, expected %.17g", found, expected);
}

static fs_work *load_text(const char *json)
{
    fs_work *work;
    if (fs_work_parse("t.json", json, strlen(json), NULL, 0, &work, &err) != FS_OK)
        fail_msg("%u:%u: %s", err.line, err.column, err.text);
    return work;
}

/* ---- published models ------------------------------------------------------------------------------------------ */

static fs_transformer llama(uint32_t layers, uint32_t hidden, uint32_t heads, uint32_t ffn, uint32_t vocab)
{
    fs_transformer m = fs_transformer_default(layers, hidden, heads, vocab, 8192);
    m.kv_heads = 8;
    m.ffn = ffn;
    m.gated = true;
    m.tied = m.bias = m.norm_bias = m.learned_positions = m.dropout = false;
    return m;
}

static void parameters_as_published(void **state)
{
    (void)state;
    close_to(fs_transformer_parameters(&(fs_transformer){0}), 0, 0);
    fs_transformer gpt3 = fs_transformer_default(96, 12288, 96, 50257, 2048); /* Brown et al. 2020: 175.0 B */
    close_to(fs_transformer_parameters(&gpt3), 174.6e9, 1e-3);
    fs_transformer m = llama(80, 8192, 64, 28672, 32000); /* Touvron et al. 2023: 69.0 B, its checkpoint exactly */
    close_to(fs_transformer_parameters(&m), 68976648192.0, 1e-15);
    m = llama(126, 16384, 128, 53248, 128256); /* Llama 3 405B: 405,853,388,800 in its checkpoint */
    close_to(fs_transformer_parameters(&m), 405853388800.0, 1e-15);
    m = llama(32, 4096, 32, 14336, 32000); /* Mixtral 8x7B: 46,702,792,704; 12.9 B active */
    m.moe = (fs_moe){.experts = 8, .top_k = 2, .ffn = 14336, .every = 1};
    close_to(fs_transformer_parameters(&m), 46702792704.0, 1e-15);
    close_to(fs_transformer_active_parameters(&m), 12.9e9, 2e-3);
    m = llama(64, 6144, 48, 32768, 131072); /* Grok-1: 314 B */
    m.tied = true;
    m.moe = (fs_moe){.experts = 8, .top_k = 2, .ffn = 32768, .every = 1};
    close_to(fs_transformer_parameters(&m), 314e9, 6e-3);
    m = llama(96, 18432, 96, 73728, 256000); /* Nemotron-4 340B: 331.6 B and 9.4 B of embeddings */
    m.gated = false;
    m.norm_bias = true;
    close_to(fs_transformer_parameters(&m), 331.6e9 + 9.4e9, 2e-3);
}

static void latent_attention_and_experts(void **state)
{
    (void)state;
    fs_transformer m = llama(61, 7168, 128, 18432, 129280); /* DeepSeek-V3: 671 B, 37 B active (its report, 4.2) */
    m.mla = (fs_mla){1536, 512, 128, 64, 128};
    m.moe = (fs_moe){.experts = 256, .top_k = 8, .ffn = 2048, .shared_ffn = 2048, .every = 1, .first = 3};
    close_to(fs_transformer_parameters(&m), 671.0e9, 1e-3);
    close_to(fs_transformer_active_parameters(&m), 37.6e9, 2e-3);
    assert_false(fs_layer_has_experts(&m, 2));
    assert_true(fs_layer_has_experts(&m, 3));
    assert_int_equal(fs_layers_with_experts(&m, 0, 61), 58);
    double attention = 7168 * 1536 + 1536 * 128 * 192.0 + 7168 * 576 + 512 * 128 * 256.0 + 128 * 128 * 7168.0;
    close_to(fs_layer_weight_flops(&m, 0), 2.0 * 8192 * (attention + 3 * 7168 * 18432.0), 1e-14);
    close_to(fs_layer_weight_flops(&m, 3), 2.0 * 8192 * (attention + 9 * 3 * 7168 * 2048.0 + 7168 * 256), 1e-14);
    close_to(fs_scores_flops(&m, false), 2.0 * 8192 * 8192 * 128 * (192 + 128), 1e-14);
    close_to(fs_scores_flops(&m, true), 1.0 * 8192 * 8192 * 128 * (192 + 128), 1e-14);
    m.moe.every = 2; /* 4, 6, ... 60 */
    assert_int_equal(fs_layers_with_experts(&m, 0, 61), 29);
}

/* ---- layouts --------------------------------------------------------------------------------------------------- */

static fs_training job(uint32_t tp, uint32_t cp, uint32_t pp, uint32_t vpp, uint32_t dp)
{
    return (fs_training){.model = fs_transformer_default(16, 64, 4, 512, 32),
                         .tp = tp,
                         .cp = cp,
                         .pp = pp,
                         .vpp = vpp,
                         .dp = dp,
                         .ep = 1,
                         .etp = 1,
                         .shard = dp,
                         .order = {FS_DIM_TP, FS_DIM_CP, FS_DIM_EP, FS_DIM_DP, FS_DIM_PP},
                         .global_batch = 8 * dp,
                         .micro_batch = 1,
                         .grad_dtype = FS_FP32,
                         .param_bytes = 2,
                         .master_bytes = 4,
                         .moment_bytes = 4,
                         .kernels = FS_FLASH};
}

static void ranks_are_nested_in_order(void **state)
{
    (void)state;
    fs_training t = job(2, 3, 5, 1, 4);
    assert_int_equal(fs_training_ranks(&t), 120);
    assert_int_equal(fs_training_digit(&t, FS_DIM_TP).stride, 1);
    assert_int_equal(fs_training_digit(&t, FS_DIM_CP).stride, 2);
    assert_int_equal(fs_training_digit(&t, FS_DIM_DP).stride, 6);
    assert_int_equal(fs_training_digit(&t, FS_DIM_PP).stride, 24);
    t.ep = 6; /* over dp and cp: experts' own tensor parallelism is 1 */
    assert_int_equal(fs_training_edp(&t), 4);
    assert_int_equal(fs_training_expert_digit(&t, FS_DIM_EP).stride, 1);
    assert_int_equal(fs_training_expert_digit(&t, FS_DIM_DP).stride, 6);
    assert_int_equal(fs_training_expert_digit(&t, FS_DIM_PP).stride, 24);
    uint8_t llama3[FS_DIMS] = {FS_DIM_TP, FS_DIM_CP, FS_DIM_PP, FS_DIM_DP, FS_DIM_EP};
    memcpy(t.order, llama3, sizeof llama3);
    assert_int_equal(fs_training_digit(&t, FS_DIM_PP).stride, 6);
    assert_int_equal(fs_training_digit(&t, FS_DIM_DP).stride, 30);
}

static void layers_are_dealt_out(void **state)
{
    (void)state;
    fs_training t = job(1, 1, 16, 1, 1);
    t.model.layers = 126; /* Llama 3 405B: the first and the last stage have one less */
    uint32_t first, count, next = 0;
    for (uint32_t c = 0; c < 16; c++) {
        fs_training_layers(&t, c, &first, &count);
        assert_int_equal(first, next);
        assert_int_equal(count, c == 0 || c == 15 ? 7 : 8);
        next = first + count;
    }
    assert_int_equal(next, 126);
    for (uint32_t layers = 4; layers < 40; layers++) {
        fs_training v = job(1, 1, 3, 2, 1);
        v.model.layers = layers;
        next = 0;
        for (uint32_t c = 0; c < 6; c++) {
            fs_training_layers(&v, c, &first, &count);
            assert_int_equal(first, next);
            assert_in_range(count, layers / 6, (layers + 5) / 6);
            next = first + count;
        }
        assert_int_equal(next, layers);
    }
}

/* Parameters of all ranks of one replica are the model's. */
static void stages_sum_to_the_model(void **state)
{
    (void)state;
    fs_training t = job(1, 1, 4, 2, 1);
    t.model.tied = false;
    t.model.moe = (fs_moe){.experts = 4, .top_k = 1, .ffn = 96, .shared_ffn = 32, .every = 2, .first = 1};
    double sum = 0;
    for (uint32_t s = 0; s < 4; s++)
        sum += fs_training_stage_size(&t, s).dense + fs_training_stage_size(&t, s).experts;
    close_to(sum, fs_transformer_parameters(&t.model), 1e-14);
}

/* ---- schedules ------------------------------------------------------------------------------------------------- */

/* "F0 F1 B0", with the chunk behind a dot where there are several. */
static void expect_schedule(const fs_training *t, uint32_t stage, const char *expected)
{
    static const char passes[] = "FBW";
    fs_slots slots = {0};
    char text[1024] = "";
    size_t n = 0;
    assert_int_equal(fs_schedule_make(t, stage, &slots, &err), FS_OK);
    for (uint32_t i = 0; i < slots.count; i++) {
        const fs_slot *s = &slots.data[i];
        n += (size_t)snprintf(text + n, sizeof text - n, "%s%c%u", i ? " " : "", passes[s->pass], s->microbatch);
        if (t->vpp > 1)
            n += (size_t)snprintf(text + n, sizeof text - n, ".%u", s->chunk);
    }
    fs_free(slots.data);
    assert_string_equal(text, expected);
}

static void schedules(void **state)
{
    (void)state;
    fs_training t = job(1, 1, 3, 1, 1);
    t.global_batch = 4;
    expect_schedule(&t, 0, "F0 F1 F2 B0 F3 B1 B2 B3");
    expect_schedule(&t, 1, "F0 F1 B0 F2 B1 F3 B2 B3");
    expect_schedule(&t, 2, "F0 B0 F1 B1 F2 B2 F3 B3");
    t.schedule = FS_SCHEDULE_GPIPE;
    expect_schedule(&t, 2, "F0 F1 F2 F3 B0 B1 B2 B3");
    t.schedule = FS_SCHEDULE_ZB_H1; /* Qi et al. 2024, figure 2: the last stage puts off two */
    expect_schedule(&t, 0, "F0 F1 F2 B0 W0 F3 B1 W1 B2 W2 B3 W3");
    expect_schedule(&t, 1, "F0 F1 B0 F2 B1 W0 F3 B2 W1 B3 W2 W3");
    expect_schedule(&t, 2, "F0 B0 F1 B1 F2 B2 W0 F3 B3 W1 W2 W3");
    t.schedule = FS_SCHEDULE_1F1B;
    t.global_batch = 1; /* fewer microbatches than stages */
    expect_schedule(&t, 0, "F0 B0");
    t = job(1, 1, 2, 2, 1);
    t.global_batch = 4; /* Narayanan et al. 2021, figure 4: groups of two go through both chunks */
    expect_schedule(&t, 0, "F0.0 F1.0 F0.1 F1.1 F2.0 B0.1 F3.0 B1.1 F2.1 B0.0 F3.1 B1.0 B2.1 B3.1 B2.0 B3.0");
    expect_schedule(&t, 1, "F0.0 F1.0 F0.1 B0.1 F1.1 B1.1 F2.0 B0.0 F3.0 B1.0 F2.1 B2.1 F3.1 B3.1 B2.0 B3.0");
}

/* ---- memory ---------------------------------------------------------------------------------------------------- */

static fs_memory memory_of(const fs_training *t)
{
    fs_memory m = {0};
    assert_int_equal(fs_training_memory(t, &m, &err), FS_OK);
    return m;
}

/* Korthikanti et al. 2022, table 2: sbh (34/t) with sequence parallelism and no scores kept. */
static void sequence_parallel_memory(void **state)
{
    (void)state;
    fs_training t = job(4, 1, 1, 1, 1);
    double sbh = 32.0 * 64, ends = (sbh + 4 * sbh + 4 * 32.0 * 512) / 4;
    t.sequence = true;
    close_to(memory_of(&t).activations, 16 * 34 * sbh / 4 + ends, 1e-14);
    t.kernels = FS_FUSED;
    close_to(memory_of(&t).activations, 16 * sbh / 4 * (34 + 5 * 4 * 32.0 / 64) + ends, 1e-14);
    t.recompute = FS_RECOMPUTE_SELECTIVE; /* one layer's scores while it is at work */
    t.recompute_parts = FS_AGAIN_SCORES;
    close_to(memory_of(&t).activations, 16 * sbh / 4 * 34 + sbh / 4 * (5 * 4 * 32.0 / 64) + ends, 1e-14);
    t.recompute = FS_RECOMPUTE_FULL;
    t.recompute_parts = 0;
    close_to(memory_of(&t).activations, 16 * 2 * sbh / 4 + sbh / 4 * (34 + 5 * 4 * 32.0 / 64) + ends, 1e-14);
}

/* What is formed again is kept for one layer alone: outputs of norms, of 2 x 2 h a token, and of GELU, 2 x 4 h. Products
 * in fp8 read, and so keep, one byte of each input: norms' outputs, attention's, GELU's. */
static void parts_formed_again(void **state)
{
    (void)state;
    fs_training t = job(4, 1, 1, 1, 1);
    double sbh = 32.0 * 64, ends = (sbh + 4 * sbh + 4 * 32.0 * 512) / 4, layer = sbh / 4;
    t.sequence = true;
    t.kernels = FS_FLASH;
    t.recompute = FS_RECOMPUTE_SELECTIVE;
    t.recompute_parts = FS_AGAIN_NORM;
    close_to(memory_of(&t).activations, layer * (16 * 30 + 4) + ends, 1e-14);
    t.recompute_parts = FS_AGAIN_NORM | FS_AGAIN_ACTIVATION;
    close_to(memory_of(&t).activations, layer * (16 * 22 + 12) + ends, 1e-14);
    t.recompute_parts = FS_AGAIN_MLP; /* its input's norm and its inner tensors, before and behind GELU */
    close_to(memory_of(&t).activations, layer * (16 * 16 + 18) + ends, 1e-14);
    t.recompute = FS_RECOMPUTE_NONE;
    t.recompute_parts = 0;
    t.gemm = FS_FP8;
    close_to(memory_of(&t).activations, layer * 16 * (34 - 2 - 1 - 4) + ends, 1e-14);
}

static void states_are_sharded(void **state)
{
    (void)state;
    fs_training t = job(1, 2, 1, 1, 4);
    double n = fs_transformer_parameters(&t.model);
    static const double weights[] = {2, 2, 2, 0.25}, gradients[] = {4, 4, 0.5, 0.5}, optimizer[] = {12, 1.5, 1.5, 1.5};
    for (uint32_t zero = 0; zero < 4; zero++) {
        t.zero = zero;
        fs_memory m = memory_of(&t);
        close_to(m.weights, weights[zero] * n, 1e-14);
        close_to(m.gradients, gradients[zero] * n, 1e-14);
        close_to(m.optimizer, optimizer[zero] * n, 1e-14);
    }
    t.shard = 2; /* hybrid: 2 replicas x 2 of cp share */
    close_to(memory_of(&t).optimizer, 12 * n / 4, 1e-14);
    t.moment_bytes = 2;
    close_to(memory_of(&t).optimizer, 8 * n / 4, 1e-14);
}

/* Stage 0 of 1F1B holds as many microbatches as there are stages; interleaved, more chunks, but smaller ones. */
static void microbatches_in_flight(void **state)
{
    (void)state;
    fs_training t = job(1, 1, 4, 1, 1);
    double sbh = 32.0 * 64, mask = sbh;
    close_to(memory_of(&t).activations, 4 * (4 * 34 * sbh + mask), 1e-14);
    t.schedule = FS_SCHEDULE_GPIPE;
    t.model.vocab = 8; /* or else the logits of the last stage weigh more */
    close_to(memory_of(&t).activations, 8 * (4 * 34 * sbh + 4 * sbh + 4 * 32.0 * 8), 1e-14);
    t = job(1, 1, 4, 2, 1);
    t.model.dropout = false; /* no mask at the embedding: 32 instead of 34 */
    close_to(memory_of(&t).activations, (2 * 3 + 4 + 1) * (2 * 32 * sbh), 1e-14);
}

/* ---- what is communicated -------------------------------------------------------------------------------------- */

typedef struct tally {
    double bytes[FS_COLL_KINDS]; /* collectives and sends of one family, of one program */
    uint32_t count[FS_COLL_KINDS];
    const fs_op *last[FS_COLL_KINDS];
} tally;

static tally count(const fs_work *w, uint32_t program, const char *family)
{
    tally sum = {0};
    const fs_program *p = &w->programs[program];
    for (uint32_t i = 0; i < p->n_ops; i++) {
        const fs_op *op = &p->ops[i];
        if (op->family == FS_NONE || strcmp(w->families[op->family].name, family) != 0 || op->kind == FS_OP_RECV)
            continue;
        uint32_t kind = op->kind == FS_OP_SEND ? FS_SENDRECV : op->coll;
        sum.count[kind]++;
        sum.bytes[kind] += op->size_bytes;
        sum.last[kind] = op;
    }
    return sum;
}

#define HEAD "{\"fabsim\":\"trace/1\",\"kind\":\"training\",\n"
#define MODEL "\"model\":{\"layers\":4,\"hidden\":64,\"heads\":4,\"vocab\":512,\"seq\":32"
#define HIDDEN (32.0 * 64 * 2) /* bytes of the hidden states of one sequence */

static fs_work *load(const char *model, const char *parallel, uint32_t batch, const char *rest)
{
    char json[2048];
    snprintf(json, sizeof json, HEAD MODEL "%s},\"parallel\":{%s},\"batch\":{\"global\":%u}%s}", model, parallel, batch,
             rest);
    return load_text(json);
}

static void sequence_parallelism(void **state)
{
    (void)state;
    fs_work *w = load("", "\"tp\":4,\"sequence\":true", 1, "");
    tally tp = count(w, 0, "tp");
    /* Each layer: two of each forward; backward the gradient and the saved input are gathered. The ends: embedding
     * scattered and its gradient gathered; the logits' input gathered and its gradient scattered. */
    assert_int_equal(tp.count[FS_REDUCE_SCATTER], 4 * 4 + 2);
    close_to(tp.bytes[FS_REDUCE_SCATTER], (4 * 4 + 2) * HIDDEN, 1e-14);
    close_to(tp.bytes[FS_ALL_GATHER], (4 * (2 + 4) + 2) * HIDDEN, 1e-14);
    assert_int_equal(tp.count[FS_ALL_REDUCE], 3 + 1); /* the loss, the norm */
    fs_work_free(w);
}

/* Overlap changes who waits, and by that the number of ops, but nothing that is computed or sent. */
static void overlapped_tensor_parallelism(void **state)
{
    (void)state;
    for (int sequence = 0; sequence < 2; sequence++) {
        const char *parallel = sequence ? "\"tp\":4,\"sequence\":true" : "\"tp\":4";
        fs_work *a = load("", parallel, 2, ""),
                *b = load("", parallel, 2, ",\"overlap\":{\"tp\":true,\"sm_share\":0.1}");
        tally x = count(a, 0, "tp"), y = count(b, 0, "tp");
        for (uint32_t k = 0; k < FS_COLL_KINDS; k++) {
            /* The saved input is gathered apart from the gradient: 4 layers, 2 branches, 2 microbatches. */
            assert_int_equal(x.count[k] + (sequence && k == FS_ALL_GATHER ? 16 : 0), y.count[k]);
            close_to(y.bytes[k], x.bytes[k], 1e-14);
        }
        assert_true(b->programs[0].n_ops > a->programs[0].n_ops);
        bool shares = false;
        for (uint32_t i = 0; i < b->programs[0].n_ops; i++)
            shares = shares || b->programs[0].ops[i].sm_share > 0;
        assert_true(shares);
        fs_work_free(a);
        fs_work_free(b);
    }
}

/* "backward": forward as without overlap; backward only the saved inputs and the sums run beside kernels. */
static void backward_overlap(void **state)
{
    (void)state;
    fs_work *w = load("", "\"tp\":4,\"sequence\":true", 1, ",\"overlap\":{\"tp\":\"backward\",\"sm_share\":0.1}");
    uint32_t beside[FS_COLL_KINDS] = {0};
    for (uint32_t i = 0; i < w->programs[0].n_ops; i++) {
        const fs_op *op = &w->programs[0].ops[i];
        assert_false(op->sm_share > 0 && op->phase != FS_PHASE_BACKWARD);
        beside[op->coll] += op->kind == FS_OP_COLLECTIVE && op->sm_share > 0;
    }
    assert_int_equal(beside[FS_ALL_GATHER], 4 * 2);
    assert_int_equal(beside[FS_REDUCE_SCATTER], 4 * 2 + 1); /* and that of the logits */
    fs_work_free(w);
}

/* A delay on the host's stream for each pass, of all that the pass launches, and an empty one where it meets the GPU. */
static void the_host_launches(void **state)
{
    (void)state;
    fs_work *plain = load("", "", 2, ""),
            *w = load("", "", 2, ",\"host\":{\"launch_us\":5,\"step_us\":70,\"sync\":true}");
    double launches = 0, seconds = 0, step = 0;
    const fs_program *p = &w->programs[0], *bare = &plain->programs[0];
    for (uint32_t i = 0; i < bare->n_ops; i++)
        for (uint32_t k = 0; bare->ops[i].kernels != FS_NONE && k < plain->kernel_lists[bare->ops[i].kernels].n; k++)
            launches += plain->kernel_lists[bare->ops[i].kernels].kernels[k].count;
    for (uint32_t i = 0; i < p->n_ops; i++) {
        bool host = p->ops[i].kind == FS_OP_DELAY && strcmp(w->streams[p->ops[i].stream], "host") == 0;
        seconds += host ? p->ops[i].duration_s : 0;
        step += p->ops[i].kind == FS_OP_DELAY && !host ? p->ops[i].duration_s : 0;
    }
    close_to(seconds, launches * 5e-6, 1e-12);
    close_to(step, 70e-6, 1e-12);
    assert_int_equal(p->n_ops, bare->n_ops + 4 * 2 + 1); /* 2 microbatches, forward and backward; the step's */
    fs_work_free(plain);
    fs_work_free(w);
}

static void kernels_may_be_slower(void **state)
{
    (void)state;
    fs_work *w = load("", "", 2, ",\"kernel_efficiency\":0.8");
    close_to(w->kernel_efficiency, 0.8, 0);
    fs_work_free(w);
    w = load("", "", 2, "");
    close_to(w->kernel_efficiency, 0, 0); /* the GPU part's */
    fs_work_free(w);
}

/* "pp": false: a receive is not posted before the pass that needs it, and kernels wait for what they sent. */
static void pipelines_that_wait(void **state)
{
    (void)state;
    fs_work *w = load("", "\"pp\":2", 4, ",\"overlap\":{\"pp\":false}");
    const fs_program *first = &w->programs[0];
    uint32_t waits = 0, posted = 0;
    for (uint32_t i = 0; i < first->n_ops; i++)
        for (uint32_t d = first->dep_begin[i]; d < first->dep_begin[i + 1]; d++) {
            uint8_t on = first->ops[first->deps[d]].kind, kind = first->ops[i].kind;
            waits += kind == FS_OP_COMPUTE && on == FS_OP_SEND;
            posted += kind == FS_OP_RECV && on == FS_OP_COMPUTE;
        }
    assert_int_equal(waits, 4);
    assert_int_equal(posted, 4 + 1); /* and the tied embedding's gradient */
    fs_work_free(w);
}

static void pipelines_send_activations(void **state)
{
    (void)state;
    fs_work *w = load("", "\"tp\":2,\"pp\":4,\"dp\":2", 6, ""); /* 3 microbatches */
    assert_int_equal(w->n_ranks, 16);
    assert_int_equal(w->n_programs, 4);
    assert_string_equal(w->programs[3].name, "stage 3");
    assert_int_equal(w->program_of[3], 0);
    assert_int_equal(w->program_of[4], 1);
    tally first = count(w, 0, "pp"), middle = count(w, 1, "pp"), last = count(w, 3, "pp");
    double embedding = 512 * 64 / 2 * 2.0; /* its gradients, between first and last stage */
    close_to(first.bytes[FS_SENDRECV], 3 * HIDDEN + embedding, 1e-14);
    close_to(middle.bytes[FS_SENDRECV], 2 * 3 * HIDDEN, 1e-14);
    close_to(last.bytes[FS_SENDRECV], 3 * HIDDEN + embedding, 1e-14);
    fs_work_free(w);
    w = load(",\"tied\":false", "\"tp\":2,\"pp\":4,\"scatter_gather\":true", 3, "");
    middle = count(w, 1, "pp");
    close_to(middle.bytes[FS_SENDRECV], 3 * HIDDEN, 1e-14); /* half each way, gathered behind */
    close_to(count(w, 1, "tp").bytes[FS_ALL_GATHER], 6 * HIDDEN, 1e-14);
    close_to(count(w, 0, "pp").bytes[FS_SENDRECV], 3 * HIDDEN / 2, 1e-14);
    fs_work_free(w);
    w = load(",\"tied\":false", "\"pp\":2,\"vpp\":2", 4, "");
    close_to(count(w, 0, "pp").bytes[FS_SENDRECV], 4 * 3 * HIDDEN, 1e-14); /* forward twice, backward once */
    fs_work_free(w);
}

static void context_parallelism(void **state)
{
    (void)state;
    double keys = 32 / 4 * 2 * 32 * 2.0; /* K and V of a quarter of the tokens, 2 heads of 16 */
    fs_work *w = load(",\"kv_heads\":2", "\"cp\":4", 1, "");
    tally cp = count(w, 0, "cp");
    assert_int_equal(cp.count[FS_ALL_GATHER], 8); /* and again for the backward pass */
    close_to(cp.bytes[FS_ALL_GATHER], 8 * 4 * keys, 1e-14);
    close_to(cp.bytes[FS_REDUCE_SCATTER], 4 * 4 * keys, 1e-14);
    close_to(count(w, 0, "dp").bytes[FS_ALL_REDUCE],
             2 * fs_transformer_parameters(&(fs_transformer){.layers = 4,
                                                             .hidden = 64,
                                                             .heads = 4,
                                                             .kv_heads = 2,
                                                             .head_dim = 16,
                                                             .ffn = 256,
                                                             .vocab = 512,
                                                             .seq = 32,
                                                             .tied = true,
                                                             .bias = true,
                                                             .norm_bias = true,
                                                             .learned_positions = true}),
             1e-14); /* replicas: cp */
    fs_work_free(w);
    w = load(",\"kv_heads\":2", "\"cp\":4,\"cp_comm\":\"ring\"", 1, "");
    cp = count(w, 0, "cp");
    assert_int_equal(cp.count[FS_SENDRECV], 4 * (3 + 4)); /* the gradients go all the way round */
    close_to(cp.bytes[FS_SENDRECV], 4 * (3 * keys + 4 * 2 * keys), 1e-14);
    fs_work_free(w);
}

#define EXPERTS ",\"moe\":{\"experts\":8,\"top_k\":2,\"ffn\":32"

static void expert_parallelism(void **state)
{
    (void)state;
    fs_work *w = load(EXPERTS "}", "\"dp\":4,\"ep\":4", 4, "");
    tally ep = count(w, 0, "ep");
    assert_int_equal(w->n_programs, 1);
    assert_int_equal(ep.count[FS_ALL_TO_ALL], 4 * 4);
    close_to(ep.bytes[FS_ALL_TO_ALL], 4 * 4 * 2 * HIDDEN, 1e-14); /* each token to two experts */
    assert_int_equal(ep.last[FS_ALL_TO_ALL]->load, FS_NONE);
    fs_work_free(w);
    w = load(EXPERTS ",\"capacity\":1.5,\"skew\":{\"zipf\":1}}", "\"dp\":4,\"ep\":4", 4, "");
    assert_int_equal(w->n_programs, 1); /* padded: nobody is busier */
    close_to(count(w, 0, "ep").bytes[FS_ALL_TO_ALL], 1.5 * 4 * 4 * 2 * HIDDEN, 1e-14);
    fs_work_free(w);
    w = load(EXPERTS ",\"every\":2,\"dense_first\":2}", "\"dp\":4,\"ep\":4", 4, "");
    assert_int_equal(count(w, 0, "ep").count[FS_ALL_TO_ALL], 4); /* layer 2 */
    fs_work_free(w);
    w = load(EXPERTS "}", "\"tp\":2,\"dp\":4,\"ep\":4,\"sequence\":true", 4,
             ",\"precision\":{\"base\":\"bf16\",\"dispatch\":\"fp8\"}");
    /* etp = tp: half the tokens from each rank; on their way to the experts one byte a number, three times two */
    close_to(count(w, 0, "ep").bytes[FS_ALL_TO_ALL], 4 * (0.5 + 3) * HIDDEN, 1e-14);
    close_to(count(w, 0, "etp").bytes[FS_ALL_GATHER], 4 * 2 * 2 * HIDDEN, 1e-14);
    assert_int_equal(count(w, 0, "edp").count[FS_ALL_REDUCE], 0); /* ep x etp is all there are */
    fs_work_free(w);
}

/* How tokens move is the trace's to say: once to a domain, unless it says otherwise. */
static void dispatch_by_the_trace(void **state)
{
    (void)state;
    fs_work *w = load(EXPERTS "}", "\"dp\":4,\"ep\":4", 4, "");
    const fs_op *op = count(w, 0, "ep").last[FS_ALL_TO_ALL];
    assert_int_equal(op->algo, FS_ALGO_FORWARDED);
    assert_int_equal(op->top_k, 2);
    assert_int_equal(op->top_domains, 0);
    fs_work_free(w);
    w = load(EXPERTS "}", "\"dp\":4,\"ep\":4", 4, ",\"dispatch\":{\"top_domains\":3}");
    assert_int_equal(count(w, 0, "ep").last[FS_ALL_TO_ALL]->top_domains, 3);
    fs_work_free(w);
    w = load(EXPERTS "}", "\"dp\":4,\"ep\":4", 4, ",\"dispatch\":{\"algo\":\"direct\"}");
    assert_int_equal(count(w, 0, "ep").last[FS_ALL_TO_ALL]->algo, FS_ALGO_DIRECT);
    assert_int_equal(count(w, 0, "ep").last[FS_ALL_TO_ALL]->top_k, 0);
    fs_work_free(w);
}

static uint32_t stream_named(const fs_work *w, const char *name)
{
    uint32_t id = 0;
    while (strcmp(w->streams[id], name) != 0)
        id++;
    return id;
}

/* A pass forward and one backward by turns: between two all-to-alls of one there are kernels of the other. All ops are there
 * as without. */
static void passes_by_turns(void **state)
{
    (void)state;
    fs_work *apart = load(EXPERTS "}", "\"dp\":4,\"ep\":4", 16, ""),
            *turns = load(EXPERTS "}", "\"dp\":4,\"ep\":4", 16, ",\"overlap\":{\"ep\":true}");
    const fs_program *p = &turns->programs[0];
    uint32_t compute = stream_named(turns, "compute"), turned = 0;
    int before = -1;
    assert_int_equal(p->n_ops, apart->programs[0].n_ops);
    close_to(count(turns, 0, "ep").bytes[FS_ALL_TO_ALL], count(apart, 0, "ep").bytes[FS_ALL_TO_ALL], 1e-14);
    for (uint32_t i = 0; i < p->n_ops; i++) {
        if (p->ops[i].stream != compute || p->ops[i].phase > FS_PHASE_BACKWARD)
            continue;
        turned += before >= 0 && p->ops[i].phase != before;
        before = p->ops[i].phase;
    }
    /* 4 microbatches: a forward pass alone, three pairs of 2 x 4 layers' parts and one more each, a backward pass alone. */
    assert_int_equal(turned, 3 * 2 * (2 * 4 + 1) + 1);
    fs_work_free(apart);
    fs_work_free(turns);
}

/* What is dropless makes the CPU wait for the router; graphs cost a launch each. */
static void launches_of_experts(void **state)
{
    (void)state;
    static const char *const model[] = {EXPERTS "}", EXPERTS ",\"capacity\":1}", EXPERTS "}"};
    static const char *const rest[] = {",\"host\":{\"launch_us\":5}", ",\"host\":{\"launch_us\":5}",
                                       ",\"host\":{\"launch_us\":5,\"graphs\":[\"attention\",\"router\"]}"};
    double seconds[3] = {0};
    uint32_t waits[3] = {0};
    for (uint32_t c = 0; c < 3; c++) {
        fs_work *w = load(model[c], "\"dp\":4,\"ep\":4", 4, rest[c]);
        const fs_program *p = &w->programs[0];
        uint32_t host = stream_named(w, "host");
        for (uint32_t i = 0; i < p->n_ops; i++)
            if (p->ops[i].stream == host) {
                seconds[c] += p->ops[i].duration_s;
                waits[c] += p->dep_begin[i + 1] - p->dep_begin[i];
            }
        fs_work_free(w);
    }
    assert_int_equal(waits[0], 4); /* a layer's forward pass each */
    assert_int_equal(waits[1], 0);
    assert_int_equal(waits[2], 4);
    close_to(seconds[0], seconds[1], 1e-12);
    assert_true(seconds[2] < 0.7 * seconds[0]);
    fs_work *one = load(EXPERTS "}", "\"dp\":8,\"ep\":8", 8, ",\"host\":{\"launch_us\":5}");
    double alone = 0; /* an expert a GPU in place of two: of its six products a launch less each, in four layers */
    for (uint32_t i = 0; i < one->programs[0].n_ops; i++)
        alone += one->programs[0].ops[i].stream == stream_named(one, "host") ? one->programs[0].ops[i].duration_s : 0;
    close_to(seconds[0] - alone, 4 * 6 * 5e-6, 1e-9);
    fs_work_free(one);
}

/* Kernels of this name and what they are together: runs, and bytes of them all. */
static double listed(const fs_work *w, const char *name, double *bytes)
{
    double n = 0;
    *bytes = 0;
    for (uint32_t l = 0; l < w->n_kernel_lists; l++)
        for (uint32_t k = 0; k < w->kernel_lists[l].n; k++) {
            const fs_kernel *kernel = &w->kernel_lists[l].kernels[k];
            if (strcmp(w->names[kernel->name], name) != 0)
                continue;
            n += kernel->count;
            *bytes += kernel->count * kernel->bytes;
        }
    return n;
}

/* A microbatch of 32 tokens sends each to two of eight experts, of which a GPU has two: 64 rows of 64 arrive. */
static void rows_are_arranged_for_experts(void **state)
{
    (void)state;
    static const char *const fp8 = ",\"kernels\":\"flash\",\"precision\":{\"base\":\"bf16\",\"gemm\":\"fp8\"}";
    static const char *const direct = ",\"dispatch\":{\"algo\":\"direct\"}";
    static const struct {
        const char *model, *rest[2];
        bool sorts, pads;
    } of[] = {{"}", {"", ""}, false, false},
              {"}", {",\"dispatch\":{\"algo\":\"direct\"}", ""}, true, false},
              {"}", {",\"dispatch\":{\"padded\":true}", fp8}, false, false},
              {",\"capacity\":1}", {direct, fp8}, true, false},
              {"}", {direct, fp8}, true, true}};
    for (size_t c = 0; c < sizeof of / sizeof *of; c++) {
        char model[128], rest[256];
        double bytes;
        snprintf(model, sizeof model, "%s%s", EXPERTS, of[c].model);
        snprintf(rest, sizeof rest, "%s%s", of[c].rest[0], of[c].rest[1]);
        fs_work *w = load(model, "\"dp\":4,\"ep\":4", 4, rest);
        double n = listed(w, "experts sort", &bytes);
        assert_int_equal(n > 0, of[c].sorts);
        close_to(bytes, n * 64 * 64 * 4, 1e-14); /* read and written */
        n = listed(w, "experts pad", &bytes);
        assert_int_equal(n > 0, of[c].pads);
        close_to(bytes, n * 64 * 64 * 4, 1e-14);
        fs_work_free(w);
    }
}

/* A scale of a tensor costs a cast three kernels for one, and a second reading. */
static void scales_are_found_first(void **state)
{
    (void)state;
    double n[2], bytes[2];
    for (int tensor = 0; tensor < 2; tensor++) {
        fs_work *w = load(EXPERTS "}", "\"dp\":4,\"ep\":4", 4,
                          tensor ? ",\"precision\":{\"gemm\":\"fp8\",\"scales\":\"tensor\"}"
                                 : ",\"precision\":{\"gemm\":\"fp8\",\"scales\":\"block\"}");
        n[tensor] = listed(w, "experts out cast", &bytes[tensor]);
        fs_work_free(w);
    }
    assert_true(n[0] > 0);
    close_to(n[1], 3 * n[0], 1e-14);
    close_to(bytes[1] * 4, bytes[0] * 6, 1e-14);
}

/* Under grouped queries all of them are rotated, not as many as there are keys; norms take the same tensor. */
static void queries_and_keys(void **state)
{
    (void)state;
    double bytes, norms;
    fs_work *w = load(",\"kv_heads\":1,\"positions\":\"rotary\",\"qk_norm\":\"head\"", "\"tp\":1", 1, "");
    uint32_t heads = 4, dim = 16; /* of load's model */
    double n = listed(w, "rotary", &bytes);
    assert_true(n > 0);
    close_to(bytes, n * 2 * 2 * 32 * (heads + 1) * dim, 1e-14);
    close_to(listed(w, "query key norm", &norms), n, 1e-14);
    close_to(norms, bytes, 1e-14);
    fs_work_free(w);
}

static void experts_of_different_popularity(void **state)
{
    (void)state;
    fs_work *w = load(EXPERTS ",\"skew\":[1,1,1,1,2,2,4,4]}", "\"pp\":2,\"dp\":4,\"ep\":4,\"zero\":1", 4, "");
    assert_int_equal(w->n_programs, 2 * 4);
    assert_string_equal(w->programs[7].name, "stage 1, experts 3");
    assert_int_equal(w->program_of[5], 5);
    assert_int_equal(w->n_loads, 1);
    static const double shares[] = {2, 2, 4, 8};
    for (uint32_t i = 0; i < 4; i++)
        close_to(w->loads[0].weight[i], shares[i] / 16, 1e-14);
    uint32_t n_transposed = 0;
    double flops[8] = {0};
    for (uint32_t p = 0; p < 8; p++)
        for (uint32_t i = 0; i < w->programs[p].n_ops; i++) {
            const fs_op *op = &w->programs[p].ops[i];
            n_transposed += op->kind == FS_OP_COLLECTIVE && op->transpose;
            if (op->kind == FS_OP_COLLECTIVE && op->coll == FS_ALL_TO_ALL)
                assert_int_equal(op->load, 0);
            for (uint32_t k = 0; op->kernels != FS_NONE && k < w->kernel_lists[op->kernels].n; k++)
                if (strncmp(w->names[w->kernel_lists[op->kernels].kernels[k].name], "experts", 7) == 0)
                    flops[p] += w->kernel_lists[op->kernels].kernels[k].flops;
        }
    assert_int_equal(n_transposed, 8 * 2 * 2); /* of two layers, forward and backward */
    for (uint32_t i = 0; i < 4; i++)
        close_to(flops[i] / flops[0], shares[i] / 2, 1e-14);
    fs_work_free(w);
    w = load(EXPERTS ",\"skew\":{\"zipf\":1}}", "\"dp\":4,\"ep\":4", 4, "");
    double all = 0, of[4] = {0};
    for (uint32_t r = 0; r < 8; r++) {
        of[r % 4] += 1.0 / (r + 1);
        all += 1.0 / (r + 1);
    }
    for (uint32_t i = 0; i < 4; i++)
        close_to(w->loads[0].weight[i], of[i] / all, 1e-14);
    fs_work_free(w);
}

static void shared_experts(void **state)
{
    (void)state;
    const char *parallel = "\"tp\":2,\"dp\":2,\"ep\":2,\"sequence\":true";
    fs_work *a = load(EXPERTS ",\"shared_ffn\":64}", parallel, 2, "");
    fs_work *b = load(EXPERTS ",\"shared_ffn\":64}", parallel, 2, ",\"overlap\":{\"moe_shared\":true}");
    close_to(count(a, 0, "tp").bytes[FS_ALL_GATHER], count(b, 0, "tp").bytes[FS_ALL_GATHER], 1e-14);
    close_to(count(a, 0, "tp").bytes[FS_ALL_GATHER], (4 * (2 + 4) + 2) * HIDDEN, 1e-14);
    fs_work_free(a);
    fs_work_free(b);
}

static void sharded_states(void **state)
{
    (void)state;
    fs_transformer m = fs_transformer_default(4, 64, 4, 512, 32);
    double n = fs_transformer_parameters(&m);
    for (int zero = 0; zero < 4; zero++)
        for (int overlap = 0; overlap < 2; overlap++) {
            char parallel[64];
            snprintf(parallel, sizeof parallel, "\"dp\":4,\"zero\":%d", zero);
            fs_work *w = load("", parallel, 8,
                              overlap ? ",\"overlap\":{\"grad_reduce\":true,\"param_gather\":true,\"bucket\":90000}"
                                      : ",\"overlap\":{\"grad_reduce\":false,\"param_gather\":false}");
            tally dp = count(w, 0, "dp");
            double passes = zero >= 2 ? 2 : 1; /* two microbatches */
            close_to(dp.bytes[zero ? FS_REDUCE_SCATTER : FS_ALL_REDUCE], passes * 2 * n, 1e-14);
            close_to(dp.bytes[FS_ALL_GATHER] + 1, (zero == 3 ? 2 * 2 * 2 * n : zero ? 2 * n : 0) + 1, 1e-14);
            if (overlap && zero == 1) /* layers of 50,000: two to a bucket, and the embeddings' own */
                assert_int_equal(dp.count[FS_REDUCE_SCATTER], 3);
            if (overlap && zero == 1)
                assert_int_equal(dp.count[FS_ALL_GATHER], 2);
            fs_work_free(w);
        }
}

static void hybrid_shards(void **state)
{
    (void)state;
    fs_transformer m = fs_transformer_default(4, 64, 4, 512, 32);
    double n = fs_transformer_parameters(&m);
    fs_work *w = load("", "\"dp\":8,\"zero\":3,\"shard\":4", 8, "");
    tally shard = count(w, 0, "dp_shard"), replica = count(w, 0, "dp_replica");
    close_to(shard.bytes[FS_REDUCE_SCATTER], 2 * n, 1e-14);
    close_to(shard.bytes[FS_ALL_GATHER], 2 * 2 * n, 1e-14);
    close_to(replica.bytes[FS_ALL_REDUCE], 2 * n / 4, 1e-14);
    const fs_family *f = &w->families[replica.last[FS_ALL_REDUCE]->family];
    assert_int_equal(fs_family_size(f, 0), 2);
    assert_int_equal(fs_family_member(f, 1, 1), 5);
    fs_work_free(w);
}

/* What the kernels of a program compute; `count` is how often each of a list's kernels runs. */
static double flops_of(const fs_work *w, uint32_t program)
{
    double sum = 0;
    for (uint32_t i = 0; i < w->programs[program].n_ops; i++) {
        uint32_t list = w->programs[program].ops[i].kernels;
        for (uint32_t k = 0; list != FS_NONE && k < w->kernel_lists[list].n; k++)
            sum += w->kernel_lists[list].kernels[k].flops * w->kernel_lists[list].kernels[k].count;
    }
    return sum;
}

/* A layer for later tokens, latents and activations formed again, and a parallel block: what they compute is what the
 * totals say; the layer adds its parameters, two hidden by hidden matrices and three norms, and its logits' FLOPs. */
static void later_tokens_and_parts(void **state)
{
    (void)state;
    static const char *const models[] = {",\"mla\":{\"q_rank\":16,\"kv_rank\":8,\"nope_dim\":8,\"rope_dim\":4,\"v_"
                                         "dim\":8},\"moe\":{\"experts\":8},\"mtp\":1",
                                         ",\"mtp\":2,\"causal\":true", ",\"parallel_block\":true"};
    static const char *const rest[] = {",\"kernels\":\"flash\",\"recompute\":[\"norm\",\"activation\",\"latent\"]",
                                       ",\"kernels\":\"flash\",\"recompute\":\"full\"",
                                       ",\"recompute\":[\"scores\",\"norm\"]"};
    for (size_t i = 0; i < sizeof models / sizeof *models; i++)
        for (size_t k = 0; k < sizeof rest / sizeof *rest; k++) {
            fs_work *w = load(models[i], "\"tp\":2,\"sequence\":true", 2, rest[k]);
            close_to(2 * flops_of(w, 0), w->totals.hardware_flops, 1e-12);
            fs_work_free(w);
        }
    fs_training t = job(1, 1, 1, 1, 1), more = t;
    more.model.mtp = 1;
    double h = t.model.hidden;
    fs_layer_size layer = fs_layer_parameters(&t.model, 0);
    close_to(fs_transformer_parameters(&more.model) - fs_transformer_parameters(&t.model),
             layer.split + layer.whole + 2 * h * h + 3 * 2 * h, 1e-12);
    close_to(fs_layer_weight_flops(&more.model, t.model.layers) - fs_layer_weight_flops(&t.model, 0),
             2 * t.model.seq * 2 * h * h + fs_logits_flops(&t.model), 1e-12);
}

/* Gradients of weights are all there, if later. */
static void zero_bubbles_compute_the_same(void **state)
{
    (void)state;
    double flops[2] = {0};
    for (int zb = 0; zb < 2; zb++) {
        fs_work *w = load(EXPERTS "}", "\"pp\":2,\"dp\":2,\"ep\":2", 8, zb ? ",\"schedule\":\"zb-h1\"" : "");
        for (uint32_t p = 0; p < 2; p++)
            for (uint32_t i = 0; i < w->programs[p].n_ops; i++) {
                uint32_t list = w->programs[p].ops[i].kernels;
                for (uint32_t k = 0; list != FS_NONE && k < w->kernel_lists[list].n; k++)
                    flops[zb] += w->kernel_lists[list].kernels[k].flops;
            }
        close_to(flops[zb] * 2, w->totals.hardware_flops, 1e-13);
        fs_work_free(w);
    }
    close_to(flops[1], flops[0], 1e-14);
}

static void number_formats_by_part(void **state)
{
    (void)state;
    fs_work *w = load("", "\"tp\":1", 1,
                      ",\"kernels\":\"flash\",\"precision\":{\"base\":\"bf16\",\"gemm\":\"fp8\",\"attention\":\"fp8\","
                      "\"logits\":\"fp4\"}");
    uint32_t seen = 0, casts = 0, weights = 0;
    for (uint32_t l = 0; l < w->n_kernel_lists; l++)
        for (uint32_t k = 0; k < w->kernel_lists[l].n; k++) {
            const fs_kernel *kernel = &w->kernel_lists[l].kernels[k];
            const char *name = w->names[kernel->name];
            if (strcmp(name, "qkv") == 0 || strcmp(name, "flash attention") == 0 || strcmp(name, "mlp in wgrad") == 0) {
                assert_int_equal(kernel->dtype, FS_FP8);
                seen++;
            } else if (strcmp(name, "mlp out cast") ==
                       0) { /* read in 2 bytes, written twice in one; behind an activation */
                close_to(kernel->bytes, 32 * 256 * 4.0, 1e-14);
                casts++;
            } else if (strcmp(name, "qkv weights cast") == 0) {
                close_to(kernel->bytes, 64 * 192 * 4.0, 1e-14);
                weights++;
            } else if (strncmp(name, "logits", 6) == 0 && kernel->flops > 0) {
                assert_int_equal(kernel->dtype, FS_FP4);
                seen++;
            } else if (kernel->flops <= 0) {
                assert_int_equal(kernel->dtype, FS_BF16);
            }
            if (strcmp(name, "qkv") == 0)
                close_to(kernel->bytes, 32 * 64 + 64 * 192 + 2 * 32 * 192, 1e-14);
        }
    assert_true(seen >= 6);
    assert_true(casts > 0 && weights > 0);
    assert_int_equal(w->totals.dtype, FS_FP8);
    fs_work_free(w);
}

static void gpus_give_the_replicas(void **state)
{
    (void)state;
    fs_work *w = load("", "\"tp\":2,\"pp\":2,\"gpus\":24", 6, "");
    assert_int_equal(w->n_ranks, 24);
    assert_string_equal(w->note, "0M parameters (4 layers, hidden 64, 4 heads), TP 2 x PP 2 x DP 6, batch 6 x 32 "
                                 "tokens, fp16, fused kernels");
    fs_work_free(w);
}

/* ---- errors ---------------------------------------------------------------------------------------------------- */

static void bad(const char *model, const char *parallel, uint32_t batch, const char *rest, const char *message)
{
    char json[2048];
    fs_work *work = NULL;
    snprintf(json, sizeof json, HEAD MODEL "%s},\"parallel\":{%s},\"batch\":{\"global\":%u}%s}", model, parallel, batch,
             rest);
    assert_int_equal(fs_work_parse("t.json", json, strlen(json), NULL, 0, &work, &err), FS_E_TRACE);
    assert_null(work);
    if (strcmp(err.text, message) != 0 || err.line != 2)
        fail_msg("\n  for: %s\nfound: %u:%u: %s\n  not: %s", json, err.line, err.column, err.text, message);
}

static void bad_layouts(void **state)
{
    (void)state;
    const char *no_order = "'tp-xp' is no order of tp, cp, ep, dp and pp, such as \"tp-cp-ep-dp-pp\"";
    bad("", "\"order\":\"tp-xp\"", 1, "", no_order);
    bad("", "\"order\":\"tp-tp\"", 1, "", "'tp-tp' is no order of tp, cp, ep, dp and pp, such as \"tp-cp-ep-dp-pp\"");
    bad("", "\"order\":\"tp-\"", 1, "", "'tp-' is no order of tp, cp, ep, dp and pp, such as \"tp-cp-ep-dp-pp\"");
    bad("", "\"tp\":2,\"gpus\":3", 1, "", "'gpus' is 3, which is no multiple of tp x cp x pp, 2");
    bad("", "\"tp\":2,\"gpus\":4,\"dp\":1", 1, "", "'gpus' is 4, but tp x cp x pp x dp is 2");
    bad("", "\"dp\":2,\"ep\":4", 2, "", "ep x etp is 4, which does not divide tp x cp x dp, 2");
    bad("", "\"dp\":4,\"zero\":1,\"shard\":3", 4, "", "'shard' is 3, which does not divide dp, 4");
    bad("", "\"dp\":4,\"shard\":2", 4, "", "'shard' goes with 'zero', without experts");
    bad("", "\"vpp\":2", 4, "", "'vpp' needs pipeline stages, but pp is 1");
    bad("", "\"zero\":4", 4, "", "'zero' is 4, expected an integer from 0 to 3");
    bad("", "\"pp\":8", 8, "", "4 layers for pp x vpp, 8: each but the first and the last needs one");
    bad("", "\"cp\":5", 1, "", "'seq' is 32, which is no multiple of cp, 5");
    bad("", "\"tp\":4,\"cp\":16,\"sequence\":true", 1, "", "'seq' is 32, which is no multiple of tp x cp, 64");
    bad(EXPERTS "}", "\"tp\":2,\"pp\":2,\"dp\":4,\"ep\":4,\"sequence\":true,\"order\":\"tp-ep-pp-dp\"", 4, "",
        "in this order a pipeline stage would be other ranks for experts (etp, ep) than for the rest (tp, cp): put pp "
        "behind ep, or make them equal");
    bad("", "\"pp\":2,\"vpp\":2", 3, "", "3 microbatches, which are no multiple of pp, 2, as interleaving (vpp) needs");
    bad("", "\"pp\":2,\"vpp\":2", 2, ",\"schedule\":\"gpipe\"",
        "interleaving (vpp) is a schedule of its own: leave out 'schedule'");
    bad("", "\"cp\":4,\"cp_comm\":\"ring\"", 20000, "",
        "20000 microbatches of 4 layers, for 4 expert positions and steps of a ring; their product may be 200000 at "
        "most");
}

static void bad_experts(void **state)
{
    (void)state;
    bad(",\"moe\":{\"experts\":8},\"parallel_block\":true", "", 2, "",
        "'parallel_block' is of attention and an MLP, but layers have experts");
    bad("", "", 2, ",\"recompute\":[\"norms\"]",
        "expected what to form again: \"scores\", \"norm\", \"activation\", \"latent\", \"mlp\"");
    bad("", "\"tp\":2", 2, ",\"overlap\":{\"tp\":\"forward\"}",
        "'tp' is 'forward', expected one of 'none', 'backward', 'all'");
    bad("", "", 2, ",\"kernel_efficiency\":2", "'kernel_efficiency' is 2, expected a number from 0.01 to 1");
    bad("", "", 2, ",\"host\":{\"graphs\":\"attention+rooter\"}",
        "expected what graphs launch: \"attention\", \"router\"");
    bad("", "", 2, ",\"dispatch\":{\"padded\":1}", "'padded' is 1, expected true or false");
    bad("", "", 2, ",\"precision\":{\"scales\":\"tensors\"}", "unknown scales 'tensors' (did you mean 'tensor'?)");
    bad(",\"qk_norm\":\"all\"", "", 2, "",
        "'window' and 'qk_norm': \"all\" are of models that are served; training has no kernels for them");
    bad("", "", 2, ",\"dispatch\":{\"algo\":\"forward\"}", "unknown algo 'forward' (did you mean 'forwarded'?)");
    bad("", "", 2, ",\"dispatch\":{\"algo\":\"direct\",\"top_domains\":4}",
        "'top_domains' goes with \"algo\": \"forwarded\"");
    bad("", "\"pp\":2", 2, ",\"overlap\":{\"ep\":true}",
        "'ep' needs the schedule 1f1b, interleaved where pp > 1; vpp is 1");
    bad("", "", 2, ",\"host\":{\"launch_us\":-1}", "'launch_us' is -1, expected a number from 0 to 1000000");
    bad("", "\"dp\":2,\"ep\":2", 2, "", "'ep' and 'etp' spread experts, but 'moe' is missing");
    bad(EXPERTS "}", "\"tp\":2", 2, "", "experts under tensor parallelism need \"sequence\": true in 'parallel'");
    bad(EXPERTS "}", "\"dp\":3,\"ep\":3", 3, "", "'experts' is 8, which is no multiple of ep, 3");
    bad(",\"moe\":{\"experts\":8,\"ffn\":33}", "\"tp\":2,\"sequence\":true", 2, "",
        "'ffn' is 33, which is no multiple of etp, 2");
    bad(EXPERTS ",\"shared_ffn\":33}", "\"tp\":2,\"sequence\":true", 2, "",
        "'shared_ffn' is 33, which is no multiple of tp, 2");
    bad(",\"moe\":{\"experts\":1}", "", 2, "", "top_k is 2, but there are 1 experts");
    bad(EXPERTS ",\"skew\":5}", "", 2, "", "'skew' is \"uniform\", {\"zipf\": exponent}, or a number for each expert");
    bad(EXPERTS ",\"skew\":\"unifrom\"}", "", 2, "", "unknown skew 'unifrom' (did you mean 'uniform'?)");
    bad(EXPERTS ",\"skew\":[1]}", "", 2, "", "'skew' has 1 numbers, but there are 8 experts");
    bad(EXPERTS ",\"skew\":[1,1,1,1,1,1,1,-1]}", "", 2, "", "expected how popular an expert is: not negative");
    bad(EXPERTS ",\"skew\":[0,0,0,0,0,0,0,0]}", "", 2, "", "'skew' sums to nothing, or to more than a number holds");
    bad(EXPERTS ",\"skew\":{\"zipf\":11}}", "", 2, "", "'zipf' is 11, expected a number from 0 to 10");
    bad(",\"mla\":{\"kv_rank\":8}", "", 2, "", "missing key 'nope_dim'");
    bad("", "", 2, ",\"precision\":{\"gem\":\"fp8\"}", "unknown key 'gem' (did you mean 'gemm'?)");
    bad("", "", 2, ",\"optimizer\":{\"master\":\"fp64\"}",
        "'master' is 'fp64', expected one of 'fp32', 'fp16', 'bf16', 'fp8', 'none'");
}

static void every_failed_allocation_is_clean(void **state)
{
    (void)state;
    static const char *const jobs[] = {
        HEAD
        "\"model\":{\"layers\":2,\"hidden\":8,\"heads\":2,\"vocab\":8,\"seq\":4,\"moe\":{\"experts\":2,\"top_k\":1,"
        "\"skew\":[1,2]}},\"parallel\":{\"pp\":2,\"dp\":2,\"ep\":2,\"zero\":1},\"batch\":{\"global\":4},"
        "\"schedule\":\"zb-h1\",\"overlap\":{\"param_gather\":true,\"grad_reduce\":true}}",
        HEAD "\"model\":{\"layers\":2,\"hidden\":8,\"heads\":2,\"vocab\":8,\"seq\":4},\"parallel\":{\"tp\":2,\"cp\":2,"
             "\"dp\":2,\"zero\":3,\"shard\":1,\"sequence\":true,\"cp_comm\":\"ring\"},\"batch\":{\"global\":2},"
             "\"overlap\":{\"tp\":true}}"};
    for (size_t i = 0; i < 2; i++) {
        uint64_t before = fs_mem_live();
        fs_status status = FS_E_NOMEM;
        for (uint64_t n = 1; status != FS_OK; n++) {
            fs_work *w = NULL;
            fs_mem_fail_after(n);
            status = fs_work_parse("t.json", jobs[i], strlen(jobs[i]), NULL, 0, &w, &err);
            fs_mem_fail_after(0);
            fs_work_free(w);
            assert_int_equal(fs_mem_live(), before);
            if (status != FS_OK && status != FS_E_NOMEM)
                fail_msg("%s", err.text);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parameters_as_published),
        cmocka_unit_test(latent_attention_and_experts),
        cmocka_unit_test(ranks_are_nested_in_order),
        cmocka_unit_test(layers_are_dealt_out),
        cmocka_unit_test(stages_sum_to_the_model),
        cmocka_unit_test(schedules),
        cmocka_unit_test(sequence_parallel_memory),
        cmocka_unit_test(parts_formed_again),
        cmocka_unit_test(states_are_sharded),
        cmocka_unit_test(microbatches_in_flight),
        cmocka_unit_test(sequence_parallelism),
        cmocka_unit_test(overlapped_tensor_parallelism),
        cmocka_unit_test(backward_overlap),
        cmocka_unit_test(the_host_launches),
        cmocka_unit_test(dispatch_by_the_trace),
        cmocka_unit_test(passes_by_turns),
        cmocka_unit_test(launches_of_experts),
        cmocka_unit_test(rows_are_arranged_for_experts),
        cmocka_unit_test(scales_are_found_first),
        cmocka_unit_test(queries_and_keys),
        cmocka_unit_test(kernels_may_be_slower),
        cmocka_unit_test(pipelines_that_wait),
        cmocka_unit_test(pipelines_send_activations),
        cmocka_unit_test(context_parallelism),
        cmocka_unit_test(expert_parallelism),
        cmocka_unit_test(experts_of_different_popularity),
        cmocka_unit_test(shared_experts),
        cmocka_unit_test(sharded_states),
        cmocka_unit_test(hybrid_shards),
        cmocka_unit_test(later_tokens_and_parts),
        cmocka_unit_test(zero_bubbles_compute_the_same),
        cmocka_unit_test(number_formats_by_part),
        cmocka_unit_test(gpus_give_the_replicas),
        cmocka_unit_test(bad_layouts),
        cmocka_unit_test(bad_experts),
        cmocka_unit_test(every_failed_allocation_is_clean),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
