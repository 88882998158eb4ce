/* file.c - see file.h. zlib reads plain files and gzip alike; output goes to stdio or to gzwrite.
 *
 * A disk that is full shows when a buffer is flushed, so the last flush and the close are looked at as well. The first
 * failure is kept, later output is dropped. Half a file is worse than none: outputs that fail are removed, and the
 * paths of those that are open stand in `unfinished` for a signal handler, the one piece of global state here. */
#include "base/file.h"

#include "base/mem.h"
#include "base/num.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

/* ---- in ---------------------------------------------------------------------------------------------------------- */

enum {
    FIRST_BUFFER = 1 << 16, /* bytes; doubled from there, or the file's size where that is known */
    GZ_BUFFER = 1 << 17     /* bytes inside zlib; its default of 8 KiB costs a quarter of the speed */
};

static fs_status fail_io(fs_err *err, const char *path, const char *doing, int reason)
{
    return fs_fail(err, FS_E_IO, "cannot %s '%s': %s", doing, path, strerror(reason));
}

/* A size that is worth starting with; 0 where the path is no good. */
static fs_status check_input(int fd, const char *path, size_t *first, fs_err *err)
{
    struct stat info;
    if (fstat(fd, &info) != 0)
        return fail_io(err, path, "read", errno);
    if (S_ISDIR(info.st_mode))
        return fail_io(err, path, "read", EISDIR);
    if (S_ISREG(info.st_mode) && (uintmax_t)info.st_size > FS_FILE_MAX)
        return fs_fail(err, FS_E_IO, "cannot read '%s': larger than 4 GiB", path);
    /* Room for the NUL and for one byte more, so that the end is seen without growing. */
    *first = S_ISREG(info.st_mode) && info.st_size >= FIRST_BUFFER ? (size_t)info.st_size + 2 : FIRST_BUFFER;
    return FS_OK;
}

/* gzread returns what there is of a damaged or truncated file and tells only afterwards. */
static fs_status check_gz(gzFile file, const char *path, int got, fs_err *err)
{
    int code;
    gzerror(file, &code); /* its text has "<fd:3>" in place of the path */
    if (got >= 0 && (code == Z_OK || code == Z_STREAM_END))
        return FS_OK;
    if (code == Z_ERRNO)
        return fail_io(err, path, "read", errno);
    if (code == Z_MEM_ERROR)
        return fs_fail_nomem(err);
    if (code == Z_BUF_ERROR)
        return fs_fail(err, FS_E_IO, "cannot read '%s': the compressed file ends too early", path);
    return fs_fail(err, FS_E_IO, "cannot read '%s': damaged gzip data", path);
}

typedef struct buffer {
    char *data;
    size_t used, size;
} buffer;

static bool grow(buffer *b)
{
    size_t wanted = b->size > SIZE_MAX / 2 ? SIZE_MAX : b->size * 2;
    char *grown = fs_realloc(b->data, wanted, 1);
    if (grown == NULL)
        return false;
    b->data = grown;
    b->size = wanted;
    return true;
}

static fs_status read_all(gzFile file, const char *path, buffer *b, fs_err *err)
{
    for (;;) {
        size_t room = b->size - b->used - 1; /* one for the NUL */
        int got = gzread(file, b->data + b->used, room < 1u << 30 ? (unsigned)room : 1u << 30);
        fs_status status = got <= 0 ? check_gz(file, path, got, err) : FS_OK;
        if (status != FS_OK || got == 0)
            return status;
        b->used += (size_t)got;
        if (b->used > FS_FILE_MAX)
            return fs_fail(err, FS_E_IO, "cannot read '%s': larger than 4 GiB", path);
        if (b->used + 1 == b->size && !grow(b))
            return fs_fail_nomem(err);
    }
}

static fs_status read_fd(int fd, const char *path, buffer *b, fs_err *err)
{
    size_t first = 0;
    fs_status status = check_input(fd, path, &first, err);
    gzFile file = status == FS_OK ? gzdopen(fd, "rb") : NULL;
    if (file == NULL) {
        close(fd);
        return status != FS_OK ? status : fs_fail_nomem(err);
    }
    gzbuffer(file, GZ_BUFFER);
    *b = (buffer){fs_alloc(first, 1), 0, first};
    status = b->data != NULL ? read_all(file, path, b, err) : fs_fail_nomem(err);
    gzclose_r(file); /* nothing is lost on the reading side */
    return status;
}

