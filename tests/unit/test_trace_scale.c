/* test_trace_scale.c - the same training job on more GPUs and fewer. */
#include "base/mem.h"
#include "work/trace.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static fs_err err;

static fs_json_doc *read_doc(const char *json)
{
    fs_json_doc *doc = NULL;
    if (fs_json_parse("t.json", json, strlen(json), FS_E_TRACE, &doc, &err) != FS_OK)
        fail_msg("%s", err.text);
    return doc;
}

static double member(const fs_json_doc *doc, const char *object, const char *key)
{
    return fs_json_number(fs_json_get(fs_json_get(fs_json_root(doc), object), key));
}

#define TRACE(parallel, batch, more)                                                                                   \
    "{\"fabsim\":\"trace/1\",\"kind\":\"training\",\"parallel\":{" parallel "},\"batch\":{" batch "}" more "}"

static void expect(const char *json, uint32_t ranks, fs_scaling asked, fs_scaling meant, const char *key, double size,
                   double batch)
{
    fs_json_doc *doc = read_doc(json);
    if (fs_trace_scale(doc, ranks, &asked, &err) != FS_OK)
        fail_msg("%s: %s", err.file, err.text);
    assert_int_equal(asked, meant);
    assert_int_equal((int)member(doc, "parallel", key), (int)size);
    assert_int_equal((int)member(doc, "batch", "global"), (int)batch);
    fs_json_free(doc);
}

static const char usual[] = TRACE("\"tp\":8,\"pp\":2,\"dp\":4", "\"global\":64,\"micro\":2", "");

static void data_parallelism_grows_and_shrinks(void **state)
{
    (void)state;
    expect(usual, 128, FS_SCALING_AUTO, FS_SCALING_WEAK, "dp", 8, 128);
    expect(usual, 16, FS_SCALING_WEAK, FS_SCALING_WEAK, "dp", 1, 16);
    expect(usual, 128, FS_SCALING_STRONG, FS_SCALING_STRONG, "dp", 8, 64);
    expect(usual, 64, FS_SCALING_AUTO, FS_SCALING_WEAK, "dp", 4, 64);
}

static void what_is_missing_is_one(void **state)
{
    (void)state;
    expect(TRACE("\"tp\":4", "\"global\":8", ""), 32, FS_SCALING_AUTO, FS_SCALING_WEAK, "dp", 8, 64);
}

static void replicas_follow_from_the_gpus(void **state)
{
    (void)state;
    static const char json[] = TRACE("\"tp\":4,\"pp\":2,\"gpus\":32", "\"global\":8", "");
    expect(json, 64, FS_SCALING_AUTO, FS_SCALING_WEAK, "dp", 8, 16);
    expect(json, 64, FS_SCALING_AUTO, FS_SCALING_WEAK, "gpus", 64, 16);
    expect(TRACE("\"tp\":4,\"pp\":2,\"gpus\":32", "\"global\":8", ",\"scale\":{\"by\":\"pp\"}"), 64, FS_SCALING_AUTO,
           FS_SCALING_WEAK, "pp", 4, 16);
}

static void the_trace_names_the_rule(void **state)
{
    (void)state;
    expect(TRACE("\"tp\":8,\"dp\":4", "\"global\":64", ",\"scale\":{\"mode\":\"strong\"}"), 64, FS_SCALING_AUTO,
           FS_SCALING_STRONG, "dp", 8, 64);
    expect(TRACE("\"tp\":8,\"dp\":4", "\"global\":64", ",\"scale\":{\"mode\":\"strong\"}"), 64, FS_SCALING_WEAK,
           FS_SCALING_WEAK, "dp", 8, 128);
    expect(TRACE("\"tp\":8,\"dp\":4,\"pp\":2", "\"global\":64", ",\"scale\":{\"by\":\"pp\"}"), 128, FS_SCALING_AUTO,
           FS_SCALING_WEAK, "pp", 4, 128);
    expect(TRACE("\"tp\":8,\"dp\":4,\"ep\":2", "\"global\":64", ",\"scale\":{\"by\":\"ep\"}"), 128, FS_SCALING_AUTO,
           FS_SCALING_WEAK, "ep", 8, 256);
    expect(TRACE("\"tp\":8,\"dp\":4,\"ep\":2", "\"global\":64", ",\"scale\":{\"by\":\"ep\"}"), 128, FS_SCALING_AUTO,
           FS_SCALING_WEAK, "dp", 16, 256);
}

