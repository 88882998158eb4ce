/* Training traces: sizes and FLOPs against published models, the ops of a step, memory, and every error. */
#include "base/mem.h"
#include "work/training.h"
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

static fs_training gpt(uint32_t layers, uint32_t hidden, uint32_t heads, uint32_t seq, uint32_t tp)
{
    return (fs_training){.model = fs_transformer_default(layers, hidden, heads, 51200, seq),
                         .tp = tp,
                         .cp = 1,
                         .pp = 1,
                         .vpp = 1,
                         .dp = 1,
                         .ep = 1,
                         .etp = 1,
                         .shard = 1,
                         .order = {FS_DIM_TP, FS_DIM_CP, FS_DIM_EP, FS_DIM_DP, FS_DIM_PP},
                         .global_batch = 8,
                         .micro_batch = 8,
                         .precision = FS_FP16,
                         .gemm = FS_FP16,
                         .experts = FS_FP16,
                         .attention = FS_FP16,
                         .logits = FS_FP16,
                         .grad_dtype = FS_FP16,
                         .param_bytes = 2,
                         .master_bytes = 4,
                         .moment_bytes = 4,
                         .kernels = FS_FUSED};
}

static double gpu_parameters(const fs_training *t)
{
    return fs_training_stage_size(t, 0).dense;
}

static fs_memory memory_of(const fs_training *t)
{
    fs_memory m = {0};
    assert_int_equal(fs_training_memory(t, &m, &err), FS_OK);
    return m;
}

/* Narayanan et al. 2021, table 1 (vocabulary 51200, sequence 2048); Shoeybi et al. 2019, table 1 (sequence 1024). */
static void parameter_counts_as_published(void **state)
{
    (void)state;
    static const struct {
        uint32_t layers, hidden, heads, seq;
        double billions;
    } models[] = {{24, 2304, 24, 2048, 1.7},     {30, 3072, 32, 2048, 3.6},     {36, 4096, 32, 2048, 7.5},
                  {40, 6144, 48, 2048, 18.4},    {48, 8192, 64, 2048, 39.1},    {60, 10240, 80, 2048, 76.1},
                  {80, 12288, 96, 2048, 145.6},  {96, 16384, 128, 2048, 310.1}, {105, 20480, 128, 2048, 529.6},
                  {128, 25600, 160, 2048, 1008}, {40, 1536, 16, 1024, 1.2},     {54, 1920, 20, 1024, 2.5},
                  {64, 2304, 24, 1024, 4.2},     {72, 3072, 32, 1024, 8.3},     {96, 12288, 96, 2048, 174.6}};
    for (size_t i = 0; i < sizeof models / sizeof *models; i++) {
        fs_training t = gpt(models[i].layers, models[i].hidden, models[i].heads, models[i].seq, 1);
        close_to(round(fs_transformer_parameters(&t.model) / 1e8) / 10, models[i].billions, 1e-12);
        close_to(gpu_parameters(&t), fs_transformer_parameters(&t.model), 1e-14);
        double h = models[i].hidden, l = models[i].layers;
        /* Narayanan et al. 2021, eq. 2; they leave out the final norm's 2 h. */
        close_to(fs_transformer_parameters(&t.model) - 2 * h,
                 12 * l * h * h * (1 + 13 / (12 * h) + (51200.0 + models[i].seq) / (12 * l * h)), 1e-12);
    }
}

/* Llama 3 70B but for our positions, norms' biases and tied output: 68.9 billion without the second embedding. */
static void grouped_queries_and_gates(void **state)
{
    (void)state;
    fs_transformer llama = fs_transformer_default(80, 8192, 64, 128256, 8192);
    llama.kv_heads = 8;
    llama.ffn = 28672;
    llama.gated = true;
    double h = 8192, kv = 1024, f = 28672;
    double matrices = 80 * (h * (h + 2 * kv) + h * h + 3 * h * f), biases = 80 * (h + 2 * kv + h + 2 * f + h + 4 * h);
    close_to(fs_transformer_parameters(&llama), matrices + biases + 128256 * h + 8192 * h + 2 * h, 1e-14);
    close_to(matrices + 2 * 128256 * h, 70.55e9, 1e-3); /* what is published: 70.6 billion, untied */
}

