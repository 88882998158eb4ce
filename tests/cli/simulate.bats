load helper

ring() { fabsim "$root/topologies/dgx1-v100.xml" "$root/workloads/ring-allreduce.json" "$@"; }

@test "help names every command and option" {
    run fabsim --help
    [ "$status" -eq 0 ]
    for command in coll kernel sweep topo import pareto factory compare report; do
        [[ "$output" == *"  fabsim $command "* ]]
    done
    for word in --json --csv --timeline --set --cost --lowering --fold --network --seed --quiet --dump-ops; do
        [[ "$output" == *"$word"* ]]
    done
    for command in coll kernel sweep topo import pareto factory compare report; do
        run fabsim $command --help
        [ "$status" -eq 0 ]
        [[ "$output" == usage:\ fabsim\ $command* ]]
    done
}

@test "version" {
    run fabsim --version
    [ "$status" -eq 0 ]
    [[ "$output" =~ ^fabsim\ [0-9]+\.[0-9]+\.[0-9]+$ ]]
}

@test "the man page and the completion know every option" {
    for option in $(fabsim --help | grep -oE '^  (-., |    )--[a-z-]+' | grep -oE '\-\-[a-z-]+'); do
        [ "$option" = --help ] || sed 's/\\//g' "$root/docs/man/fabsim.1" | grep -q -e "$option"
        grep -q -e "$option" "$root/scripts/completion/fabsim.bash"
    done
    for command in coll kernel sweep topo import pareto factory compare report; do
        for option in $(fabsim $command --help | grep -oE '^  (-., |    )--[a-z-]+' | grep -oE '\-\-[a-z-]+'); do
            grep -q -e "$option" "$root/scripts/completion/fabsim.bash"
        done
    done
}

@test "the summary says step time, bottleneck and units, without colour in a pipe" {
    run ring
    [ "$status" -eq 0 ]
    [[ "$output" == *"Step time          16.9 ms"* ]]
    [[ "$output" == *"exposed world"* ]]
    [[ "$output" == *"ring x6"* ]]
    [[ "$output" == *"gpu0 -> gpu"* ]]
    [[ "$output" != *$'\033'* ]]
}

@test "the summary says why forwarded tokens have more than a link's rate, where there are some" {
    run fabsim "$root/topologies/superpod-h100.xml" "$root/workloads/mixtral-8x7b.json"
    [[ "$output" == *"forwarded: a token's copies count each"* ]]
    run fabsim "$root/topologies/dgx1-v100.xml" "$root/workloads/ring-allreduce.json"
    [[ "$output" != *"forwarded"* ]]
}

@test "colour on a terminal, none with NO_COLOR" {
    coloured=$(TERM=xterm script -qec "$FABSIM $root/topologies/dgx1-v100.xml $root/workloads/ring-allreduce.json" /dev/null)
    [[ "$coloured" == *$'\033[1m'* ]]
    plain=$(TERM=xterm NO_COLOR=1 script -qec "$FABSIM $root/topologies/dgx1-v100.xml $root/workloads/ring-allreduce.json" /dev/null)
    [[ "$plain" != *$'\033[1m'* ]]
}

@test "result JSON: breakdown sums to the step, no link above its capacity" {
    ring --json r.json --quiet --fold off
    [ "$(value r.json '["schema_version"]')" = 3 ]
    holds 'abs(sum(row["seconds"] for row in d["breakdown"]) - d["step_time_s"]) <= 1e-9 * d["step_time_s"]' r.json
    holds 'all(row["peak_utilization"] <= 1 + 1e-9 for row in d["links"] + d["tiers"])' r.json
    holds 'len(d["links"]) == 20' r.json
}

@test "--json - is the result and nothing else" {
    ring --json - >r.json
    holds 'd["step_time_s"] > 0' r.json
}

@test "--quiet prints nothing" {
    run ring --quiet
    [ "$status" -eq 0 ]
    [ -z "$output" ]
}

