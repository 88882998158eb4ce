/* file.h - whole files in, buffered text out, both with honest errors. */
#ifndef FS_FILE_H
#define FS_FILE_H

#include "base/err.h"

#include <stddef.h>
#include <stdio.h>

/* Largest input file, after decompression: 4 GiB - 1, because positions are 32 bits. */
#define FS_FILE_MAX ((size_t)UINT32_MAX)

/* Read a regular file, gunzipped where it is gzip; "-" is stdin. *text is NUL-terminated at *length, caller
 * frees with fs_free. A directory, a missing or an unreadable file is FS_E_IO with the file named. */
FS_MUST_CHECK fs_status fs_file_read(const char *path, char **text, size_t *length, fs_err *err);

/* Output: a FILE or a gzip stream behind one interface. The first write error is kept and reported by
 * fs_out_close, so callers print without checking and check once. */
typedef struct fs_out fs_out;
/* path "-" is stdout; a path that ends in ".gz" is compressed. */
FS_MUST_CHECK fs_status fs_out_open(const char *path, fs_out **out, fs_err *err);
/* Whether fs_out_open could write `path` (NULL, "-": yes), which is not touched: FS_E_IO as that would say. To be asked
 * before long work whose result goes there. */
FS_MUST_CHECK fs_status fs_out_check(const char *path, fs_err *err);
/* Into memory: fs_out_take ends it and hands over the text, NUL-terminated at *length, which the caller frees with
 * fs_free. fs_out_discard works as for files. */
FS_MUST_CHECK fs_status fs_out_memory(fs_out **out, fs_err *err);
FS_MUST_CHECK fs_status fs_out_take(fs_out *out, char **text, size_t *length, fs_err *err);
FS_PRINTF(2, 3) void fs_out_printf(fs_out *out, const char *format, ...);
void fs_out_write(fs_out *out, const char *text, size_t length);
void fs_out_puts(fs_out *out, const char *text);
/* Flushes, closes, frees. FS_E_IO with the path and the reason if any write failed (full disk); then a regular file is
 * removed. */
FS_MUST_CHECK fs_status fs_out_close(fs_out *out, fs_err *err);
/* Closes, frees, and removes a regular file: for a run that already failed. NULL is fine. */
void fs_out_discard(fs_out *out);
/* What a writer that may fail ends with: fs_out_close where `status` is FS_OK, else fs_out_discard and that status. */
FS_MUST_CHECK fs_status fs_out_finish(fs_out *out, fs_status status, fs_err *err);
/* Removes every regular file that is still open. Async-signal-safe: for a handler that ends the program. */
void fs_out_abandon(void);

#endif
