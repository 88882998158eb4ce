/* fuzz_sweep.c - any bytes as a sweep file: read, enumerate, write the settings of points. libFuzzer entry point. */
#include "base/mem.h"
#include "sweep/sweep.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    enum { POINTS_LOOKED_AT = 64 };
    fs_err err = {0};
    fs_sweep *sweep = NULL;
    fs_status status = fs_sweep_parse("fuzz.json", (const char *)data, size, &sweep, &err);
    if (status != FS_OK) {
        if (err.status != status || err.text[0] == '\0' || sweep != NULL)
            abort(); /* every failure says what is wrong and leaves the output alone */
        return 0;
    }
    fs_out *out = NULL;
    if (fs_out_open("/dev/null", &out, &err) != FS_OK)
        abort();
    for (uint32_t i = 0; i < fs_sweep_count(sweep) && i < POINTS_LOOKED_AT; i++) {
        fs_point point;
        if (fs_sweep_point(sweep, i, &point, &err) != FS_OK)
            abort(); /* enumeration has evaluated all of them */
        fs_point_write_settings(&point, out);
    }
    if (fs_out_close(out, &err) != FS_OK)
        abort();
    fs_sweep_free(sweep);
    return 0;
}
