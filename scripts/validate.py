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


def rails_table():
    """A 1 GiB all-reduce on the fabric of bench/rails.xml: what ASTRA-sim 2 reports, what its own terms add to bytes and latency
    (10 ns at the end of each message, and every reduction read and written at 3350 GB/s: 3 passes), and fabsim without them."""
    with open(ROOT / "tests/validation/rails.csv") as file:
        reported = {int(row["gpus"]): row for row in csv.DictReader(file)}
    lines = ["| GPUs | ASTRA-sim reports | CPU s, MB | of it reductions and endpoints | without | fabsim, hierarchical | difference | fabsim, ring |",
             "|---|---|---|---|---|---|---|---|"]
    for gpus in sorted({8, 32768} | set(reported)):
        nodes = gpus // 8
        microseconds = []
        for algo in ("hierarchical", "ring"):
            command = [FABSIM, "coll", str(ROOT / "bench/rails.xml"), "--op", "all_reduce", "--algo", algo, "--cost", "ideal",
                       "--min", "1G", "--max", "1G", "--set", f"topo:node.count={nodes}", "--json"]
            microseconds.append(json.loads(subprocess.run(command, check=True, capture_output=True).stdout)["rows"][0]["time_us"])
        cells = ["-", "-", "-", "-", "-"]
        if gpus in reported:
            row = reported[gpus]
            total = int(row["reported_ns"]) / 1e3
            near, far = 2**30 / 8, 2**30 / 8 / nodes  # bytes of a message within a node, between nodes
            own = (7 * 3 * near + (nodes - 1) * 3 * far) / 3350e3 + (14 + 2 * (nodes - 1)) * 0.01
            cells = [f"{total:,.1f} us", f"{row['reported_cpu_s']}, {row['reported_peak_MB']}", f"{own:,.1f} us", f"{total - own:,.1f} us",
                     f"{100 * (microseconds[0] / (total - own) - 1):+.2f} %"]
        lines.append(f"| {gpus:,} | {cells[0]} | {cells[1]} | {cells[2]} | {cells[3]} | {microseconds[0]:,.1f} us | {cells[4]} | {microseconds[1]:,.1f} us |")
    return "\n".join(lines)


TABLES = {"rails": rails_table, "busbw": busbw_table, "training": training_table}


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
