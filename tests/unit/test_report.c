/* test_report.c - what the summary and the scaling table say about classes, memory, faults and growth. */
#include "../fixture.h"
#include "report/report.h"
#include "report/similar.h"
#include "topo/faults.h"

#include <stdlib.h>
#include <unistd.h>

/* A small run to change figures of. */
typedef struct sample {
    fs_topo *topo;
    fs_work *work;
    fs_result result;
} sample;

static sample make_sample(double memory_bytes)
{
    sample s = {.topo = make_topo("gpus:4 nvlink:100GB/s,1us")};
    fs_work_builder *b = make_builder(4);
    add(b, add_program(b, "p", 0, 3), "main", collective(FS_ALL_REDUCE, 0, 1e6));
    const fs_totals totals = {.model_flops = 1e12,
                              .hardware_flops = 1e12,
                              .tokens = 1000,
                              .dtype = FS_FP16,
                              .memory = {.weights = memory_bytes}};
    fs_work_set_totals(b, &totals);
    s.work = finish(b);
    const fs_run_options options = ideal();
    ASSERT_OK(fs_run(s.topo, s.work, &options, &s.result, &failure));
    return s;
}

static void drop_sample(sample *s)
{
    fs_result_free(&s->result);
    fs_work_free(s->work);
    fs_topo_free(s->topo);
}

/* What a report prints; the caller frees it. */
static char *printed(fs_status (*print)(const fs_result *, fs_style, fs_out *, fs_err *), const fs_result *result)
{
    char path[] = "test_report.XXXXXX", *text = NULL;
    size_t length = 0;
    int file = mkstemp(path);
    assert_true(file >= 0);
    close(file);
    fs_out *out = NULL;
    ASSERT_OK(fs_out_open(path, &out, &failure));
    ASSERT_OK(print(result, (fs_style){0}, out, &failure));
    ASSERT_OK(fs_out_close(out, &failure));
    fs_status status = fs_file_read(path, &text, &length, &failure);
    remove(path);
    ASSERT_OK(status);
    return text;
}

static void expect(const char *text, const char *part, bool there)
{
    if ((strstr(text, part) != NULL) != there)
        fail_msg("%s '%s' in:\n%s", there ? "no" : "there is", part, text);
}

static void says(const fs_result *result, const char *part, bool there)
{
    char *text = printed(fs_report_text, result);
    expect(text, part, there);
    fs_free(text);
}

static void memory_gets_a_verdict(void **state)
{
    (void)state;
    sample s = make_sample(71.34e9);
    says(&s.result, "  Memory             71.3 of 80.0 GB per GPU  (fits)\n", true);
    drop_sample(&s);
    s = make_sample(94e9);
    says(&s.result, "  Memory             94.0 of 80.0 GB per GPU  (DOES NOT FIT: 14.0 GB too much)\n", true);
    drop_sample(&s);
}

static void links_say_how_many_are_alike(void **state)
{
    (void)state;
    sample s = make_sample(0);
    uint64_t links = 0;
    for (uint32_t i = 0; i < s.result.n_links; i++)
        links += s.result.links[i].count;
    assert_int_equal(links, 8); /* four GPUs, both directions */
    says(&s.result, "and 7 alike", true);
    s.result.links[0].count += 65536;
    says(&s.result, "and 65,543 alike", true);
    drop_sample(&s);
}

static void classes_show_where_there_are_fewer(void **state)
{
    (void)state;
    sample s = make_sample(0);
    s.result.rank_classes = s.result.ranks;
    s.result.link_classes = s.topo->n_links;
    says(&s.result, "Folded", false);
    s.result.rank_classes = 1;
    s.result.link_classes = 2;
    s.result.transfers = 12345;
    s.result.transfer_classes = 3;
    says(&s.result, "\nFolded, exactly: 4 ranks as 1, 8 links as 2, 12,345 transfers as 3\n", true);
    drop_sample(&s);
}

static void faults_are_in_the_head(void **state)
{
    (void)state;
    sample s = make_sample(0);
    fs_fault faults[6];
    for (uint32_t i = 0; i < 6; i++)
        faults[i] = (fs_fault){.kind = FS_FAULT_GPU, .name = "[0-2]", .speed = 0.5, .to_s = INFINITY, .origin = ""};
    says(&s.result, "faults", false);
    ASSERT_OK(fs_topo_apply_faults(s.topo, faults, 1, &failure));
    says(&s.result, "\n  faults: gpu:[0-2]=0.5\n\n", true);
    ASSERT_OK(fs_topo_apply_faults(s.topo, faults, 6, &failure));
    says(&s.result, "\n  faults: gpu:[0-2]=0.5, gpu:[0-2]=0.5, gpu:[0-2]=0.5, gpu:[0-2]=0.5 and 2 more\n\n", true);
    drop_sample(&s);
}

