#!/usr/bin/env python3
"""Print an ops trace: every rank sends one message to another at once, by a random permutation without fixed points.

    bench/gen_permutation.py RANKS [MIB] [SEED]

Under hashed routing the flows collide at random, so nearly every message ends at a time of its own: the worst case for folding
and for the solver."""
import random
import sys

ranks = int(sys.argv[1])
mib = int(sys.argv[2]) if len(sys.argv) > 2 else 64
shuffle = random.Random(int(sys.argv[3]) if len(sys.argv) > 3 else 1)

# A random cycle: no rank sends to itself.
order = list(range(ranks))
shuffle.shuffle(order)
to = {order[i - 1]: order[i] for i in range(ranks)}
source = {b: a for a, b in to.items()}

print('{"fabsim": "trace/1", "kind": "ops", "name": "random permutation of %d ranks", "ranks": %d, "programs": [' % (ranks, ranks))
print(",\n".join(
    '{"name": "rank %d", "ranks": [%d], "ops": [{"op": "send", "to": %d, "size_bytes": "%dMiB", "stream": "out"}, '
    '{"op": "recv", "from": %d, "size_bytes": "%dMiB", "stream": "in"}]}' % (r, r, to[r], mib, source[r], mib)
    for r in range(ranks)))
print("]}")
