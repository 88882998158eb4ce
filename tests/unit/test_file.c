/* test_file.c - whole files in, output that reports a full disk. */
#include "base/file.h"
#include "base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <locale.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

static char folder[64];

static int make_folder(void **state)
{
    (void)state;
    strcpy(folder, "/tmp/fabsim-test-XXXXXX");
    return mkdtemp(folder) == NULL || chdir(folder) != 0;
}

static int remove_folder(void **state)
{
    (void)state;
    static const char *const names[] = {"plain", "packed.gz", "cut.gz", "bad.gz", "full.gz", "secret", "big", "long"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        unlink(names[i]);
    return chdir("/") != 0 || rmdir(folder) != 0;
}

static void write_file(const char *path, const char *text, size_t length)
{
    fs_err err;
    fs_out *out = NULL;
    assert_int_equal(fs_out_open(path, &out, &err), FS_OK);
    fs_out_write(out, text, length);
    assert_int_equal(fs_out_close(out, &err), FS_OK);
}

static void assert_reads(const char *path, const char *text, size_t length)
{
    fs_err err;
    char *got = NULL;
    size_t n = 0;
    assert_int_equal(fs_file_read(path, &got, &n, &err), FS_OK);
    assert_int_equal(n, length);
    assert_memory_equal(got, text, length);
    assert_int_equal(got[n], '\0');
    fs_free(got);
}

static void assert_unreadable(const char *path, const char *message)
{
    fs_err err;
    char *text = NULL;
    size_t length = 42;
    assert_int_equal(fs_file_read(path, &text, &length, &err), FS_E_IO);
    assert_string_equal(err.text, message);
    assert_null(text);
    assert_int_equal(length, 42);
}

static void check_round_trip(void **state)
{
    (void)state;
    static const size_t sizes[] = {0, 1, 65534, 65535, 65536, 65537, 1 << 20};
    char *text = malloc(1 << 20);
    assert_non_null(text);
    for (size_t i = 0; i < 1 << 20; i++)
        text[i] = (char)(i * 7919 >> 3);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        write_file("plain", text, sizes[i]);
        assert_reads("plain", text, sizes[i]);
        write_file("packed.gz", text, sizes[i]);
        assert_reads("packed.gz", text, sizes[i]);
    }
    struct stat info;
    assert_int_equal(stat("packed.gz", &info), 0);
    assert_true(info.st_size < 1 << 19); /* it is compressed */
    free(text);
    assert_int_equal(fs_mem_live(), 0);
}

static void check_print(void **state)
{
    (void)state;
    fs_err err;
    fs_out *out = NULL;
    setlocale(LC_ALL, "de_DE.UTF-8"); /* where it is installed */
    assert_int_equal(fs_out_open("long", &out, &err), FS_OK);
    fs_out_printf(out, "%.1f %s\n", 1.5, "x");
    fs_out_puts(out, "y\n");
    fs_out_printf(out, "%2000d", 7); /* longer than the first buffer */
    fs_out_printf(out, "%s", "");
    assert_int_equal(fs_out_close(out, &err), FS_OK);
    setlocale(LC_ALL, "C");
    char text[3000];
    size_t length = (size_t)snprintf(text, sizeof text, "1.5 x\ny\n%2000d", 7);
    assert_reads("long", text, length);
}

static void check_bad_input(void **state)
{
    (void)state;
    assert_unreadable("nothing.json", "cannot read 'nothing.json': No such file or directory");
    assert_unreadable("/", "cannot read '/': Is a directory");
    assert_unreadable("", "cannot read '': No such file or directory");
    write_file("secret", "x", 1);
    assert_int_equal(chmod("secret", 0), 0);
    if (geteuid() != 0) /* root reads everything */
        assert_unreadable("secret", "cannot read 'secret': Permission denied");
    FILE *big = fopen("big", "wb");
    assert_non_null(big);
    assert_int_equal(ftruncate(fileno(big), (off_t)FS_FILE_MAX + 1), 0); /* sparse */
    fclose(big);
    assert_unreadable("big", "cannot read 'big': larger than 4 GiB");
}

