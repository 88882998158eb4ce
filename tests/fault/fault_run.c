/* fault_run.c - allocation number 1, 2, 3, ... fails, until a whole run succeeds: each time a clean error, no leak.
 *
 * A run is everything from XML and JSON text to the written reports. What libxml2 keeps for the life of the process is
 * allocated by a first, undisturbed run. */
#include "base/mem.h"
#include "report/report.h"
#include "serve_run.h"
#include "topo/faults.h"
#include "topo/import_hwloc.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static const char topology[] =
    "<fabsim version='topology/1' name='pair'>\n"
    " <parts>\n"
    "  <gpu name='g' arch='volta' memory='16GB' memory-bandwidth='900GB/s' gemm-efficiency='1' memory-efficiency='1'\n"
    "       launch='1us' power='300W' source='test'><peak dtype='fp16' flops='100TFLOP/s'/></gpu>\n"
    "  <link-type name='l' class='nvlink' tier='nvlink' bandwidth='25GB/s' effective='20GB/s' latency='1us' "
    "source='test'/>\n"
    " </parts>\n"
    " <board name='b'><device name='gpu[0-1]' part='g'/><link from='gpu0' to='gpu1' type='l' lanes='2'/></board>\n"
    "</fabsim>\n";

static const char trace[] =
    "{\"fabsim\":\"trace/1\",\"kind\":\"ops\",\"name\":\"t\",\"ranks\":2,"
    "\"programs\":[{\"name\":\"p\",\"ranks\":\"all\",\"ops\":["
    "{\"op\":\"compute\",\"id\":\"a\",\"flops\":1e12,\"bytes\":1e9,\"dtype\":\"fp16\"},"
    "{\"op\":\"all_reduce\",\"group\":\"world\",\"size_bytes\":\"1MiB\",\"stream\":\"comm\",\"after\":[\"a\"],"
    "\"sm_share\":0.1},"
    "{\"op\":\"compute\",\"duration_us\":10}]}]}";

/* Four nodes on a network whose spines become one, and a job that folds: exchanges, an uneven all-to-all, a list of
 * kernels, and a spine, a cable and a GPU that fail on the way and come back. */
static const char network[] =
    "<fabsim version='topology/1' name='net'>\n"
    " <parts>\n"
    "  <gpu name='g' arch='volta' memory='16GB' memory-bandwidth='900GB/s' gemm-efficiency='1' memory-efficiency='1'\n"
    "       launch='1us' power='300W' source='test'><peak dtype='fp16' flops='100TFLOP/s'/></gpu>\n"
    "  <nic name='n' source='test'/><net-switch name='sw' latency='100ns' source='test'/>\n"
    "  <link-type name='l' class='nvlink' tier='nvlink' bandwidth='25GB/s' effective='20GB/s' latency='1us' "
    "source='test'/>\n"
    "  <link-type name='p' class='pcie' tier='pcie' bandwidth='60GB/s' effective='50GB/s' latency='0s' "
    "source='test'/>\n"
    "  <link-type name='w' class='net' tier='net' bandwidth='10GB/s' effective='9GB/s' latency='1us' source='test'/>\n"
    " </parts>\n"
    " <board name='b'><device name='gpu[0-1]' part='g'/><device name='nic[0-1]' part='n'/>"
    "<link from='gpu0' to='gpu1' type='l' lanes='2'/><link from='gpu[0-1]' to='nic[0-1]' type='p' "
    "pair='each'/></board>\n"
    " <system><place board='b' name='node' count='4'/><network name='net' nodes='node' ports='nic[0-1]'>"
    "<tier name='leaf' part='sw' type='w' by='rail' group='2' switches='2'/>"
    "<tier name='spine' part='sw' type='w' switches='3'/></network></system>\n"
    "</fabsim>\n";

