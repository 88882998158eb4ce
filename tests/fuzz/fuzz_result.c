/* fuzz_result.c - any bytes as a result: read, check, compare with itself, put into a page. libFuzzer entry point. */
#include "page/page.h"
#include "report/compare.h"
#include "report/result_file.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fs_err err = {0};
    fs_json_doc *doc = NULL;
    fs_out *out = NULL;
    fs_result_kind kind = FS_RESULT_KINDS;
    fs_status status = fs_result_parse("fuzz.json", (const char *)data, size, &kind, &doc, &err);
    if (status != FS_OK && (err.status != status || err.text[0] == '\0' || doc != NULL))
        abort(); /* every failure says what is wrong and leaves the output alone */
    if (fs_out_open("/dev/null", &out, &err) != FS_OK)
        abort();
    if (fs_page_add("fuzz.json", (const char *)data, size, out, &err) != status)
        abort(); /* a page takes what the reader takes */
    if (status == FS_OK && kind == FS_RESULT_RUN) {
        const fs_compared side = {"fuzz.json", doc};
        status = fs_compare_text(side, side, (fs_style){.color = false}, out, &err);
        if (status != FS_OK && err.text[0] == '\0')
            abort();
    }
    if (fs_out_close(out, &err) != FS_OK)
        abort();
    fs_json_free(doc);
    return 0;
}
