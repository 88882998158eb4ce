#!/usr/bin/env python3
"""Simulate the measured cases in tests/validation/busbw.csv and write the table into docs/VALIDATION.md.

    scripts/validate.py            rewrite the table between the markers
    scripts/validate.py --check    only say whether it would change (exit status 1)

Nothing is fitted on these cases: fabsim's constants are NCCL's published ones and the data sheets'."""
import csv
import json
import os
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
FABSIM = os.environ.get("FABSIM", str(ROOT / "build/fabsim"))
BEGIN, END = "<!-- busbw table: scripts/validate.py writes it -->", "<!-- end of busbw table -->"


def simulate(row):
    command = [FABSIM, "coll", str(ROOT / f"topologies/{row['topology']}.xml"), "--op", row["op"], "--gpus", row["gpus"],
               "--algo", row["algo"], "--min", row["size"], "--max", row["size"], "--json"]
    return json.loads(subprocess.run(command, check=True, capture_output=True).stdout)["rows"][0]


def table():
    lines = ["| system | collective | GPUs | size | algorithm | measured GB/s | simulated GB/s | error | measured by |",
             "|---|---|---|---|---|---|---|---|---|"]
    with open(ROOT / "tests/validation/busbw.csv") as file:
        for row in csv.DictReader(file):
            result = simulate(row)
            measured, simulated = row["measured_busbw_GBps"], result["busbw_GBps"]
            try:
                error = f"{100 * (simulated / float(measured) - 1):+.1f} %"
            except ValueError:
                error = "-"
            lines.append(f"| {row['case']} | {row['op']} | {row['gpus']} | {row['size']}iB | {result['algo']} {result['protocol']} | "
                         f"{measured or '-'} | {simulated:.1f} | {error} | {row['source']} |")
    return "\n".join(lines)


def main():
    path = ROOT / "docs/VALIDATION.md"
    text = path.read_text()
    head, rest = text.split(BEGIN)
    tail = rest.split(END)[1]
    fresh = f"{head}{BEGIN}\n{table()}\n{END}{tail}"
    if "--check" in sys.argv[1:]:
        sys.exit(0 if fresh == text else "docs/VALIDATION.md is not what fabsim says today: run scripts/validate.py")
    path.write_text(fresh)


main()
