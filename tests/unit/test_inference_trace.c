/* test_inference_trace.c - inference traces and files of requests: what is read, what is refused and where. */
#include "serve_case.h"

#include "base/rng.h"
#include "serve/requests.h"

#include <stdlib.h>
#include <unistd.h>

#define ENGINES "\"engines\":[{\"parallel\":{\"tp\":2}}],"
#define REQUESTS "\"requests\":{\"rate\":1,\"count\":2,\"input\":10,\"output\":5}"

static fs_status parse(const char *body, fs_work **work)
{
    char text[4096];
    fs_snprintf(text, sizeof text, "{\"fabsim\":\"trace/1\",\"kind\":\"inference\",\n%s}", body);
    return fs_work_parse("t.json", text, strlen(text), NULL, 0, work, &failure);
}

static void expect(const char *body, uint32_t line, uint32_t column, const char *message)
{
    fs_work *work = NULL;
    assert_int_equal(parse(body, &work), FS_E_TRACE);
    if (!strstr(failure.text, message) || failure.line != line || (column && failure.column != column))
        fail_msg("%u:%u: %s", failure.line, failure.column, failure.text);
}

static void defaults(void **state)
{
    (void)state;
    fs_work *work = NULL;
    ASSERT_OK(parse(TINY_MODEL "," ENGINES REQUESTS, &work));
    const fs_inference *in = work->inference;
    const fs_pool *p = &in->pools[0];
    assert_string_equal(work->kind, "inference");
    assert_int_equal(work->n_ranks, 2);
    assert_int_equal(p->role, FS_ROLE_BOTH);
    assert_int_equal(p->max_tokens, 8192);
    assert_int_equal(p->max_seqs, 256);
    assert_true(p->chunked_prefill);
    assert_int_equal(p->block_tokens, 16);
    assert_int_equal(in->weights, FS_BF16);
    assert_int_equal(in->kv, FS_BF16);
    assert_int_equal(in->router, FS_LEAST_LOADED);
    assert_int_equal(in->source.arrival, FS_POISSON);
    fs_work_free(work);
}

/* How weights are stored; what they are multiplied in is a format of tensor cores. */
static void stored_formats(void **state)
{
    (void)state;
    fs_work *work = NULL;
    ASSERT_OK(parse(TINY_MODEL "," ENGINES REQUESTS ",\"precision\":\"mxfp4\"", &work));
    assert_int_equal(work->inference->weights, FS_MXFP4);
    assert_int_equal(work->inference->experts, FS_MXFP4);
    assert_int_equal(work->inference->gemm, FS_FP4);
    assert_int_equal(work->inference->expert_gemm, FS_FP4);
    fs_work_free(work);
    ASSERT_OK(
        parse(TINY_MODEL "," ENGINES REQUESTS ",\"precision\":{\"weights\":\"bf16\",\"experts\":\"mxfp4\"}", &work));
    assert_int_equal(work->inference->expert_gemm, FS_BF16);
    fs_work_free(work);
    ASSERT_OK(parse(TINY_MODEL "," ENGINES REQUESTS ",\"precision\":{\"weights\":\"fp8\",\"mlp\":\"mxfp4\"}", &work));
    assert_int_equal(work->inference->mlp, FS_MXFP4);
    assert_int_equal(work->inference->mlp_gemm, FS_FP4);
    assert_int_equal(work->inference->projection, FS_FP8);
    assert_int_equal(work->inference->projection_gemm, FS_FP8);
    fs_work_free(work);
    expect(TINY_MODEL "," ENGINES REQUESTS ",\n\"precision\":{\"projections\":\"fp8\"}", 3, 0,
           "did you mean 'projection'");
    expect(TINY_MODEL "," ENGINES REQUESTS ",\n\"precision\":{\"kv\":\"mxfp4\"}", 3, 19,
           "'kv' is 'mxfp4', expected one of");
}