@test "--csv writes four tables" {
    ring --quiet --csv tables --fold off
    [ "$(head -1 tables/links.csv)" = "link,source,destination,tier,bytes,mean_utilization,peak_utilization,busy_s,count" ]
    [ "$(wc -l <tables/links.csv)" -eq 33 ] # 32 NVLinks carry bytes: 16 connections, both ways
    for name in breakdown tiers comms; do [ "$(wc -l <tables/$name.csv)" -ge 2 ]; done
}

@test "--scale: weak scaling of two replicas, in a table, JSON and CSV" {
    study() { fabsim "$root/topologies/dgx2h.xml" "$root/workloads/megatron-8.3b-tp8.json" --set batch.micro=1 --scale 16,8 "$@"; }
    run study --json r.json --csv tables
    [ "$status" -eq 0 ] # all went to files: the table is on stdout
    [[ "$output" == *"Scaling, weak"* ]]
    [[ "$output" == *"     8  "*" 100.0 %  "* ]]
    holds '[row["gpus"] for row in d["scaling"]] == [8, 16] and d["options"]["scaling"] == "weak"' r.json
    holds 'd["scaling"][0]["efficiency"] == 1 and 0.8 < d["scaling"][1]["efficiency"] < 1' r.json
    holds 'd["scaling"][1]["step_time_s"] == d["step_time_s"] and d["trace"]["ranks"] == 16' r.json
    holds 'abs(d["scaling"][1]["tokens_per_s"] - d["tokens_per_s"]) == 0 and d["scaling"][1]["exposed"] > 0' r.json
    [ "$(wc -l <tables/scaling.csv)" -eq 3 ]
    study --scaling strong --quiet --json s.json
    holds 'd["scaling"][1]["step_time_s"] < 0.6 * d["scaling"][0]["step_time_s"]' s.json
    fabsim "$root/topologies/dgx2h.xml" "$root/workloads/megatron-8.3b-tp8.json" --set batch.micro=1 --quiet --json one.json
    [ "$(value one.json '["step_time_s"]')" = "$(value s.json '["scaling"][0]["step_time_s"]')" ]
    holds 'd["scaling"] == [] and d["options"]["scaling"] is None' one.json
}

@test "--fold: the same answer from fewer events" {
    for fold in auto off; do
        fabsim "$root/topologies/dgx-h100-x2.xml" "$root/workloads/megatron-8.3b-tp8.json" --quiet --fold $fold --json $fold.json
    done
    holds 'd["options"]["fold"] == "auto" and d["fold"]["rank_classes"] == 1 and d["fold"]["ranks"] == 8' auto.json
    holds 'd["options"]["fold"] == "off" and d["fold"]["rank_classes"] == 8' off.json
    python3 - <<'PY'
import json
a, b = (json.load(open(f"{x}.json")) for x in ("auto", "off"))
assert abs(a["step_time_s"] / b["step_time_s"] - 1) < 1e-9
assert a["counters"]["events"] * 4 < b["counters"]["events"]
assert sum(row["count"] for row in a["links"]) >= len(b["links"])
PY
    # a timeline then has a track for each class
    fabsim "$root/topologies/dgx-h100-x2.xml" "$root/workloads/megatron-8.3b-tp8.json" --quiet --timeline t.json
    grep -q "and 7 alike" t.json
}

@test "--set overrides trace and topology" {
    ring --quiet --json a.json --cost ideal
    ring --quiet --json b.json --cost ideal --set programs.0.ops.0.size_bytes=2GiB
    ring --quiet --json c.json --cost ideal --set topo:nvlink2-mesh.bandwidth=50GB/s
    python3 - <<'PY'
import json
a, b, c = (json.load(open(f"{x}.json"))["step_time_s"] for x in "abc")
assert abs(b / a - 2) < 0.01 and abs(c / a - 0.5) < 0.01, (a, b, c)
PY
}

