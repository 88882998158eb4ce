"""Steps of training that were measured: tests/validation/training.csv, a row each, on traces of tests/validation/training/ (or
workloads/) with the row's sizes set. Where a publication has rates instead of times, the CSV's note says by which formula the time
follows. What belongs to a generation of software, not to a row, is in tests/validation/training_stacks.csv."""
import concurrent.futures
import os

from validation import similar
from validation.case import ROOT, Case, ask, table

DATA = ROOT / "tests/validation"
SIZES = {"global": "batch.global", "micro": "batch.micro", "tp": "parallel.tp", "cp": "parallel.cp", "pp": "parallel.pp",
         "vpp": "parallel.vpp", "dp": "parallel.dp", "ep": "parallel.ep"}
SCALING = "scaling efficiency"


def command(row, stacks):
    """What simulates a row: its sizes, what its software has in common, what it alone has."""
    trace = ROOT / f"{row['trace']}.json" if "/" in row["trace"] else DATA / f"training/{row['trace']}.json"
    words = [str(ROOT / f"topologies/{row['topology']}.xml"), str(trace), "--quiet", "--json", "-"]
    sets = [f"{path}={row[column]}" for column, path in SIZES.items() if row[column]]
    for text in sets + stacks.get(row["stack"], "").split() + row["set"].split():
        words += ["--set", text]
    return words


def simulate(row, stacks):
    return ask(command(row, stacks), f"{row['series']}, {row['name']}")


def rate(row, step_s):
    """Work per GPU and second, in any unit: sequences, or TFLOP/s where models differ within a series."""
    return int(row["global"]) / step_s / int(row["gpus"])


def scaling(rows, results):
    """Throughput per GPU against the first row of the same series of sizes, in percent."""
    first = {}
    for row, result in zip(rows, results):
        if not row["scaling"]:
            continue
        pair = (float(row["tflops"]), result["tflops_per_gpu"]) if row["tflops"] else (
            rate(row, float(row["step_s"])), rate(row, result["step_time_s"]))
        if row["scaling"] not in first:
            first[row["scaling"]] = pair
            continue
        base = first[row["scaling"]]
        yield Case(SCALING, row["scaling"], row["name"], "%", 100 * pair[0] / base[0], 100 * pair[1] / base[1],
                   row["fitted"] == "yes", row["source"])


write_more = similar.write


def cases(subset=False):
    """All measured steps, or the few that take no time; then the efficiency of those that scale one job."""
    stacks = {row["stack"]: row["set"] for row in table("training_stacks.csv")}
    rows = [row for row in table("training.csv") if row["fast"] or not subset]
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        results = list(pool.map(lambda row: simulate(row, stacks), rows))
    for row, result in zip(rows, results):
        if row["step_s"]:
            case = Case(row["class"], row["series"], row["name"], "s", float(row["step_s"]), result["step_time_s"],
                        row["fitted"] == "yes", row["source"])
            if not subset:
                similar.remember(result, case)
            yield case
    yield from scaling(rows, results)
