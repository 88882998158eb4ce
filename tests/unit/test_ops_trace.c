/* Ops traces: what is read, and every error with its place. */
#include "base/mem.h"
#include "work/work.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static fs_err err;

static fs_status parse(const char *json, fs_work **work)
{
    *work = NULL;
    return fs_work_parse("t.json", json, strlen(json), NULL, 0, work, &err);
}

static fs_work *good(const char *json)
{
    fs_work *work;
    if (parse(json, &work) != FS_OK)
        fail_msg("%u:%u: %s", err.line, err.column, err.text);
    return work;
}

static const fs_op *op(const fs_work *w, uint32_t i)
{
    return &w->programs[0].ops[i];
}

#define NEAR(a, b) assert_true(fabs((a) - (b)) <= 1e-15 * fabs(b))

static void every_kind_of_op(void **state)
{
    (void)state;
    fs_work *w = good(
        "{\"fabsim\": \"trace/1\", \"kind\": \"ops\", \"name\": \"n\", \"note\": \"hello\", \"ranks\": 4,\n"
        " \"placement\": [3, 2, 1, 0],\n"
        " \"groups\": {\"world\": \"all\", \"tp\": [[0, 1], [2, 3]], \"dp\": {\"size\": 2, \"stride\": 2}, \"some\": "
        "\"0-1,3\"},\n"
        " \"totals\": {\"model_flops\": 1e15, \"tokens\": 8192, \"dtype\": \"bf16\", \"memory\": {\"weights\": "
        "\"1GB\"}},\n"
        " \"programs\": [{\"name\": \"p\", \"ranks\": [0, 1, 3], \"ops\": [\n"
        "  {\"op\": \"compute\", \"id\": \"fwd\", \"name\": \"forward\", \"duration_us\": 100, \"stream\": "
        "\"compute\", \"phase\": \"forward\"},\n"
        "  {\"op\": \"compute\", \"flops\": \"2TFLOP\", \"bytes\": \"1GB\", \"dtype\": \"fp8\", \"after\": \"last\"},\n"
        "  {\"op\": \"all_reduce\", \"group\": \"some\", \"size_bytes\": \"64MiB\", \"stream\": \"comm\", \"after\": "
        "[\"fwd\"], \"algo\": "
        "\"ring\", \"proto\": \"LL128\", \"sm_share\": 0.25},\n"
        "  {\"op\": \"broadcast\", \"group\": \"some\", \"root\": 2, \"size_bytes\": 5, \"stream\": \"comm\"},\n"
        "  {\"op\": \"barrier\", \"group\": \"some\", \"stream\": \"comm\"},\n"
        "  {\"op\": \"delay\", \"duration_s\": 0.5, \"stream\": \"comm\"},\n"
        "  {\"op\": \"send\", \"group\": \"some\", \"shift\": 1, \"size_bytes\": 9, \"tag\": 4294967295, \"stream\": "
        "\"s\"},\n"
        "  {\"op\": \"recv\", \"group\": \"some\", \"shift\": -1, \"size_bytes\": 9, \"tag\": 4294967295, \"stream\": "
        "\"r\"},\n"
        "  {\"op\": \"all_gather\", \"group\": \"some\", \"size_bytes\": 5, \"stream\": \"comm\"},\n"
        "  {\"op\": \"reduce_scatter\", \"group\": \"some\", \"size_bytes\": 5, \"stream\": \"comm\"},\n"
        "  {\"op\": \"all_to_all\", \"group\": \"some\", \"size_bytes\": 5, \"stream\": \"comm\"},\n"
        "  {\"op\": \"reduce\", \"group\": \"some\", \"size_bytes\": 5, \"stream\": \"comm\", \"id\": \"last\"}]}]}\n");
    assert_string_equal(w->kind, "ops");
    assert_string_equal(w->note, "hello");
    assert_int_equal(w->gpu_of[0], 3);
    assert_int_equal(w->n_families, 4);
    assert_int_equal(w->families[1].n_groups, 2);
    assert_int_equal(w->families[3].n_groups, 1);
    assert_int_equal(fs_family_position(&w->families[3], 3), 2);
    assert_int_equal(fs_family_group_of(&w->families[3], 2), FS_NONE);
    NEAR(w->totals.model_flops, 1e15);
    NEAR(w->totals.memory.weights, 1e9);
    assert_int_equal(w->totals.dtype, FS_BF16);
    assert_int_equal(w->programs[0].n_ops, 12);
    assert_int_equal(w->programs[0].n_ranks, 3);
    NEAR(op(w, 0)->duration_s, 100e-6);
    assert_int_equal(op(w, 0)->phase, FS_PHASE_FORWARD);
    assert_string_equal(w->names[op(w, 0)->name], "forward");
    assert_string_equal(w->streams[op(w, 0)->stream], "compute");
    assert_int_equal(op(w, 0)->line, 6);
    assert_int_equal(op(w, 0)->column, 3);
    assert_true(op(w, 1)->duration_s < 0);
    NEAR(op(w, 1)->flops, 2e12);
    assert_int_equal(op(w, 1)->dtype, FS_FP8);
    assert_string_equal(w->names[op(w, 1)->name], "compute");
    assert_string_equal(w->streams[op(w, 1)->stream], "main");
    assert_int_equal(w->programs[0].deps[w->programs[0].dep_begin[1]], 11);
    assert_int_equal(op(w, 2)->algo, FS_ALGO_RING);
    assert_int_equal(op(w, 2)->proto, FS_PROTO_LL128);
    NEAR(op(w, 2)->size_bytes, 67108864.0);
    assert_true(op(w, 2)->sm_share == 0.25f);
    assert_int_equal(op(w, 3)->root, 2);
    assert_int_equal(op(w, 4)->coll, FS_BARRIER);
    NEAR(op(w, 5)->duration_s, 0.5);
    assert_int_equal(op(w, 6)->tag, UINT32_MAX);
    assert_int_equal(op(w, 7)->peer, -1);
    assert_int_equal(op(w, 10)->coll, FS_ALL_TO_ALL);
    assert_string_equal(w->names[op(w, 11)->name], "last");
    fs_work_free(w);
}

