#!/usr/bin/env bash
# Install what fabsim needs from Debian's packages: nothing where all is there.
#   scripts/install-deps.sh build   what building and running needs
#   scripts/install-deps.sh test    that, and what the tests need
set -euo pipefail

build=(gcc g++ make pkg-config libsimgrid-dev libhwloc-dev libxml2-dev libyajl-dev libsqlite3-dev zlib1g-dev)
test=(clang clang-format llvm libclang-rt-14-dev libcmocka-dev bats perl libxml2-utils python3 hwloc-nox util-linux locales sqlite3)
optional=(munge slurmctld slurmd slurm-client) # of the tests: tests/slurm is skipped where they cannot be had

case "${1:-build}" in
build) wanted=("${build[@]}") ;;
test) wanted=("${build[@]}" "${test[@]}") ;;
*)
    echo "usage: $0 build|test" >&2
    exit 2
    ;;
esac

if ! command -v dpkg-query >/dev/null; then
    echo "This is not Debian: please install the equivalents of: ${wanted[*]}" >&2
    exit 0 # the compiler will say what is missing
fi

missing=()
list_missing() {
    local package state
    missing=()
    for package in "$@"; do
        state=$(dpkg-query -W -f='${Status}' "$package" 2>/dev/null || true)
        [ "$state" = "install ok installed" ] || missing+=("$package")
    done
}
list_missing "${wanted[@]}"
[ "${1:-build}" = test ] || optional=()
if [ ${#missing[@]} -eq 0 ]; then
    list_missing "${optional[@]}"
    optional=() # now they are what is wanted, and nothing depends on them
    [ ${#missing[@]} -eq 0 ] && exit 0
    [ "$(id -u)" -eq 0 ] || exit 0
    trap 'exit 0' ERR
fi

echo "Installing: ${missing[*]}" >&2
sudo=()
if [ "$(id -u)" -ne 0 ]; then
    if ! command -v sudo >/dev/null; then
        echo "Neither root nor sudo here. Please have these Debian packages installed: ${missing[*]}" >&2
        exit 1
    fi
    sudo=(sudo)
fi
"${sudo[@]}" apt-get update -qq
"${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null

# In a second pass, so that nothing else fails with them.
[ ${#optional[@]} -eq 0 ] || exec "$0" "$1"