static void engines_are_checked(void **state)
{
    (void)state;
    expect(TINY_MODEL "," REQUESTS, 1, 1, "'engines': expected a list of 1 to 64 pools");
    expect(TINY_MODEL ",\"engines\":[],\n" REQUESTS, 2, 0, "'engines': expected a list");
    expect(TINY_MODEL ",\n\"engines\":[{\"replicas\":0}]," REQUESTS, 3, 24,
           "'replicas' is 0, expected an integer from 1");
    expect(TINY_MODEL ",\n\"engines\":[{\"parallel\":{\"tp\":3}}]," REQUESTS, 3, 30,
           "tp is 3, which divides not both 4 heads and a vocabulary of 128");
    expect(TINY_MODEL ",\n\"engines\":[{\"parallel\":{\"pp\":3}}]," REQUESTS, 3, 30, "pp is 3, but there are 2 layers");
    expect(TINY_MODEL ",\n\"engines\":[{\"parallel\":{\"ep\":2}}]," REQUESTS, 3, 30, "the model has no 'moe'");
    expect(TINY_MODEL ",\n\"engines\":[{\"role\":\"prefil\"}]," REQUESTS, 3, 20, "did you mean 'prefill'");
    expect(TINY_MODEL ",\n\"engines\":[{\"role\":\"prefill\"}]," REQUESTS, 3, 11,
           "a pool of role 'prefill' needs one of role 'decode'");
    expect(TINY_MODEL ",\n\"engines\":[{\"role\":\"prefill\"},{\"role\":\"decode\"},{}]," REQUESTS, 3, 11,
           "pools are either all of role 'both'");
    expect(TINY_MODEL ",\n\"engines\":[{\"name\":\"a\"},{\"name\":\"b\",\"first_gpu\":0}]," REQUESTS, 3, 25,
           "pools 'a' and 'b' both use GPU 0");
    expect(TINY_MODEL ",\n\"engines\":[{\"limits\":{\"balance_iterations\":0}}]," REQUESTS, 3, 44,
           "'balance_iterations' is 0, expected an integer from 1 to");
    expect(TINY_MODEL ",\n\"engines\":[{\"kv\":{\"preemption\":\"discard\"}}]," REQUESTS, 3, 0,
           "'preemption' is 'discard'");
    expect(TINY_MODEL ",\n\"engines\":[{\"speculative\":{\"tokens\":2,\"acceptance\":1.5}}]," REQUESTS, 3, 0,
           "'acceptance' is 1.5");
}

static void requests_are_checked(void **state)
{
    (void)state;
#define FAULTY(requests) TINY_MODEL "," ENGINES "\n\"requests\":{" requests "}"
    expect(FAULTY("\"rate\":1,\"count\":2,\"input\":0,\"output\":5"), 3, 40,
           "'input' is 0, expected an integer from 1");
    expect(FAULTY("\"rate\":1,\"input\":1,\"output\":5"), 3, 12, "either 'count' or 'duration_s'");
    expect(FAULTY("\"rate\":1,\"duration_s\":0.1,\"input\":1,\"output\":5"), 3, 0, "0 requests in 0.1 s");
    expect(FAULTY("\"rate\":0,\"count\":2,\"input\":1,\"output\":5"), 3, 20, "'rate' is 0");
    expect(FAULTY("\"arrival\":\"closed\",\"rate\":1,\"count\":2,\"input\":1,\"output\":5"), 3, 0,
           "a closed loop has a 'concurrency', no 'rate'");
    expect(FAULTY("\"rate\":1,\"cv\":2,\"count\":2,\"input\":1,\"output\":5"), 3, 0,
           "'cv' goes with \"arrival\": \"gamma\"");
    expect(FAULTY("\"rate\":1,\"count\":2,\"input\":{\"uniform\":[5,2]},\"output\":5"), 3, 0, "the smaller first");
    expect(FAULTY("\"rate\":1,\"count\":2,\"input\":{\"normal\":3},\"output\":5"), 3, 0, "unknown key 'normal'");
    expect(FAULTY("\"rate\":1,\"count\":2,\"input\":1,\"output\":5,\"priorities\":[0,0]"), 3, 0, "sums to nothing");
    expect(FAULTY("\"file\":\"-\""), 3, 20, "'file' is the name of a file");
    fs_work *work = NULL;
    assert_int_equal(parse(FAULTY("\"file\":\"no-such-file.csv\""), &work), FS_E_IO);
}

/* ---- files --------------------------------------------------------------------------------------------------------- */

static char path[64];

static fs_status read_file(const char *ending, const char *text, fs_work **work)
{
    char body[1024];
    fs_snprintf(path, sizeof path, "/tmp/fabsim%s-XXXXXX", ending); /* the reader looks for .jsonl anywhere in it */
    int file = mkstemp(path);
    assert_true(file >= 0);
    assert_int_equal(write(file, text, strlen(text)), (ssize_t)strlen(text));
    close(file);
    fs_snprintf(body, sizeof body, TINY_MODEL "," ENGINES "\"requests\":{\"file\":\"%s\"}", path);
    fs_status status = parse(body, work);
    unlink(path);
    return status;
}

static void expect_file(const char *ending, const char *text, uint32_t line, uint32_t column, const char *message)
{
    fs_work *work = NULL;
    assert_int_equal(read_file(ending, text, &work), FS_E_TRACE);
    if (strcmp(failure.file, path) != 0 || !strstr(failure.text, message) || failure.line != line ||
        failure.column != column)
        fail_msg("%s:%u:%u: %s", failure.file, failure.line, failure.column, failure.text);
}

