#!/usr/bin/env python3
"""Write an ops trace of about N ops (default 1,000,000) for 8 GPUs to stdout: bench/gen_ops.py [N]

Every rank has a program of its own, as an imported trace would have, with the mix of a training step: of ten ops, six are
kernels, two all-reduces on a stream of their own that waits for a kernel, and a send and a receive around the ring. Sizes and
durations repeat with different periods, so that few things are equal at the same time. No random numbers: the same bytes each time."""
import sys

RANKS = 8
MIX = 10


def block(rank, i):
    """Ten ops; those of one rank differ from another's only in durations and neighbours, as collectives must agree."""
    kernel = 20 + (7 * i + 3 * rank) % 31
    size = (1 << 16) * (1 + i % 13)
    ahead, behind = (rank + 1) % RANKS, (rank - 1) % RANKS
    return (
        f'{{"op":"compute","name":"gemm","duration_us":{kernel},"stream":"compute"}},\n'
        f'{{"op":"compute","name":"norm","flops":1e9,"bytes":4e6,"dtype":"fp16","stream":"compute"}},\n'
        f'{{"op":"compute","id":"k{i}","name":"gelu","duration_us":{kernel / 4},"stream":"compute"}},\n'
        f'{{"op":"all_reduce","group":"world","size_bytes":{size},"stream":"comm","after":"k{i}"}},\n'
        f'{{"op":"compute","name":"gemm","duration_us":{kernel + 5},"stream":"compute"}},\n'
        f'{{"op":"send","to":{ahead},"tag":1,"size_bytes":{2 * size},"stream":"out","after":["k{i}"]}},\n'
        f'{{"op":"recv","from":{behind},"tag":1,"size_bytes":{2 * size},"stream":"in","id":"r{i}"}},\n'
        f'{{"op":"compute","name":"gemm","duration_us":{kernel},"stream":"compute","after":["r{i}"]}},\n'
        f'{{"op":"all_reduce","group":"world","size_bytes":{size // 2},"stream":"comm"}},\n'
        f'{{"op":"compute","name":"norm","duration_us":3.5,"stream":"compute"}}'
    )


def main():
    blocks = max(1, int(sys.argv[1]) // (RANKS * MIX)) if len(sys.argv) > 1 else 1_000_000 // (RANKS * MIX)
    out = sys.stdout
    out.write(f'{{"fabsim":"trace/1","kind":"ops","name":"{blocks * RANKS * MIX} ops","ranks":{RANKS},"programs":[\n')
    for rank in range(RANKS):
        out.write(f'{{"name":"rank {rank}","ranks":[{rank}],"ops":[\n')
        out.write(",\n".join(block(rank, i) for i in range(blocks)))
        out.write("]}" + (",\n" if rank + 1 < RANKS else "\n"))
    out.write("]}\n")


main()