static void defaults(void **state)
{
    (void)state;
    fs_work *w = good(
        "{\"fabsim\":\"trace/1\",\"kind\":\"ops\",\"ranks\":3,\"programs\":[{\"ops\":[{\"op\":\"all_reduce\",\"group\":"
        "\"world\",\"size_bytes\":8}]}]}");
    assert_string_equal(w->programs[0].name, "program 0");
    assert_int_equal(w->programs[0].n_ranks, 3);
    assert_int_equal(op(w, 0)->algo, FS_ALGO_AUTO);
    assert_int_equal(op(w, 0)->line, 1);
    assert_int_equal(op(w, 0)->column, 64);
    fs_work_free(w);
}

/* ---- errors ------------------------------------------------------------------------------------------------------ */

static void bad(const char *json, uint32_t line, uint32_t column, const char *message)
{
    fs_work *work;
    assert_int_equal(parse(json, &work), FS_E_TRACE);
    assert_null(work);
    if (strcmp(err.text, message) != 0 || err.line != line || err.column != column)
        fail_msg("\n  for: %s\nfound: %u:%u: %s\n  not: %u:%u: %s", json, err.line, err.column, err.text, line, column,
                 message);
    assert_string_equal(err.file, "t.json");
}

/* The rest of a two-rank trace behind its head; errors in it are on line 2. */
static void bad_body(const char *body, uint32_t column, const char *message)
{
    char json[4096];
    snprintf(json, sizeof json, "{\"fabsim\":\"trace/1\",\"kind\":\"ops\",\"ranks\":2,\n%s}", body);
    bad(json, 2, column, message);
}

/* Ops of the only program; the first begins at column 1 of line 3. */
static void bad_ops(const char *ops, uint32_t column, const char *message)
{
    char json[4096];
    snprintf(json, sizeof json,
             "{\"fabsim\":\"trace/1\",\"kind\":\"ops\",\"ranks\":2,\n\"programs\":[{\"ops\":[\n%s]}]}", ops);
    bad(json, 3, column, message);
}

