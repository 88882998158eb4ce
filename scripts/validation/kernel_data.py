"""Measured GPU kernels as rows of CSV, and the kernels of fabsim that they are. Shared by the fit and the validation.

What is fitted and what only judges was laid down before the fit, by whole series: on A100 the families of shapes whose
name has an even CRC-32, H100 and B200 whole; H200 and GB200 and the other families of A100 only judge. A family of
products is (n, k), of attention (heads, kv_heads), of experts (hidden, ffn, experts)."""
import csv
import io
import subprocess
import zlib

from validation.case import FABSIM, ROOT

PARTS = {"A100-SXM-80GB": "a100-sxm4-80gb", "H100-SXM": "h100-sxm5", "H200-SXM": "h200-sxm", "B200": "b200-sxm",
         "GB200": "gb200"}
FAMILY = {"gemm": ("n", "k"), "context_attention": ("heads", "kv_heads"), "generation_attention": ("heads", "kv_heads"),
          "moe_experts": ("hidden", "ffn", "experts")}
DTYPES = {"bf16": "bf16", "fp8": "fp8", "fp8_block": "fp8", "nvfp4": "fp4"}


# Grouped products of these were set apart: an fp8 kernel on Hopper that takes twice its bf16 one's time, and on Blackwell one with
# scales by blocks beside the other.
OTHER_KERNELS = {("H100-SXM", "fp8"), ("B200", "fp8_block")}


# Widths of heads for which the measured stack has no fused kernel of its generation: 192 on Blackwell takes up to 26 times what
# a width of 256 takes, 512 twice as long as its size says.
def is_fallback(row):
    width = row.get("head_dim")
    return width == "512" or (width == "192" and row["gpu"] in ("B200", "GB200"))


def is_fitted(table, row):
    if table == "moe_experts" and (row["gpu"], row["dtype"]) in OTHER_KERNELS:
        return False
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


def moe_experts(row):
    """The experts of the busiest GPU: three small kernels sort rows by expert, then permute, two grouped products with the
    activation between, and back. What surrounds the products handles all rows of all GPUs. Under a power law with an exponent near
    1 loads lie between 1 and 0.8 x tokens, evenly in the logarithm; no expert has more rows than there are tokens."""
    tokens, hidden, top_k, experts = (int(row[key]) for key in ("tokens", "hidden", "topk", "experts"))
    gpus, dtype = int(row["ep"]), DTYPES[row["dtype"]]
    width, local, all_rows = int(row["ffn"]) / int(row["tp"]), experts / gpus, tokens * top_k
    size = {"bf16": 2, "fp8": 1, "fp4": 0.5625}[dtype]
    spread, share = 1, 1 / gpus
    if row["distribution"] != "balanced":
        spread = max(1, 0.8 * tokens)
        most = min(1 / top_k, 1 - spread ** (-1 / (experts - 1)) if spread > 1 else 1 / experts)
        most = max(most, 1 / experts)
        share = most + (1 - most) * (local - 1) / (experts - 1)
    rows = max(1, all_rows * share)
    return ["plain 0 0"] * 3 + [
            f"plain 0 {tokens * hidden * 2 + all_rows * hidden * size}",
            f"grouped {rows} {2 * width} {hidden} {local} {spread} dtype={dtype}",
            f"plain 0 {all_rows * width * (4 + size)}",
            f"grouped {rows} {hidden} {width} {local} {spread} dtype={dtype}",
            f"plain 0 {all_rows * hidden * 2 + tokens * hidden * 2}"]


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