static void flops_as_published(void **state)
{
    (void)state;
    fs_training t = gpt(96, 12288, 96, 2048, 8);
    t.global_batch = 1536;
    double B = 1536, s = 2048, l = 96, h = 12288, V = 51200;
    close_to(fs_training_model_flops(&t), 72 * B * s * l * h * h * (1 + s / (6 * h) + V / (12 * l * h)), 1e-14);
    close_to(fs_training_hardware_flops(&t), fs_training_model_flops(&t), 0);
    t.recompute = FS_RECOMPUTE_FULL; /* Narayanan et al. 2021, eq. 3 */
    close_to(fs_training_hardware_flops(&t), 96 * B * s * l * h * h * (1 + s / (6 * h) + V / (16 * l * h)), 1e-14);
}

/* Korthikanti et al. 2022: the 22B model, and their table 2. */
static void memory_as_published(void **state)
{
    (void)state;
    fs_training t = gpt(48, 6144, 64, 2048, 8);
    t.micro_batch = t.global_batch = 4;
    double s = 2048, b = 4, h = 6144, a = 64, V = 51200, n = gpu_parameters(&t);
    double ends = s * b * h + 4 * s * b * h + 4 * s * b * V / 8;
    fs_memory m = memory_of(&t);
    close_to(m.activations, 48 * s * b * h * (10 + 24.0 / 8 + 5 * a * s / (h * 8)) + ends, 1e-14);
    close_to(m.weights + m.gradients + m.optimizer, 16 * n, 1e-14);
    t.recompute = FS_RECOMPUTE_FULL;
    close_to(memory_of(&t).activations, 48 * 2 * s * b * h + s * b * h * (10 + 24.0 / 8 + 5 * a * s / (h * 8)) + ends,
             1e-14);
    t.recompute = FS_RECOMPUTE_NONE;
    t.kernels = FS_FLASH;
    t.grad_dtype = FS_FP32;
    m = memory_of(&t);
    close_to(m.activations, 48 * s * b * h * (10 + 24.0 / 8) + ends, 1e-14);
    close_to(m.weights + m.gradients + m.optimizer, 18 * n, 1e-14);
}

/* ---- the step -------------------------------------------------------------------------------------------------- */

static fs_work *load(const char *json)
{
    fs_work *work;
    if (fs_work_parse("t.json", json, strlen(json), NULL, 0, &work, &err) != FS_OK)
        fail_msg("%u:%u: %s", err.line, err.column, err.text);
    return work;
}

typedef struct tally {
    uint32_t n_tp, n_dp, n_kernels;
    double tp_bytes, dp_bytes, flops, optimizer_bytes;
} tally;

static tally count(const fs_work *w)
{
    tally sum = {0};
    const fs_program *p = &w->programs[0];
    assert_int_equal(w->n_programs, 1);
    for (uint32_t i = 0; i < p->n_ops; i++) {
        const fs_op *op = &p->ops[i];
        if (op->kind == FS_OP_COMPUTE && op->kernels != FS_NONE) {
            const fs_kernel_list *list = &w->kernel_lists[op->kernels];
            sum.n_kernels += list->n;
            for (uint32_t k = 0; k < list->n; k++)
                sum.flops += list->kernels[k].flops;
        } else if (op->kind == FS_OP_COMPUTE) {
            sum.n_kernels++;
            sum.flops += op->flops;
            sum.optimizer_bytes += op->phase == FS_PHASE_OPTIMIZER ? op->bytes : 0;
        } else if (strcmp(w->families[op->family].name, "tp") == 0) {
            sum.n_tp++;
            sum.tp_bytes += op->size_bytes;
        } else {
            sum.n_dp++;
            sum.dp_bytes += op->size_bytes;
        }
    }
    return sum;
}

#define HEAD "{\"fabsim\":\"trace/1\",\"kind\":\"training\",\n"
#define MODEL "\"model\":{\"layers\":4,\"hidden\":64,\"heads\":4,\"vocab\":512,\"seq\":32}"

