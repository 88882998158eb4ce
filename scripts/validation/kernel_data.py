"""Measured GPU kernels as rows of CSV, and the kernels of fabsim that they are. Shared by the fit and the validation.

What is fitted and what only judges was laid down before the fit, by whole series: on A100 the families of shapes whose
name has an even CRC-32, H100 and B200 whole; H200 and GB200 and the other families of A100 only judge. A family of
products is (n, k), of attention (heads, kv_heads), of experts (hidden, ffn, experts)."""
import csv
import functools
import io
import random
import subprocess
import zlib

from validation.case import FABSIM, ROOT

PARTS = {"A100-SXM-80GB": "a100-sxm4-80gb", "H100-SXM": "h100-sxm5", "H200-SXM": "h200-sxm", "B200": "b200-sxm",
         "GB200": "gb200"}
FAMILY = {"gemm": ("n", "k"), "context_attention": ("heads", "kv_heads"), "generation_attention": ("heads", "kv_heads"),
          "moe_experts": ("hidden", "ffn", "experts")}
DTYPES = {"bf16": "bf16", "fp8": "fp8", "fp8_block": "fp8", "nvfp4": "fp4"}


HOPPER, BLACKWELL = ("H100-SXM", "H200-SXM"), ("B200", "GB200")

# Experts of which the measured stack ran other kernels than the usual ones of the architecture and format, found on H100 and B200: one
# for fp8 with a scale for each tensor on Hopper, which takes up to five times what the one with scales by blocks takes and twice what
# bf16 does; and scales by blocks on Blackwell, beside its own formats. The figure of the part that is theirs alone.
OTHER_KERNELS = {**{(gpu, "fp8"): "grouped-tensor" for gpu in HOPPER}, **{(gpu, "fp8_block"): "grouped-block" for gpu in BLACKWELL}}

# Where TensorRT-LLM runs CUTLASS's kernels: rows are permuted, activated and joined whether or not they are of this GPU, each by
# an address of its own, which reaches 1/GATHERED of the memory's rate. As SMALL kernels before them come routing, three sums of how
# many rows go where, and the arguments of each expert's products; Blackwell's own kernels sort in three.
CUTLASS = {("A100-SXM-80GB", "bf16"), *((gpu, "bf16") for gpu in HOPPER), *((gpu, "fp8_block") for gpu in BLACKWELL)}
GATHERED, SMALL, SMALL_BLACKWELL = 1.5, 6, 3


# Experts whose activation is a squared ReLU, without a gate: Nemotron 3 (Nano; Super and Ultra by their latents), public configurations.
# (hidden, ffn, experts). Their first product has one matrix in place of two; not on A100, where the fitted ones took the time of two.
WITHOUT_GATE = {("2688", "1856", "128"), ("1024", "2688", "512"), ("4096", "2688", "512"), ("2048", "5120", "512")}


def is_other_kernel(row):
    return "ffn" in row and (row["gpu"], row["dtype"]) in OTHER_KERNELS


# Widths of heads for which the measured stack has no fused kernel of its generation: 192 on Blackwell takes up to 26 times what
# a width of 256 takes, 512 twice as long as its size says.
def is_fallback(row):
    width = row.get("head_dim")
    return width == "512" or (width == "192" and row["gpu"] in ("B200", "GB200"))


def is_fitted(table, row):
    if row["gpu"] == "A100-SXM-80GB":
        return zlib.crc32(",".join(row[key] for key in FAMILY[table]).encode()) % 2 == 0
    return row["gpu"] in ("H100-SXM", "B200")


