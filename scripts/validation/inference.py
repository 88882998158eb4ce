"""Models that were served and measured: tests/validation/inference.csv, a row each, with a closed loop of the row's concurrency on
engines of the row's layout. Models and number formats: tests/validation/inference/. What belongs to a generation of software, not to
a row: tests/validation/inference_stacks.csv.

Throughput per GPU at a stated concurrency is, where it was measured, concurrency x answer / (TTFT + TPOT x (answer - 1)) / GPUs by
Little's law; of a simulation it is the same expression of the TTFT and TPOT simulated."""
import concurrent.futures
import json
import os
import re
import tempfile

from validation import similar
from validation.case import ROOT, Case, ask, table

DATA = ROOT / "tests/validation"
SYSTEMS = {"H100": ("dgx-h100", "superpod-h100"), "H200": ("dgx-h200", None), "B200": ("hgx-b200", "superpod-b200"),
           "GB200": ("gb200-nvl72", None)}  # one node; several of them
THROUGHPUT, TPOT, TTFT = "serving, throughput per GPU", "serving, TPOT", "serving, TTFT"
PUBLISHED = "serving, published rates"
AIMS = {THROUGHPUT: "15 % | 35 %", TPOT: "12 % | "}
ITERATION_TOKENS = 8192  # of a rank of attention: what vLLM, SGLang and TensorRT-LLM take by default, or nearly


# ---- a row as a trace -----------------------------------------------------------------------------------------------------


def put(tree, path, text):
    """overhead.iteration_us=500"""
    *parents, last = path.split(".")
    for name in parents:
        tree = tree.setdefault(name, {})
    try:
        tree[last] = json.loads(text)
    except json.JSONDecodeError:
        tree[last] = text


def engine(text, role):
    """2x tp8 ep8: two replicas of eight GPUs."""
    count, *parts = text.split()
    sizes = {name: int(n) for name, n in (re.fullmatch(r"([a-z]+)(\d+)", part).groups() for part in parts)}
    return {"name": role, "role": role, "replicas": int(count.rstrip("x")), "parallel": sizes,
            "limits": {"max_tokens": ITERATION_TOKENS * sizes.get("dp", 1)}}