static void bad_heads(void **state)
{
    (void)state;
    bad("[]", 1, 1, "no fabsim trace: it starts with {\"fabsim\": \"trace/1\", \"kind\": ...");
    bad("{\"ranks\":1}", 1, 1, "no fabsim trace: it starts with {\"fabsim\": \"trace/1\", \"kind\": ...");
    bad("{\"fabsim\":\"trace/2\"}", 1, 11, "unknown trace version, expected \"trace/1\"");
    bad("{\"fabsim\":1}", 1, 11, "unknown trace version, expected \"trace/1\"");
    bad("{\"fabsim\":\"trace/1\",\"kind\":\"opps\"}", 1, 28, "unknown kind 'opps' (did you mean 'ops'?)");
    bad("{\"fabsim\":\"trace/1\",\"kind\":\"ops\"}", 1, 1, "missing key 'ranks'");
    bad_body("\"programs\":[], \"rank\":3", 16, "unknown key 'rank' (did you mean 'ranks'?)");
    bad_body("\"programs\":[]", 12, "an ops trace needs 'programs', a list of at least one");
    bad("{\"fabsim\":\"trace/1\",\"kind\":\"ops\",\"ranks\":1000000000}", 1, 42,
        "'ranks' is 1000000000, expected an integer from 1 to 4194304");
    bad("{\"fabsim\":\"trace/1\",\"kind\":\"ops\",\"ranks\":0}", 1, 42,
        "'ranks' is 0, expected an integer from 1 to 4194304");
    bad("{\"fabsim\":\"trace/1\",\"kind\":\"ops\",\"ranks\":1.5}", 1, 42,
        "'ranks' is 1.5, expected an integer from 1 to 4194304");
    bad_body("\"name\":7", 8, "'name' is 7, expected a string");
    bad_body("\"totals\":7", 10, "expected an object");
    bad_body("\"totals\":{\"memory\":7}", 20, "expected an object");
    bad_body("\"totals\":{\"tokns\":7}", 11, "unknown key 'tokns' (did you mean 'tokens'?)");
}

static void bad_placements(void **state)
{
    (void)state;
    bad_body("\"placement\":[0]", 13, "expected a list of 2 GPU numbers, one for each rank");
    bad_body("\"placement\":[1,1]", 16, "ranks 0 and 1 are both placed on GPU 1");
    bad_body("\"placement\":[1,-1]", 16, "expected a GPU number, 0 to 4194303");
    bad_body("\"placement\":[1,\"2\"]", 16, "expected a GPU number, 0 to 4194303");
    bad_body("\"placement\":[0.5,1]", 14, "expected a GPU number, 0 to 4194303");
}

static void bad_groups(void **state)
{
    (void)state;
    bad_body("\"groups\":[]", 10, "expected an object: group names and who is in them");
    bad_body("\"groups\":{\"a\":5}", 15, "expected \"all\", sets of ranks, or {\"size\": .., \"stride\": ..}");
    bad_body("\"groups\":{\"a\":[0,2]}", 18, "rank 2, but there are 2 ranks");
    bad_body("\"groups\":{\"a\":[0,0,1]}", 20, "more members than there are ranks (2)");
    bad_body("\"groups\":{\"a\":[0,0]}", 15, "group 'a' holds rank 0 twice; its sets must be disjoint");
    bad_body("\"groups\":{\"a\":[[0],[0]]}", 15, "group 'a' holds rank 0 twice; its sets must be disjoint");
    bad_body("\"groups\":{\"a\":[]}", 15, "group 'a' has an empty set of ranks");
    bad_body("\"groups\":{\"a\":[[0],5]}", 20, "expected a set of ranks: \"all\", a list, or \"0-3,6\"");
    bad_body("\"groups\":{\"a\":[0,\"1\"]}", 18, "expected a rank: 0, 1, 2, ...");
    bad_body("\"groups\":{\"a\":[0.5]}", 16, "expected a rank: 0, 1, 2, ...");
    bad_body("\"groups\":{\"a\":\"0-\"}", 15,
             "'0-' is no set of ranks; expected \"all\", a list of ranks, or ranges such as \"0-3,6\"");
    bad_body("\"groups\":{\"a\":\"1-0\"}", 15,
             "'1-0' is no set of ranks; expected \"all\", a list of ranks, or ranges such as \"0-3,6\"");
    bad_body("\"groups\":{\"a\":\"0,\"}", 15,
             "'0,' is no set of ranks; expected \"all\", a list of ranks, or ranges such as \"0-3,6\"");
    bad_body("\"groups\":{\"a\":\"\"}", 15,
             "'' is no set of ranks; expected \"all\", a list of ranks, or ranges such as \"0-3,6\"");
    bad_body("\"groups\":{\"a\":\"0-9999999999\"}", 15,
             "'0-9999999999' is no set of ranks; expected \"all\", a list of ranks, or ranges such as \"0-3,6\"");
    bad_body("\"groups\":{\"a\":\"0-999999999\"}", 15, "rank 2, but there are 2 ranks");
    bad_body("\"groups\":{\"a\":{\"size\":2,\"stride\":2}}", 15,
             "group 'a': size 2 x stride 2 does not divide 2 ranks");
    bad_body("\"groups\":{\"a\":{\"stride\":2}}", 15, "missing key 'size'");
    bad_body("\"groups\":{\"a\":{\"sise\":2}}", 16, "unknown key 'sise' (did you mean 'size'?)");
    bad_body("\"groups\":{\"world\":[0]}", 19, "group 'world' is defined twice");
    bad_body("\"groups\":{\"a\":{\"size\":[2],\"stride\":1}}", 15,
             "'size' is a list, so 'stride' is one of as many numbers");
    bad_body("\"groups\":{\"a\":{\"size\":[2],\"stride\":[1,2]}}", 36, "1 sizes, but 2 strides");
    bad_body("\"groups\":{\"a\":{\"size\":[1,1,1,1,1],\"stride\":[1]}}", 32, "at most 4 sizes and strides");
    bad_body("\"groups\":{\"a\":{\"size\":[3],\"stride\":[1]}}", 24, "expected a whole number, 1 to 2");
    bad_body("\"groups\":{\"a\":{\"size\":[],\"stride\":[]}}", 15, "group 'a' has 0 digits, expected 1 to 4");
    bad_body("\"groups\":{\"a\":{\"size\":[2,1],\"stride\":[1,1]}}", 15,
             "group 'a': stride 1 is no multiple of the size x stride before it, 2");
}

