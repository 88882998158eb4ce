#!/usr/bin/env bash
# The same run gives the same bytes: gcc and clang, -O0 and -O3, with and without address randomisation, again and again, and
# with the declaration order of equal things shuffled. Prints TAP.
set -euo pipefail
cd "$(dirname "$0")/../.."

jobs=$(nproc)
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

declare -A cases=(
    [ring]="topologies/dgx1-v100.xml workloads/ring-allreduce.json"
    [megatron]="topologies/dgx2h.xml workloads/megatron-8.3b-tp8.json"
    [overlap]="topologies/dgx-h100.xml workloads/overlap.json"
    [serving]="topologies/dgx-h100.xml workloads/llama3-70b-serve.json --set requests.duration_s=20"
    [pipeline]="topologies/dgx-h100-x2.xml workloads/pipeline.json"
)

count=0 failed=0
report() { # report OK? NAME
    count=$((count + 1))
    if [ "$1" = 0 ]; then echo "ok $count - $2"; else
        echo "not ok $count - $2"
        failed=1
    fi
}

# One file with all that a run says: result, tables and timeline.
run() { # run FABSIM CASE FILE
    local out="$scratch/run" timeline=(--timeline "$scratch/timeline.json")
    [ "$2" != serving ] || timeline=() # has none
    echo >"$scratch/timeline.json"
    rm -rf "$out"
    # shellcheck disable=SC2086
    $1 ${cases[$2]} --stable --json - --csv "$out" "${timeline[@]}" >"$3"
    cat "$out"/*.csv "$scratch/timeline.json" >>"$3"
}

compare() { # compare FABSIM NAME
    local name
    for name in "${!cases[@]}"; do
        run "$1" "$name" "$scratch/other"
        cmp "$scratch/$name" "$scratch/other" && report 0 "$name: $2" || report 1 "$name: $2"
    done
}

build() { # build DIRECTORY CC CXX OPT
    make -j"$jobs" BUILD="$1" CC="$2" CXX="$3" OPT="$4" all >"$scratch/log" 2>&1 || {
        sed "s/^/# /" "$scratch/log"
        exit 1
    }
}

for name in "${!cases[@]}"; do run build/fabsim "$name" "$scratch/$name"; done
compare build/fabsim "again"
compare "setarch -R build/fabsim" "no address randomisation"
for cc in ${COMPILERS-gcc clang}; do
    cxx=$([ $cc = gcc ] && echo g++ || echo clang++)
    for opt in -O0 -O3; do
        build "build-det$opt-$cc" $cc $cxx $opt
        compare "build-det$opt-$cc/fabsim" "$cc $opt"
    done
done

# Shuffled inputs: the names and hashes of the files differ, the answer may not.
for seed in 1 2 3; do
    for name in "${!cases[@]}"; do
        read -r topology trace options <<<"${cases[$name]}"
        mkdir -p "$scratch/t"
        cp -R topologies/parts topologies/boards "$scratch/t/" 2>/dev/null || true
        tests/determinism/shuffle.py "$seed" topology "$topology" >"$scratch/t/topology.xml"
        tests/determinism/shuffle.py "$seed" trace "$trace" >"$scratch/t/trace.json"
        for board in "$scratch"/t/boards/*.xml; do
            [ -f "$board" ] || continue
            tests/determinism/shuffle.py "$seed" topology "$board" >"$scratch/board" && mv "$scratch/board" "$board"
        done
        # shellcheck disable=SC2086
        build/fabsim "$topology" "$trace" $options --stable --json - --top 1000000 | tests/determinism/answer.py >"$scratch/a"
        # shellcheck disable=SC2086
        build/fabsim "$scratch/t/topology.xml" "$scratch/t/trace.json" $options --stable --json - --top 1000000 | tests/determinism/answer.py >"$scratch/b"
        cmp "$scratch/a" "$scratch/b" && report 0 "$name: shuffled with seed $seed" || report 1 "$name: shuffled with seed $seed"
    done
done
echo "1..$count"
exit $failed
