#!/usr/bin/env python3
"""Golden results: every shipped trace on every shipped system that is large enough for it, but not more than eight times too
large, to the last bit.

    tests/golden/run.py            compare with tests/golden/results.csv, print TAP
    tests/golden/run.py --update   rewrite it: a change of behaviour is a diff of that table, to be explained in its commit

Golden results prove that nothing changed. That it is right is for docs/VALIDATION.md."""
import concurrent.futures
import csv
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
FABSIM = os.environ.get("FABSIM", str(ROOT / "build/fabsim"))
TABLE = ROOT / "tests/golden/results.csv"
FIELDS = ["topology", "trace", "step_time_s", "exposed_s", "busiest_link", "events", "solves"]


SPARE = 8  # a system has at most so many GPUs for each rank: eight ranks on a million GPUs tell nothing new


# This one takes minutes: groups of eight do not divide racks of 72, so that nothing folds.
SKIP = {("ib-nvl72-100k", "moe-1.8t-100k")}


# A system that cannot run a trace says so.
REFUSALS = ("each rank needs a GPU", "no peak rate", "the model does not fit", "its GPUs are of two kinds")


def size(*command):
    with tempfile.NamedTemporaryFile("w", suffix=".json") as trace:
        # One rank too many for any machine: the refusal tells how many GPUs there are.
        json.dump({"fabsim": "trace/1", "kind": "ops", "ranks": 4194304, "programs": [{"name": "none", "ops": []}]}, trace)
        trace.flush()
        words = [word or trace.name for word in command]
        text = subprocess.run([FABSIM] + words, capture_output=True, text=True).stderr
    found = re.search(r"the trace has (\d+) ranks, the topology (\d+) GPUs", text)
    return (int(found[1]), int(found[2])) if found else None


def run(topology, trace):
    command = [FABSIM, str(topology), str(trace), "--stable", "--json", "-"]
    process = subprocess.run(command, capture_output=True, text=True)
    if process.returncode == 4 and any(text in process.stderr for text in REFUSALS):
        return None  # this system cannot run this trace, and says so
    if process.returncode != 0:
        sys.exit(f"{' '.join(command)}: {process.stderr}")
    d = json.loads(process.stdout)
    exposed = sum(row["seconds"] for row in d["breakdown"] if row["name"].startswith("exposed"))
    busiest = d["links"][0]["link"] if d["links"] else "-"
    return [topology.stem, trace.stem, repr(d["step_time_s"]), repr(exposed), busiest, str(d["counters"]["events"]),
            str(d["counters"]["solves"])]


def main():
    traces = [trace for trace in sorted((ROOT / "workloads").glob("*.json")) if "schema" not in trace.name]
    topologies = sorted((ROOT / "topologies").glob("*.xml"))
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        gpus = dict(zip(topologies, pool.map(lambda topology: size(str(topology), None)[1], topologies)))
        smallest = str(min(topologies, key=gpus.get))
        ranks = {trace: found[0] if found else 1
                 for trace, found in zip(traces, pool.map(lambda trace: size(smallest, str(trace)), traces))}
        pairs = [(topology, trace) for topology in topologies for trace in traces
                 if (topology.stem, trace.stem) not in SKIP and ranks[trace] <= gpus[topology] <= SPARE * max(ranks[trace], 16)]
        rows = [row for row in pool.map(lambda pair: run(*pair), pairs) if row]
    if "--update" in sys.argv[1:]:
        with open(TABLE, "w", newline="") as out:
            csv.writer(out, lineterminator="\n").writerows([FIELDS] + rows)
        return 0
    with open(TABLE, newline="") as file:
        recorded = {(row[0], row[1]): row for row in list(csv.reader(file))[1:]}
    failed = 0
    for number, row in enumerate(rows, 1):
        expected = recorded.pop((row[0], row[1]), None)
        good = row == expected
        failed += not good
        print(f"{'ok' if good else 'not ok'} {number} - {row[0]} {row[1]}")
        if not good:
            print(f"# recorded {expected}\n# now      {row}")
    for number, name in enumerate(recorded, len(rows) + 1):
        failed += 1
        print(f"not ok {number} - {' '.join(name)}\n# recorded, but does not run any more")
    print(f"1..{len(rows) + len(recorded)}")
    return failed != 0


sys.exit(main())
