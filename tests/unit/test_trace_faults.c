/* test_trace_faults.c - "faults" in traces: what is read, every error with its place, written and read back. */
#include "base/mem.h"
#include "work/work.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static fs_err err;

/* A one-rank trace with these faults; the list begins at column 10 of line 2. */
static fs_status parse(const char *faults, const fs_trace_override *overrides, uint32_t n, fs_work **work)
{
    char json[2048];
    int length = snprintf(json, sizeof json,
                          "{\"fabsim\":\"trace/1\",\"kind\":\"ops\",\"ranks\":1,\n\"faults\":%s,\n"
                          "\"programs\":[{\"ops\":[{\"op\":\"delay\",\"duration_s\":1}]}]}",
                          faults);
    *work = NULL;
    return fs_work_parse("t.json", json, (size_t)length, overrides, n, work, &err);
}

static fs_work *good(const char *faults)
{
    fs_work *work;
    if (parse(faults, NULL, 0, &work) != FS_OK)
        fail_msg("%u:%u: %s", err.line, err.column, err.text);
    return work;
}

static void expect(const fs_fault *f, const char *text, uint32_t line, uint32_t column)
{
    char found[200];
    assert_string_equal(fs_fault_text(f, found, sizeof found), text);
    assert_string_equal(f->origin, "t.json");
    assert_int_equal(f->line, line);
    assert_int_equal(f->column, column);
    assert_int_equal(f->status_if_bad, FS_E_TRACE);
}

static const char every_form[] = "[{\"link\":[\"leaf3\",\"spine2\"],\"speed\":0.5,\"from_s\":0.25,\"to_s\":2},\n"
                                 " {\"link\":\"leaf3 -> spine2\",\"down\":true},\n"
                                 " {\"switch\":\"leaf[0-3]\",\"down\":true,\"from_s\":1},\n"
                                 " {\"nic\":\"node0/nic1\",\"speed\":0,\"down\":false},\n"
                                 " {\"gpu\":17,\"speed\":0.8}, {\"gpu\":\"node0/gpu3\",\"speed\":1}]";
static const char *const forms[] = {"link:leaf3 - spine2=0.5@0.25s..2s",
                                    "link:leaf3 -> spine2=down",
                                    "switch:leaf[0-3]=down@1s..",
                                    "nic:node0/nic1=down",
                                    "gpu:17=0.8",
                                    "gpu:node0/gpu3=1"};

static void every_form_is_read(void **state)
{
    (void)state;
    static const uint32_t lines[] = {2, 3, 4, 5, 6, 6}, columns[] = {11, 2, 2, 2, 2, 26};
    fs_work *work = good(every_form);
    assert_int_equal(work->n_faults, 6);
    for (uint32_t i = 0; i < work->n_faults; i++)
        expect(&work->faults[i], forms[i], lines[i], columns[i]);
    fs_work_free(work);
}

static void no_faults_is_none(void **state)
{
    (void)state;
    fs_work *work = good("[]");
    assert_int_equal(work->n_faults, 0);
    fs_work_free(work);
}

static void training_traces_have_them_too(void **state)
{
    (void)state;
    static const char json[] = "{\"fabsim\":\"trace/1\",\"kind\":\"training\","
                               "\"model\":{\"layers\":1,\"hidden\":64,\"heads\":4,\"vocab\":128,\"seq\":16},"
                               "\"batch\":{\"global\":1},\"faults\":[{\"gpu\":0,\"speed\":0.5}]}";
    fs_work *work = NULL;
    assert_int_equal(fs_work_parse("t.json", json, sizeof json - 1, NULL, 0, &work, &err), FS_OK);
    assert_int_equal(work->n_faults, 1);
    fs_work_free(work);
}

static void overrides_reach_them(void **state)
{
    (void)state;
    const fs_trace_override override = {"faults.0.speed", "0.25"};
    fs_work *work;
    assert_int_equal(parse("[{\"gpu\":0,\"speed\":0.5}]", &override, 1, &work), FS_OK);
    assert_true(work->faults[0].speed >= 0.25 && work->faults[0].speed <= 0.25);
    fs_work_free(work);
}

