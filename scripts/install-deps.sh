#!/usr/bin/env bash
# Install what fabsim needs from Debian's packages: nothing where all is there.
#   scripts/install-deps.sh build   what building and running needs
#   scripts/install-deps.sh test    that, and what the tests need; a browser, where it can be had, for the tests of report pages
#   scripts/install-deps.sh plot    what scripts/plot.py needs
set -euo pipefail

build=(gcc g++ make pkg-config libsimgrid-dev libhwloc-dev libxml2-dev libyajl-dev libsqlite3-dev zlib1g-dev)
test=(clang clang-format llvm libclang-rt-14-dev libcmocka-dev bats perl libxml2-utils python3 hwloc-nox util-linux locales sqlite3)

browser=(chromium chromium-driver fonts-dejavu-core)
slurm=(munge slurmctld slurmd slurm-client)
plot=(gnuplot-nox python3)

optional=()
case "${1:-build}" in
build) wanted=("${build[@]}") ;;
test)
    wanted=("${build[@]}" "${test[@]}")
    optional=("${browser[@]}" "${slurm[@]}") # their tests are skipped where these cannot be had
    ;;
plot) wanted=("${plot[@]}") ;;
*)
    echo "usage: $0 build|test|plot" >&2
    exit 2
    ;;
esac

if ! command -v dpkg-query >/dev/null; then
    echo "This is not Debian: please install the equivalents of: ${wanted[*]}" >&2
    exit 0 # the compiler will say what is missing
fi

# absent PACKAGE...: those that are not installed.
absent() {
    local package state
    for package; do
        state=$(dpkg-query -W -f='${Status}' "$package" 2>/dev/null || true)
        [ "$state" = "install ok installed" ] || echo "$package"
    done
}
mapfile -t missing < <(absent "${wanted[@]}")
mapfile -t missing_optional < <(absent "${optional[@]}")
[ $((${#missing[@]} + ${#missing_optional[@]})) -eq 0 ] && exit 0

sudo=()
if [ "$(id -u)" -ne 0 ]; then
    if ! command -v sudo >/dev/null; then
        echo "Neither root nor sudo here. Please have these Debian packages installed: ${missing[*]} ${missing_optional[*]}" >&2
        exit $((${#missing[@]} > 0))
    fi
    sudo=(sudo)
fi

install() {
    echo "Installing: $*" >&2
    "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >/dev/null
}
"${sudo[@]}" apt-get update -qq
[ ${#missing[@]} -eq 0 ] || install "${missing[@]}"
for package in "${missing_optional[@]}"; do
    install "$package" || echo "Cannot install $package: the tests that need it will be skipped." >&2
done
