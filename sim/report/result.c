/* result.c - see result.h. */
#include "report/result.h"

#include "base/mem.h"

void fs_result_free(fs_result *result)
{
    fs_arena_free(result->arena);
    *result = (fs_result){0};
}