static void bad_lists(void **state)
{
    (void)state;
    bad_body("\"kernels\":5", 11, "'kernels' is an object: names and their lists");
    bad_body("\"loads\":{\"a\":5}", 14, "expected a list");
    bad_body("\"kernels\":{\"a\":[5]}", 17, "expected a kernel: {\"flops\": .., \"bytes\": ..}");
    bad_body("\"kernels\":{\"a\":[{\"flop\":1}]}", 18, "unknown key 'flop' (did you mean 'flops'?)");
    bad_body("\"kernels\":{\"a\":[{\"count\":0}]}", 26, "'count' is 0, expected an integer from 1 to 1048576");
    bad_body("\"loads\":{\"a\":[1,-1]}", 17, "expected a share: a number that is not negative");
    bad_body("\"loads\":{\"a\":[]}", 14, "the shares of a load sum to nothing, or to more than a number holds");
    bad_body("\"loads\":{\"a\":[0,0]}", 14, "the shares of a load sum to nothing, or to more than a number holds");
    bad_ops("{\"op\":\"compute\",\"kernels\":\"k\"}", 27, "no list 'k' among the trace's 'kernels'");
    bad_ops("{\"op\":\"compute\",\"kernels\":5}", 27, "'kernels' takes a list, or the name of one");
    bad_ops("{\"op\":\"compute\",\"kernels\":[],\"flops\":1}", 17,
            "'kernels' have flops, bytes and dtype of their own");
    bad_ops("{\"op\":\"all_to_all\",\"group\":\"world\",\"size_bytes\":1,\"load\":\"even\"}", 58,
            "no list 'even' among the trace's 'loads'");
    bad_ops("{\"op\":\"all_to_all\",\"group\":\"world\",\"size_bytes\":1,\"load\":[1,1,1]}", 1,
            "the load has 3 shares, but not every group of 'world' has 3 ranks");
    bad_ops("{\"op\":\"all_to_all\",\"group\":\"world\",\"size_bytes\":1,\"transpose\":true}", 51,
            "'transpose' goes with 'load'");
    bad_ops("{\"op\":\"all_to_all\",\"group\":\"world\",\"size_bytes\":1,\"top_k\":2}", 51,
            "'top_k' and 'top_domains' go with \"algo\": \"forwarded\"");
    bad_ops("{\"op\":\"all_to_all\",\"group\":\"world\",\"size_bytes\":1,\"algo\":\"forwarded\",\"top_domains\":-1}",
            84, "'top_domains' is -1, expected an integer from 0 to 65535");
    bad_ops("{\"op\":\"all_reduce\",\"group\":\"world\",\"size_bytes\":1,\"load\":[1,1]}", 51, "unknown key 'load'");
}

