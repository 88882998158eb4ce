load helper

# Ten thousand GPUs and more, by their names: written out they are tens of megabytes. The unit tests read them.
is_large() { [[ $1 =~ -[0-9]+[km](-ib)?\.xml$ ]]; }

@test "topo describes every shipped topology; its explicit form reads back identical" {
    for file in "$root"/topologies/*.xml; do
        is_large "$file" && continue
        fabsim topo "$file" >description
        grep -q "Every GPU reaches every other." description
        fabsim topo "$file" --expand >explicit.xml
        fabsim topo explicit.xml --expand | cmp - explicit.xml
        fabsim topo "$file" --json >a.json
        fabsim topo explicit.xml --json >b.json
        cmp <(grep -v '"file"' a.json) <(grep -v '"file"' b.json)
    done
}

@test "explicit XML satisfies the schema" {
    for file in "$root"/topologies/*.xml; do
        is_large "$file" && continue
        fabsim topo "$file" --expand >explicit.xml
        xmllint --nonet --noout --schema "$root/topologies/fabsim-topology.xsd" explicit.xml
    done
}

@test "topo --dot is a graph" {
    fabsim topo "$root/topologies/dgx1-v100.xml" --dot >graph.dot
    [[ "$(head -c 7 graph.dot)" =~ ^(di)?graph ]]
    [ "$(tail -1 graph.dot)" = "}" ]
}

@test "coll prints the columns of nccl-tests" {
    run fabsim coll "$root/topologies/dgx-h100.xml" --op all_gather --min 1M --max 4M
    [ "$status" -eq 0 ]
    [[ "${lines[1]}" == *"size (B)"*"time (us)"*"algbw (GB/s)"*"busbw (GB/s)"*"algo"* ]]
    [ "${#lines[@]}" -eq 5 ]
}

@test "coll --json and --csv agree; busbw follows from time" {
    fabsim coll "$root/topologies/dgx-a100.xml" --json --min 1K --max 1G >t.json
    fabsim coll "$root/topologies/dgx-a100.xml" --csv --min 1K --max 1G >t.csv
    python3 - <<'PY'
import csv, json
rows = json.load(open("t.json"))["rows"]
lines = list(csv.DictReader(open("t.csv")))
assert len(rows) == len(lines) == 21
for a, b in zip(rows, lines):
    assert a["time_us"] == float(b["time_us"]) and a["algo"] == b["algo"]
    algbw = a["size_bytes"] / a["time_us"] / 1e3
    assert abs(a["algbw_GBps"] / algbw - 1) < 1e-9 and abs(a["busbw_GBps"] / (algbw * 2 * 7 / 8) - 1) < 1e-9
times = [row["time_us"] for row in rows]
assert times == sorted(times), "a larger message is never faster"
PY
}

@test "coll: every operation on every topology keeps below the hardware" {
    # GB/s: what one GPU can send at bare rate; twice that where switches add up, as busbw assumes twice their bytes
    while read -r name limit; do
        for op in all_reduce all_gather reduce_scatter all_to_all broadcast reduce sendrecv; do
            fabsim coll "$root/topologies/$name.xml" --op $op --min 1G --max 1G --json >t.json
            holds "0 < d['rows'][0]['busbw_GBps'] <= $limit * (2 if 'nvls' in d['rows'][0]['algo'] else 1)" t.json
        done
    done <<'EOF'
dgx1-p100 80
dgx1-v100 150
dgx2h 150
dgx-a100 300
dgx-h100 450
hgx-b200 900
gb200-nvl72 900
v100-pcie 15.75
t4-server 15.75
a100-mig 31.5
dgx-a100-mig 31.5
dgx-h100-x2 450
EOF
}

@test "coll: --on chooses GPUs, a send goes from the first to the last of them" {
    two="$root/topologies/dgx-h100-x2.xml"
    [ "$(fabsim coll "$two" --on 0-7 --sizes 1M --csv)" = "$(fabsim coll "$two" --gpus 8 --sizes 1M --csv)" ]
    [ "$(fabsim coll "$two" --on 8-15 --sizes 1M --csv)" = "$(fabsim coll "$two" --gpus 8 --sizes 1M --csv)" ]
    fabsim coll "$two" --on 3,11 --sizes 1G --json >rail.json # one NIC each
    holds "d['ranks'] == 2 and 40 < d['rows'][0]['busbw_GBps'] <= 50" rail.json
    fabsim coll "$two" --op sendrecv --sizes 1G --json >far.json
    fabsim coll "$two" --op sendrecv --sizes 1G --gpus 8 --json >near.json
    holds "30 < d['rows'][0]['busbw_GBps'] <= 50" far.json
    holds "300 < d['rows'][0]['busbw_GBps'] <= 450" near.json
    run fabsim coll "$two" --op sendrecv --sizes 1G --on 1,12
    [[ "${lines[0]}" == "# fabsim coll: sendrecv from node0/gpu1 to node1/gpu4 of "* ]]
    for bad in "--on 0-16;there is no GPU 16" "--on 3;at least 2 GPUs" "--on 1,0-3;1 stands in '1,0-3' twice" \
        "--on 0,x;expected GPUs such as 0,8,16-31, found '0,x'" "--on 0,1 --gpus 2;exclude each other"; do
        run fabsim coll "$two" ${bad%;*}
        [ "$status" -eq 2 ] && [[ "$output" == *"${bad#*;}"* ]]
    done
}

@test "kernel: one from the command line, many from a file, on a part and on a topology" {
    run fabsim kernel h100-sxm5 gemm 4096 4096 4096
    [ "$status" -eq 0 ]
    [[ "${lines[1]}" == *"time (us)"*"bound by"*"of roofline"* ]]
    [[ "${lines[2]}" == *"gemm 4096 4096 4096"*"bf16"*"compute"* ]]
    printf '# a comment\ngemm,4096,4096,4096\n\nattention 1 1 8192 32 8 128 kv=fp8\n' >kernels
    fabsim kernel "$root/topologies/dgx-h100.xml" --file kernels --csv >a.csv
    fabsim kernel h100-sxm5 --file - --json <kernels >b.json
    python3 - <<'PY'
import csv, json
a, b = list(csv.DictReader(open("a.csv"))), json.load(open("b.json"))["rows"]
assert len(a) == len(b) == 2
for x, y in zip(a, b):
    assert float(x["time_us"]) == y["time_us"] >= y["roofline_us"] and x["bound"] == y["bound"]
PY
    fabsim kernel h100-sxm5 gemm 4096 4096 4096 --cost ideal --json >c.json
    holds "d['rows'][0]['time_us'] == d['rows'][0]['roofline_us'] == 2 * 4096**3 / 989.4e6" c.json
}

@test "kernel: errors name what is wrong" {
    run fabsim kernel h100-sxm gemm 1 2 3
    [ "$status" -eq 2 ] && [[ "$output" == *"no shipped gpu part is called 'h100-sxm'; did you mean 'h100-sxm5'?"* ]]
    run fabsim kernel h100-sxm5 gemn 1 2 3
    [ "$status" -eq 2 ] && [[ "$output" == *"unknown kind of kernel 'gemn' (did you mean 'gemm'?)"* ]]
    run fabsim kernel h100-sxm5 gemm 1 2
    [ "$status" -eq 2 ] && [[ "$output" == *"gemm takes 3 or more sizes, found 2"* ]]
    run fabsim kernel h100-sxm5 gemm 1 2 3 --dtype fp4
    [ "$status" -eq 2 ] && [[ "$output" == *"has no peak rate for fp4"* ]]
    printf 'gemm 1 2 3\ngemm 1 two 3\n' >kernels
    run fabsim kernel h100-sxm5 --file kernels
    [ "$status" -eq 2 ] && [[ "$output" == *"kernels:2:1: error: expected a size"* ]]
}

@test "import: both fixtures become boards that run" {
    for node in "$root"/tests/fixtures/hwloc/*.xml; do
        fabsim import hwloc "$node" -o board.xml
        fabsim topo board.xml | grep -q "Every GPU reaches every other."
        fabsim coll board.xml --min 1G --max 1G --json >t.json
        holds 'd["rows"][0]["busbw_GBps"] > 10' t.json
    done
}

@test "import: the third version of hwloc's XML gets a way out" {
    sed 's/version="2.0"/version="3.0"/' "$root"/tests/fixtures/hwloc/mesh-8-p100.xml >v3.xml
    run fabsim import hwloc v3.xml -o board.xml
    [ "$status" -eq 3 ]
    [[ "$output" == *lstopo* ]]
    [ ! -e board.xml ]
}

@test "import --this-machine works or says why not" {
    run fabsim import hwloc --this-machine
    [ "$status" -eq 0 ] || { [ "$status" -eq 3 ] && [[ "$output" == *GPU* ]]; }
}

@test "make install puts everything in its place, and what is there runs" {
    make -s -C "$root" install BUILD="$(dirname "$FABSIM")" DESTDIR="$PWD/to" PREFIX=/usr
    [ -f to/usr/share/man/man1/fabsim.1 ]
    [ -f to/usr/share/bash-completion/completions/fabsim ]
    to/usr/bin/fabsim to/usr/share/fabsim/topologies/dgx-h100.xml to/usr/share/fabsim/workloads/dp8.json --quiet
    make -s -C "$root" uninstall DESTDIR="$PWD/to" PREFIX=/usr
    [ -z "$(find to -type f)" ]
}

@test "completion offers commands, options and values" {
    source "$root/scripts/completion/fabsim.bash"
    complete_words() { COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMPREPLY=(); _fabsim; echo "${COMPREPLY[*]}"; }
    [[ "$(complete_words fabsim to)" == *topo* ]]
    [[ "$(complete_words fabsim coll x.xml --al)" == --algo ]]
    [[ "$(complete_words fabsim coll x.xml --algo nv)" == "nvls nvlstree" ]]
    [[ "$(complete_words fabsim x.xml y.json --lowering m)" == messages ]]
}
