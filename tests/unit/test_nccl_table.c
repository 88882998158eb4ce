/* test_nccl_table.c - the table of NCCL's costs: that the shipped one is valid, and what a wrong one is told. */
#include "coll/nccl_table.h"
#include "fabric_case.h"

#include <stdlib.h>
#include <unistd.h>

static fs_nccl_table *load(const char *name, const char *attribute, const char *value)
{
    fs_topo_override set = {name, attribute, value};
    fs_nccl_table *table = NULL;
    fs_err err;
    fs_status status = fs_nccl_table_load(NULL, NULL, &set, name ? 1 : 0, &table, &err);
    if (status != FS_OK)
        print_error("%s\n", err.text);
    assert_int_equal(status, FS_OK);
    return table;
}

/* An override makes the whole table go through the schema. */
static void the_shipped_table_is_valid(void **state)
{
    (void)state;
    fs_nccl_table *shipped = load(NULL, NULL, NULL), *same = load("hopper", "nvls", "0.85");
    assert_memory_equal(shipped->takes, same->takes, sizeof shipped->takes);
    assert_string_equal(shipped->releases[shipped->release].name, "2.30");
    near(shipped->base_s[FS_NCCL_RING][0], 6.6e-6);
    near(shipped->hop_s[FS_NCCL_NET][FS_NCCL_TREE][2], 14e-6);
    near(shipped->ll_max_Bps[FS_HOPPER][0], 141e9);
    near(shipped->tree_correction[2][23], 0.9);
    /* Volta has no rows of its own, and neither has what is like it beyond Ampere's. */
    assert_memory_equal(&shipped->takes[FS_VOLTA][FS_NCCL_RING], &shipped->takes[FS_AMPERE][FS_NCCL_RING],
                        sizeof shipped->takes[FS_VOLTA][FS_NCCL_RING]);
    for (int a = 0; a < FS_ARCHS; a++)
        assert_true(shipped->takes[a][FS_NCCL_NVLS][2].efficiency > 0 &&
                    shipped->takes[a][FS_NCCL_DIRECT][0].launch_s > 0);
    fs_nccl_table_free(shipped);
    fs_nccl_table_free(same);
}

static void figures_can_be_set(void **state)
{
    (void)state;
    fs_nccl_table *table = load("hopper-ring-Simple", "efficiency", "0.5"), *old = NULL;
    near(table->takes[FS_HOPPER][FS_NCCL_RING][2].efficiency, 0.5);
    fs_nccl_table_free(table);
    fs_err err;
    assert_int_equal(fs_nccl_table_load(NULL, "2.25", NULL, 0, &old, &err), FS_OK);
    near(old->releases[old->release].nvls_all_reduce, 0.8333);
    near(old->hop_s[FS_NCCL_NET][FS_NCCL_NVLSTREE][2], 14e-6);
    near(old->ll128_max_Bps[FS_BLACKWELL], 1174.4e9);
    near(old->tree_channel_Bps[FS_BLACKWELL][1], 72e9);
    near(old->tree_channel_Bps[FS_HOPPER][1], 36e9);
    fs_nccl_table *new = load("blackwell-2.25", "LL128", "1GB/s"); /* not of the release in use */
    near(new->ll128_max_Bps[FS_BLACKWELL], 320e9);
    fs_nccl_table_free(new);
    fs_nccl_table_free(old);
}

static void refused(const char *name, const char *attribute, const char *value, const char *release, const char *text)
{
    fs_topo_override set = {name, attribute, value};
    fs_nccl_table *table = NULL;
    fs_err err;
    assert_int_equal(fs_nccl_table_load(NULL, release, &set, name ? 1 : 0, &table, &err), FS_E_USAGE);
    if (strstr(err.text, text) == NULL)
        print_error("expected '%s' in: %s\n", text, err.text);
    assert_non_null(strstr(err.text, text));
}

