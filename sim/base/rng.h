/* rng.h - seeded random numbers and a content hash, the same on every machine. */
#ifndef FS_RNG_H
#define FS_RNG_H

#include <stddef.h>
#include <stdint.h>

typedef struct fs_rng {
    uint64_t state;
} fs_rng;

fs_rng fs_rng_seed(uint64_t seed);
uint64_t fs_rng_u64(fs_rng *rng);                   /* SplitMix64 (Steele, Lea, Flood 2014) */
uint32_t fs_rng_below(fs_rng *rng, uint32_t bound); /* uniform in [0, bound), bound > 0 */
double fs_rng_unit(fs_rng *rng);                    /* uniform in [0, 1) */

/* 64 bits, the same on every machine: identity of inputs in results, hash tables; no cryptography. Chain calls by
 * passing the last value; start with FS_HASH_START. Bytes hashed in two calls are not the same as in one. */
#define FS_HASH_START UINT64_C(14695981039346656037)
uint64_t fs_hash_bytes(uint64_t hash, const void *bytes, size_t count);

#endif