static void what_is_written_reads_back(void **state)
{
    (void)state;
    char path[] = "test_trace_faults.XXXXXX";
    int file = mkstemp(path);
    assert_true(file >= 0);
    close(file);
    fs_work *work = good(every_form), *again = NULL;
    fs_out *out = NULL;
    assert_int_equal(fs_out_open(path, &out, &err), FS_OK);
    fs_work_write_ops(work, out);
    assert_int_equal(fs_out_close(out, &err), FS_OK);
    fs_status status = fs_work_load(path, NULL, 0, &again, &err);
    remove(path);
    if (status != FS_OK)
        fail_msg("%u:%u: %s", err.line, err.column, err.text);
    assert_int_equal(again->n_faults, work->n_faults);
    for (uint32_t i = 0; i < again->n_faults; i++) {
        char text[200];
        assert_string_equal(fs_fault_text(&again->faults[i], text, sizeof text), forms[i]);
    }
    fs_work_free(work);
    fs_work_free(again);
}

static void bad(const char *faults, uint32_t column, const char *message)
{
    fs_work *work;
    assert_int_equal(parse(faults, NULL, 0, &work), FS_E_TRACE);
    assert_null(work);
    if (strcmp(err.text, message) != 0 || err.line != 2 || err.column != column)
        fail_msg("\n  for: %s\nfound: %u:%u: %s\n  not: 2:%u: %s", faults, err.line, err.column, err.text, column,
                 message);
}

static void errors_have_places(void **state)
{
    (void)state;
    bad("3", 10, "'faults': expected a list of at most 4096");
    bad("[3]", 11, "expected a fault: {\"switch\": \"leaf3\", \"down\": true}");
    bad("[{\"swich\":\"a\",\"down\":true}]", 12, "unknown key 'swich' (did you mean 'switch'?)");
    bad("[{\"down\":true}]", 11, "a fault names a 'link', a 'switch', a 'nic' or a 'gpu'");
    bad("[{\"gpu\":0,\"link\":\"a-b\",\"down\":true}]", 12, "a fault has one of 'link', 'switch', 'nic', 'gpu'");
    bad("[{\"switch\":3,\"down\":true}]", 21, "'switch': expected a name");
    bad("[{\"nic\":[\"a\",\"b\"],\"down\":true}]", 18, "'nic': expected a name");
    bad("[{\"gpu\":0.5,\"speed\":0.5}]", 18, "'gpu': expected a name or a number");
    bad("[{\"gpu\":-1,\"speed\":0.5}]", 18, "'gpu': expected a name or a number");
    bad("[{\"link\":[\"a\"],\"down\":true}]", 19, "'link': expected two names, or \"A - B\" or \"A -> B\"");
    bad("[{\"link\":[\"a\",3],\"down\":true}]", 19, "'link': expected two names, or \"A - B\" or \"A -> B\"");
    bad("[{\"gpu\":0}]", 11, "a fault has either 'speed', from 0 to 1, or 'down': true");
    bad("[{\"gpu\":0,\"down\":false}]", 11, "a fault has either 'speed', from 0 to 1, or 'down': true");
    bad("[{\"gpu\":0,\"speed\":0,\"down\":true}]", 11, "a fault has either 'speed', from 0 to 1, or 'down': true");
    bad("[{\"gpu\":0,\"speed\":2}]", 28, "'speed' is 2, expected a number from 0 to 1");
    bad("[{\"gpu\":0,\"speed\":1,\"from_s\":-1}]", 39, "'from_s' is -1, expected a number from 0 to 1000000000");
    bad("[{\"gpu\":0,\"speed\":1,\"to_s\":-1}]", 37, "'to_s' is -1, expected a number of at least 0");
}

static void memory_runs_out(void **state)
{
    (void)state;
    for (uint64_t n = 1;; n++) {
        uint64_t live = fs_mem_live();
        fs_work *work;
        fs_mem_fail_after(n);
        fs_status status = parse(every_form, NULL, 0, &work);
        fs_mem_fail_after(0);
        if (status == FS_OK) {
            fs_work_free(work);
            return;
        }
        assert_int_equal(status, FS_E_NOMEM);
        assert_int_equal(fs_mem_live(), live);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_form_is_read),
        cmocka_unit_test(no_faults_is_none),
        cmocka_unit_test(training_traces_have_them_too),
        cmocka_unit_test(overrides_reach_them),
        cmocka_unit_test(what_is_written_reads_back),
        cmocka_unit_test(errors_have_places),
        cmocka_unit_test(memory_runs_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
