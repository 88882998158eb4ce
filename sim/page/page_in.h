/* page_in.h - parts of a page. Private to sim/page. */
#ifndef FS_PAGE_IN_H
#define FS_PAGE_IN_H

#include "base/file.h"
#include "base/json.h"

/* A JSON string that may stand in a script element. */
void fs_page_string(fs_out *out, const char *text);

/* The measured points (tests/validation/collectives.csv) of the collective, topology and number of GPUs of a table, as a JSON list. */
void fs_page_measured(const fs_json *table, fs_out *out);

/* A sweep's database, by its first bytes; and its rows as data of the page. */
bool fs_page_is_sweep(const char *path);
FS_MUST_CHECK fs_status fs_page_sweep(const char *path, fs_out *out, fs_err *err);

#endif