static const char folding_trace[] =
    "{\"fabsim\":\"trace/1\",\"kind\":\"ops\",\"name\":\"t\",\"ranks\":8,"
    "\"groups\":{\"node\":{\"size\":2,\"stride\":1},\"rail\":{\"size\":4,\"stride\":2}},"
    "\"kernels\":{\"layer\":[{\"flops\":1e12},{\"bytes\":1e8,\"count\":2}]},\"loads\":{\"skew\":[1,1,2,4]},"
    "\"faults\":[{\"switch\":\"net/spine0\",\"down\":true,\"from_s\":0.01,\"to_s\":0.02},"
    "{\"link\":\"net/leaf[0-1] - net/spine1\",\"speed\":0.5},{\"gpu\":\"[0-1]\",\"speed\":0.5,\"from_s\":0.015}],"
    "\"programs\":[{\"ops\":[{\"op\":\"compute\",\"id\":\"a\",\"kernels\":\"layer\"},"
    "{\"op\":\"send\",\"group\":\"rail\",\"shift\":1,\"size_bytes\":\"64MiB\",\"stream\":\"s\",\"after\":\"a\"},"
    "{\"op\":\"recv\",\"group\":\"rail\",\"shift\":-1,\"size_bytes\":\"64MiB\",\"stream\":\"r\"},"
    "{\"op\":\"all_to_all\",\"group\":\"rail\",\"size_bytes\":\"64MiB\",\"load\":\"skew\",\"stream\":\"c\"},"
    "{\"op\":\"all_reduce\",\"group\":\"rail\",\"size_bytes\":\"64MiB\",\"stream\":\"c\",\"sm_share\":0.1},"
    "{\"op\":\"reduce_scatter\",\"group\":\"node\",\"size_bytes\":\"1MiB\"}]}]}";

/* Prefill and decode apart, experts, prompts that share a prefix, pipelines, speculation, and so few blocks that sequences
 * lose theirs. */
static const char serving_trace[] =
    "{\"fabsim\":\"trace/1\",\"kind\":\"inference\",\"name\":\"s\",\"model\":{\"layers\":2,\"hidden\":64,\"heads\":4,"
    "\"ffn\":128,\"vocab\":64,\"seq\":512,\"moe\":{\"experts\":4,\"top_k\":2,\"ffn\":64,\"skew\":{\"zipf\":1}}},"
    "\"precision\":\"fp16\",\"engines\":[{\"role\":\"prefill\",\"parallel\":{\"tp\":2,\"dp\":2,\"ep\":4},"
    "\"limits\":{\"max_tokens\":40},\"kv\":{\"blocks\":12,\"prefix_cache\":true}},"
    "{\"role\":\"decode\",\"parallel\":{\"tp\":2,\"pp\":2},\"kv\":{\"blocks\":8},"
    "\"speculative\":{\"tokens\":1,\"acceptance\":0.5}}],"
    "\"requests\":{\"arrival\":\"bursts\",\"burst\":6,\"rate\":1000,\"count\":18,\"input\":{\"uniform\":[20,60]},"
    "\"output\":{\"uniform\":[1,60]},\"prefix\":{\"groups\":2,\"tokens\":16}},\"slo\":{\"ttft_s\":1}}";

/* One byte wrong: the errors' paths allocate too. */
static const char bad_trace[] = "{\"fabsim\":\"trace/1\",\"kind\":\"ops\",\"ranks\":2,"
                                "\"programs\":[{\"ranks\":\"all\",\"ops\":[{\"op\":\"comput\"}]}]}";

static fs_status write_reports(const fs_result *result, fs_err *err)
{
    fs_out *out = NULL;
    fs_status status = fs_out_open("/dev/null", &out, err);
    if (status != FS_OK)
        return status;
    const fs_report_meta meta = {.version = "0", .command = "", .stable = true, .top_links = 10};
    fs_report_json(result, &meta, out);
    status = fs_report_text(result, (fs_style){0}, out, err);
    if (status != FS_OK) {
        fs_out_discard(out);
        return status;
    }
    return fs_out_close(out, err);
}

static uint64_t simulated; /* ranks of the last run that ended well */