#define AZURE "TIMESTAMP,ContextTokens,GeneratedTokens\n"

static void azure_files(void **state)
{
    (void)state;
    fs_work *work = NULL;
    ASSERT_OK(read_file(".csv",
                        AZURE "2023-11-16 18:15:46.6805900,374,44\r\n2023-11-16 18:15:50.9951690,396,109\n\n"
                              "2023-11-17 00:00:00,5,1\n",
                        &work));
    const fs_request_source *s = &work->inference->source;
    assert_int_equal(s->count, 3);
    assert_int_equal(s->requests[0].input, 374);
    assert_int_equal(s->requests[1].output, 109);
    assert_true(s->requests[0].arrival_s == 0);
    ASSERT_CLOSE(s->requests[1].arrival_s, 4.314579, 1e-6);
    ASSERT_CLOSE(s->requests[2].arrival_s, 5 * 3600 + 44 * 60 + 13.31941, 1e-9);
    fs_work_free(work);
    ASSERT_OK(read_file(".csv", "GeneratedTokens,note,TIMESTAMP,ContextTokens\n1,x,0.5,7\n2,y,0.75,8\n", &work));
    assert_int_equal(work->inference->source.requests[1].input, 8);
    ASSERT_CLOSE(work->inference->source.requests[1].arrival_s, 0.25, 1e-12);
    fs_work_free(work);
}

static void azure_errors(void **state)
{
    (void)state;
    expect_file(".csv", "", 0, 0, "no requests");
    expect_file(".csv", AZURE, 0, 0, "no requests");
    expect_file(".csv", "TIMESTAMP,Context\n", 1, 1, "no column 'ContextTokens'");
    expect_file(".csv", AZURE "0,0,5\n", 2, 3,
                "ContextTokens: expected tokens, an integer from 1 to 16777216, found '0'");
    expect_file(".csv", AZURE "0,5,5\n1,5,2.5\n", 3, 5, "GeneratedTokens: expected tokens");
    expect_file(".csv", AZURE "0,5\n", 2, 1, "2 cells, but 'GeneratedTokens' is in column 3");
    expect_file(".csv", AZURE "tomorrow,5,5\n", 2, 1, "TIMESTAMP: expected seconds or a date");
    expect_file(".csv", AZURE "2023-11-16 18:15:46.,5,5\n", 2, 1, "TIMESTAMP");
    expect_file(".csv", AZURE "10,5,5\n9.5,5,5\n", 3, 1, "a request arrives at -0.5 s, 0.5 s before the one above it");
}

static void mooncake_files(void **state)
{
    (void)state;
    fs_work *work = NULL;
    ASSERT_OK(
        read_file(".jsonl",
                  "{\"timestamp\": 27482, \"input_length\": 1100, \"output_length\": 52, \"hash_ids\": [46, 47, 48]}\n"
                  "{\"timestamp\": 30535, \"input_length\": 600, \"output_length\": 26, \"hash_ids\": [46, 2366]}\n",
                  &work));
    const fs_request_source *s = &work->inference->source;
    assert_int_equal(s->count, 2);
    assert_int_equal(s->hash_tokens, 512);
    assert_int_equal(s->requests[0].n_hashes, 2); /* of the third the prompt fills only a part */
    assert_int_equal(s->requests[1].n_hashes, 1);
    assert_int_equal(s->hashes[s->requests[1].first_hash], 46);
    ASSERT_CLOSE(s->requests[1].arrival_s, 3.053, 1e-9);
    fs_work_free(work);
    expect_file(".jsonl", "{\"timestamp\": 1, \"input_length\": 5}\n", 1, 1, "missing key 'output_length'");
    expect_file(".jsonl", "\n{\"timestamp\": 1, \"input_length\": 0, \"output_length\": 5}\n", 2, 34,
                "'input_length' is 0");
    expect_file(".jsonl",
                "{\"timestamp\": 9, \"input_length\": 1, \"output_length\": 5}\n"
                "{\"timestamp\": 8, \"input_length\": 1, \"output_length\": 5}\n",
                2, 15, "a request arrives at -0.001 s, 0.001 s before");
    expect_file(".jsonl", "{\"timestamp\": 9,\n", 1, 17, "the text ends too early");
    expect_file(".jsonl", "[]\n", 1, 1, "expected a request");
}

/* ---- what is drawn ------------------------------------------------------------------------------------------------- */