static void a_study_is_a_table(void **state)
{
    (void)state;
    sample s = make_sample(0);
    fs_scaling_row rows[] = {
        {.gpus = 1024,
         .step_time_s = 2,
         .tokens_per_s = 213648.4,
         .tflops_per_gpu = 400,
         .mfu = 0.4,
         .exposed = 0.1,
         .bubble = 0.05,
         .busiest_tier = "nvlink",
         .busiest_utilization = 0.25,
         .memory_bytes = 94e9,
         .wall_s = 1},
        {.gpus = 4096, .step_time_s = 2.5, .tokens_per_s = 683675, .fits = true, .wall_s = 0.25},
        {.gpus = 8192, .step_time_s = 2.5, .tokens_per_s = 1.36735e6, .fits = true, .wall_s = 0.25}};
    fs_scaling_finish(rows, 3);
    s.result.n_scaling = 3;
    s.result.scaling = rows;
    s.result.scaling_mode = "weak";
    char *text = printed(fs_report_scaling, &s.result);
    expect(text,
           "\nScaling, weak\n"
           "   GPUs    step  tokens/s  TFLOP/s     MFU  efficiency  exposed  bubble     memory  busiest tier\n"
           "  1,024  2.00 s   213,648    400.0  40.0 %     100.0 %   10.0 %   5.0 %  94.0 GB !  nvlink 25.0 %\n"
           "  4,096  2.50 s   683,675        -       -      80.0 %    0.0 %   0.0 %          -  -\n"
           "  8,192  2.50 s   1.367 M        -       -      80.0 %    0.0 %   0.0 %          -  -\n"
           "  ! does NOT fit: a GPU has 80.0 GB\n\n",
           true);
    expect(text, "\nsimulated in 1.50 s of wall time, peak memory ", true);
    fs_free(text);
    drop_sample(&s);
}

static void a_row_is_what_the_result_says(void **state)
{
    (void)state;
    sample s = make_sample(0);
    fs_scaling_row row = fs_result_scaling(&s.result);
    assert_int_equal(row.gpus, 4);
    ASSERT_CLOSE(row.step_time_s, s.result.step_time_s, 0);
    ASSERT_CLOSE(row.exposed, 1, 1e-12); /* nothing but an all-reduce */
    ASSERT_CLOSE(row.bubble, 0, 0);
    ASSERT_CLOSE(row.tokens_per_s, 1000 / s.result.step_time_s, 1e-12);
    assert_string_equal(row.busiest_tier, "nvlink");
    ASSERT_CLOSE(row.busiest_utilization, s.result.links[0].mean_utilization, 0);
    drop_sample(&s);
}

static void efficiency_takes_what_is_known(void **state)
{
    (void)state;
    fs_scaling_row tokens[] = {{.gpus = 2, .tokens_per_s = 10}, {.gpus = 8, .tokens_per_s = 20}};
    fs_scaling_row flops[] = {{.gpus = 2, .tflops_per_gpu = 10}, {.gpus = 8, .tflops_per_gpu = 9}};
    fs_scaling_row none[] = {{.gpus = 2}, {.gpus = 8}};
    fs_scaling_finish(tokens, 2);
    fs_scaling_finish(flops, 2);
    fs_scaling_finish(none, 2);
    ASSERT_CLOSE(tokens[0].efficiency, 1, 0);
    ASSERT_CLOSE(tokens[1].efficiency, 0.5, 1e-15);
    ASSERT_CLOSE(flops[1].efficiency, 0.9, 1e-15);
    ASSERT_CLOSE(none[1].efficiency, 0, 0);
}

/* A class without its own line takes that of a wider one; what has none at all says nothing. */
static void similar_cases_are_found(void **state)
{
    (void)state;
    fs_similar similar;
    assert_false(fs_similar_find("", &similar));
    assert_false(fs_similar_find("dense", &similar));
    assert_false(fs_similar_find("sparse training, hopper, up to 64 GPUs", &similar));
    if (fs_similar_find("dense training, ampere, 65 to 1,024 GPUs", &similar)) {
        assert_true(similar.cases > 0 && similar.mean > 0 && similar.mean < 1);
        fs_similar wider;
        assert_true(fs_similar_find("dense training, ampere, 2 GPUs on the moon", &wider));
        assert_string_equal(wider.name, "dense training, ampere");
        assert_true(wider.cases >= similar.cases);
    }
    sample s = make_sample(0);
    char name[FS_SIMILAR_NAME];
    fs_similar_name(&s.result, name);
    assert_string_equal(name, ""); /* a trace of ops */
    drop_sample(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(memory_gets_a_verdict),         cmocka_unit_test(similar_cases_are_found),
        cmocka_unit_test(links_say_how_many_are_alike),  cmocka_unit_test(classes_show_where_there_are_fewer),
        cmocka_unit_test(faults_are_in_the_head),        cmocka_unit_test(a_study_is_a_table),
        cmocka_unit_test(a_row_is_what_the_result_says), cmocka_unit_test(efficiency_takes_what_is_known),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
