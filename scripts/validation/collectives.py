#!/usr/bin/env python3
"""Collectives: tests/validation/collectives.csv beside `fabsim coll`.

    scripts/validation/collectives.py [--all]     error by class and by series; --all: every case

One process runs all sizes of a series that share their options; its time is compared below 16 MiB, its bus bandwidth above."""
import collections
import concurrent.futures
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
from validation.case import ROOT, Case, ask, table

LARGE = 16 << 20  # bytes from which bandwidth is what counts


def rows():
    return table("collectives.csv")


def topology(name):
    return str(ROOT / (name if "/" in name else f"topologies/{name}")) + ".xml"


def simulate(system, op, gpus, options, sizes, more=()):
    """Rows of the answer, by size."""
    said = ask(["coll", topology(system), "--op", op, "--gpus", str(gpus), "--sizes", ",".join(map(str, sorted(sizes))), "--json",
                *options.split(), *more])
    return {round(row["size_bytes"]): row for row in said["rows"]}


def batches(selected):
    """Rows by what one process can run."""
    found = collections.defaultdict(list)
    for row in selected:
        found[row["series"], row["topology"], row["op"], row["gpus"], row["options"]].append(row)
    return found


def run(batch, more=()):
    (_, system, op, gpus, options), members = batch
    return simulate(system, op, gpus, options, {int(row["size_bytes"]) for row in members}, more)


def simulated(found, subset):
    """Each row of batches, and what fabsim says of it; subset: of the first and the last one of each batch."""
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        results = list(pool.map(run, found.items()))
    for members, result in zip(found.values(), results):
        for row in [members[0], members[-1]] if subset and len(members) > 1 else members:
            yield row, result[int(row["size_bytes"])]


def size_name(size):
    for unit, name in ((1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")):
        if size >= unit:
            return f"{size / unit:.4g} {name}"
    return f"{size} B"


def cases(subset=False):
    """subset: the largest and the smallest size of each series."""
    found = batches(rows())
    for members in found.values():
        members.sort(key=lambda row: int(row["size_bytes"]))
    for row, got in simulated(found, subset):
        size, options = int(row["size_bytes"]), row["options"]
        large = size >= LARGE
        name = f"{row['op']}, {row['gpus']} GPUs, {size_name(size)}" + (f", {options.replace('--', '')}" if options else "")
        yield Case(f"collectives, {row['class']}", row["series"], name, "GB/s" if large else "us",
                   float(row["busbw_GBps"] if large else row["time_us"]), got["busbw_GBps"] if large else got["time_us"],
                   row["fitted"] == "yes", row["source"])


def summary(found, key):
    groups = collections.defaultdict(list)
    for case in found:
        groups[key(case)].append(case)
    for name in sorted(groups):
        for fitted in (True, False):
            errors = [abs(case.error) for case in groups[name] if case.fitted == fitted]
            if errors:
                bias = sum(case.error for case in groups[name] if case.fitted == fitted) / len(errors)
                print(f"{'fitted' if fitted else 'judged':7} {100 * sum(errors) / len(errors):6.1f} %  max {100 * max(errors):6.1f} %  "
                      f"bias {100 * bias:+6.1f} %  n {len(errors):4}  {name}")


def main():
    found = list(cases())
    if "--all" in sys.argv[1:]:
        for case in found:
            print(f"{case.series:40} {case.name:45} {case.measured:12.5g} {case.simulated:12.5g} {case.unit:5} {100 * case.error:+6.1f} %")
    summary(found, lambda case: case.klass)
    print()
    summary(found, lambda case: case.series + " " + case.klass.removeprefix("collectives, "))


if __name__ == "__main__":
    main()