static void tensor_parallel_all_reduces(void **state)
{
    (void)state;
    fs_work *w =
        load(HEAD MODEL ",\"parallel\":{\"tp\":4},\"batch\":{\"global\":4,\"micro\":2},\"recompute\":\"full\"}");
    tally sum = count(w);
    double hidden = 2 * 32 * 64 * 2; /* micro x seq x hidden, fp16 */
    /* Each of two microbatches: per layer 2 forward, 2 recomputed, 2 backward; embedding, logits' gradient, 3 of the
     * loss. */
    assert_int_equal(sum.n_tp, 2 * (4 * 6 + 2 + 3) + 1);
    close_to(sum.tp_bytes, 2 * ((4 * 6 + 2) * hidden + 3 * 4 * 2 * 32) + 4, 1e-15);
    assert_int_equal(sum.n_dp, 0);
    close_to(sum.flops * 4, w->totals.hardware_flops, 1e-12);
    assert_int_equal(w->n_ranks, 4);
    assert_int_equal(w->families[1].n_groups, 1);
    close_to(w->totals.tokens, 4 * 32, 0);
    close_to(w->totals.samples, 4, 0);
    assert_string_equal(
        w->note, "0M parameters (4 layers, hidden 64, 4 heads), TP 4 x DP 1, batch 4 x 32 tokens, fp16, fused kernels, "
                 "full recomputation");
    fs_work_free(w);
}

static void flops_of_the_ops_are_the_totals(void **state)
{
    (void)state;
    static const char *const kernels[] = {"unfused", "fused", "flash"}, *const recompute[] = {"none", "full"};
    for (size_t k = 0; k < 3; k++)
        for (size_t r = 0; r < 2; r++) {
            char json[512];
            snprintf(json, sizeof json,
                     HEAD "\"model\":{\"layers\":3,\"hidden\":96,\"heads\":8,\"kv_heads\":2,\"ffn\":160,\"vocab\":640,"
                          "\"seq\":48,\"gated\":true},\"parallel\":{\"tp\":2,\"dp\":3},\"batch\":{\"global\":12,"
                          "\"micro\":2},\"kernels\":\"%s\","
                          "\"recompute\":\"%s\"}",
                     kernels[k], recompute[r]);
            fs_work *w = load(json);
            close_to(count(w).flops * 6, w->totals.hardware_flops, 1e-12);
            fs_work_free(w);
        }
}

static void gradients_are_reduced_once(void **state)
{
    (void)state;
    fs_training t = gpt(4, 64, 4, 32, 2);
    t.model.vocab = 512;
    double bytes = 4 * gpu_parameters(&t);
    for (int overlap = 0; overlap < 2; overlap++) {
        char json[512];
        snprintf(json, sizeof json,
                 HEAD MODEL
                 ",\"parallel\":{\"tp\":2,\"dp\":4},\"batch\":{\"global\":16,\"micro\":2},\"grad_dtype\":\"fp32\","
                 "\"overlap\":{\"grad_reduce\":%s}}",
                 overlap ? "true" : "false");
        fs_work *w = load(json);
        tally sum = count(w);
        assert_int_equal(sum.n_dp, overlap ? 5 : 1);
        close_to(sum.dp_bytes, bytes, 1e-14);
        assert_int_equal(w->families[2].n_groups, 2);
        assert_int_equal(fs_family_member(&w->families[2], 0, 1), 2); /* tp runs fastest */
        const fs_program *p = &w->programs[0]; /* Adam waits for the last of them, by way of the gradients' norm */
        bool waits = false;
        for (uint32_t i = 0; i < p->n_ops; i++)
            for (uint32_t d = p->dep_begin[i]; d < p->dep_begin[i + 1]; d++)
                waits = waits || (p->ops[i].phase == FS_PHASE_OPTIMIZER && p->ops[p->deps[d]].family == 2);
        assert_true(waits);
        fs_work_free(w);
    }
}

static void adam_moves_its_states(void **state)
{
    (void)state;
    static const struct {
        const char *format;
        double bytes; /* per parameter: to fp32, unscale, norm, clip, Adam, back */
    } cases[] = {
        {"\"fp16\"", 6 + 8 + 4 + 8 + 28 + 6},
        {"\"fp16\",\"grad_dtype\":\"fp32\"", 8 + 4 + 8 + 28 + 6},
        {"\"bf16\"", 6 + 4 + 8 + 28 + 6},
        {"\"bf16\",\"grad_dtype\":\"fp32\",\"optimizer\":{\"moments\":\"bf16\",\"master\":\"none\"}", 4 + 8 + 12}};
    fs_training t = gpt(4, 64, 4, 32, 1);
    t.model.vocab = 512;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char json[512];
        snprintf(json, sizeof json, HEAD MODEL ",\"batch\":{\"global\":2},\"precision\":%s}", cases[i].format);
        fs_work *w = load(json);
        close_to(count(w).optimizer_bytes, cases[i].bytes * gpu_parameters(&t), 1e-14);
        fs_work_free(w);
    }
}