def engines(row, stack):
    pools = [part.strip() for part in row["layout"].split(">")]
    made = [engine(text, role) for text, role in zip(pools, ["both"] if len(pools) == 1 else ["prefill", "decode"])]
    if len(made) == 2 and row["system"] != "GB200":  # a replica stays within a node
        made[1]["first_gpu"] = -(-gpus({"engines": made[:1]}) // 8) * 8
    seqs = int(row["concurrency"] or 0)
    for pool in made:
        if seqs:
            pool["limits"]["max_seqs"] = seqs
        for text in f"{stack} {row['set']}".split():
            path, value = text.split("=")
            if path.split(".")[0] not in ("model", "precision", "requests", "topo"):
                put(pool, path, value)
    return made


def lengths(text, spread):
    n = int(text)
    return n if spread == 1 else {"uniform": [int(n * spread), n]}


def trace(row, stack):
    known = json.loads((DATA / f"inference/{row['model']}.json").read_text())
    formats = known["precision"]
    made = {"fabsim": "trace/1", "kind": "inference", "name": row["series"], "model": known["model"],
            "precision": dict(formats.get(f"{row['precision']} {row['system']}", formats.get(row["precision"]))),
            "engines": engines(row, stack),
            "requests": {"arrival": "closed", "concurrency": int(row["concurrency"]), "count": int(row["concurrency"]) * int(row["rounds"]),
                         "input": lengths(row["input"], float(row["spread"])), "output": lengths(row["output"], float(row["spread"]))}}
    for text in f"{stack} {row['set']}".split():
        path, value = text.split("=")
        if path.split(".")[0] in ("model", "precision", "requests"):
            put(made, path, value)
    return made


def gpus(made):
    total = 0
    for pool in made["engines"]:
        n = pool["replicas"]
        for name in ("tp", "dp", "pp"):
            n *= pool["parallel"].get(name, 1)
        total += n
    return total


def command(row, made, path):
    node, several = SYSTEMS[row["system"]]
    n = gpus(made)
    words = [str(ROOT / f"topologies/{several if n > 8 and several else node}.xml"), path, "--quiet", "--json", "-"]
    if n > 8 and several:
        words += ["--set", f"topo:node.count={-(-n // 8) + 1}"]  # one more than its GPUs fill: pools begin at nodes
    return words


def simulate(row, stacks, folder):
    made = trace(row, stacks[row["stack"]])
    path = os.path.join(folder, re.sub(r"[^a-z0-9]+", "-", case_name(row).lower() + row["series"].lower()) + ".json")
    with open(path, "w") as file:
        json.dump(made, file)
    return ask(command(row, made, path), f"{row['series']}, {case_name(row)}")


# ---- what comes out -------------------------------------------------------------------------------------------------------


def case_name(row):
    return f"{row['input']} + {row['output']}, {row['concurrency']} at a time, {row['layout']}"


def per_gpu(row, ttft_s, tpot_s, n):
    answer = int(row["output"])
    return int(row["concurrency"]) * answer / (ttft_s + tpot_s * (answer - 1)) / n


def cases_of(row, result):
    n = gpus(trace(row, ""))
    ttft, tpot = result["serving"]["ttft_s"]["mean"], result["serving"]["tpot_s"]["mean"]
    fitted, name, series = row["fitted"] == "yes", case_name(row), row["series"]
    measured = float(row["ttft_ms"]) / 1e3, float(row["tpot_ms"]) / 1e3
    yield Case(THROUGHPUT, series, name, "tok/s", per_gpu(row, *measured, n), per_gpu(row, ttft, tpot, n), fitted, row["source"])
    yield Case(TPOT, series, name, "ms", 1e3 * measured[1], 1e3 * tpot, fitted, row["source"])
    yield Case(TTFT, series, name, "ms", 1e3 * measured[0], 1e3 * ttft, fitted, row["source"])


def simulate_rows(rows, stacks):
    """stacks: what is set, by the name of the stack."""
    with tempfile.TemporaryDirectory() as folder, concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        return list(pool.map(lambda row: simulate(row, stacks, folder), rows))


def simulate_all(rows):
    return simulate_rows(rows, {row["stack"]: row["set"] for row in table("inference_stacks.csv")})


# ---- published rates of a phase -------------------------------------------------------------------------------------------


def rate(row, result):
    """Tokens/s on each GPU: of prompts; of answers; or, where all sequences decode, of the step that is the median."""
    serving = result["serving"]
    if row["phase"] == "decode":
        return int(row["concurrency"]) / serving["itl_s"]["p50"] / gpus(trace(row, ""))
    return serving["input_tokens_per_s" if row["phase"] == "prefill" else "output_tokens_per_s"] / gpus(trace(row, ""))


def published(subset):
    rows = [row for row in table("inference_published.csv") if row["fast"] or not subset]
    for row, result in zip(rows, simulate_all(rows)):
        name = f"{row['phase']}, {row['system']}, {case_name(row)}"
        yield Case(PUBLISHED, row["series"], name, "tok/s", float(row["tokens_per_s_per_gpu"]), rate(row, result), row["fitted"] == "yes",
                   row["source"])


# ---- which configuration is faster ----------------------------------------------------------------------------------------


def order(found):
    """Of pairs of judged cases of one model and one kind of request, whose throughput per GPU differs by more than 10 %, those that the
    simulation has in the same order: all, and those of one concurrency, where system, software, format or layout differ."""
    judged = [(row, case) for row, case in found if case.klass == THROUGHPUT and not case.fitted]
    right, pairs = [0, 0], [0, 0]
    for i, (a, one) in enumerate(judged):
        for b, other in judged[:i]:
            if any(a[key] != b[key] for key in ("model", "input", "output")):
                continue
            if max(one.measured, other.measured) <= 1.1 * min(one.measured, other.measured):
                continue
            for k in range(1 + (a["concurrency"] == b["concurrency"])):
                pairs[k] += 1
                right[k] += (one.measured > other.measured) == (one.simulated > other.simulated)
    return right, pairs


def order_table():
    right, pairs = order(judged_rows)
    lines = ["| pairs of judged cases, one model, one length of prompt and answer, more than 10 % apart | pairs | in the order measured |", "|---|---|---|"]
    for name, r, n in zip(("any concurrency", "the same concurrency: system, software, number format or layout differ"), right, pairs):
        lines.append(f"| {name} | {n} | {100 * r / max(n, 1):.1f} % |")
    return "\n".join(lines)


judged_rows = []  # (row, case) of what cases() simulated


def cases(subset=False):
    rows = [row for row in table("inference.csv") if row["fast"] or not subset]
    for row, result in zip(rows, simulate_all(rows)):
        found = list(cases_of(row, result))
        if not subset:
            similar.remember(result, found[0])
            judged_rows.append((row, found[0]))
        yield from found
    yield from published(subset)


TABLES = {"order": order_table}  # what docs/VALIDATION.md has beside the sums, by the name of its markers


write_more = similar.write
