#!/usr/bin/env python3
"""Measure fabsim as whole processes and print time beside work counters.

    bench/run.py [--runs 5] [--record LABEL] [CASE ...]

Each case runs once to warm up and then --runs times. The minimum is the figure to compare (least disturbed by other work on the
machine); the median shows how disturbed it was. Counters come from the result JSON and are the same on every machine: a change
in them is a change of the algorithm. --record appends the rows to bench/results.csv. Targets are goals on a machine with two
cores; they are printed, never tested."""
import argparse
import csv
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
FABSIM = os.environ.get("FABSIM", str(ROOT / "build/fabsim"))
OPS = 1_000_000


def ops_trace(directory):
    """The million-op trace, written once per run of this script."""
    path = directory / "ops-1m.json"
    if not path.exists():
        with open(path, "w") as out:
            subprocess.run([sys.executable, str(ROOT / "bench/gen_ops.py"), str(OPS)], stdout=out, check=True)
    return str(path)


def permutation(directory):
    """98,304 messages at once between random pairs, no two of them alike under hashed routing."""
    path = directory / "permutation.json"
    if not path.exists():
        with open(path, "w") as out:
            subprocess.run([sys.executable, str(ROOT / "bench/gen_permutation.py"), "98304"], stdout=out, check=True)
    return str(path)


def fresh(directory):
    """The name of a database that is not there: a sweep computes nothing twice."""
    fresh.count += 1
    return str(directory / f"sweep-{fresh.count}.db")


fresh.count = 0


def cases(directory):
    """name -> (command, target in seconds, target in bytes per op or None, has result JSON)"""
    topo = ROOT / "topologies"
    work = ROOT / "workloads"
    grown = ["--set", "topo:rack.count={racks}", "--set", "parallel.gpus={gpus}", "--set", "batch.global={batch}"]

    def rubin(racks):
        """A part of the million-GPU system with its trace: a replica a rack, nine microbatches each."""
        return [f"{topo}/rubin-1m.xml", f"{work}/llama3-405b-1m.json"] + [
            word.format(racks=racks, gpus=72 * racks, batch=9 * racks) for word in grown]

    growth = {f"rubin-{72 * racks}": (rubin(racks), None, None) for racks in (14, 56, 224, 896, 3584)}
    return {
        "ops-1m": ([f"{topo}/dgx-h100.xml", lambda: ops_trace(directory)], 3.0, 1024),
        "dgx1-ring": ([f"{topo}/dgx1-v100.xml", f"{work}/ring-allreduce.json"], 0.050, None),
        "dgx2h-megatron": ([f"{topo}/dgx2h.xml", f"{work}/megatron-8.3b-tp8.json"], None, None),
        "coll-nvl72": (["coll", f"{topo}/gb200-nvl72.xml", "--op", "all_reduce", "--min", "8", "--max", "8G"], 1.0, None),
        "coll-nvl72-a2a": (["coll", f"{topo}/gb200-nvl72.xml", "--op", "all_to_all", "--min", "8", "--max", "8G"], 1.0, None),
        "gpt3-1k": ([f"{topo}/selene-a100.xml", f"{work}/gpt3-175b-1k.json"], 0.3, None),
        "llama3-16k": ([f"{topo}/h100-16k.xml", f"{work}/llama3-405b-16k.json"], 1.0, None),
        "llama3-16k-ecmp": ([f"{topo}/h100-16k.xml", f"{work}/llama3-405b-16k.json", "--set", "topo:ib.routing=ecmp"], 60, None),
        "moe-100k": ([f"{topo}/colossus-100k.xml", f"{work}/moe-1.8t-100k.json"], 5.0, None),
        "moe-nvl72-100k": ([f"{topo}/ib-nvl72-100k.xml", f"{work}/moe-1.8t-nvl72-100k.json"], 5.0, None),
        "serve-fleet-100k": ([f"{topo}/ib-nvl72-100k.xml", f"{work}/deepseek-r1-fleet-100k.json", "--set", "fleet.distinct=1"], 2.0, None),
        "serve-one-of-100k": ([f"{topo}/ib-nvl72-100k.xml", f"{work}/deepseek-r1-fleet-100k.json", "--set", "fleet.copies=1",
                               "--set", "fleet.distinct=1"], None, None),
        "serve-fleet-100k-8": ([f"{topo}/ib-nvl72-100k.xml", f"{work}/deepseek-r1-fleet-100k.json"], None, None),
        "pareto-200": (["pareto", f"{topo}/gb200-nvl72.xml", f"{work}/deepseek-r1-fp8.json", "--points", "200", "--quiet"], 60.0, None),
        "pareto-superpod": (["pareto", f"{topo}/superpod-h100.xml", f"{work}/llama3-405b-serve.json", "--points", "200", "--quiet"], 60.0, None),
        "permutation-100k": ([f"{topo}/colossus-100k.xml", lambda: permutation(directory), "--set", "topo:eth.routing=ecmp"], 120, None),
        "sweep-8gpu": (["sweep", f"{ROOT}/bench/sweep_8gpu.json", "-q", "-o", lambda: fresh(directory)], 50, None),  # 200 points/s
        "sweep-1024": (["sweep", f"{ROOT}/bench/sweep_1024.json", "-q", "-o", lambda: fresh(directory)], 180, None),
        **growth,
        "rubin-1008000": (rubin(14000), 60, None),
    }