static void kernel_lists_and_loads(void **state)
{
    (void)state;
    fs_work *w = good("{\"fabsim\": \"trace/1\", \"kind\": \"ops\", \"ranks\": 8,\n"
                      " \"groups\": {\"ep\": {\"size\": [2, 2], \"stride\": [1, 4]}},\n"
                      " \"kernels\": {\"layer\": [{\"name\": \"qkv\", \"flops\": \"1GFLOP\", \"dtype\": \"fp8\"}, "
                      "{\"bytes\": \"1MB\", \"count\": 3}]},\n"
                      " \"loads\": {\"skew\": [1, 1, 2, 4]},\n"
                      " \"programs\": [{\"ops\": [{\"op\": \"compute\", \"kernels\": \"layer\"},\n"
                      "  {\"op\": \"compute\", \"kernels\": [{\"flops\": 1}]},\n"
                      "  {\"op\": \"compute\", \"kernels\": [{\"flops\": 1}]},\n"
                      "  {\"op\": \"all_to_all\", \"group\": \"ep\", \"size_bytes\": 80, \"load\": \"skew\"},\n"
                      "  {\"op\": \"all_to_all\", \"group\": \"ep\", \"size_bytes\": 80, \"load\": [2, 2, 4, 8], "
                      "\"transpose\": true}]}]}");
    assert_int_equal(w->n_kernel_lists, 2);
    assert_int_equal(op(w, 0)->kernels, 0);
    assert_int_equal(op(w, 1)->kernels, 1);
    assert_int_equal(op(w, 2)->kernels, 1); /* equal lists are one */
    const fs_kernel *k = w->kernel_lists[0].kernels;
    assert_int_equal(w->kernel_lists[0].n, 2);
    NEAR(k[0].flops, 1e9);
    NEAR(k[1].bytes, 1e6);
    assert_int_equal(k[0].dtype, FS_FP8);
    assert_int_equal(k[1].count, 3);
    assert_string_equal(w->names[k[0].name], "qkv");
    assert_int_equal(w->n_loads, 1); /* the same shares */
    assert_int_equal(op(w, 4)->load, 0);
    assert_true(op(w, 4)->transpose && !op(w, 3)->transpose);
    NEAR(fs_load_bytes(&w->loads[0], false, 4, 80, 0, 3), 40.0);
    NEAR(fs_load_bytes(&w->loads[0], true, 4, 80, 0, 3), 10.0);
    NEAR(fs_load_bytes(NULL, false, 4, 80, 0, 3), 20.0);
    const fs_family *ep = &w->families[1]; /* ranks 0 1 4 5, and 2 3 6 7 */
    assert_int_equal(ep->n_groups, 2);
    assert_int_equal(fs_family_size(ep, 1), 4);
    assert_int_equal(fs_family_member(ep, 1, 2), 6);
    for (uint32_t rank = 0; rank < 8; rank++)
        assert_int_equal(fs_family_member(ep, fs_family_group_of(ep, rank), fs_family_position(ep, rank)), rank);
    fs_work_free(w);
}

#define KERNELS(list) "{\"op\":\"compute\",\"kernels\":[" list "]}"

static void kernels_have_shapes(void **state)
{
    (void)state;
    fs_work *w = good("{\"fabsim\": \"trace/1\", \"kind\": \"ops\", \"ranks\": 1, \"programs\": [{\"ops\": [\n" KERNELS(
        "{\"gemm\":[256,512,1024],\"dtype\":\"bf16\"}, {\"gemm\":[2,3,4,5],\"flops\":1},"
        "{\"attention\":[1,8,8,4,2,64],\"causal\":true,\"kv_dtype\":\"fp8\"}, {\"duration_us\":3}") "]}]}");
    const fs_kernel *k = w->kernel_lists[0].kernels;
    NEAR(k[0].flops, 2.0 * 256 * 512 * 1024);
    NEAR(k[0].bytes, 2.0 * (256 * 1024 + 1024 * 512 + 256 * 512));
    assert_int_equal(k[0].shape.kind, FS_KERNEL_GEMM);
    NEAR(k[1].flops, 1.0); /* what is said counts */
    NEAR(k[1].shape.batch, 5.0);
    NEAR(k[2].flops, 4.0 * 64 * 4 * 8 * (8 - 3.5));
    NEAR(k[2].bytes, 8 * 4 * 128 * 2.0 + 8 * 2 * 128);
    NEAR(k[2].shape.value_dim, 64.0);
    NEAR(k[3].measured_s, 3e-6);
    fs_work_free(w);
    bad_ops(KERNELS("{\"gemm\":[256,512]}"), 36, "gemm takes 3 or more sizes, found 2");
    bad_ops(KERNELS("{\"gemm\":[256,512,0]}"), 36, "k must be above 0 and at most 1e15, found 0");
    bad_ops(KERNELS("{\"gemm\":7}"), 36, "expected a shape: \"gemm\": [m, n, k]");
    bad_ops(KERNELS("{\"gemm\":[1,1,1],\"quantise\":[1,1]}"), 44, "a kernel has one shape, this one has two");
    bad_ops(KERNELS("{\"gemm\":[1,1,1],\"causal\":true}"), 36,
            "a causal mask needs attention with as many keys as queries, or more");
    bad_ops(KERNELS("{\"attention\":[1,8,8,2,4,64]}"), 41, "more kv_heads (4) than heads (2)");
}

