#!/usr/bin/env bash
# The whole program with allocation number 1, 2, 3, ... failing, from the first one that the process makes: exit status 1 and
# "out of memory" each time, and nothing for the leak sanitizer to say. FABSIM must be built with -DFS_FAULT. Prints TAP.
# Every allocation at first, then one in STEP: fault_run.c takes them all, this is about what happens once per process.
set -uo pipefail
FABSIM=${FABSIM:-build-asan/fabsim}
FIRST=${FIRST:-60} STEP=${STEP:-97}
cd "$(dirname "$0")/../cli/errors" || exit 1

count=0 failed=0
for ((n = 1;; n += n < FIRST ? 1 : STEP)); do
    text=$(FABSIM_FAIL_ALLOC=$n "$FABSIM" pair.xml pair.json --quiet 2>&1)
    status=$?
    [ $status -eq 0 ] && break
    count=$((count + 1))
    if [ $status -eq 1 ] && [ "$text" = "fabsim: error: out of memory" ]; then
        echo "ok $count - allocation $n"
    else
        echo "not ok $count - allocation $n: exit status $status"
        sed 's/^/# /' <<<"$text" | head -20
        failed=1
    fi
done
echo "1..$count"
exit $failed
