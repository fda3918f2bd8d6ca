#!/bin/sh
# Makes a machine ready: Debian packages (with sudo where not root) and the project's own Python environment.
# Repeatable: what is there already is left alone, without a network.
#   scripts/setup.sh build     what building and running needs
#   scripts/setup.sh demo      also what the demo's Python part needs
#   scripts/setup.sh test      also what the tests need
#   scripts/setup.sh peers     also what we are measured against
#   scripts/setup.sh llama     also llama.cpp, built from source: minutes
set -eu
cd "$(dirname "$0")/.."
what=${1:-build}

fail() {
    echo "setup: $1" >&2
    exit 3
}

command -v swift >/dev/null 2>&1 ||
    fail "no 'swift' on the PATH. Install Swift 6.2 or newer from https://www.swift.org/install/linux/ and try again."

# Chart.js is what pages draw their charts with; it is read when a page is written.
packages="libhdf5-dev libdeflate-dev libonig-dev libssl-dev libzip-dev libjs-chart.js pkg-config"
# For the tests: readers of HDF5, a browser for pages, and the oldest Python, NumPy and PyTorch that we support, which
# are Debian's.
case $what in
build) ;;
demo) packages="$packages python3 python3-venv" ;;
*) packages="$packages hdf5-tools netcdf-bin python3 python3-venv chromium fonts-dejavu-core python3-torch" ;;
esac

missing=""
for package in $packages; do
    dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'install ok installed' || missing="$missing $package"
done

if [ -n "$missing" ]; then
    command -v apt-get >/dev/null 2>&1 ||
        fail "these packages are missing, and there is no apt-get to install them:$missing"
    as_root=""
    if [ "$(id -u)" -ne 0 ]; then
        command -v sudo >/dev/null 2>&1 ||
            fail "these packages are missing; not root, and no sudo here. As root: apt-get install$missing"
        as_root=sudo
    fi
    echo "setup: installing$missing" >&2
    $as_root env DEBIAN_FRONTEND=noninteractive apt-get update -qq ||
        fail "apt-get update failed: is there a network? Missing packages:$missing"
    # shellcheck disable=SC2086  # a list of names
    $as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing >/dev/null ||
        fail "apt-get could not install:$missing"
fi

[ "$what" = build ] && exit 0

environment() {
    # $1 folder, $2 requirements file, $3 what it is where the folder has several; $python what makes it
    stamp="$1/.installed${3:+-$3}"
    if [ ! -f "$stamp" ] || ! cmp -s "$2" "$stamp"; then
        echo "setup: making the Python environment $1 from $2" >&2
        # shellcheck disable=SC2086  # a command and its options
        ${python:-python3 -m venv} "$1" || fail "python3 cannot make a virtual environment in $1"
        "$1/bin/python" -m pip install --quiet --disable-pip-version-check -r "$2" ||
            fail "pip could not install $2: is there a network?"
        cp "$2" "$stamp"
    fi
}
environment .venv Tests/Interop/requirements.txt
[ "$what" = demo ] && exit 0
python="/usr/bin/python3 -m venv --system-site-packages" environment .venv-oldest python/requirements-oldest.txt
[ "$what" = test ] && exit 0
environment .venv-peers Benchmarks/requirements.txt
[ "$what" = llama ] || exit 0
# Its package on PyPI is source; CMake and Ninja come with it, a compiler does not.
command -v c++ >/dev/null 2>&1 || fail "building llama.cpp takes a C++ compiler: apt-get install g++"
[ -f .venv-peers/.installed-llama ] || echo "setup: llama.cpp is built from source, which takes minutes" >&2
# Without its reader of pictures.
export CMAKE_ARGS="-DLLAVA_BUILD=OFF ${CMAKE_ARGS:-}"
environment .venv-peers Benchmarks/llama/requirements.txt llama