@test "--timeline opens as JSON, plain and compressed, with equal content" {
    fabsim "$root/topologies/dgx-h100.xml" "$root/workloads/overlap.json" --quiet --fold off --timeline t.json
    fabsim "$root/topologies/dgx-h100.xml" "$root/workloads/overlap.json" --quiet --fold off --timeline t.json.gz
    gunzip t.json.gz -c | cmp - t.json
    holds 'len([e for e in d["traceEvents"] if e["ph"] == "X"]) > 8' t.json
}

@test "timelines are what the Trace Event Format describes" {
    for job in "dgx-h100 overlap" "dgx-h100-x2 pipeline" "dgx2h megatron-8.3b-tp8"; do
        for end in json json.gz; do
            fabsim "$root/topologies/${job% *}.xml" "$root/workloads/${job#* }.json" --quiet --fold off --timeline "t.$end"
            "$root/tests/cli/timeline.py" "t.$end" >>seen
        done
    done
    [ "$(uniq seen | wc -l)" -eq 3 ]
    grep -q '^[1-9][0-9]* slices, 36 arrows, 4 counters$' seen
}

@test "--dump-ops gives a trace with the same answer" {
    fabsim "$root/topologies/dgx2h.xml" "$root/workloads/megatron-2.5b-tp2.json" --dump-ops ops.json
    fabsim "$root/topologies/dgx2h.xml" ops.json --quiet --json b.json
    fabsim "$root/topologies/dgx2h.xml" "$root/workloads/megatron-2.5b-tp2.json" --quiet --json a.json
    [ "$(value a.json '["step_time_s"]')" = "$(value b.json '["step_time_s"]')" ]
}

@test "every lowering and network gives an answer" {
    for lowering in coupled flows messages; do
        fabsim "$root/topologies/dgx1-v100.xml" "$root/workloads/ring-allreduce.json" --cost ideal --quiet --lowering $lowering --json fabric-$lowering.json
        fabsim "$root/topologies/dgx1-v100.xml" "$root/workloads/ring-allreduce.json" --cost ideal --quiet --lowering $lowering --network cm02 --json cm02-$lowering.json
    done
    python3 - <<'PY'
import json
times = [json.load(open(f"{n}-{l}.json"))["step_time_s"] for n in ("fabric", "cm02") for l in ("coupled", "flows", "messages")]
assert max(times) / min(times) < 1.001, times
PY
}

@test "a compressed trace reads like a plain one" {
    gzip -c "$root/workloads/ring-allreduce.json" >ring.json.gz
    fabsim "$root/topologies/dgx1-v100.xml" ring.json.gz --quiet --json r.json
    [ "$(value r.json '["step_time_s"]')" = "$(ring --json - --quiet | python3 -c 'import json, sys; print(json.load(sys.stdin)["step_time_s"])')" ]
}

