load helper

serve() { fabsim "$root/topologies/dgx-h100.xml" "$root/workloads/llama3-70b-serve.json" --set requests.duration_s=20 "$@"; }

@test "an inference trace: summary, JSON, CSV" {
    run serve --json r.json --csv tables
    [ "$status" -eq 0 ]
    for text in "first token (TTFT)" "token after token (TPOT)" "Goodput" "Pools" "Links by tier" "tokens/s out"; do
        [[ "$output" == *"$text"* ]]
    done
    holds 'd["serving"]["requests"] == 200 and d["serving"]["rejected"] == 0 and not d["serving"]["unstable"]' r.json
    holds 'd["serving"]["ttft_s"]["count"] == 200 and d["serving"]["slo"]["possible"]' r.json
    holds 'd["breakdown"] == [] and d["tiers"][0]["bytes"] > 0' r.json
    holds 'abs(d["serving"]["output_tokens_per_s"] - d["tokens_per_s"]) == 0' r.json
    [ "$(wc -l <tables/requests.csv)" -eq 201 ]
    [ "$(wc -l <tables/pools.csv)" -eq 2 ]
}

@test "the seed draws other requests, and the same one the same" {
    serve --quiet --stable --json - >a.json
    serve --quiet --stable --json - >b.json
    serve --quiet --stable --json - --seed 7 >c.json
    cmp a.json b.json
    ! cmp -s a.json c.json
}

@test "an objective that nobody can keep, and too many requests, are said" {
    run serve --set slo.ttft_s=0.001
    [ "$status" -eq 0 ]
    [[ "$output" == *"the SLO cannot be met: the first token within 1.00 ms"* ]]
    run fabsim "$root/topologies/dgx-h100.xml" "$root/workloads/llama3-70b-serve.json" --set requests.duration_s=30 --set requests.rate=200
    [ "$status" -eq 0 ]
    [[ "$output" == *"UNSTABLE: the queue grows"* ]]
}

@test "prefill and decode apart: caches travel" {
    fabsim "$root/topologies/gb200-nvl72.xml" "$root/workloads/deepseek-r1-disagg.json" --set requests.count=50 --set requests.rate=160 --quiet --json r.json --csv tables
    holds 'd["serving"]["pools"][0]["kv_sent_bytes"] > 1e9 and d["serving"]["pools"][1]["kv_sent_bytes"] == 0' r.json
    python3 - <<'PY'
import csv
rows = list(csv.DictReader(open("tables/requests.csv")))
assert len(rows) == 50
assert all(float(r["arrival_s"]) <= float(r["start_s"]) <= float(r["first_s"]) <= float(r["landed_s"]) <= float(r["done_s"]) for r in rows)
PY
}

@test "a GPU that is slow for good slows its replica" {
    serve --quiet --json whole.json
    serve --quiet --json slow.json --fault gpu:0=0.5
    [ "$(python3 -c 'import json; print(json.load(open("slow.json"))["serving"]["tpot_s"]["mean"] > 1.2 * json.load(open("whole.json"))["serving"]["tpot_s"]["mean"])')" = True ]
}

@test "attention and FFN apart: the report says which side bounds, and LPUs hold what they are given" {
    run fabsim "$root/topologies/vr-nvl72-lpx.xml" "$root/workloads/deepseek-r1-lpx.json" --set requests.count=64 --set requests.concurrency=64 --set requests.output=4 --json r.json
    [ "$status" -eq 0 ]
    [[ "$output" == *"Attention and FFN apart"*"bound by"* ]]
    holds 'd["serving"]["pools"][1]["afd"]["ffn"] == "experts" and d["serving"]["pools"][2]["afd"] is None' r.json
    holds 'abs(sum(v for v in d["serving"]["pools"][1]["afd"].values() if type(v) is float) - 1) < 1e-9' r.json
    holds '0 < d["serving"]["pools"][2]["weight_bytes"] < 0.45e9 and d["serving"]["pools"][2]["gpu_bytes"] == 0.5e9' r.json
    run fabsim "$root/topologies/vr-nvl72-lpx.xml" "$root/workloads/deepseek-r1-lpx.json" --set engines.2.parallel.pp=1
    [ "$status" -eq 4 ]
    [[ "$output" == *"at least 1638 are needed, a replica has 32"* ]]
}

@test "no dense model decodes faster than its weights can be read" {
    while read -r topology trace Bps; do
        fabsim "$root/topologies/$topology.xml" "$root/workloads/$trace.json" --set requests.count=20 --quiet --json r.json
        holds "d['serving']['alone_tpot_s'] >= d['serving']['pools'][0]['weight_bytes'] / $Bps" r.json
        holds "d['serving']['alone_tpot_s'] <= 4 * d['serving']['pools'][0]['weight_bytes'] / $Bps" r.json
    done <<'EOF'
t4-server llama3-8b-t4 320e9
dgx-a100-mig llama3-8b-mig 254.875e9
dgx-a100 llama3-70b-a100 2039e9
dgx-h100 llama3-405b-serve 3350e9
EOF
}

