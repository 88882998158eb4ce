/* page.c - see page.h. */
#include "page/page.h"

#include "page/page_in.h"
#include "report/result_file.h"

#include "base/mem.h"

#include <string.h>

/* scripts and style sheet, from sim/page */
static const unsigned char script[] = {
#include "page.js.h"
};
static const unsigned char style[] = {
#include "page.css.h"
};

/* The data may not end the element that it is in. '<' stands only within strings of JSON, where it has an escape; so has '/', but
 * "</script" is not the only way out: "<!--" opens another. */
static void write_escaped(const char *text, size_t length, fs_out *out)
{
    size_t from = 0;
    for (size_t i = 0; i < length; i++) {
        if (text[i] != '<')
            continue;
        fs_out_write(out, text + from, i - from);
        fs_out_puts(out, "\\u003c");
        from = i + 1;
    }
    fs_out_write(out, text + from, length - from);
}

void fs_page_string(fs_out *out, const char *text)
{
    fs_out_puts(out, "\"");
    for (const char *c = text; *c; c++) {
        if ((unsigned char)*c < 0x20 || *c == '"' || *c == '\\' || *c == '<')
            fs_out_printf(out, "\\u%04x", (unsigned)(unsigned char)*c);
        else
            fs_out_write(out, c, 1);
    }
    fs_out_puts(out, "\"");
}

fs_status fs_page_add(const char *path, const char *text, size_t length, fs_out *out, fs_err *err)
{
    static const char *const kinds[FS_RESULT_KINDS] = {"run", "coll", "pareto"};
    fs_result_kind kind = FS_RESULT_RUN;
    fs_json_doc *doc = NULL;
    fs_status status = fs_result_parse(path, text, length, &kind, &doc, err);
    if (status != FS_OK)
        return status;
    fs_out_printf(out, "{\"kind\":\"%s\",\"file\":", kinds[kind]);
    fs_page_string(out, path);
    if (kind == FS_RESULT_COLL) {
        fs_out_puts(out, ",\"measured\":");
        fs_page_measured(fs_json_root(doc), out);
    }
    fs_out_puts(out, ",\"result\":");
    write_escaped(text, length, out);
    fs_out_puts(out, "}");
    fs_json_free(doc);
    return FS_OK;
}

static fs_status write_file(const char *path, fs_out *out, fs_err *err)
{
    char *text = NULL;
    size_t length = 0;
    if (fs_page_is_sweep(path))
        return fs_page_sweep(path, out, err);
    fs_status status = fs_file_read(path, &text, &length, err);
    if (status == FS_OK)
        status = fs_page_add(path, text, length, out, err);
    fs_free(text);
    return status;
}

static void write_head(fs_out *out)
{
    fs_out_puts(out, "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
                     "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
                     "<meta name=\"color-scheme\" content=\"light dark\">\n"
                     "<link rel=\"icon\" href=\"data:,\">\n"
                     "<title>fabsim report</title>\n<style>\n");
    fs_out_write(out, (const char *)style, sizeof style);
    fs_out_puts(out, "</style>\n</head>\n<body>\n<a class=\"skip\" href=\"#main\">To the charts</a>\n"
                     "<header>\n<h1>fabsim report</h1>\n<nav aria-label=\"Results\"><ul></ul></nav>\n</header>\n"
                     "<main id=\"main\">\n<noscript><p>The charts are drawn by the script in this file: allow it to "
                     "run.</p></noscript>\n"
                     "</main>\n<footer>Simulated with fabsim. Hover a chart, or focus it and use the arrow keys, to "
                     "read its values.</footer>\n"
                     "<div id=\"tip\" role=\"status\" hidden></div>\n"
                     "<script type=\"application/json\" id=\"data\">[");
}

fs_status fs_page_write(const char *const *paths, uint32_t n_paths, fs_out *out, fs_err *err)
{
    fs_status status = FS_OK;
    write_head(out);
    for (uint32_t i = 0; i < n_paths && status == FS_OK; i++) {
        if (i > 0)
            fs_out_puts(out, ",\n");
        status = write_file(paths[i], out, err);
    }
    if (status != FS_OK)
        return status;
    fs_out_puts(out, "]</script>\n<script>\n");
    fs_out_write(out, (const char *)script, sizeof script);
    fs_out_puts(out, "</script>\n</body>\n</html>\n");
    return FS_OK;
}
