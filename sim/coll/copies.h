/* copies.h - how many copies of a token an all-to-all of tokens needs.
 *
 * Each of a token's top_k choices is one of the ranks, with the weight that the rank has, independently of the others. Ranks of weight w
 * together are then among them with probability 1 - (1 - w)^k, against k w copies of a plain all-to-all. Where a token may go to
 * at most g of D domains (node-limited routing; DeepSeek-V3, arXiv 2412.19437, section 2.1.2), a domain is open to it with
 * probability p = g/D, and a choice falls on these ranks with w/p then: p (1 - (1 - w/p)^k).
 *
 * The experts of one token are different ones, which is left out: with 8 experts on 8 ranks and k = 2 it is 1.875 copies for
 * 2, with 256 experts and k = 8 next to nothing. */
#ifndef FS_COPIES_H
#define FS_COPIES_H

#include <math.h>
#include <stdint.h>

/* Part of the tokens that go to ranks of this weight. top_domains 0: they may go to all domains. */
static inline double fs_copies_reach(double weight, uint32_t top_k, uint32_t top_domains, uint32_t n_domains)
{
    double open = top_domains > 0 ? fmin(1.0, (double)top_domains / n_domains) : 1.0;
    return open * (1.0 - pow(1.0 - fmin(1.0, weight / open), top_k));
}

#endif
