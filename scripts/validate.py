#!/usr/bin/env python3
"""Simulate the measured cases in tests/validation/*.csv and write the tables into docs/VALIDATION.md.

    scripts/validate.py            rewrite the tables between their markers
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


def collective(row):
    command = [FABSIM, "coll", str(ROOT / f"topologies/{row['topology']}.xml"), "--op", row["op"], "--gpus", row["gpus"],
               "--algo", row["algo"], "--min", row["size"], "--max", row["size"], "--json"]
    return json.loads(subprocess.run(command, check=True, capture_output=True).stdout)["rows"][0]


def busbw_table():
    lines = ["| system | collective | GPUs | size | algorithm | measured GB/s | simulated GB/s | error | measured by |",
             "|---|---|---|---|---|---|---|---|---|"]
    with open(ROOT / "tests/validation/busbw.csv") as file:
        for row in csv.DictReader(file):
            result = collective(row)
            measured, simulated = row["measured_busbw_GBps"], result["busbw_GBps"]
            try:
                error = f"{100 * (simulated / float(measured) - 1):+.1f} %"
            except ValueError:
                error = "-"
            lines.append(f"| {row['case']} | {row['op']} | {row['gpus']} | {row['size']}iB | {result['algo']} {result['protocol']} | "
                         f"{measured or '-'} | {simulated:.1f} | {error} | {row['source']} |")
    return "\n".join(lines)


def training_table():
    lines = ["| model | GPUs | measured TFLOP/s per GPU | simulated | relative to 1 GPU: measured | simulated | difference |",
             "|---|---|---|---|---|---|---|"]
    base = None
    with open(ROOT / "tests/validation/training.csv") as file:
        for row in csv.DictReader(file):
            command = [FABSIM, str(ROOT / f"topologies/{row['topology']}.xml"), str(ROOT / f"workloads/{row['trace']}.json"),
                       "--json", "-"]
            tflops = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)["tflops_per_gpu"]
            base = base or tflops
            measured = float(row["measured_efficiency"])
            lines.append(f"| {row['case']} | {row['gpus']} | {row['measured_tflops_per_gpu'] or '-'} | {tflops:.1f} | "
                         f"{100 * measured:.0f} % | {100 * tflops / base:.0f} % | {100 * (tflops / base - measured):+.0f} points |")
    return "\n".join(lines)


TABLES = {"busbw": busbw_table, "training": training_table}


def main():
    path = ROOT / "docs/VALIDATION.md"
    text = fresh = path.read_text()
    for name, table in TABLES.items():
        begin, end = f"<!-- {name} table: scripts/validate.py writes it -->", f"<!-- end of {name} table -->"
        head, rest = fresh.split(begin)
        fresh = f"{head}{begin}\n{table()}\n{end}{rest.split(end)[1]}"
    if "--check" in sys.argv[1:]:
        sys.exit(0 if fresh == text else "docs/VALIDATION.md is not what fabsim says today: run scripts/validate.py")
    path.write_text(fresh)


main()
