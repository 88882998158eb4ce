/* err.c - see err.h. */
#include "base/err.h"

#include "base/num.h"

#include <stdio.h>
#include <string.h>

static void set_text(fs_err *err, const char *format, va_list args)
{
    int n = fs_vsnprintf(err->text, sizeof err->text, format, args);
    if (n < 0)
        err->text[0] = '\0';
    if (n >= (int)sizeof err->text) /* a cut text says so */
        memcpy(err->text + sizeof err->text - 4, "...", 4);
}

fs_status fs_fail_at(fs_err *err, fs_status status, const char *file, uint32_t line, uint32_t column,
                     const char *format, ...)
{
    err->status = status;
    err->line = line;
    err->column = column;
    snprintf(err->file, sizeof err->file, "%s", file ? file : "");
    va_list args;
    va_start(args, format);
    set_text(err, format, args);
    va_end(args);
    return status;
}

fs_status fs_fail(fs_err *err, fs_status status, const char *format, ...)
{
    err->status = status;
    err->line = 0;
    err->column = 0;
    err->file[0] = '\0';
    va_list args;
    va_start(args, format);
    set_text(err, format, args);
    va_end(args);
    return status;
}

fs_status fs_fail_nomem(fs_err *err)
{
    return fs_fail(err, FS_E_NOMEM, "out of memory");
}

int fs_err_format(const fs_err *err, char *buffer, size_t size)
{
    if (err->file[0] == '\0')
        return snprintf(buffer, size, "fabsim: error: %s", err->text);
    if (err->line == 0)
        return snprintf(buffer, size, "%s: error: %s", err->file, err->text);
    if (err->column == 0)
        return snprintf(buffer, size, "%s:%u: error: %s", err->file, err->line, err->text);
    return snprintf(buffer, size, "%s:%u:%u: error: %s", err->file, err->line, err->column, err->text);
}

int fs_exit_status(fs_status status)
{
    switch (status) {
    case FS_OK: return 0;
    case FS_E_SIM:
    case FS_E_IO:
    case FS_E_NOMEM: return 1;
    case FS_E_USAGE: return 2;
    case FS_E_TOPOLOGY: return 3;
    case FS_E_TRACE: return 4;
    case FS_E_POINTS: return 5;
    }
    return 1;
}
