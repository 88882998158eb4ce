/* fuzz_trace.c - any bytes as a trace: read, check, write as ops. libFuzzer entry point. */
#include "base/mem.h"
#include "work/work.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fs_err err = {0};
    fs_work *work = NULL;
    fs_status status = fs_work_parse("fuzz.json", (const char *)data, size, NULL, 0, &work, &err);
    if (status != FS_OK) {
        if (err.status != status || err.text[0] == '\0' || work != NULL)
            abort(); /* every failure says what is wrong and leaves the output alone */
        return 0;
    }
    fs_out *out = NULL;
    if (fs_out_open("/dev/null", &out, &err) != FS_OK)
        abort();
    fs_work_write_ops(work, out);
    if (fs_out_close(out, &err) != FS_OK)
        abort();
    fs_work_free(work);
    return 0;
}