static void bad(const char *json, uint32_t ranks, fs_scaling mode, fs_status status, const char *text)
{
    fs_json_doc *doc = read_doc(json);
    fs_scaling asked = mode;
    assert_int_equal(fs_trace_scale(doc, ranks, &asked, &err), status);
    assert_string_equal(err.text, text);
    assert_int_equal(asked, mode);
    if (status == FS_E_USAGE) {
        char origin[32];
        snprintf(origin, sizeof origin, "--scale %u", ranks);
        assert_string_equal(err.file, origin);
    }
    fs_json_free(doc);
}

static void errors_say_why(void **state)
{
    (void)state;
    bad("{\"kind\":\"ops\"}", 8, FS_SCALING_AUTO, FS_E_USAGE, "only a trace of kind \"training\" says how it grows");
    bad("3", 8, FS_SCALING_AUTO, FS_E_USAGE, "only a trace of kind \"training\" says how it grows");
    bad("{\"kind\":\"training\"}", 8, FS_SCALING_AUTO, FS_E_TRACE, "a job that is to grow needs 'parallel'");
    bad("{\"kind\":\"training\",\"scale\":3}", 8, FS_SCALING_AUTO, FS_E_TRACE,
        "expected an object: {\"by\": \"dp\", \"mode\": \"weak\"}");
    bad("{\"kind\":\"training\",\"scale\":{\"bye\":\"dp\"}}", 8, FS_SCALING_AUTO, FS_E_TRACE,
        "unknown key 'bye' (did you mean 'by'?)");
    bad("{\"kind\":\"training\",\"scale\":{\"by\":\"tp\"}}", 8, FS_SCALING_AUTO, FS_E_TRACE,
        "'by' is 'tp', expected one of 'dp', 'ep', 'cp', 'pp'");
    bad(usual, 24, FS_SCALING_AUTO, FS_E_USAGE, "no multiple of tp x cp x pp, 16");
    bad(usual, 0, FS_SCALING_AUTO, FS_E_USAGE, "no multiple of tp x cp x pp, 16");
    bad(usual, 16 * 3, FS_SCALING_STRONG, FS_E_USAGE, "the global batch of 64 is no multiple of micro x dp, 6");
    bad(TRACE("\"dp\":4", "\"global\":2", ""), 3, FS_SCALING_WEAK, FS_E_USAGE,
        "weak scaling from 4 ranks makes the global batch of 2 no whole number");
    bad(TRACE("\"dp\":4,\"ep\":2", "\"global\":4", ",\"scale\":{\"by\":\"ep\"}"), 7, FS_SCALING_WEAK, FS_E_USAGE,
        "makes ep, 2, no whole number");
}

static void a_file_is_loaded_at_its_size(void **state)
{
    (void)state;
    fs_work *small = NULL, *large = NULL;
    fs_scaling mode = FS_SCALING_AUTO;
    static const char path[] = "workloads/megatron-8.3b-tp8.json";
    const fs_trace_override micro = {"batch.micro", "1"};
    assert_int_equal(fs_work_load_scaled(path, &micro, 1, 8, &mode, &small, &err), FS_OK);
    assert_int_equal(mode, FS_SCALING_WEAK);
    assert_int_equal(fs_work_load_scaled(path, &micro, 1, 64, &mode, &large, &err), FS_OK);
    assert_int_equal(small->n_ranks, 8);
    assert_int_equal(large->n_ranks, 64);
    assert_true(large->hash != small->hash);
    assert_true(large->totals.tokens >= 8 * small->totals.tokens && large->totals.tokens <= 8 * small->totals.tokens);
    fs_work_free(small);
    fs_work_free(large);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(data_parallelism_grows_and_shrinks),
        cmocka_unit_test(what_is_missing_is_one),
        cmocka_unit_test(replicas_follow_from_the_gpus),
        cmocka_unit_test(the_trace_names_the_rule),
        cmocka_unit_test(errors_say_why),
        cmocka_unit_test(a_file_is_loaded_at_its_size),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