@test "price tiers: the shipped file comes out, and goes in again changed" {
    fabsim factory --print-tiers >mine.json
    cmp mine.json "$root/sim/pareto/tiers.json"
    sed -i 's/"dollars_per_million": 3,/"dollars_per_million": 30,/' mine.json
    ! cmp -s mine.json "$root/sim/pareto/tiers.json"
    for tiers in "$root/sim/pareto/tiers.json" mine.json; do
        fabsim factory "$root/topologies/dgx-h100.xml" "$root/workloads/llama3-70b-serve.json" --points 5 --workers 1 --quiet --tiers "$tiers" --json - 2>/dev/null |
            python3 -c 'import json, sys; print(next(t["dollars_per_year"] for t in json.load(sys.stdin)["systems"][0]["tiers"] if t["tier"] == "medium"))'
    done >revenue
    python3 -c 'a, b = map(float, open("revenue")); assert a > 0 and abs(b / a - 10) < 1e-9, (a, b)'
}

@test "LPUs are no GPUs: counted, drawn and told apart" {
    fabsim "$root/topologies/vr-nvl72-lpx.xml" "$root/workloads/deepseek-r1-lpx.json" --quiet --json r.json --csv out \
        --set requests.concurrency=32 --set requests.count=64
    python3 - <<'PY'
import csv, json
r = json.load(open("r.json")); s, p = r["serving"], r["power"]
assert (s["gpus"], s["lpus"]) == (64, 1952), s
assert abs(s["output_tokens_per_s_per_gpu"] * 64 / s["output_tokens_per_s"] - 1) < 1e-9
assert [(q["part"], q["lpu"]) for q in s["pools"]] == [("rubin", False), ("rubin", False), ("lp30", True)]
assert p["gpus_rated_W"] == 64 * 1800 and p["lpus_rated_W"] == 1952 * 500
whole = p["pue"] * (p["gpus_W"] + p["lpus_W"] + p["hosts_W"] + p["nics_W"] + p["switches_W"])
assert abs(whole / p["facility_W"] - 1) < 1e-9
rows = {row["pool"]: row for row in csv.DictReader(open("out/pools.csv"))}
assert rows["experts"]["lpu"] == "1" and rows["prefill"]["ffn"] == "" and rows["attention"]["ffn"] == "experts"
parts = sum(float(rows["attention"][k]) for k in ("attention_queue", "attention", "there", "ffn_queue", "ffn_work", "back"))
assert abs(parts - 1) < 1e-9 and rows["attention"]["bound"] in ("attention", "ffn", "links")
PY
}

@test "a search of a disaggregated trace has layouts of prefill replicas, too" {
    fabsim pareto "$root/topologies/gb200-nvl72.xml" "$root/workloads/deepseek-r1-disagg.json" --points 30 --gpus 32 --concurrency 64 --tpot 1s --ttft 100s --json p.json >text 2>/dev/null
    grep -qE '^  A  TP [0-9]+.* \+ [0-9]+ x prefill TP ' text
    grep -q 'letters: frontier' text
    python3 - <<'PY'
import json
r = json.load(open("p.json"))
assert 0 < r["prefill_layouts_kept"] <= r["prefill_layouts"] - r["prefill_layouts_unfit"]
for p in r["points"]:
    layout = p["prefill_tp"] * p["prefill_dp"] * p["prefill_pp"]
    assert p["prefill_replicas"] >= 1 and p["gpus"] == p["tp"] * p["dp"] * p["pp"] + p["prefill_replicas"] * layout <= 32, p
PY
}

@test "of a fleet that folds one copy is drawn, as it is drawn alone" {
    python3 - "$root/workloads/deepseek-r1-disagg.json" <<'PY'
import json, sys
trace = json.load(open(sys.argv[1]))
trace["requests"].update(count=40, rate=20)
json.dump(trace, open("one.json", "w"))
trace["fleet"] = {"copies": 10, "distinct": 1, "stride": 72}
json.dump(trace, open("ten.json", "w"))
PY
    fabsim "$root/topologies/gb200-nvl72.xml" one.json --quiet --json one-r.json
    fabsim "$root/topologies/gb200-nvl72-1k.xml" ten.json --quiet --json ten-r.json
    fabsim "$root/topologies/gb200-nvl72-1k.xml" ten.json --quiet --fold off --json all-r.json
    python3 - <<'PY'
import json
one, ten, all = (json.load(open(f"{n}-r.json"))["fabric"] for n in ("one", "ten", "all"))
assert (one["stands_for"], ten["stands_for"], all["stands_for"]) == (1, 10, 1)
assert sorted(one["edges"]) == sorted(ten["edges"]) and any(e[5] > 0 for e in ten["edges"])
assert [n[1:] for n in one["nodes"]] == [n[1:] for n in ten["nodes"]]
assert sum(n[4] for n in ten["nodes"]) == 72 and sum(n[4] for n in all["nodes"]) == 1080
PY
}