/* One GPU: no collective at all, one stream, and fewer kernels where they are fused. */
static void one_gpu_needs_no_network(void **state)
{
    (void)state;
    static const char *const kernels[] = {"unfused", "fused", "flash"};
    uint32_t n_kernels[3];
    for (size_t k = 0; k < 3; k++) {
        char json[512];
        snprintf(json, sizeof json, HEAD MODEL ",\"batch\":{\"global\":2},\"kernels\":\"%s\"}", kernels[k]);
        fs_work *w = load(json);
        tally sum = count(w);
        assert_int_equal(sum.n_tp + sum.n_dp, 0);
        assert_int_equal(w->n_streams, 1);
        n_kernels[k] = sum.n_kernels;
        fs_work_free(w);
    }
    assert_true(n_kernels[0] > n_kernels[1] && n_kernels[1] > n_kernels[2]);
}

/* ---- errors ---------------------------------------------------------------------------------------------------- */

/* The body stands on line 2. */
static void bad(const char *body, uint32_t column, const char *message)
{
    char json[1024];
    fs_work *work = NULL;
    snprintf(json, sizeof json, HEAD "%s}", body);
    assert_int_equal(fs_work_parse("t.json", json, strlen(json), NULL, 0, &work, &err), FS_E_TRACE);
    assert_null(work);
    if (strcmp(err.text, message) != 0 || err.column != column || err.line != (column == 1 ? 1 : 2))
        fail_msg("\n  for: %s\nfound: %u:%u: %s\n  not: 2:%u: %s", json, err.line, err.column, err.text, column,
                 message);
}

/* Every kernel of a name takes what was measured; FLOPs and other kernels stay. Shapes are those of the model. */
static void measured_kernels_replace_the_model(void **state)
{
    (void)state;
    fs_work *w = load("{\"fabsim\":\"trace/1\",\"kind\":\"training\"," MODEL ",\"batch\":{\"global\":1},"
                      "\"kernels_measured\":{\"mlp in\":\"3us\",\"adam\":\"7us\"}}");
    uint32_t mlp = 0, others = 0, adam = 0;
    for (uint32_t l = 0; l < w->n_kernel_lists; l++)
        for (uint32_t k = 0; k < w->kernel_lists[l].n; k++) {
            const fs_kernel *kernel = &w->kernel_lists[l].kernels[k];
            bool in = strcmp(w->names[kernel->name], "mlp in") == 0;
            close_to(kernel->measured_s, in ? 3e-6 : 0, 1e-15);
            if (in)
                close_to(kernel->flops, 2 * kernel->shape.m * kernel->shape.n * kernel->shape.k, 1e-15);
            mlp += in;
            others += !in;
        }
    for (uint32_t i = 0; i < w->programs[0].n_ops; i++)
        if (strcmp(w->names[w->programs[0].ops[i].name], "adam") == 0) {
            close_to(w->programs[0].ops[i].duration_s, 7e-6, 1e-15);
            adam++;
        }
    assert_true(mlp > 0 && others > 0 && adam > 0);
    fs_work_free(w);
    bad(MODEL ",\"batch\":{\"global\":1},\"kernels_measured\":{\"mlp inn\":\"3us\"}", 106,
        "the step has no kernel 'mlp inn' (did you mean 'mlp in'?)");
    bad(MODEL ",\"batch\":{\"global\":1},\"kernels_measured\":[]", 105,
        "expected durations by kernel: {\"mlp in\": \"812us\"}");
}

