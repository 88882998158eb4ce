/* seeds.h - one case after another, from seed 1; or the one that the environment's FABSIM_SEED names, to look at it again. */
#ifndef FS_TEST_SEEDS_H
#define FS_TEST_SEEDS_H

#include <stdint.h>
#include <stdlib.h>

static inline void run_seeds(void (*one_case)(uint64_t seed), uint64_t cases)
{
    const char *text = getenv("FABSIM_SEED");
    if (text != NULL) {
        one_case(strtoull(text, NULL, 10));
        return;
    }
    for (uint64_t seed = 1; seed <= cases; seed++)
        one_case(seed);
}

#endif
