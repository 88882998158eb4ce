load helper

dgx() { fabsim "$root/topologies/dgx2h.xml" "$root/workloads/megatron-8.3b-tp8.json" --quiet "$@"; }

@test "compare: a slower link is the reason, by collective and tier" {
    dgx --json a.json
    dgx --json b.json --fault link:gpu0-nvsw0=0.5
    run fabsim compare a.json b.json
    [ "$status" -eq 0 ]
    [[ "$output" == *"faults of B: link:gpu0-nvsw0=0.5"* ]]
    [[ "${lines[-1]}" == "Reason  exposed tp, +"*": all_reduce of 48.0 MiB, "*" 434 times; tier nvlink" ]]
    [[ "${lines[-1]}" == *" (the step: +"* ]]
    # and back, with the opposite sign
    run fabsim compare b.json a.json
    [[ "${lines[-1]}" == "Reason  exposed tp, -"*"; tier nvlink" ]]
}

@test "compare: sends of a pipeline are the reason of exposed p2p" {
    pipeline() { fabsim "$root/topologies/dgx-h100-x2.xml" "$root/workloads/pipeline.json" --quiet "$@"; }
    pipeline --json a.json
    pipeline --json b.json --set topo:nvlink4.effective=2GB/s
    run fabsim compare a.json b.json
    [[ "${lines[-1]}" == "Reason  exposed p2p, +"*": sendrecv of "* ]]
}

@test "compare: twice the batch is compute" {
    dgx --json a.json
    dgx --json b.json --set batch.global=16
    run fabsim compare a.json b.json
    [[ "${lines[-1]}" == "Reason  compute, +"* ]]
}

@test "compare: a result with itself has no reason" {
    dgx --json a.json
    run fabsim compare a.json a.json
    [ "$status" -eq 0 ]
    [[ "${lines[-1]}" == "Reason  none to look for: the step takes as long" ]]
}

@test "compare: serving says whether requests queue, or tokens take longer" {
    serve() { fabsim "$root/topologies/gb200-nvl72.xml" "$root/workloads/deepseek-r1-disagg.json" --quiet "$@"; }
    serve --json a.json
    serve --json b.json --set requests.rate=200
    run fabsim compare a.json b.json
    [[ "${lines[-1]}" == "Reason  tokens after the first, +"*"; pool decode: its kernels, in batches of "* ]]
    run fabsim compare a.json a.json
    [[ "${lines[-1]}" == "Reason  none to look for: requests take as long" ]]
    dgx --json c.json
    run fabsim compare a.json c.json
    [ "$status" -eq 2 ]
    [[ "$output" == *"'a.json' is a result of serving and 'c.json' is not" ]]
}

@test "loads over time have the mean of their tier" {
    dgx --json r.json
    holds 'all(abs(sum(v * min(d["load"]["step_s"], d["step_time_s"] - i * d["load"]["step_s"]) for i, v in enumerate(l)) / d["step_time_s"] - t["mean_utilization"]) < 1e-4 for l, t in zip(d["load"]["tiers"], d["tiers"]))' r.json
    holds '128 < len(d["load"]["tiers"][0]) <= 256' r.json
}

@test "spans of a timeline do not overlap and are within the step; pods stand for all GPUs" {
    fabsim "$root/topologies/h100-16k.xml" "$root/workloads/llama3-405b-16k.json" --quiet --json r.json
    holds 'all(a[0] + a[1] <= b[0] + 1 for r in d["timeline"]["rows"] for s in r["streams"] for a, b in zip(s["spans"], s["spans"][1:]))' r.json
    holds 'all(0 <= a[0] and a[0] + a[1] <= 100001 for r in d["timeline"]["rows"] for s in r["streams"] for a in s["spans"])' r.json
    holds 'len(d["timeline"]["rows"]) == 8 and all(len(s["spans"]) <= 512 for r in d["timeline"]["rows"] for s in r["streams"])' r.json
    holds 'sum(n[4] for n in d["fabric"]["nodes"]) == d["topology"]["gpus"]' r.json
    holds 'sum(e[3] for e in d["fabric"]["edges"]) == sum(t["links"] for t in d["tiers"])' r.json
    holds 'all(e[4] <= e[5] + 1e-4 for e in d["fabric"]["edges"])' r.json
    [ "$(stat -c %s r.json)" -lt 400000 ]
}

@test "plot.py makes every chart, in every form" {
    command -v gnuplot >/dev/null || skip "no gnuplot: scripts/install-deps.sh plot installs it"
    plot() { "$root/scripts/plot.py" "$@"; }
    dgx --json a.json
    dgx --json s.json --scale 8,16
    fabsim "$root/topologies/gb200-nvl72.xml" "$root/workloads/deepseek-r1-disagg.json" --quiet --json i.json
    fabsim coll "$root/topologies/dgx-h100.xml" --json >c.json
    plot breakdown a.json s.json -o breakdown.svg
    plot memory a.json -o memory.png
    plot load a.json -o load.svg
    plot scaling s.json -o scaling.pdf
    plot busbw c.json -o busbw.svg
    plot latency i.json --column e2e_s -o latency.svg
    for file in breakdown.svg load.svg busbw.svg latency.svg; do xmllint --nonet --noout "$file"; done
    [ "$(head -c 4 scaling.pdf)" = "%PDF" ]
    [ "$(head -c 4 memory.png | tail -c 3)" = "PNG" ]
    run plot scaling a.json -o x.svg
    [ "$status" -eq 1 ]
    [[ "$output" == "plot.py: a curve needs two sizes"* ]]
    run plot breakdown c.json -o x.svg
    [[ "$output" == "plot.py: c.json: has no breakdown" ]]
}
