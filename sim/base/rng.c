/* rng.c - see rng.h. SplitMix64: G. L. Steele, D. Lea, C. H. Flood, "Fast splittable pseudorandom number
 * generators", OOPSLA 2014. FNV-1a: IETF draft-eastlake-fnv. */
#include "base/rng.h"

fs_rng fs_rng_seed(uint64_t seed)
{
    return (fs_rng){seed};
}

uint64_t fs_rng_u64(fs_rng *rng)
{
    uint64_t z = rng->state += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

/* D. Lemire, "Fast random integer generation in an interval", TOMACS 29 (2019): the high half of a product is
 * uniform once the few products that would come too often are drawn again. */
uint32_t fs_rng_below(fs_rng *rng, uint32_t bound)
{
    uint32_t excess = (0 - bound) % bound; /* 2^32 mod bound */
    uint64_t product;
    do {
        product = (fs_rng_u64(rng) >> 32) * bound;
    } while ((uint32_t)product < excess);
    return (uint32_t)(product >> 32);
}

double fs_rng_unit(fs_rng *rng)
{
    return (double)(fs_rng_u64(rng) >> 11) * 0x1p-53; /* the 53 bits of a double's significand */
}

uint64_t fs_hash_bytes(uint64_t hash, const void *bytes, size_t count)
{
    const unsigned char *at = bytes;
    for (size_t i = 0; i < count; i++)
        hash = (hash ^ at[i]) * UINT64_C(1099511628211);
    return hash;
}
