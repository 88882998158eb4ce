/* similar.h - how far off fabsim was on measured cases of the same class: sim/report/measured.csv, which `make validate` writes and
 * which is part of the program. */
#ifndef FS_SIMILAR_H
#define FS_SIMILAR_H

#include "report/result.h"

enum { FS_SIMILAR_NAME = 96 };

typedef struct fs_similar {
    char name[FS_SIMILAR_NAME]; /* "dense training, hopper, 65 to 1,024 GPUs" */
    uint32_t cases;
    double mean; /* absolute error, a fraction */
} fs_similar;

/* The class of a training run: experts or not, architecture of the first rank's GPU, size; of a model that is served, prefill
 * and decode on the same GPUs or not in place of the size. "" where the run is none. */
void fs_similar_name(const fs_result *result, char name[FS_SIMILAR_NAME]);

/* What is known of a class; else of the one without its last part, and so on. False where nothing is. */
bool fs_similar_find(const char *name, fs_similar *out);

#endif
