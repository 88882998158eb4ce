#!/usr/bin/env bash
# What can be told without running anything: formatting, scripts that parse, topologies that keep to their schema, and texts
# without notes to self or paths of somebody's machine. Says all that is wrong, not only the first.
set -euo pipefail
cd "$(dirname "$0")/.."

readonly format_version=14 # Debian 12's; others lay out differently
bad=0

complain() {
    echo "$1" >&2
    bad=1
}

# Without git, an unpacked archive: everything but what was built.
all=$(mktemp)
trap 'rm -f "$all"' EXIT
git ls-files -z >"$all" 2>/dev/null || find . \( -path './build*' -o -path ./.git \) -prune -o -type f -print0 >"$all"

# files GLOB...: those whose path fits one of them, zero-terminated.
files() {
    local path glob
    while IFS= read -r -d '' path; do
        for glob in "$@"; do
            # shellcheck disable=SC2053 # a pattern is meant
            if [[ $path == $glob ]]; then
                printf '%s\0' "$path"
                break
            fi
        done
    done <"$all"
}

if clang-format --version | grep -q "version $format_version\."; then
    files '*.c' '*.h' '*.cpp' '*.hpp' | xargs -0 clang-format --dry-run -Werror || complain "not formatted: make format"
else
    echo "no clang-format $format_version: formatting is not checked" >&2
fi

while IFS= read -r -d '' script; do
    [[ $(head -c 64 "$script") != '#!'*bash* && $script != *.bash ]] || bash -n "$script" || complain "$script: does not parse"
done < <(files '*.sh' '*.bash' '*.ci/run')
while IFS= read -r -d '' script; do
    python3 -c 'import ast, sys; ast.parse(open(sys.argv[1]).read(), sys.argv[1])' "$script" || complain "$script: does not parse"
done < <(files '*.py')

while IFS= read -r -d '' topology; do
    case "$topology" in */parts/* | */boards/*) continue ;; esac # checked by way of those that include them
    xmllint --nonet --xinclude --nofixup-base-uris --noout --schema topologies/fabsim-topology.xsd "$topology" 2>&1 |
        sed '/ validates$/d' >&2 || complain "$topology: does not keep to the schema"
done < <(files '*topologies/*.xml')

# Directories that mkdtemp makes are fine. The patterns are written so that they do not find themselves.
if xargs -0 grep -nIE '(^|[^])}A-Za-z0-9_.*/-])/(home|root|tmp|work)/' <"$all" | grep -v 'XXXXXX'; then
    complain "a path of one machine"
fi
if xargs -0 grep -nIwE 'TO[D]O|FIX[M]E' <"$all"; then
    complain "an open end: finish it or write an issue"
fi
exit $bad