static void bad_programs(void **state)
{
    (void)state;
    bad_body("\"programs\":[5]", 13, "expected a program: {\"ranks\": .., \"ops\": [..]}");
    bad_body("\"programs\":[{}]", 13, "a program needs 'ops', a list");
    bad_body("\"programs\":[{\"ops\":{}}]", 20, "a program needs 'ops', a list");
    bad_body("\"programs\":[{\"opps\":[]}]", 14, "unknown key 'opps' (did you mean 'ops'?)");
    bad_body("\"programs\":[{\"ranks\":[],\"ops\":[]}]", 22, "a program that no rank runs");
    bad_body("\"programs\":[{\"ranks\":[0,0],\"ops\":[]}]", 22, "rank 0 has two programs, 'program 0' and 'program 0'");
    bad_body("\"programs\":[{\"ops\":[]},{\"name\":\"b\",\"ops\":[]}]", 24,
             "rank 0 has two programs, 'program 0' and 'b'");
}

static void bad_ops_of_all_kinds(void **state)
{
    (void)state;
    bad_ops("7", 1, "expected an op: {\"op\": \"all_reduce\", ...}");
    bad_ops("{}", 1, "missing key 'op'");
    bad_ops("{\"op\":\"all_redcue\"}", 7, "unknown op 'all_redcue' (did you mean 'all_reduce'?)");
    bad_ops("{\"op\":\"delay\",\"duration\":5}", 15, "unknown key 'duration' (did you mean 'duration_s'?)");
    bad_ops("{\"op\":\"delay\",\"group\":\"world\"}", 15, "unknown key 'group'");
    bad_ops("{\"op\":\"delay\"}", 1, "a delay needs 'duration_us'");
    bad_ops("{\"op\":\"delay\",\"duration_us\":-1}", 29, "'duration_us' is -1, expected a value from 0 to 1e+15");
    bad_ops("{\"op\":\"delay\",\"duration_us\":1e16}", 29, "'duration_us' is 1e+16, expected a value from 0 to 1e+15");
    bad_ops("{\"op\":\"delay\",\"duration_us\":1,\"duration_s\":1}", 31,
            "either 'duration_us' or 'duration_s', not both");
    bad_ops("{\"op\":\"compute\"}", 1, "a compute op needs 'duration_us', or 'flops' and 'bytes', or 'kernels'");
    bad_ops("{\"op\":\"compute\",\"duration_us\":1,\"flops\":1}", 33,
            "a compute op has a duration, or flops and bytes, not both");
    bad_ops("{\"op\":\"compute\",\"flops\":\"1GB\"}", 25,
            "'flops': expected an amount of work such as 10GFLOP, found '1GB' with unknown unit 'GB'");
    bad_ops("{\"op\":\"compute\",\"flops\":1,\"dtype\":\"fp61\"}", 35, "unknown dtype 'fp61' (did you mean 'fp64'?)");
    bad_ops("{\"op\":\"compute\",\"flops\":1,\"phase\":\"forwards\"}", 35,
            "unknown phase 'forwards' (did you mean 'forward'?)");
    bad_ops("{\"op\":\"barrier\"}", 1, "barrier needs a 'group'");
    bad_ops("{\"op\":\"barrier\",\"group\":\"wrold\"}", 25, "unknown group 'wrold' (did you mean 'world'?)");
    bad_ops("{\"op\":\"barrier\",\"group\":\"xyz\"}", 25, "unknown group 'xyz'");
    bad_ops("{\"op\":\"barrier\",\"group\":\"\"}", 25, "'group' is empty");
    bad_ops("{\"op\":\"barrier\",\"group\":5}", 25, "'group' is 5, expected a string");
    bad_ops("{\"op\":\"reduce\",\"group\":\"world\"}", 1, "missing key 'size_bytes'");
    bad_ops("{\"op\":\"reduce\",\"group\":\"world\",\"size_bytes\":1e19}", 45,
            "'size_bytes' is 1e+19, expected a value from 0 to 1e+18 bytes");
    bad_ops("{\"op\":\"reduce\",\"group\":\"world\",\"size_bytes\":1,\"root\":2}", 54,
            "'root' is 2, expected an integer from 0 to 1");
    bad_ops("{\"op\":\"reduce\",\"group\":\"world\",\"size_bytes\":1,\"algo\":\"rings\"}", 54,
            "unknown algo 'rings' (did you mean 'ring'?)");
    bad_ops("{\"op\":\"reduce\",\"group\":\"world\",\"size_bytes\":1,\"sm_share\":1}", 58,
            "'sm_share' is 1, expected a number from 0 to 0.9999");
    bad_ops("{\"op\":\"send\",\"size_bytes\":1}", 1, "send needs either 'to', or 'group' and 'shift'");
    bad_ops("{\"op\":\"recv\",\"size_bytes\":1,\"from\":1,\"shift\":1}", 1,
            "recv needs either 'from', or 'group' and 'shift'");
    bad_ops("{\"op\":\"recv\",\"size_bytes\":1,\"to\":1}", 29, "unknown key 'to'");
    bad_ops("{\"op\":\"recv\",\"size_bytes\":1,\"from\":1,\"group\":\"world\"}", 38,
            "'group' goes with 'shift', not with 'from'");
    bad_ops("{\"op\":\"send\",\"size_bytes\":1,\"shift\":1}", 1, "send needs a 'group'");
    bad_ops("{\"op\":\"send\",\"size_bytes\":1,\"group\":\"world\",\"shift\":0.5}", 53,
            "'shift' is a whole number of positions in the group");
    bad_ops("{\"op\":\"send\",\"size_bytes\":1,\"to\":2}", 34, "'to' is 2, expected an integer from 0 to 1");
    bad_ops("{\"op\":\"send\",\"size_bytes\":1,\"to\":1,\"tag\":-1}", 42,
            "'tag' is -1, expected an integer from 0 to 4294967295");
}

