#!/usr/bin/env bash
# Makes this machine able to build coala: installs the Debian packages when it may, otherwise prints the command.
# Does nothing when all of them are there. With the argument `clang` also what the fuzzers need, with `vulkan` what a
# build for Vulkan devices needs, and Mesa's drivers, of which one is a program that stands for a card in the tests.
set -euo pipefail

packages=(
  g++ cmake make ninja-build ccache git patch ca-certificates
  python3 python3-pip python3-venv python3-dev pybind11-dev
  libopenblas-pthread-dev nlohmann-json3-dev libcli11-dev libfmt-dev libxxhash-dev zlib1g-dev libzstd-dev libgtest-dev
  libcpp-httplib-dev libssl-dev libbrotli-dev pkg-config
)
[ "${1:-}" = clang ] && packages+=(clang libclang-rt-14-dev)
[ "${1:-}" = vulkan ] && packages+=(glslc libvulkan-dev spirv-headers mesa-vulkan-drivers)

missing=()
for package in "${packages[@]}"; do
  # A command that is already there need not come from Debian.
  case $package in
    clang) command -v clang++ >/dev/null && continue ;;
    cmake | make | ccache | git | patch | python3) command -v "$package" >/dev/null && continue ;;
    g++) command -v c++ >/dev/null && continue ;;
    ninja-build) command -v ninja >/dev/null && continue ;;
    python3-pip) python3 -m pip --version >/dev/null 2>&1 && continue ;;
    python3-dev) python3 -c 'import sysconfig as s, os, sys; sys.exit(not os.path.exists(s.get_path("include") + "/Python.h"))' && continue ;;
    python3-venv) python3 -c 'import ensurepip' >/dev/null 2>&1 && continue ;;
  esac
  dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'install ok installed' || missing+=("$package")
done
[ ${#missing[@]} -eq 0 ] && exit 0

install="apt-get update && apt-get install -y --no-install-recommends ${missing[*]}"
if ! command -v apt-get >/dev/null; then
  echo "bootstrap: this is not a Debian system; install what these packages provide: ${missing[*]}" >&2
  exit 1
fi
if [ "$(id -u)" -eq 0 ]; then
  run=()
elif sudo -n true 2>/dev/null; then
  run=(sudo)
else
  echo "bootstrap: these packages are missing and installing them needs root. Run:" >&2
  echo "  sudo sh -c '$install'" >&2
  exit 1
fi
echo "bootstrap: installing ${missing[*]}" >&2
export DEBIAN_FRONTEND=noninteractive
"${run[@]}" apt-get update -qq >&2
"${run[@]}" apt-get install -y -qq --no-install-recommends "${missing[@]}" >&2
