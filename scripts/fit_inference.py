#!/usr/bin/env python3
"""Fit the two figures of each generation of serving software on the rows that tests/validation/inference.csv has as fitted.

    scripts/fit_inference.py [STACK ...]            print what fits best, and the error with what stands there
    scripts/fit_inference.py --write [STACK ...]    and write it into tests/validation/inference_stacks.csv

`iteration_us` is the host's time for an iteration, `prompt_efficiency` what kernels of prompts reach of
kernels alone. They are sought in steps of 250 us and 0.05, one after the other until none gains a tenth of a point: the least mean of absolute
errors of throughput and TPOT. Where that mean is flat, what stands there stays.
Run it again where kernels or collectives have changed."""
import csv
import sys

from validation import inference
from validation.case import ROOT, table

STACKS = ROOT / "tests/validation/inference_stacks.csv"
KEYS = ("overhead.iteration_us", "overhead.prompt_efficiency")
DEFAULTS, STEPS, LEAST, MOST = (0, 1), (250, 0.05), (0, 0.3), (4000, 1)


def figures(text):
    """Those two of a set of words, and the words beside them."""
    words = dict(word.split("=", 1) for word in text.split())
    found = tuple(float(words.pop(key, default)) for key, default in zip(KEYS, DEFAULTS))
    return found, " ".join(f"{key}={value}" for key, value in words.items())


def together(values, others):
    return " ".join([others] * bool(others) + [f"{key}={value:g}" for key, value, default in zip(KEYS, values, DEFAULTS) if value != default])


def error(rows, text):
    sums = []
    for row, result in zip(rows, inference.simulate_rows(rows, {row["stack"]: text for row in rows})):
        sums += [abs(case.error) for case in inference.cases_of(row, result) if case.klass != inference.TTFT]
    return sum(sums) / len(sums)


def fit(rows, text):
    best, others = figures(text)
    errors = {best: error(rows, text)}
    moved = True
    while moved:
        moved = False
        for i in range(len(KEYS)):
            for sign in (-1, 1):
                value = round(best[i] + sign * STEPS[i], 4)
                while LEAST[i] <= value <= MOST[i]:
                    tried = best[:i] + (value,) + best[i + 1:]
                    if tried not in errors:
                        errors[tried] = error(rows, together(tried, others))
                    if errors[tried] >= errors[best] - 1e-3:
                        break
                    best, moved, value = tried, True, round(value + sign * STEPS[i], 4)
    return together(best, others), errors[figures(text)[0]], errors[best]


def main():
    asked = [word for word in sys.argv[1:] if not word.startswith("-")]
    if {"-h", "--help"} & set(sys.argv[1:]):
        print(__doc__)
        return
    stacks, rows = table(STACKS.name), [row for row in table("inference.csv") if row["fitted"] == "yes"]
    for stack in stacks:
        mine = [row for row in rows if row["stack"] == stack["stack"]]
        if not mine or (asked and stack["stack"] not in asked):
            continue
        text, before, after = fit(mine, stack["set"])
        print(f"{stack['stack']}, {len(mine)} rows: {100 * before:.2f} % with '{stack['set']}', {100 * after:.2f} % with '{text}'", flush=True)
        stack["set"] = text
    if "--write" in sys.argv[1:]:
        with open(STACKS, "w", newline="") as file:
            writer = csv.DictWriter(file, stacks[0].keys(), lineterminator="\n")
            writer.writeheader()
            writer.writerows(stacks)


if __name__ == "__main__":
    main()
