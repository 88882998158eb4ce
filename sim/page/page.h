/* page.h - results as one HTML file that needs nothing else: the data, a style sheet and a script that draws it.
 *
 * The script draws SVG in the browser, because that is where width, light or dark and the pointer are known. Text of results gets into
 * the page as JSON in a script element that is no program, with every '<' escaped, and into the document as text only: whatever
 * a name holds, it stays a name. */
#ifndef FS_PAGE_H
#define FS_PAGE_H

#include "base/file.h"

#include <stdint.h>

/* Files that result_file.h knows. The first that is none ends it: FS_E_IO at its place. */
FS_MUST_CHECK fs_status fs_page_write(const char *const *paths, uint32_t n_paths, fs_out *out, fs_err *err);

/* One result from memory, as the page holds it; `path` is its name. */
FS_MUST_CHECK fs_status fs_page_add(const char *path, const char *text, size_t length, fs_out *out, fs_err *err);

#endif