fs_status fs_file_read(const char *path, char **text, size_t *length, fs_err *err)
{
    bool standard = strcmp(path, "-") == 0;
    int fd = standard ? dup(STDIN_FILENO) : open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return fail_io(err, path, "read", errno);
    buffer b = {0};
    fs_status status = read_fd(fd, standard ? "<stdin>" : path, &b, err);
    if (status != FS_OK) {
        fs_free(b.data);
        return status;
    }
    b.data[b.used] = '\0';
    char *fitted = fs_realloc(b.data, b.used + 1, 1);
    *text = fitted != NULL ? fitted : b.data;
    *length = b.used;
    return FS_OK;
}

/* ---- out --------------------------------------------------------------------------------------------------------- */

struct fs_out {
    FILE *file; /* one of these two; none: memory */
    gzFile gz;
    char *memory; /* (room), `used` of it written */
    size_t used, room;
    char *path;
    bool regular; /* a file of our own, to be removed if it stays unfinished; no device, no pipe, no link */
    bool failed;  /* an error is in `reason`, nothing is written any more */
    int reason;   /* errno */
};

enum { PRINT_FIRST = 1024 }; /* bytes; longer lines take a second pass */

static bool ends_with(const char *text, const char *end)
{
    size_t n = strlen(text), m = strlen(end);
    return n >= m && strcmp(text + n - m, end) == 0;
}

enum { UNFINISHED_MAX = 16 }; /* outputs open at once; more would only outlive a signal */
static char *volatile unfinished[UNFINISHED_MAX];

/* In the slots, `from` becomes `to`: NULL and a path to enter one, a path and NULL to strike it out. */
static void note_unfinished(const char *from, char *to)
{
    for (int i = 0; i < UNFINISHED_MAX; i++) {
        if (unfinished[i] == from) {
            unfinished[i] = to;
            return;
        }
    }
}

void fs_out_abandon(void)
{
    for (int i = 0; i < UNFINISHED_MAX; i++) {
        const char *path = unfinished[i];
        if (path != NULL)
            unlink(path);
    }
}

fs_status fs_out_open(const char *path, fs_out **out, fs_err *err)
{
    bool standard = strcmp(path, "-") == 0;
    fs_out *o = fs_zalloc(1, sizeof *o);
    if (o != NULL)
        o->path = fs_strdup(standard ? "<stdout>" : path);
    if (o == NULL || o->path == NULL) {
        fs_free(o);
        return fs_fail_nomem(err);
    }
    errno = ENOMEM; /* zlib sets none where its own allocation fails */
    if (standard)
        o->file = stdout;
    else if (ends_with(path, ".gz"))
        o->gz = gzopen(path, "wb");
    else
        o->file = fopen(path, "wb");
    if (o->file == NULL && o->gz == NULL) {
        fs_status status = fail_io(err, path, "write", errno);
        fs_out_discard(o);
        return status;
    }
    struct stat info;
    o->regular = !standard && lstat(path, &info) == 0 && S_ISREG(info.st_mode);
    if (o->regular)
        note_unfinished(NULL, o->path);
    *out = o;
    return FS_OK;
}

fs_status fs_out_check(const char *path, fs_err *err)
{
    if (path == NULL || strcmp(path, "-") == 0)
        return FS_OK;
    if (access(path, F_OK) == 0)
        return access(path, W_OK) == 0 ? FS_OK : fail_io(err, path, "write", errno);
    if (errno != ENOENT)
        return fail_io(err, path, "write", errno);
    char *folder = fs_strdup(path), *end = folder ? strrchr(folder, '/') : NULL;
    if (folder == NULL)
        return fs_fail_nomem(err);
    if (end)
        end[end == folder] = '\0'; /* "/result.json" is in "/" */
    int reason = access(end ? folder : ".", W_OK) == 0 ? 0 : errno;
    fs_free(folder);
    return reason ? fail_io(err, path, "write", reason) : FS_OK;
}

