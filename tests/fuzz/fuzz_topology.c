/* fuzz_topology.c - any bytes as a topology: read, survey, write, read back. libFuzzer entry point. */
#include "topo/survey.h"
#include "topo/topo.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { SURVEY_DEVICES_MAX = 2000 }; /* beyond it the max flows of the survey would slow the fuzzer down */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fs_err err = {0};
    fs_topo *topo = NULL;
    fs_status status = fs_topo_parse("fuzz.xml", (const char *)data, size, NULL, 0, &topo, &err);
    if (status != FS_OK) {
        if (err.status != status || err.text[0] == '\0' || topo != NULL)
            abort(); /* every failure says what is wrong and leaves the output alone */
        return 0;
    }
    fs_survey survey = {0};
    if (topo->n_devices <= SURVEY_DEVICES_MAX) {
        if (fs_survey_make(topo, &survey, &err) != FS_OK)
            abort();
        fs_survey_free(&survey);
    }
    fs_topo_free(topo);
    return 0;
}