static void bad_dependencies(void **state)
{
    (void)state;
    bad_ops("{\"op\":\"delay\",\"duration_us\":1,\"id\":\"a\"},{\"op\":\"delay\",\"duration_us\":1,\"id\":\"a\"}", 76,
            "id 'a' is used twice in this program");
    bad_ops("{\"op\":\"delay\",\"duration_us\":1,\"id\":\"first\"},{\"op\":\"delay\",\"duration_us\":1,\"after\":"
            "\"frist\"}",
            83, "no op of this program has id 'frist' (did you mean 'first'?)");
    bad_ops("{\"op\":\"delay\",\"duration_us\":1,\"after\":[\"x\"]}", 40, "no op of this program has id 'x'");
    bad_ops("{\"op\":\"delay\",\"duration_us\":1,\"after\":[7]}", 40,
            "'after' takes the id of an op, or a list of them");
    bad_ops("{\"op\":\"delay\",\"duration_us\":1,\"id\":\"\"}", 36, "'id' is empty");
    bad_ops("{\"op\":\"delay\",\"duration_us\":1,\"id\":\"a\",\"after\":\"b\"},{\"op\":\"delay\",\"duration_us\":1,"
            "\"id\":\"b\"}",
            1,
            "program 'program 0' has a cycle of ops that wait for each other: 'a' -> 'b' -> 'a'"
            "\n-> reads 'waits for'; an op also waits for the one before it on its stream");
    bad_ops("{\"op\":\"delay\",\"duration_us\":1}, {\"op\":\"send\",\"to\":1,\"size_bytes\":3,\"id\":\"s\"}", 33,
            "rank 1 sends to itself: 's'");
}

/* Places are those of the file, whatever its strings hold. */
static void escaped_line_feeds_are_no_lines(void **state)
{
    (void)state;
    bad("{\"fabsim\":\"trace/1\",\"kind\":\"ops\",\"name\":\"a\\nb\",\"ranks\":2,\n\"programs\":[{\"ops\":[\n"
        "{\"op\":\"barrier\",\"group\":\"world\",\"name\":\"\\n\\n\"},\n{\"op\":\"send\",\"to\":1,\"size_bytes\":1,"
        "\"name\":\"s\"}]}]}",
        4, 1, "rank 1 sends to itself: 's'");
}

static void more_streams_than_there_may_be(void **state)
{
    (void)state;
    static char json[200000];
    int n =
        snprintf(json, sizeof json, "{\"fabsim\":\"trace/1\",\"kind\":\"ops\",\"ranks\":1,\"programs\":[{\"ops\":[\n");
    for (int i = 0; i <= 1024; i++)
        n += snprintf(json + n, sizeof json - (size_t)n, "%s{\"op\":\"delay\",\"duration_us\":1,\"stream\":\"s%d\"}\n",
                      i ? "," : "", i);
    snprintf(json + n, sizeof json - (size_t)n, "]}]}");
    bad(json, 1026, 41, "more than 1024 streams");
}