static void distributions(void **state)
{
    (void)state;
    enum { N = 200000 };
    fs_request_source s = {.arrival = FS_GAMMA,
                           .rate = 4,
                           .cv = 2,
                           .burst = 1,
                           .count = N,
                           .context = 2 * FS_TOKENS_MAX,
                           .input = {FS_LOGNORMAL, 500, 1, 1, FS_TOKENS_MAX},
                           .output = {FS_UNIFORM, 150, 0, 100, 200},
                           .n_priorities = 2,
                           .priority_share = {0.75, 0.25}};
    fs_arena *arena = fs_arena_new();
    fs_requests made, again;
    ASSERT_OK(fs_requests_make(&s, 5, arena, &made, &failure));
    double sum = 0, squares = 0, gaps = 0, input = 0, input2 = 0, output = 0, urgent = 0;
    for (uint32_t i = 0; i < N; i++) {
        double gap = made.all[i].arrival_s - (i ? made.all[i - 1].arrival_s : 0);
        assert_true(gap >= 0);
        sum += gap;
        squares += gap * gap;
        input += made.all[i].input;
        input2 += (double)made.all[i].input * made.all[i].input;
        output += made.all[i].output;
        urgent += made.all[i].priority;
        gaps++;
        assert_in_range(made.all[i].output, 100, 200);
    }
    double mean = sum / gaps;
    ASSERT_CLOSE(mean, 0.25, 0.02);
    ASSERT_CLOSE(sqrt(squares / gaps - mean * mean) / mean, 2, 0.02);
    ASSERT_CLOSE(input / N, 500, 0.02);
    ASSERT_CLOSE(sqrt(input2 / N - input / N * (input / N)) / (input / N), 1, 0.03);
    ASSERT_CLOSE(output / N, 150, 0.01);
    ASSERT_CLOSE(urgent / N, 0.25, 0.02);
    /* the same again with a shorter context: what fits stays, the rest ends where it ends */
    uint32_t cut = 0;
    s.context = 900;
    ASSERT_OK(fs_requests_make(&s, 5, arena, &again, &failure));
    for (uint32_t i = 0; i < N; i++) {
        const fs_request *a = &made.all[i], *b = &again.all[i];
        bool fits = a->input + a->output <= s.context;
        assert_int_equal(b->input, a->input < s.context ? a->input : s.context - 1);
        assert_int_equal(b->output, fits ? a->output : s.context - b->input);
        cut += !fits;
    }
    assert_in_range(cut, N / 20, N / 2);
    /* arrivals do not depend on lengths */
    s.context = 2 * FS_TOKENS_MAX;
    s.input = (fs_length){FS_FIXED, 7, 0, 7, 7};
    ASSERT_OK(fs_requests_make(&s, 5, arena, &again, &failure));
    assert_true(again.all[N - 1].arrival_s == made.all[N - 1].arrival_s);
    assert_int_equal(again.all[N - 1].output, made.all[N - 1].output);
    fs_arena_free(arena);
}

/* ---- what only a topology can refuse ------------------------------------------------------------------------------- */

static void models_must_fit(void **state)
{
    (void)state;
    static const char requests[] = "\"rate\":1,\"count\":2,\"input\":10,\"output\":5";
    const char *text =
        refuse("gpus:2 nvlink:1GB/s", "{\"name\":\"x\",\"kv\":{\"blocks\":100000000}}", requests, "", FS_E_TRACE);
    assert_non_null(
        strstr(text, "pool 'x': the model does not fit: 0.0 GB of weights and 819 GB for 100000000 blocks"));
    text = refuse("gpus:2 nvlink:1GB/s", "{\"replicas\":3}", requests, "", FS_E_TRACE);
    assert_non_null(strstr(text, "the trace has 3 ranks, the topology 2 GPUs"));
}

static void options_that_do_not_apply(void **state)
{
    (void)state;
    fs_topo *topo = make_topo("gpus:2 nvlink:1GB/s");
    fs_work *work = NULL;
    fs_result result = {0};
    ASSERT_OK(parse(TINY_MODEL "," ENGINES REQUESTS, &work));
    fs_run_options options = ideal();
    options.network = FS_BACKEND_CM02;
    assert_int_equal(fs_serve_run(topo, work, &options, &result, &failure), FS_E_USAGE);
    options = ideal();
    options.timeline = "t.json";
    assert_int_equal(fs_serve_run(topo, work, &options, &result, &failure), FS_E_USAGE);
    options = ideal();
    options.max_events = 3;
    assert_int_equal(fs_serve_run(topo, work, &options, &result, &failure), FS_E_SIM);
    fs_work_free(work);
    fs_topo_free(topo);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(defaults),
                                       cmocka_unit_test(stored_formats),
                                       cmocka_unit_test(engines_are_checked),
                                       cmocka_unit_test(requests_are_checked),
                                       cmocka_unit_test(azure_files),
                                       cmocka_unit_test(azure_errors),
                                       cmocka_unit_test(mooncake_files),
                                       cmocka_unit_test(distributions),
                                       cmocka_unit_test(models_must_fit),
                                       cmocka_unit_test(options_that_do_not_apply)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
