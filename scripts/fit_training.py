#!/usr/bin/env python3
"""Find what a generation of software costs: one key of a trace, on the cases that tests/validation/training.csv marks as fitted.

    scripts/fit_training.py 'Megatron-DeepSpeed' host.launch_us 0 120
    scripts/fit_training.py 'NeMo, H100' in-step:h100-sxm5 0.6 1

`in-step:PART` stands for that figure of a GPU part; those of other parts keep their ratios to it, as topologies/parts/gpus.xml has them. Takes the value with the least mean absolute logarithm of simulated over measured, from eight steps over the range and then around the best
of them, and prints it with the errors of all steps. tests/validation/training_stacks.csv, or the parts file, is then edited by hand: it says why."""
import concurrent.futures
import math
import os
import re
import sys

from validation import training
from validation.case import ROOT, table


def in_step():
    """As shipped, by parts."""
    text = (ROOT / "topologies/parts/gpus.xml").read_text()
    parts = {re.match(r'"([^"]+)"', element).group(1): re.search(r'in-step="([^"]+)"', element) for element in text.split("<gpu name=")[1:]}
    return {part: float(figure.group(1)) for part, figure in parts.items() if figure}


def setting(key, value):
    """What --set is given for a value of the key."""
    if not key.startswith("in-step:"):
        return f"{key}={value:.6g}"
    shipped = in_step()
    return " ".join(f"topo:{part}.in-step={min(1, value * figure / shipped[key.split(':')[1]]):.6g}" for part, figure in shipped.items())


def errors(rows, stacks, stack, key, value):
    sets = " ".join(text for text in stacks[stack].split() if not text.startswith(key + "="))
    changed = {**stacks, stack: f"{sets} {setting(key, value)}"}
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        results = pool.map(lambda row: training.simulate(row, changed), rows)
        return [math.log(result["step_time_s"] / float(row["step_s"])) for row, result in zip(rows, results)]


def main():
    stack, key, low, high = sys.argv[1], sys.argv[2], float(sys.argv[3]), float(sys.argv[4])
    stacks = {row["stack"]: row["set"] for row in table("training_stacks.csv")}
    every = [row for row in table("training.csv") if row["stack"] == stack and row["step_s"]]
    rows = [row for row in every if row["fitted"] == "yes"]
    if not rows:
        sys.exit(f"no case of '{stack}' may be fitted on")
    print(f"{stack}: {len(rows)} of {len(every)} cases are fitted on")
    tried = {}
    for _ in range(3):
        for i in range(9):
            value = low + (high - low) * i / 8
            if value not in tried:
                found = errors(rows, stacks, stack, key, value)
                tried[value] = sum(map(abs, found)) / len(found)
                print(f"  {key}={value:<10.6g} mean {100 * tried[value]:5.1f} %  bias {100 * sum(found) / len(found):+5.1f} %  "
                      f"max {100 * max(map(abs, found)):5.1f} %")
        best = min(tried, key=tried.get)
        step = (high - low) / 8
        low, high = max(low, best - step), min(high, best + step)
    print(f"{key}={best:.6g}")


main()
