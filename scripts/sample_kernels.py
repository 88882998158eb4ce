#!/usr/bin/env python3
"""Draw the samples of measured kernels in tests/validation from the whole tables.

sample_kernels.py --data DIR writes tests/validation/{gemm,attention_prefill,attention_decode,moe_experts}.csv: so many rows of every
series (GPU and number formats), with a fixed seed, in the tables' order."""
import argparse
import csv
import pathlib
import random
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from validation import kernel_data as data  # noqa: E402

SEED = 21
SOURCE = "github.com/ai-dynamo/aiconfigurator, measured systems data (Apache-2.0)"
TABLES = {"gemm": ("gemm", 120, ("gpu", "dtype")), "context_attention": ("attention_prefill", 100, ("gpu", "kv_dtype")),
          "generation_attention": ("attention_decode", 100, ("gpu", "kv_dtype")), "moe_experts": ("moe_experts", 60, ("gpu", "dtype"))}


def main():
    options = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    options.add_argument("--data", required=True, type=pathlib.Path, help="folder of the measured kernels")
    folder = options.parse_args().data
    for table, (name, count, keys) in TABLES.items():
        rows, series = data.read(folder / f"{table}.csv"), {}
        for i, row in enumerate(rows):
            series.setdefault(tuple(row[k] for k in keys), []).append(i)
        rng = random.Random(SEED)
        chosen = sorted(i for key in sorted(series) for i in rng.sample(series[key], count))
        with open(data.ROOT / "tests/validation" / f"{name}.csv", "w", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(list(rows[0]) + ["fitted", "source"])
            for i in chosen:
                fitted = "yes" if data.is_fitted(table, rows[i]) else "no"
                writer.writerow(list(rows[i].values()) + [fitted, SOURCE])


if __name__ == "__main__":
    main()
