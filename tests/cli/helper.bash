# What the command-line tests share. FABSIM is the program under test.
root=$(cd "$BATS_TEST_DIRNAME/../.." && pwd)
FABSIM=${FABSIM:-$root/build/fabsim}

setup() {
    cd "$BATS_TEST_TMPDIR"
}

fabsim() {
    "$FABSIM" "$@"
}

# value FILE PATH: a member of a JSON file, as python prints it: value r.json 'tiers[0]["bytes"]'
value() {
    python3 -c 'import json, sys; print(eval("d" + sys.argv[2], {"d": json.load(open(sys.argv[1]))}))' "$1" "$2"
}

# holds EXPRESSION FILE: a python condition on the JSON file d
holds() {
    python3 -c 'import json, sys; sys.exit(not eval(sys.argv[1], {"d": json.load(open(sys.argv[2]))}))' "$1" "$2"
}