@test "every shipped trace runs, or says that it needs more GPUs" {
    for trace in "$root"/workloads/*.json; do
        case $trace in *schema*) continue ;; esac
        run fabsim "$root/topologies/dgx2h.xml" "$trace" --quiet --json r.json
        if [ "$status" -eq 0 ]; then
            holds 'd["step_time_s"] > 0' r.json
        else
            [ "$status" -eq 4 ]
            [[ "$output" == *"each rank needs a GPU of its own"* || "$output" == *"has no peak rate"* || "$output" == *"the model does not fit"* ]]
        fi
    done
}

@test "the README shows what fabsim prints" {
    cd "$root"
    fabsim topologies/dgx2h.xml workloads/megatron-8.3b-tp8.json | grep -v 'of wall time' >"$BATS_TEST_TMPDIR/now"
    awk '/^```$/ { n++; next } n == 1' README.md | grep -v 'of wall time' >"$BATS_TEST_TMPDIR/then"
    diff -u "$BATS_TEST_TMPDIR/then" "$BATS_TEST_TMPDIR/now"
}

@test "the examples of the README work" {
    cd "$root"
    sed -n '/^```sh$/,/^```$/p' README.md | grep '^build/fabsim' | grep -v -e 'node.xml' -e '--show' -e '--slurm' |
        sed "s#^build/fabsim#$FABSIM#; s#-o results.db#-o $BATS_TEST_TMPDIR/results.db --dry-run#; s#pareto #pareto --points 20 #; s#--timeline step.json#--timeline $BATS_TEST_TMPDIR/step.json#" >"$BATS_TEST_TMPDIR/examples"
    [ "$(wc -l <"$BATS_TEST_TMPDIR/examples")" -ge 4 ]
    bash -e "$BATS_TEST_TMPDIR/examples" >/dev/null
}

@test "a run that fails leaves no timeline behind" {
    fabsim "$root/topologies/dgx-h100.xml" "$root/workloads/overlap.json" --quiet --fold off --timeline t.json
    run fabsim "$root/topologies/dgx-h100.xml" "$root/workloads/overlap.json" --timeline t.json --max-events 3
    [ "$status" -eq 1 ]
    [ ! -e t.json ]
}

@test "Ctrl-C: status 130, no half a timeline, nothing printed" {
    python3 - >long.json <<'PY'
import json
ops = [{"op": "delay", "duration_us": 1}] * 200000
print(json.dumps({"fabsim": "trace/1", "kind": "ops", "ranks": 8, "programs": [{"ops": ops}]}))
PY
    python3 - "$FABSIM" "$root/topologies/dgx-h100.xml" <<'PY'
import os, signal, subprocess, sys, time
for sent in signal.SIGINT, signal.SIGTERM:
    run = subprocess.Popen([sys.argv[1], sys.argv[2], "long.json", "--timeline", "t.json"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                           preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))
    while not os.path.exists("t.json") or os.path.getsize("t.json") == 0:
        time.sleep(0.005)
    run.send_signal(sent)
    assert run.communicate()[0] == b"" and run.returncode == -sent, run.returncode # a shell makes 128 + sent of that
    assert not os.path.exists("t.json")
PY
}

@test "names with quotes, control characters and UTF-8 break no output" {
    python3 - >evil.json <<'PY'
import json
evil = "q\"uo\\te\n\t\r\x1b[31m\x7f,;\u00e9</script>\U0001f600"
print(json.dumps({"fabsim": "trace/1", "kind": "ops", "name": evil, "note": evil, "ranks": 2, "groups": {evil: [[0, 1]]},
                  "programs": [{"name": evil, "ops": [{"op": "all_reduce", "group": evil, "size_bytes": 1000, "stream": evil, "name": evil * 9},
                                                      {"op": "delay", "duration_us": 1, "id": evil, "stream": "\u00e9" * 200}]}]}))
PY
    mkdir "a b"
    fabsim "$root/topologies/dgx-h100.xml" evil.json --timeline "a b/\u00fc.json" --csv "a b/tables" --json r.json >summary
    fabsim "$root/topologies/dgx-h100.xml" evil.json --dump-ops ops.json
    fabsim "$root/topologies/dgx-h100.xml" ops.json --quiet --json again.json
    python3 - <<'PY'
import csv, glob, json
for path in glob.glob("a b/*.json") + ["r.json", "again.json"]:
    json.load(open(path))
for path in glob.glob("a b/tables/*.csv"):
    assert len({len(row) for row in csv.reader(open(path, newline=""))}) == 1, path
text = open("summary", newline="", encoding="utf-8").read()
assert all(c == "\n" or c.isprintable() for c in text), repr(text)
assert "\\te???" in text
PY
}

@test "--timeline - is the timeline and nothing else" {
    fabsim "$root/topologies/dgx-h100.xml" "$root/workloads/overlap.json" --timeline - >t.json
    holds 'len(d["traceEvents"]) > 8' t.json
}

@test "a reader that stops early hears no complaint" {
    run bash -c "'$FABSIM' topo '$root/topologies/gb200-nvl72.xml' --expand | head -1" # 90 kB, more than a pipe holds
    [ "$status" -eq 0 ]
    [ "${#lines[@]}" -eq 1 ]
}
