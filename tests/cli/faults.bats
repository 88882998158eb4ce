load helper

# Two nodes of eight GPUs, a leaf for each rail; data parallelism over both.
two() { fabsim "$root/topologies/dgx-h100-x2.xml" "$root/workloads/megatron-2.5b-tp2.json" --scale 16 --set batch.micro=1 --quiet --json "$@"; }
step() { value "$1" '["step_time_s"]'; }

@test "a slow link slows the job down, and is on record" {
    two healthy.json
    two slow.json --fault 'link:node0/nic3 - leaf3=0.25'
    holds 'd["faults"] == ["link:node0/nic3 - leaf3=0.25"]' slow.json
    holds "d['step_time_s'] > 1.001 * $(step healthy.json)" slow.json
    two whole.json --fault 'link:node0/nic3 - leaf3=1'
    holds "d['step_time_s'] == $(step healthy.json)" whole.json
}

@test "faults split symmetry and nothing more: folded is unfolded" {
    two healthy.json
    for fault in 'link:node1/nic2>leaf2=0.5' 'gpu:5=0.7' 'switch:node0/nvsw1=0.5' 'gpu:node1/gpu1=0.5@10ms..60ms' 'switch:leaf6=0.3@20ms..'; do
        two folded.json --fault "$fault"
        two whole.json --fault "$fault" --fold off
        holds "abs(d['step_time_s'] / $(step whole.json) - 1) < 1e-9 and d['step_time_s'] > $(step healthy.json)" folded.json
        holds "d['fold']['rank_classes'] > $(value healthy.json '["fold"]["rank_classes"]')" folded.json
        holds 'd["fold"]["rank_classes"] <= 16' folded.json
    done
}

@test "a straggler holds up everybody" {
    fabsim "$root/topologies/dgx-h100.xml" "$root/workloads/dp8.json" --quiet --json healthy.json
    fabsim "$root/topologies/dgx-h100.xml" "$root/workloads/dp8.json" --quiet --json slow.json --fault gpu:3=0.5
    python3 - <<'PY'
import json
a, b = (json.load(open(f"{x}.json")) for x in ("healthy", "slow"))
compute = sum(row["seconds"] for row in a["breakdown"] if row["name"] in ("compute", "optimizer"))
grown = b["step_time_s"] - a["step_time_s"]
assert 0.8 * compute < grown < 1.05 * compute, (grown, compute)
PY
}

@test "a fault for a while costs less than one for good" {
    two healthy.json
    two while.json --fault 'switch:leaf3=0.1@590ms..640ms'
    two good.json --fault 'switch:leaf3=0.1'
    holds "$(step healthy.json) < d['step_time_s'] < $(step good.json)" while.json
    two late.json --fault 'switch:leaf3=down@1000s..'
    holds "d['step_time_s'] == $(step healthy.json)" late.json
}

@test "traffic goes around what is down" {
    two healthy.json
    two around.json --fault 'link:node0/gpu0-node0/nvsw0=down'
    holds "d['step_time_s'] >= $(step healthy.json)" around.json
    holds 'all(row["link"] != "node0/gpu0 -> node0/nvsw0" for row in d["links"])' around.json
}

@test "what cannot be reached is an error that says so" {
    run two - --fault 'switch:leaf[0-7]=down'
    [ "$status" -eq 3 ]
    [[ "$output" == *"node0/"*"node1/"*"leaf"* ]]
}

@test "a scenario in the trace is the same as on the command line" {
    python3 - "$root/workloads/dp8.json" <<'PY' >dp8-faults.json
import json, sys
trace = json.load(open(sys.argv[1]))
trace["faults"] = [{"gpu": "gpu2", "speed": 0.5, "from_s": 0, "to_s": 0.05}]
json.dump(trace, sys.stdout)
PY
    fabsim "$root/topologies/dgx-h100.xml" dp8-faults.json --quiet --json a.json
    fabsim "$root/topologies/dgx-h100.xml" "$root/workloads/dp8.json" --fault gpu:gpu2=0.5@0s..50ms --quiet --json b.json
    holds "d['step_time_s'] == $(step b.json) and d['faults'] == ['gpu:gpu2=0.5@0s..0.05s']" a.json
}
