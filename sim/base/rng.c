/* rng.c - see rng.h. SplitMix64: G. L. Steele, D. Lea, C. H. Flood, "Fast splittable pseudorandom number
 * generators", OOPSLA 2014. The hash goes word by word, as documents have a hundred megabytes; each step is one to one
 * in the word and, with one of SplitMix64's multipliers and a fold of the high half, reaches the low bits that tables
 * use. */
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

/* Eight bytes, little endian: compilers make one load of it. */
static inline uint64_t load_word(const unsigned char *b)
{
    return (uint64_t)b[0] | (uint64_t)b[1] << 8 | (uint64_t)b[2] << 16 | (uint64_t)b[3] << 24 | (uint64_t)b[4] << 32 |
           (uint64_t)b[5] << 40 | (uint64_t)b[6] << 48 | (uint64_t)b[7] << 56;
}

static inline uint64_t mix_word(uint64_t word)
{
    word *= UINT64_C(0xbf58476d1ce4e5b9);
    return word ^ word >> 32;
}

uint64_t fs_hash_bytes(uint64_t hash, const void *bytes, size_t count)
{
    const unsigned char *at = bytes;
    for (; count >= 8; count -= 8, at += 8)
        hash = mix_word(hash ^ load_word(at));
    if (count == 0)
        return hash;
    /* 7 bytes at most: the eighth tells how many, so that "a" differs from "a\0" */
    uint64_t rest = (uint64_t)count << 56;
    for (size_t i = 0; i < count; i++)
        rest |= (uint64_t)at[i] << 8 * i;
    return mix_word(hash ^ rest);
}
