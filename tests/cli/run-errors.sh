#!/usr/bin/env bash
# Every kind of bad input: message and exit status, to the letter. Each errors/NAME.case holds a command line, its exit status and
# what it prints on stderr; stdout must stay empty. Prints TAP.
#   tests/cli/run-errors.sh            compare
#   tests/cli/run-errors.sh --update   write what happens today into the cases: read the diff before you commit it
set -uo pipefail
here=$(cd "$(dirname "$0")" && pwd)
FABSIM=${FABSIM:-$here/../../build/fabsim}
FABSIM=$(realpath "$FABSIM")
cd "$here/errors" || exit 1
fabsim() { timeout 20 "$FABSIM" "$@"; }

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
count=0 failed=0
for case in *.case; do
    name=${case%.case}
    command=$(sed -n '1s/^\$ //p' "$case")
    (eval "$command") >"$scratch/out" 2>"$scratch/err"
    status=$?
    { echo "\$ $command" && echo "exit $status" && cat "$scratch/err"; } >"$scratch/case"
    if [ "${1:-}" = --update ]; then
        cp "$scratch/case" "$case"
        continue
    fi
    count=$((count + 1))
    if [ $status -ne 0 ] && [ $status -lt 5 ] && [ ! -s "$scratch/out" ] && diff -u "$case" "$scratch/case" >"$scratch/diff"; then
        echo "ok $count - $name"
    else
        echo "not ok $count - $name"
        sed 's/^/# /' "$scratch/diff" "$scratch/out"
        failed=1
    fi
done
[ "${1:-}" = --update ] || echo "1..$count"
exit $failed