def run_once(command):
    """Wall seconds and peak resident bytes of one process."""
    start = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.perf_counter() - start
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        sys.exit(f"{' '.join(command)}: exit status {process.returncode}")
    return wall, usage.ru_maxrss * 1024


def measure(name, case, runs, directory):
    words, target, target_bytes = case

    def command():
        return [FABSIM] + [word() if callable(word) else word for word in words]

    samples = [run_once(command()) for _ in range(runs + 1)][1:]
    walls = sorted(wall for wall, _ in samples)
    row = {"case": name, "wall_min_s": round(walls[0], 4), "wall_median_s": round(walls[len(walls) // 2], 4),
           "target_s": target or "", "peak_MB": round(max(rss for _, rss in samples) / 1e6, 1)}
    if words[0] not in ("coll", "pareto", "sweep"):
        result = directory / "result.json"
        subprocess.run(command() + ["--quiet", "--json", str(result)], check=True)
        told = json.loads(result.read_text())
        counters = told["counters"]
        row.update({key: counters[key] for key in ("ops", "events", "transfers", "solves", "solve_visits")})
        row.update({key: told["fold"][key] for key in FOLD})
        if target_bytes:
            row["bytes_per_op"] = round(max(rss for _, rss in samples) / counters["ops"])
    return row


FOLD = ["ranks", "rank_classes", "links", "link_classes", "transfer_classes"]
FIELDS = ["case", "wall_min_s", "wall_median_s", "target_s", "peak_MB", "bytes_per_op", "ops", "events", "transfers",
          "solves", "solve_visits"] + FOLD


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--record", metavar="LABEL", help="append to bench/results.csv under this label")
    parser.add_argument("case", nargs="*")
    options = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as directory:
        directory = pathlib.Path(directory)
        known = cases(directory)
        for name in options.case or known:
            if name not in known:
                sys.exit(f"unknown case {name}: {', '.join(known)}")
            rows.append(measure(name, known[name], options.runs, directory))
    widths = [max(len(field), *(len(str(row.get(field, ""))) for row in rows)) for field in FIELDS]
    for line in [dict(zip(FIELDS, FIELDS))] + rows:
        print("  ".join(str(line.get(field, "")).rjust(width) for field, width in zip(FIELDS, widths)))
    if options.record:
        path = ROOT / "bench/results.csv"
        new = not path.exists()
        with open(path, "a", newline="") as out:
            writer = csv.DictWriter(out, ["label"] + FIELDS)
            if new:
                writer.writeheader()
            for row in rows:
                writer.writerow({"label": options.record, **row})


main()
