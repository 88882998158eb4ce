#!/usr/bin/env python3
"""Golden results: every shipped trace on every shipped system that is large enough, to the last bit.

    tests/golden/run.py            compare with tests/golden/results.csv, print TAP
    tests/golden/run.py --update   rewrite it: a change of behaviour is a diff of that table, to be explained in its commit

Golden results prove that nothing changed. That it is right is for docs/VALIDATION.md."""
import concurrent.futures
import csv
import json
import os
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
FABSIM = os.environ.get("FABSIM", str(ROOT / "build/fabsim"))
TABLE = ROOT / "tests/golden/results.csv"
FIELDS = ["topology", "trace", "step_time_s", "exposed_s", "busiest_link", "events", "solves"]


def run(topology, trace):
    command = [FABSIM, str(topology), str(trace), "--stable", "--json", "-"]
    process = subprocess.run(command, capture_output=True, text=True)
    if process.returncode == 4 and ("each rank needs a GPU" in process.stderr or "no peak rate" in process.stderr):
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
    pairs = [(topology, trace) for topology in sorted((ROOT / "topologies").glob("*.xml")) for trace in traces]
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        rows = [row for row in pool.map(lambda pair: run(*pair), pairs) if row]
    if "--update" in sys.argv[1:]:
        with open(TABLE, "w", newline="") as out:
            csv.writer(out, lineterminator="\n").writerows([FIELDS] + rows)
        return 0
    with open(TABLE, newline="") as file:
        recorded = {(row[0], row[1]): row for row in csv.reader(file)}
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