static fs_status whole_run(const char *xml, const char *json, fs_err *err)
{
    fs_topo *topo = NULL;
    fs_work *work = NULL;
    fs_result result = {0};
    fs_status status = fs_topo_parse("t.xml", xml, strlen(xml), NULL, 0, &topo, err);
    if (status == FS_OK)
        status = fs_work_parse("t.json", json, strlen(json), NULL, 0, &work, err);
    if (status == FS_OK)
        status = fs_topo_apply_faults(topo, work->faults, work->n_faults, err);
    if (status == FS_OK) {
        fs_run_options options = fs_run_default();
        options.timeline = work->inference ? NULL : "/dev/null";
        status = work->inference ? fs_serve_run(topo, work, &options, &result, err)
                                 : fs_run(topo, work, &options, &result, err);
    }
    if (status == FS_OK) {
        status = write_reports(&result, err);
        simulated = result.rank_classes;
        fs_result_free(&result);
    }
    fs_work_free(work);
    fs_topo_free(topo);
    return status;
}

static void fail_each(const char *xml, const char *json, fs_status expected)
{
    fs_err err = {0};
    if (whole_run(xml, json, &err) != expected) /* warm-up */
        fail_msg("%s", err.text);
    for (uint64_t n = 1;; n++) {
        uint64_t before = fs_mem_live();
        fs_mem_fail_after(n);
        fs_status status = whole_run(xml, json, &err);
        fs_mem_fail_after(0);
        if (fs_mem_live() != before)
            fail_msg("allocation %llu fails: %lld blocks leak (%s)", (unsigned long long)n,
                     (long long)(fs_mem_live() - before), err.text);
        if (status == expected) {
            print_message("# %llu allocations\n", (unsigned long long)n);
            return;
        }
        if (status != FS_E_NOMEM)
            fail_msg("allocation %llu fails: status %d, '%s'", (unsigned long long)n, (int)status, err.text);
    }
}

static void a_run_that_works(void **state)
{
    (void)state;
    fail_each(topology, trace, FS_OK);
}

static void a_run_that_folds_and_reroutes(void **state)
{
    (void)state;
    fail_each(network, folding_trace, FS_OK);
    assert_int_equal(simulated, 4); /* of 8: the rails are alike */
}

static void a_run_that_serves(void **state)
{
    (void)state;
    fail_each(network, serving_trace, FS_OK);
}

static void a_run_that_fails(void **state)
{
    (void)state;
    fail_each(topology, bad_trace, FS_E_TRACE);
}

/* hwloc reads its XML through libxml2 too, and makes of memory that runs out there what it makes of a broken file: any
 * clean error will do, and a leak will not. hwloc's own memory is not ours to fail. */
static void an_import(void **state)
{
    (void)state;
    enum { FIRST = 300, STEP = 37 }; /* every allocation at first, then one in 37: there are some 20,000 */
    static const char path[] = "tests/fixtures/hwloc/mesh-8-p100.xml";
    for (uint64_t n = 0;; n += n < FIRST ? 1 : STEP) {
        fs_err err = {0};
        fs_out *out = NULL;
        assert_int_equal(fs_out_open("/dev/null", &out, &err), FS_OK);
        uint64_t before = fs_mem_live();
        fs_mem_fail_after(n); /* 0 at first: undisturbed, the warm-up */
        fs_status status = fs_import_hwloc(path, NULL, out, &err);
        fs_mem_fail_after(0);
        if (n > 0 && fs_mem_live() != before)
            fail_msg("allocation %llu fails: %lld blocks leak (%s)", (unsigned long long)n,
                     (long long)(fs_mem_live() - before), err.text);
        if (status != FS_OK && status != FS_E_NOMEM && status != FS_E_TOPOLOGY)
            fail_msg("allocation %llu fails: status %d, '%s'", (unsigned long long)n, (int)status, err.text);
        fs_out_discard(out);
        if (n > 0 && status == FS_OK)
            break;
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_run_that_works), cmocka_unit_test(a_run_that_folds_and_reroutes),
        cmocka_unit_test(a_run_that_serves), cmocka_unit_test(a_run_that_fails), cmocka_unit_test(an_import)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
