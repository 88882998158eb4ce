#!/usr/bin/env python3
"""Tokens to their experts and back: tests/validation/expert_parallel.csv beside `fabsim coll --op all_to_all`.

    scripts/validation/expert_parallel.py [--all]     error by class and by series; --all: every case

A row is a dispatch or a combine: so many tokens a rank of so many numbers, each to top_k experts. What nobody measured as a time but
as a bandwidth of bytes counted in some way was made a time when the row was written; its note says how. fp8 brings a scale of four
bytes for each 128 numbers."""
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
from validation import collectives
from validation.case import Case, table

CLASSES = {"forwarded": "experts' tokens, once to a domain", "lowlatency": "experts' tokens, low latency"}
BYTES = {"fp8": 1 + 4 / 128, "bf16": 2}


def rows():
    return table("expert_parallel.csv")


def as_collective(row):
    """The row as one of collectives.csv: the size is what a rank would send with a copy for each expert."""
    size = round(int(row["tokens"]) * int(row["hidden"]) * int(row["top_k"]) * BYTES[row["dtype"]])
    options = f"--algo {row['algo']} {row['options']}".strip() + (f" --top-k {row['top_k']}" if row["algo"] == "forwarded" else "")
    return {**row, "dispatch": row["op"], "op": "all_to_all", "size_bytes": str(size), "options": options}


def cases(subset=False):
    """subset: the first and the last row of each series and number of GPUs."""
    for row, got in collectives.simulated(collectives.batches(map(as_collective, rows())), subset):
        name = f"{row['dispatch']}, {row['gpus']} GPUs, {row['tokens']} tokens of {row['hidden']} {row['dtype']}"
        yield Case(CLASSES[row["algo"]], row["series"], name, "us", float(row["time_us"]), got["time_us"], row["fitted"] == "yes",
                   row["source"])


def main():
    found = list(cases())
    if "--all" in sys.argv[1:]:
        for case in found:
            print(f"{case.series:55} {case.name:50} {case.measured:10.5g} {case.simulated:10.5g} {case.unit:3} {100 * case.error:+6.1f} %")
    collectives.summary(found, lambda case: case.klass)
    print()
    collectives.summary(found, lambda case: case.klass + ", " + case.series)


if __name__ == "__main__":
    main()