static void bad_training_traces(void **state)
{
    (void)state;
    bad("\"batch\":{\"global\":1}", 1, "missing key 'model'");
    bad("\"model\":5", 9, "'model' is an object");
    bad(" \"modle\":{}", 2, "unknown key 'modle' (did you mean 'model'?)");
    bad("\"model\":{\"layers\":4}", 9, "missing key 'hidden'");
    bad("\"model\":{\"layer\":4}", 10, "unknown key 'layer' (did you mean 'layers'?)");
    bad("\"model\":{\"layers\":0}", 19, "'layers' is 0, expected an integer from 1 to 100000");
    bad("\"model\":{\"layers\":1e9}", 19, "'layers' is 1000000000, expected an integer from 1 to 100000");
    bad("\"model\":{\"layers\":4,\"hidden\":63,\"heads\":4,\"vocab\":512,\"seq\":32}", 30,
        "'hidden' is 63, which is no multiple of heads, 4");
    bad("\"model\":{\"layers\":4,\"hidden\":64,\"heads\":4,\"kv_heads\":3,\"vocab\":512,\"seq\":32}", 41,
        "'heads' is 4, which is no multiple of kv_heads, 3");
    bad("\"parallel\":{\"tp\":3}," MODEL, 61, "'heads' is 4, which is no multiple of tp, 3");
    bad("\"parallel\":{\"tp\":4},\"model\":{\"layers\":4,\"hidden\":64,\"heads\":4,\"kv_heads\":2,\"vocab\":512,"
        "\"seq\":32}",
        74, "'kv_heads' is 2, which is no multiple of tp, 4");
    bad("\"parallel\":{\"tp\":4},\"model\":{\"layers\":4,\"hidden\":64,\"heads\":4,\"ffn\":90,\"vocab\":512,\"seq\":"
        "32}",
        69, "'ffn' is 90, which is no multiple of tp, 4");
    bad("\"parallel\":{\"tp\":4},\"model\":{\"layers\":4,\"hidden\":64,\"heads\":4,\"vocab\":510,\"seq\":32}", 71,
        "'vocab' is 510, which is no multiple of tp, 4");
    bad("\"parallel\":{\"tp\":4194304,\"dp\":2}", 12, "tp x cp x dp x pp is 8388608 ranks, expected at most 4194304");
    bad("\"parallel\":{\"ppp\":4}", 13, "unknown key 'ppp' (did you mean 'pp'?)");
    bad(MODEL, 1, "missing key 'batch'");
    bad(MODEL ",\"batch\":{\"global\":3,\"micro\":2}", 83, "'global' is 3, which is no multiple of micro x dp, 2");
    bad(MODEL ",\"batch\":{\"global\":100000,\"micro\":1}", 73,
        "100000 microbatches of 4 layers; their product may be 200000 at most");
    bad(MODEL ",\"batch\":{\"global\":2},\"precision\":\"fp61\"", 98,
        "unknown precision 'fp61' (did you mean 'fp16'?)");
    bad(MODEL ",\"batch\":{\"global\":2},\"recompute\":\"fulll\"", 98,
        "unknown recompute 'fulll' (did you mean 'full'?)");
    bad(MODEL ",\"batch\":{\"global\":2},\"kernels\":\"fussed\"", 96,
        "unknown kernels 'fussed' (did you mean 'fused'?)");
    bad(MODEL ",\"batch\":{\"global\":2},\"optimizer\":\"adan\"", 98,
        "unknown optimizer 'adan' (did you mean 'adam'?)");
    bad(MODEL ",\"batch\":{\"global\":2},\"overlap\":{\"grad_reduce\":1}", 111,
        "'grad_reduce' is 1, expected true or false");
    bad(MODEL ",\"batch\":{\"global\":2},\"overlap\":{\"reduce\":true}", 97,
        "unknown key 'reduce' (did you mean 'grad_reduce'?)");
}

static void every_failed_allocation_is_clean(void **state)
{
    (void)state;
    const char *json =
        HEAD "\"model\":{\"layers\":1,\"hidden\":8,\"heads\":2,\"vocab\":8,\"seq\":2},\"parallel\":{\"tp\":2,\"dp\":2},"
             "\"batch\":{\"global\":2}}";
    uint64_t before = fs_mem_live();
    fs_status status = FS_E_NOMEM;
    for (uint64_t n = 1; status != FS_OK; n++) {
        fs_work *w = NULL;
        fs_mem_fail_after(n);
        status = fs_work_parse("t.json", json, strlen(json), NULL, 0, &w, &err);
        fs_mem_fail_after(0);
        fs_work_free(w);
        assert_int_equal(fs_mem_live(), before);
        assert_true(status == FS_OK || status == FS_E_NOMEM);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parameter_counts_as_published),
        cmocka_unit_test(grouped_queries_and_gates),
        cmocka_unit_test(flops_as_published),
        cmocka_unit_test(memory_as_published),
        cmocka_unit_test(tensor_parallel_all_reduces),
        cmocka_unit_test(flops_of_the_ops_are_the_totals),
        cmocka_unit_test(gradients_are_reduced_once),
        cmocka_unit_test(adam_moves_its_states),
        cmocka_unit_test(one_gpu_needs_no_network),
        cmocka_unit_test(bad_training_traces),
        cmocka_unit_test(measured_kernels_replace_the_model),
        cmocka_unit_test(every_failed_allocation_is_clean),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