static void overrides_change_the_trace_and_its_hash(void **state)
{
    (void)state;
    const char *json =
        "{\"fabsim\":\"trace/"
        "1\",\"kind\":\"ops\",\"ranks\":2,\"programs\":[{\"ops\":[{\"op\":\"delay\",\"duration_us\":1}]}]}";
    fs_trace_override twice = {"programs.0.ops.0.duration_us", "2"}, none = {"programs.0.ops.7.duration_us", "2"};
    fs_work *a = good(json), *b = NULL;
    assert_int_equal(fs_work_parse("t.json", json, strlen(json), &twice, 1, &b, &err), FS_OK);
    NEAR(op(b, 0)->duration_s, 2e-6);
    assert_true(a->hash != b->hash);
    fs_work_free(a);
    fs_work_free(b);
    assert_int_not_equal(fs_work_parse("t.json", json, strlen(json), &none, 1, &b, &err), FS_OK);
}

static void what_nccl_may_do_is_read(void **state)
{
    (void)state;
    const char *json = "{\"fabsim\":\"trace/1\",\"kind\":\"ops\",\"ranks\":1,\"nccl\":{\"sharp\":true},"
                       "\"programs\":[{\"ops\":[{\"op\":\"delay\",\"duration_us\":1}]}]}";
    fs_work *w = good(json), *bad = NULL;
    assert_true(w->nccl.sharp && !w->nccl.registered);
    fs_work_free(w);
    const char *wrong = "{\"fabsim\":\"trace/1\",\"kind\":\"ops\",\"ranks\":1,\"nccl\":[],\"programs\":[]}";
    assert_int_not_equal(fs_work_parse("t.json", wrong, strlen(wrong), NULL, 0, &bad, &err), FS_OK);
}

static void missing_files_are_io_errors(void **state)
{
    (void)state;
    fs_work *w;
    assert_int_equal(fs_work_load("no/such/file.json", NULL, 0, &w, &err), FS_E_IO);
}

static void every_failed_allocation_is_clean(void **state)
{
    (void)state;
    const char *json =
        "{\"fabsim\":\"trace/"
        "1\",\"kind\":\"ops\",\"ranks\":2,\"placement\":[1,0],\"groups\":{\"g\":[[0,1]],\"h\":\"0\",\"d\":"
        "{\"size\":[1,2],\"stride\":[1,1]}},\"kernels\":{\"k\":[{\"flops\":1}]},\"loads\":{\"l\":[1,2]},\"programs\":["
        "{\"ops\":[{\"op\":\"compute\",\"kernels\":\"k\"},{\"op\":\"compute\",\"kernels\":[{\"flops\":2}]},"
        "{\"op\":\"all_to_all\",\"group\":\"g\",\"size_bytes\":1,\"load\":\"l\"},{\"op\":\"delay\",\"duration_us\":1,"
        "\"id\":\"x\",\"after\":\"y\"},"
        "{\"op\":\"all_reduce\",\"group\":\"g\",\"size_bytes\":1,\"id\":\"y\",\"stream\":\"b\"}]}]}";
    uint64_t before = fs_mem_live();
    fs_status status = FS_E_NOMEM;
    for (uint64_t n = 1; status != FS_OK; n++) {
        fs_work *w;
        fs_mem_fail_after(n);
        status = parse(json, &w);
        fs_mem_fail_after(0);
        fs_work_free(w);
        assert_int_equal(fs_mem_live(), before);
        assert_true(status == FS_OK || status == FS_E_NOMEM);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_kind_of_op),
        cmocka_unit_test(defaults),
        cmocka_unit_test(bad_heads),
        cmocka_unit_test(bad_placements),
        cmocka_unit_test(bad_groups),
        cmocka_unit_test(bad_lists),
        cmocka_unit_test(kernel_lists_and_loads),
        cmocka_unit_test(kernels_have_shapes),
        cmocka_unit_test(bad_programs),
        cmocka_unit_test(bad_ops_of_all_kinds),
        cmocka_unit_test(bad_dependencies),
        cmocka_unit_test(escaped_line_feeds_are_no_lines),
        cmocka_unit_test(more_streams_than_there_may_be),
        cmocka_unit_test(overrides_change_the_trace_and_its_hash),
        cmocka_unit_test(what_nccl_may_do_is_read),
        cmocka_unit_test(missing_files_are_io_errors),
        cmocka_unit_test(every_failed_allocation_is_clean),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
