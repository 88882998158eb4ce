#!/usr/bin/env python3
"""One real trace, folded and with every rank simulated: Llama 3 405B on 8,192 GPUs. Everything in the two results must agree to 1e-9.

    tests/validation/fold_real.py [TOPOLOGY TRACE [OPTION ...]]

Takes minutes and some GB, so `make check` leaves it to prop_fold, which does the same to hundreds of small jobs; `make fold-check`
runs it."""
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
FABSIM = os.environ.get("FABSIM", str(ROOT / "build/fabsim"))
JOB = [str(ROOT / "topologies/h100-16k.xml"), str(ROOT / "workloads/llama3-405b-16k.json"),
       "--set", "parallel.dp=64", "--set", "batch.global=1024"]


def simulate(job, fold, directory):
    path = pathlib.Path(directory) / fold
    start = time.perf_counter()
    subprocess.run([FABSIM] + job + ["--fold", fold, "--stable", "--quiet", "--json", str(path)], check=True)
    return json.loads(path.read_text()), time.perf_counter() - start


def main():
    job = sys.argv[1:] or JOB
    with tempfile.TemporaryDirectory() as directory:
        (folded, folded_s), (whole, whole_s) = (simulate(job, fold, directory) for fold in ("auto", "off"))
    step = whole["step_time_s"]
    worst = abs(folded["step_time_s"] - step) / step
    for mine, other in zip(folded["breakdown"], whole["breakdown"], strict=True):
        worst = max(worst, abs(mine["seconds"] - other["seconds"]) / step, abs(mine["max_s"] - other["max_s"]) / step)
    for mine, other in zip(folded["tiers"], whole["tiers"], strict=True):
        worst = max(worst, abs(mine["bytes"] - other["bytes"]) / max(other["bytes"], 1))
    fold = folded["fold"]
    print(f"{fold['ranks']:,} ranks as {fold['rank_classes']:,}, {fold['links']:,} links as {fold['link_classes']:,}: "
          f"{folded['counters']['events']:,} events in {folded_s:.1f} s; unfolded {whole['counters']['events']:,} in {whole_s:.1f} s")
    print(f"step time {folded['step_time_s']!r} s and {step!r} s; worst difference of times and bytes {worst:.1e}")
    return worst > 1e-9


sys.exit(main())