def read(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def gemm(row):
    """The product; in narrow formats the serving stack quantises its input before, which the measurement includes."""
    m, n, k, dtype = row["m"], row["n"], row["k"], DTYPES[row["dtype"]]
    lines = [f"gemm {m} {n} {k} dtype={dtype}"]
    return lines if dtype == "bf16" else [f"quantise {m} {k} dtype={dtype}"] + lines


def attention(row, queries, keys, causal):
    """Attention of the serving stack: rotation and the write to the cache come before it. On Blackwell a cache in fp8 means
    products in fp8, too."""
    kv = row["kv_dtype"]
    heads, kv_heads, dim = row["heads"], row["kv_heads"], row["head_dim"]
    dtype = "fp8" if kv == "fp8" and row["gpu"] in ("B200", "GB200") else "bf16"
    return [f"append {row['batch']} {queries} {heads} {kv_heads} {dim} kv={kv}",
            f"attention {row['batch']} {queries} {keys} {heads} {kv_heads} {dim} kv={kv} dtype={dtype}{causal}"]


def context_attention(row):
    keys = int(row["q_tokens"]) + int(row["past_tokens"])
    return attention(row, row["q_tokens"], keys, " causal")


def generation_attention(row):
    return attention(row, 1, row["kv_tokens"], "")


DRAWS = 50


@functools.cache
def busiest(experts, gpus, top_k, spread, exponent):
    """Part of all rows that the busiest GPU has, as the benchmark makes loads: of each expert drawn from 1 to `spread` with a density that
    falls with that exponent, scaled to their sum, no expert with more rows than there are tokens. The mean of some draws."""
    if spread <= 1 or gpus == 1:
        return 1 / gpus
    rng, power, local = random.Random(1), 1 - exponent, experts // gpus
    most = 0
    for _ in range(DRAWS):
        loads = [(1 + rng.random() * (spread ** power - 1)) ** (1 / power) for _ in range(experts)]
        total = sum(loads)
        most += max(sum(min(1 / top_k, x / total) for x in loads[i:i + local]) for i in range(0, experts, local))
    return most / DRAWS


def moe_experts(row):
    """The experts of the busiest GPU: small kernels sort rows by expert, then permute, two grouped products with the
    activation between, and join the results of each token. Under a power law with an exponent near 1 loads lie between 1 and
    0.8 x tokens; the kernel has those of one GPU evenly in the logarithm."""
    tokens, hidden, experts = int(row["tokens"]), int(row["hidden"]), int(row["experts"])
    dtype, width, local = DTYPES[row["dtype"]], int(row["ffn"]) / int(row["tp"]), experts / int(row["ep"])
    size = {"bf16": 2, "fp8": 1, "fp4": 0.5625}[dtype]
    spread = 1 if row["distribution"] == "balanced" else max(1, 0.8 * tokens)
    all_rows = tokens * int(row["topk"])
    exponent = 0 if spread == 1 else float(row["distribution"].rpartition("_")[2])
    rows = max(1, all_rows * busiest(experts, int(row["ep"]), int(row["topk"]), spread, exponent))
    without = tuple(row[key] for key in FAMILY["moe_experts"]) in WITHOUT_GATE and row["gpu"] != "A100-SXM-80GB"
    inputs = 1 if without else 2
    scales = {"fp8": " scales=tensor", "fp8_block": " scales=block"}.get(row["dtype"], "")
    kind = (row["gpu"], row["dtype"])
    moved, slower = (all_rows, GATHERED) if kind in CUTLASS else (rows, 1)
    small = SMALL_BLACKWELL if row["gpu"] in BLACKWELL and kind not in CUTLASS else SMALL
    return ["plain 0 0"] * small + [
            f"plain 0 {slower * (tokens * hidden * 2 + moved * hidden * size)}",
            f"grouped {rows} {inputs * width} {hidden} {local} {spread} dtype={dtype}{scales}",
            f"plain 0 {slower * moved * width * (2 * inputs + size)}",
            f"grouped {rows} {hidden} {width} {local} {spread} dtype={dtype}{scales}",
            f"plain 0 {slower * (all_rows + tokens) * hidden * 2}"]


KERNELS = {"gemm": gemm, "context_attention": context_attention, "generation_attention": generation_attention,
           "moe_experts": moe_experts}


def price(part, lists, topology=None, options=()):
    """Microseconds of each list of kernels on a shipped part, or on the GPU of a topology."""
    lines = [line for kernels in lists for line in kernels]
    command = [FABSIM, "kernel", topology or part, "--file", "-", "--csv", *options]
    run = subprocess.run(command, input="\n".join(lines) + "\n", capture_output=True, text=True)
    if run.returncode:
        raise RuntimeError(run.stderr.strip())
    times = iter([float(row["time_us"]) for row in csv.DictReader(io.StringIO(run.stdout))])
    return [sum(next(times) for _ in kernels) for kernels in lists]
