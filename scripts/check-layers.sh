#!/usr/bin/env bash
# The layers of sim/ hold: each folder includes only what stands before it in the flow of the data, and every
# header compiles alone. docs/DESIGN.md explains the order.
set -euo pipefail
cd "$(dirname "$0")/.."

declare -A may=(
    [base]="base"
    [topo]="base topo"
    [route]="base topo route"
    [gpu]="base topo gpu" # of topo the parts
    [coll]="base topo route coll"
    [work]="base topo route gpu coll work" # of coll the names of collectives and algorithms, of gpu the shapes of kernels
    [fold]="base topo route gpu coll work fold"
    [engine]="base engine"
    [sched]="base topo route coll work fold engine sched"
    [serve]="base topo route gpu coll work engine serve"
    [metric]="base metric"
    [report]="base topo route coll work engine report"
    [sweep]="base topo route gpu coll work fold engine sched metric report sweep run.h run_set.h serve_run.h"
    [pareto]="base topo route gpu coll work engine serve report sweep pareto run.h serve_run.h"
    [page]="base report sweep page" # of sweep the database
    [cli]="base topo route gpu coll work fold engine sched metric report sweep pareto page cli run.h run_set.h serve_run.h"
)

bad=0
for folder in sim/*/; do
    layer=$(basename "$folder")
    if [ -z "${may[$layer]:-}" ]; then
        echo "sim/$layer: not in the list of layers" >&2
        bad=1
        continue
    fi
    while IFS=: read -r file line include; do
        target=$(sed -E 's/.*"([^"]*)".*/\1/' <<<"$include")
        first=${target%%/*}
        [[ $target == */* || $target == *.h && ! $target == *.x[sm][dl].h && ! $target == *.@(csv|js|css).h && ! $target == tiers.json.h ]] || continue # generated from a data file
        case " ${may[$layer]} " in *" $first "*) ;; *)
            echo "$file:$line: $layer may not include $target" >&2
            bad=1
            ;;
        esac
    done < <(grep -nHE '^#include "' "$folder"*.[ch]* || true)
done

duplicates=$(find sim -type f -printf '%f\n' | sort | uniq -d)
if [ -n "$duplicates" ]; then
    echo "file names that stand twice in sim/: $duplicates" >&2
    bad=1
fi

flags=$(pkg-config --cflags libxml-2.0 hwloc yajl sqlite3 | sed "s/-I/-isystem /g")
for header in sim/*.h sim/*/*.h; do
    ${CC:-cc} -std=c17 -Wall -Wextra -Wpedantic -Werror -Isim -D_POSIX_C_SOURCE=200809L $flags -fsyntax-only -x c "$header" || bad=1
done
exit $bad