static void check_damaged_gzip(void **state)
{
    (void)state;
    char text[10000];
    for (size_t i = 0; i < sizeof text; i++)
        text[i] = (char)('a' + i * i % 23);
    write_file("packed.gz", text, sizeof text);
    char packed[20000];
    FILE *file = fopen("packed.gz", "rb");
    assert_non_null(file);
    size_t length = fread(packed, 1, sizeof packed, file);
    fclose(file);
    assert_in_range(length, 40, sizeof packed - 1);
    write_file("cut", packed, length / 2);
    assert_int_equal(rename("cut", "cut.gz"), 0);
    assert_unreadable("cut.gz", "cannot read 'cut.gz': the compressed file ends too early");
    packed[length - 5] ^= 1; /* the checksum */
    write_file("bad", packed, length);
    assert_int_equal(rename("bad", "bad.gz"), 0);
    assert_unreadable("bad.gz", "cannot read 'bad.gz': damaged gzip data");
    assert_int_equal(fs_mem_live(), 0);
}

static void assert_disk_full(const char *path, size_t bytes, const char *message)
{
    fs_err err;
    fs_out *out = NULL;
    assert_int_equal(fs_out_open(path, &out, &err), FS_OK);
    for (size_t i = 0; i < bytes; i++)
        fs_out_printf(out, "%c", (int)(i * i * 31 >> 2 & 0x7f));
    assert_int_equal(fs_out_close(out, &err), FS_E_IO);
    assert_string_equal(err.text, message);
}

static void check_bad_output(void **state)
{
    (void)state;
    fs_err err;
    fs_out *out = NULL;
    assert_int_equal(fs_out_open("no/such/folder", &out, &err), FS_E_IO);
    assert_string_equal(err.text, "cannot write 'no/such/folder': No such file or directory");
    assert_int_equal(fs_out_open("no/such/folder.gz", &out, &err), FS_E_IO);
    assert_string_equal(err.text, "cannot write 'no/such/folder.gz': No such file or directory");
    assert_int_equal(fs_out_open("/", &out, &err), FS_E_IO);
    assert_string_equal(err.text, "cannot write '/': Is a directory");
    assert_null(out);
    static const char *const good[] = {NULL, "-", "new.json", "./new.json", "/dev/null"};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        assert_int_equal(fs_out_check(good[i], &err), FS_OK);
    assert_int_equal(access("new.json", F_OK), -1); /* nothing was made */
    assert_int_equal(fs_out_check("no/such/folder", &err), FS_E_IO);
    assert_string_equal(err.text, "cannot write 'no/such/folder': No such file or directory");
    assert_int_equal(fs_out_check("/dev/null/x", &err), FS_E_IO);
    assert_string_equal(err.text, "cannot write '/dev/null/x': Not a directory");
    if (access("/dev/full", W_OK) != 0)
        skip();
    assert_int_equal(symlink("/dev/full", "full.gz"), 0);
    assert_disk_full("/dev/full", 10, "cannot write '/dev/full': No space left on device"); /* at the close */
    assert_disk_full("/dev/full", 100000, "cannot write '/dev/full': No space left on device");
    assert_disk_full("full.gz", 10, "cannot write 'full.gz': No space left on device");
    assert_disk_full("full.gz", 1000000, "cannot write 'full.gz': No space left on device");
    assert_int_equal(fs_out_open("/dev/full", &out, &err), FS_OK);
    fs_out_puts(out, "x");
    fs_out_discard(out);
    fs_out_discard(NULL);
    assert_int_equal(fs_mem_live(), 0);
}

static size_t size_limit(size_t bytes)
{
    struct rlimit limit;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
    size_t before = limit.rlim_cur;
    limit.rlim_cur = bytes;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
    return before;
}