static void wrong_overrides_are_refused(void **state)
{
    (void)state;
    refused("hoper", "nvls", "0.8", NULL, "did you mean 'hopper'");
    refused("hopper", "nvlz", "0.8", NULL, "did you mean 'nvls'");
    refused("hopper", "nvls", "2", NULL, "--set nccl:hopper.nvls=2: nvls must be from 0.001 to 1");
    refused("hopper-ring-LL", "hop", "1", NULL, "hop");
    refused("hopper-ring-LL", "overlap", "0.5", NULL, "overlap must be from 1 to 100");
    refused("ring", "base", "1us 2us", NULL, "base: expected 3 values, found 2");
    refused("ring", "base", "1us 2us 3", NULL, "base: value 3");
    refused("hopper", "LL", "0GB/s 1GB/s 1GB/s", NULL, "LL: value 1 must be more than 0");
    refused("hopper", "tree", "1GB/s 0GB/s", NULL, "tree: value 2 must be more than 0");
    refused("hopper", "tree", "1GB/s", NULL, "tree: expected 2 values, found 1");
    refused("hopper-ring-Simple", "drian", "1", NULL, "did you mean 'drain'");
    refused("hopper-direct-Simple", "net-efficiency", "1.5", NULL, "net-efficiency must be from 0.001 to 1");
    refused("blackwell-2.25", "tree", "1GB/s", "2.25", "tree: expected 2 values, found 1");
    refused("blackwell-2.25", "release", "2.26", NULL, "unknown release '2.26' (did you mean '2.25'?)");
    refused("volta", "like", "amper", NULL, "did you mean 'ampere'");
    refused(NULL, NULL, NULL, "2.31", "no release '2.31'");
}

/* Errors of a file stand at their line and column. */
static void wrong_files_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *xml, *text;
        uint32_t line, column;
    } cases[] = {
        {"<parts/>", "expected <nccl>, found <parts>", 1, 1},
        {"<nccl version=\"nccl/1\" release=\"1\" p2p-LL=\"1B\"\n source=\"x\">\n <releas/></nccl>",
         "did you mean <release>", 3, 2},
        {"<nccl version=\"nccl/1\" release=\"1\" source=\"x\"/>", "lacks the attribute 'p2p-LL'", 1, 1},
        {"<nccl version=\"nccl/1\" release=\"1\" p2p-LL=\"1B\" source=\"x\"/>", "<believes name=\"tree\"> is missing",
         1, 1},
        {"<nccl version=\"nccl/1\" release=\"1\" p2p-LL=\"1B\" source=\"x\">\n"
         "<tree-correction name=\"LL\" source=\"x\"\n factors=\"1 1\"/></nccl>",
         "factors: expected 24 values, found 2", 3, 2},
        {"<nccl version=\"nccl/1\" release=\"1\" p2p-LL=\"1B\" source=\"x\">\n"
         "<release name=\"1\" nvls-all-reduce=\"1\" nvls-ranks=\"2\" source=\"x\"/>\n"
         "<release name=\"1\" nvls-all-reduce=\"1\" nvls-ranks=\"2\" source=\"x\"/></nccl>",
         "<release> '1' is given twice", 3, 10},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char path[] = "/tmp/fabsim-nccl-XXXXXX";
        int fd = mkstemp(path);
        assert_true(fd >= 0 && write(fd, cases[i].xml, strlen(cases[i].xml)) == (ssize_t)strlen(cases[i].xml));
        close(fd);
        fs_nccl_table *table = NULL;
        fs_err err;
        assert_int_equal(fs_nccl_table_load(path, NULL, NULL, 0, &table, &err), FS_E_TOPOLOGY);
        if (strstr(err.text, cases[i].text) == NULL || err.line != cases[i].line || err.column != cases[i].column)
            print_error("%u:%u: %s\n", err.line, err.column, err.text);
        assert_non_null(strstr(err.text, cases[i].text));
        assert_int_equal(err.line, cases[i].line);
        assert_int_equal(err.column, cases[i].column);
        unlink(path);
    }
}

static void memory_may_run_out(void **state)
{
    (void)state;
    fs_status status = FS_E_NOMEM;
    for (uint64_t k = 1; status != FS_OK; k++) {
        uint64_t live = fs_mem_live();
        fs_nccl_table *table = NULL;
        fs_err err;
        fs_mem_fail_after(k);
        status = fs_nccl_table_load(NULL, NULL, NULL, 0, &table, &err);
        fs_mem_fail_after(0);
        assert_true(status == FS_OK || status == FS_E_NOMEM);
        fs_nccl_table_free(table);
        assert_int_equal(fs_mem_live(), live);
        assert_true(k < 50000);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_shipped_table_is_valid),  cmocka_unit_test(figures_can_be_set),
        cmocka_unit_test(wrong_overrides_are_refused), cmocka_unit_test(wrong_files_are_refused),
        cmocka_unit_test(memory_may_run_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
