#!/usr/bin/env bats
# fabsim sweep: points are computed once, kept whatever happens, and shown.

setup() {
    cd "$BATS_TEST_DIRNAME/../.."
    FABSIM=${FABSIM:-$PWD/build/fabsim}
    T=$(mktemp -d)
    cat >"$T/s.json" <<END
{"fabsim": "sweep/1", "name": "s", "topologies": ["$PWD/topologies/dgx2h.xml"],
 "traces": ["$PWD/workloads/megatron-8.3b-tp8.json"],
 "zip": {"parallel.tp": [1, 2, 4, 8], "parallel.dp": [8, 4, 2, 1]}, "set": {"batch.global": 64},
 "grid": {"batch.micro": [1, 2, 4, 8], "model.seq": [512, 1024, 2048, 4096, 3.5],
          "link-type.nvlink2.effective": ["10GB/s", "20GB/s"]}}
END
}

teardown() {
    rm -rf "$T"
}

# All that a function of the inputs may tell.
rows() {
    sqlite3 "$1" 'SELECT hash, version, topology, trace, settings, status, exit_status, message, result FROM points ORDER BY hash;
                  SELECT * FROM members ORDER BY sweep, number'
}

@test "all points, failures as rows, exit status 5; then nothing is left to do" {
    run "$FABSIM" sweep "$T/s.json" -o "$T/a.db" --quiet
    [ "$status" -eq 5 ]
    [ "$(sqlite3 "$T/a.db" 'SELECT status, count(*) FROM results GROUP BY status')" = "failed|32
ok|128" ]
    [[ "$(sqlite3 "$T/a.db" "SELECT DISTINCT message FROM results WHERE status = 'failed'")" == *"--set model.seq=3.5: error: "* ]]
    before=$(rows "$T/a.db")
    run "$FABSIM" sweep "$T/s.json" -o "$T/a.db"
    [ "$status" -eq 5 ]
    [[ "$output" == *"160 points: 160 there already, 0 computed"*"32 failed"* ]]
    [ "$(rows "$T/a.db")" = "$before" ]
}

@test "a point is what fabsim alone says of its command" {
    run "$FABSIM" sweep "$T/s.json" -o "$T/a.db" --quiet --jobs 1
    bare='import json, sys
r = json.load(sys.stdin)
for key in ("command", "load", "timeline", "fabric"): del r[key] # of the pictures, which points leave out
print(json.dumps(r))'
    for number in 0 26 82 151; do
        sqlite3 "$T/a.db" "SELECT result FROM points p, members m ON p.hash = m.hash WHERE number = $number" >"$T/result"
        command=$(python3 -c 'import json, sys; print(json.load(open(sys.argv[1]))["command"])' "$T/result")
        ${command/#fabsim/$FABSIM} --json - --stable | python3 -c "$bare" >"$T/alone"
        python3 -c "$bare" <"$T/result" | diff - "$T/alone"
    done
}

@test "kill -9 at 50 moments and go on: the same rows" {
    "$FABSIM" sweep "$T/s.json" -o "$T/whole.db" --quiet || [ $? -eq 5 ]
    RANDOM=7
    for i in $(seq 50); do
        "$FABSIM" sweep "$T/s.json" -o "$T/a.db" --quiet 2>/dev/null &
        pid=$!
        sleep "0.$(printf %03d $((RANDOM % 120)))"
        kill -9 $pid 2>/dev/null || true
        wait $pid || true
        [ "$(sqlite3 "$T/a.db" 'PRAGMA integrity_check')" = ok ]
    done
    "$FABSIM" sweep "$T/s.json" -o "$T/a.db" --quiet || [ $? -eq 5 ]
    [ "$(rows "$T/a.db")" = "$(rows "$T/whole.db")" ]
}

@test "SIGINT keeps what is done and ends with 130" {
    "$FABSIM" sweep bench/sweep_8gpu.json -o "$T/a.db" --quiet &
    pid=$!
    for i in $(seq 100); do
        n=$(sqlite3 "$T/a.db" 'SELECT count(*) FROM points' 2>/dev/null || echo 0)
        [ "${n:-0}" -gt 20 ] && break
        sleep 0.1
    done
    kill -TERM $pid
    status=0
    wait $pid || status=$?
    [ "$status" -eq 143 ]
    [ "$(sqlite3 "$T/a.db" 'SELECT count(*) FROM points WHERE status = "ok"')" -gt 20 ]
    [ "$(sqlite3 "$T/a.db" 'SELECT count(*) FROM points WHERE status = "failed"')" -eq 0 ]
}

@test "two sweeps into one database: nothing lost or doubled" {
    "$FABSIM" sweep "$T/s.json" -o "$T/whole.db" --quiet || [ $? -eq 5 ]
    "$FABSIM" sweep "$T/s.json" -o "$T/a.db" --quiet --jobs 2 2>/dev/null &
    one=$!
    "$FABSIM" sweep "$T/s.json" -o "$T/a.db" --quiet --jobs 2 2>/dev/null &
    two=$!
    wait $one || [ $? -eq 5 ]
    wait $two || [ $? -eq 5 ]
    [ "$(rows "$T/a.db")" = "$(rows "$T/whole.db")" ]
}

@test "shards merge into the whole" {
    "$FABSIM" sweep "$T/s.json" -o "$T/whole.db" --quiet || [ $? -eq 5 ]
    for i in 0 1 2; do
        "$FABSIM" sweep "$T/s.json" -o "$T/$i.db" --quiet --shard $i/3 || [ $? -eq 5 ]
    done
    "$FABSIM" sweep --merge -o "$T/a.db" "$T/0.db" "$T/1.db" "$T/2.db"
    [ "$(rows "$T/a.db")" = "$(rows "$T/whole.db")" ]
    SLURM_ARRAY_TASK_ID=5 SLURM_ARRAY_TASK_COUNT=3 SLURM_ARRAY_TASK_MIN=4 SLURM_ARRAY_TASK_MAX=6 \
        "$FABSIM" sweep "$T/s.json" -o "$T/slurm.db" --quiet || [ $? -eq 5 ]
    [ "$(rows "$T/slurm.db")" = "$(rows "$T/1.db")" ]
}

@test "a full disk ends the sweep, and it goes on where there is room" {
    "$FABSIM" sweep "$T/s.json" -o "$T/whole.db" --quiet || [ $? -eq 5 ]
    (ulimit -f 300; trap '' XFSZ; "$FABSIM" sweep "$T/s.json" -o "$T/a.db" --quiet) >"$T/out" 2>&1 && false
    grep -q "a.db: error: " "$T/out"
    [ "$(sqlite3 "$T/a.db" 'PRAGMA integrity_check')" = ok ]
    "$FABSIM" sweep "$T/s.json" -o "$T/a.db" --quiet || [ $? -eq 5 ]
    [ "$(rows "$T/a.db")" = "$(rows "$T/whole.db")" ]
}

@test "limits of time and memory are failures of the point; --retry computes it again" {
    echo '{"fabsim": "sweep/1", "name": "l", "topologies": ["'$PWD'/topologies/h100-16k.xml"], "traces": ["'$PWD'/workloads/llama3-405b-16k.json"]}' >"$T/l.json"
    run "$FABSIM" sweep "$T/l.json" -o "$T/a.db" --quiet --time-limit 20ms
    [ "$status" -eq 5 ]
    [[ "$(sqlite3 "$T/a.db" 'SELECT message FROM points')" == *"took longer than the limit of 0.02 s"* ]]
    run "$FABSIM" sweep "$T/l.json" -o "$T/a.db" --quiet --retry --memory-limit 20M
    [ "$status" -eq 5 ]
    [[ "$(sqlite3 "$T/a.db" 'SELECT message FROM points')" == *memory* || "$(sqlite3 "$T/a.db" 'SELECT message FROM points')" == *bad_alloc* ]]
    run "$FABSIM" sweep "$T/l.json" -o "$T/a.db" --quiet --retry
    [ "$status" -eq 0 ]
    [ "$(sqlite3 "$T/a.db" 'SELECT count(*), status FROM points')" = "1|ok" ]
}

@test "--show: conditions, best, groups, CSV, JSON Lines" {
    "$FABSIM" sweep "$T/s.json" -o "$T/a.db" --quiet || [ $? -eq 5 ]
    run "$FABSIM" sweep --show "$T/a.db" --best mfu --group-by parallel.tp --columns parallel.tp,mfu
    [ "$status" -eq 0 ]
    [ "$(echo "$output" | grep -c '%')" -eq 4 ]
    run "$FABSIM" sweep --show "$T/a.db" --where "parallel.tp * parallel.dp == 8 && batch.micro >= 4 && status == 'ok'" --csv -
    [ "$(echo "$output" | wc -l)" -eq 65 ]
    run "$FABSIM" sweep --show "$T/a.db" --where "mfu > 0" --jsonl -
    [ "$(echo "$output" | python3 -c 'import json, sys; print(len([json.loads(l) for l in sys.stdin]))')" -eq 128 ]
    run "$FABSIM" sweep --show "$T/a.db" --where "paralel.tp == 8"
    [ "$status" -eq 2 ]
    [[ "$output" == *"at character 1: unknown name 'paralel.tp' (did you mean 'parallel.tp'?)"* ]]
    run "$FABSIM" sweep --show "$T/a.db" --best mfoo
    [ "$status" -eq 2 ]
}

@test "errors in sweep files have places" {
    while IFS='|' read -r text message; do
        printf '%s' "$text" >"$T/e.json"
        run "$FABSIM" sweep "$T/e.json" -o "$T/e.db"
        [ "$status" -eq 2 ]
        [[ "$output" == *"$message"* ]] || { echo "$text: $output"; false; }
    done <tests/cli/sweep-errors.txt
}