/* Nobody shall take half a file for a result. */
static void check_unfinished_output_is_removed(void **state)
{
    (void)state;
    static const char *const paths[] = {"plain", "packed.gz"};
    char noise[100000];
    for (size_t i = 0; i < sizeof noise; i++)
        noise[i] = (char)(i * i >> 7);
    signal(SIGXFSZ, SIG_IGN);
    for (size_t i = 0; i < 2; i++) {
        fs_err err;
        fs_out *out = NULL;
        assert_int_equal(fs_out_open(paths[i], &out, &err), FS_OK);
        fs_out_puts(out, "half");
        fs_out_discard(out);
        assert_int_equal(access(paths[i], F_OK), -1);

        size_t before = size_limit(1000);
        assert_int_equal(fs_out_open(paths[i], &out, &err), FS_OK);
        fs_out_write(out, noise, sizeof noise);
        fs_status status = fs_out_close(out, &err);
        size_limit(before);
        assert_int_equal(status, FS_E_IO);
        assert_int_equal(access(paths[i], F_OK), -1);

        assert_int_equal(fs_out_open(paths[i], &out, &err), FS_OK);
        fs_out_abandon();
        assert_int_equal(access(paths[i], F_OK), -1);
        assert_int_equal(fs_out_close(out, &err), FS_OK);

        write_file(paths[i], "whole", 5);
        fs_out_abandon(); /* not open any more */
        assert_int_equal(access(paths[i], F_OK), 0);
    }
}

static fs_status read_and_write(fs_err *err)
{
    char *text = NULL;
    size_t length;
    fs_out *out = NULL;
    fs_status status = fs_file_read("long", &text, &length, err);
    if (status == FS_OK)
        status = fs_out_open("plain", &out, err);
    if (status == FS_OK) {
        fs_out_printf(out, "%3000d", 7);
        status = fs_out_close(out, err);
    }
    fs_free(text);
    return status;
}

static void check_allocation_failures(void **state)
{
    (void)state;
    char text[100000] = {0};
    write_file("long", text, sizeof text);
    fs_err err;
    fs_status status = FS_E_NOMEM;
    for (uint64_t n = 1; status != FS_OK; n++) {
        fs_mem_fail_after(n);
        status = read_and_write(&err);
        fs_mem_fail_after(0);
        assert_int_equal(fs_mem_live(), 0);
        if (status == FS_E_IO) /* no memory for a long line is an output error */
            assert_string_equal(err.text, "cannot write 'plain': Cannot allocate memory");
        else if (status != FS_OK)
            assert_string_equal(err.text, "out of memory");
        assert_true(n < 100);
    }
}

static void test_memory(void **state)
{
    (void)state;
    fs_out *out = NULL;
    fs_err err = {0};
    char *text = NULL;
    size_t length = 1;
    assert_int_equal(fs_out_memory(&out, &err), FS_OK);
    assert_int_equal(fs_out_take(out, &text, &length, &err), FS_OK);
    assert_int_equal(length, 0);
    assert_string_equal(text, "");
    fs_free(text);
    assert_int_equal(fs_out_memory(&out, &err), FS_OK);
    for (int i = 0; i < 5000; i++)
        fs_out_printf(out, "%04d ", i);
    assert_int_equal(fs_out_take(out, &text, &length, &err), FS_OK);
    assert_int_equal(length, 25000);
    assert_string_equal(text + 24995, "4999 ");
    fs_free(text);
    assert_int_equal(fs_out_memory(&out, &err), FS_OK);
    fs_out_puts(out, "dropped");
    fs_out_discard(out);
    assert_int_equal(fs_out_memory(&out, &err), FS_OK);
    fs_mem_fail_after(1);
    fs_out_puts(out, "no room");
    fs_mem_fail_after(0);
    assert_int_equal(fs_out_take(out, &text, &length, &err), FS_E_NOMEM);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_memory),
        cmocka_unit_test(check_round_trip),
        cmocka_unit_test(check_print),
        cmocka_unit_test(check_bad_input),
        cmocka_unit_test(check_damaged_gzip),
        cmocka_unit_test(check_bad_output),
        cmocka_unit_test(check_allocation_failures),
        cmocka_unit_test(check_unfinished_output_is_removed),
    };
    return cmocka_run_group_tests_name("file", tests, make_folder, remove_folder);
}