fs_status fs_out_memory(fs_out **out, fs_err *err)
{
    fs_out *o = fs_zalloc(1, sizeof *o);
    if (o == NULL)
        return fs_fail_nomem(err);
    *out = o;
    return FS_OK;
}

static void keep_error(fs_out *out)
{
    out->reason = errno ? errno : EIO;
    out->failed = true;
}

static bool keep_in_memory(fs_out *out, const char *text, size_t length)
{
    if (length >= FS_FILE_MAX - out->used)
        return false;
    if (out->room - out->used < length) {
        size_t wanted = 2 * out->room > out->used + length ? 2 * out->room : out->used + length + PRINT_FIRST;
        char *grown = fs_realloc(out->memory, wanted, 1);
        if (grown == NULL)
            return false;
        out->memory = grown;
        out->room = wanted;
    }
    memcpy(out->memory + out->used, text, length);
    out->used += length;
    return true;
}

/* A part that stdio and zlib take at once. */
static bool write_part(fs_out *out, const char *text, size_t length)
{
    if (out->gz)
        return gzwrite(out->gz, text, (unsigned)length) == (int)length;
    return out->file ? fwrite(text, 1, length, out->file) == length : keep_in_memory(out, text, length);
}

void fs_out_write(fs_out *out, const char *text, size_t length)
{
    while (length > 0 && !out->failed) {
        size_t part = length < 1u << 30 ? length : 1u << 30; /* gzwrite takes an unsigned */
        errno = out->file || out->gz ? 0 : ENOMEM;
        if (!write_part(out, text, part))
            keep_error(out);
        text += part;
        length -= part;
    }
}

void fs_out_puts(fs_out *out, const char *text)
{
    fs_out_write(out, text, strlen(text));
}

void fs_out_printf(fs_out *out, const char *format, ...)
{
    char line[PRINT_FIRST];
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    int n = fs_vsnprintf(line, sizeof line, format, args);
    va_end(args);
    if (n < (int)sizeof line) {
        fs_out_write(out, line, n > 0 ? (size_t)n : 0);
    } else {
        char *text = fs_alloc((size_t)n + 1, 1);
        if (text != NULL) {
            fs_vsnprintf(text, (size_t)n + 1, format, again);
            fs_out_write(out, text, (size_t)n);
        } else if (!out->failed) {
            errno = ENOMEM;
            keep_error(out);
        }
        fs_free(text);
    }
    va_end(again);
}

/* Flush and close; stdout is flushed and stays open. */
static void finish(fs_out *out)
{
    errno = 0;
    bool bad = false;
    if (out->gz != NULL)
        bad = gzclose_w(out->gz) != Z_OK;
    else if (out->file == stdout)
        bad = fflush(stdout) != 0 || ferror(stdout);
    else if (out->file != NULL)
        bad = fclose(out->file) != 0;
    if (bad && !out->failed)
        keep_error(out);
}

static void release(fs_out *out, bool wanted)
{
    if (out->regular && !wanted)
        unlink(out->path);
    if (out->regular)
        note_unfinished(out->path, NULL);
    fs_free(out->memory);
    fs_free(out->path);
    fs_free(out);
}

fs_status fs_out_close(fs_out *out, fs_err *err)
{
    finish(out);
    fs_status status = out->failed ? fail_io(err, out->path, "write", out->reason) : FS_OK;
    release(out, status == FS_OK);
    return status;
}

fs_status fs_out_take(fs_out *out, char **text, size_t *length, fs_err *err)
{
    fs_out_write(out, "", 1);
    fs_status status = out->failed ? fs_fail_nomem(err) : FS_OK;
    if (status == FS_OK) {
        *text = out->memory;
        *length = out->used - 1;
        out->memory = NULL;
    }
    release(out, true);
    return status;
}

fs_status fs_out_finish(fs_out *out, fs_status status, fs_err *err)
{
    if (status == FS_OK)
        return fs_out_close(out, err);
    fs_out_discard(out);
    return status;
}

void fs_out_discard(fs_out *out)
{
    if (out == NULL)
        return;
    finish(out);
    release(out, false);
}
