#!/usr/bin/env bash
# Usage: tools/llama.sh            print the prefix, building what is missing
#        tools/llama.sh vulkan     the same with ggml's back end for Vulkan devices
#        tools/llama.sh x86_64     the same for every CPU of that architecture (or aarch64), for tools/package.sh
#        tools/llama.sh fetch      obtain the source archive only (for a later build without network), print its path
#
# Provides the pinned llama.cpp: downloads the sdist that carries its source, checks it, builds the libraries coala
# links, and prints the installation prefix on standard output (everything else goes to standard error).
#
# The result lives outside the checkout, under a name made from everything that decides its content: the sdist's
# hash, the build recipe, our changes, the compiler, and the architecture or this machine's CPU features (the build is for
# this CPU, see cmake/llama/CMakeLists.txt). A second call with the same content prints the prefix and does nothing else.
set -euo pipefail

package=llama-cpp-python
version=0.3.36
sha256=832db0699007f1be95a7e41ef12e88926b02ba836461e36a36372db2760c1a2e
sdist=llama_cpp_python-$version.tar.gz

here=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cache=${COALA_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/coala}
recipe=$here/cmake/llama
changes=("$recipe/changes.patch")
files=("$recipe/CMakeLists.txt" "${changes[@]}")
jobs=${COALA_JOBS:-$(nproc)}
architecture=
device=
options=()
case ${1:-} in
  x86_64) options=(-DCMAKE_C_FLAGS=-march=x86-64-v2 -DCMAKE_CXX_FLAGS=-march=x86-64-v2) ;;
  aarch64) ;;
  vulkan)
    device=vulkan
    recipe=$here/cmake/llama/vulkan
    changes+=("$recipe/changes.patch")
    files+=("$recipe/CMakeLists.txt" "$recipe/changes.patch")
    ;;
  "" | fetch) ;;
  *) echo "llama.sh: error: vulkan, x86_64, aarch64 or fetch, not $1" >&2; exit 2 ;;
esac
if [ -n "${1:-}" ] && [ "$1" != fetch ] && [ -z "$device" ]; then
  architecture=$1
  options+=(-DCOALA_PORTABLE=ON)
  [ "$architecture" = "$(uname -m)" ] || options+=(-DCMAKE_TOOLCHAIN_FILE="$here/cmake/$architecture.cmake")
fi

say() { printf 'llama.sh: %s\n' "$*" >&2; }
die() { say "error: $*"; exit 1; }
checksum() { sha256sum "$1" | cut -d' ' -f1; }

mkdir -p "$cache/downloads" 2>/dev/null || die "cannot create $cache; set COALA_CACHE to a writable folder"
archive=$cache/downloads/$sdist

fetch() {
  if [ -f "$archive" ] && [ "$(checksum "$archive")" != "$sha256" ]; then
    say "the cached $sdist is damaged; fetching it again"
    rm -f "$archive"
  fi
  for attempt in 1 2 3; do
    [ -f "$archive" ] && break
    say "fetching $package $version (attempt $attempt)"
    partial=$(mktemp -d "$cache/downloads/partial.XXXXXX")
    # --no-deps and --no-binary: the source archive alone; pip still reads its metadata, nothing is compiled.
    if python3 -m pip download --quiet --no-deps --no-binary :all: -d "$partial" "$package==$version" >&2 &&
      [ "$(checksum "$partial/$sdist")" = "$sha256" ]; then
      mv "$partial/$sdist" "$archive"
    else
      say "the download failed or does not have the expected SHA-256 $sha256"
    fi
    rm -rf "$partial"
  done
  [ -f "$archive" ] || die "could not obtain $sdist; place a copy with SHA-256 $sha256 in $cache/downloads and run again"
}

if [ "${1:-}" = fetch ]; then
  fetch
  echo "$archive"
  exit 0
fi

key=$({
  echo "$sha256"
  cat "${files[@]}"
  "${CC:-cc}" --version
  "${CXX:-c++}" --version
  cmake --version
  if [ -n "$architecture" ]; then
    echo "$architecture ${options[*]##*/}"
    "$architecture-linux-gnu-g++" --version
    [ "$architecture" = "$(uname -m)" ] || { echo "${COALA_SYSROOT:-}"; cat "$here/cmake/$architecture.cmake"; }
  else
    uname -m
    grep -m1 -E '^(flags|Features)' /proc/cpuinfo || true
    [ -z "$device" ] || glslc --version
  fi
} | sha256sum | cut -c1-16)
prefix=$cache/llama-$key

if [ -f "$prefix/complete" ]; then
  echo "$prefix"
  exit 0
fi

# One builder at a time: a second `make` waits here and then finds the finished prefix.
exec 9>"$cache/llama.lock"
flock 9
if [ -f "$prefix/complete" ]; then
  echo "$prefix"
  exit 0
fi

fetch

work=$cache/llama-$key.work
rm -rf "$work" "$prefix"
mkdir -p "$work/source"
say "unpacking the parts that are needed"
top=llama_cpp_python-$version/vendor/llama.cpp
tar -xzf "$archive" -C "$work/source" --strip-components=3 \
  "$top/CMakeLists.txt" "$top/LICENSE" "$top/cmake" "$top/include" "$top/src" "$top/ggml" "$top/vendor" \
  "$top/common" "$top/licenses" "$top/examples/simple"

for change in "${changes[@]}"; do
  patch --quiet --strip=1 --directory="$work/source" <"$change" >&2 || die "$change does not fit the source"
done

minutes=4
[ -z "$architecture$device" ] || minutes=15
say "building llama.cpp for ${architecture:-this machine}${device:+ with $device} ($jobs jobs, about $minutes minutes on 2 cores, once)"
generator=()
command -v ninja >/dev/null && generator=(-G Ninja)
# The source is a stranger's: compiler warnings there are not ours to act on, so the log is shown only on failure.
if ! { cmake -S "$recipe" -B "$work/build" "${generator[@]}" -DCMAKE_BUILD_TYPE=Release \
  "${options[@]}" -DLLAMA_SOURCE="$work/source" -DCMAKE_INSTALL_PREFIX="$work/prefix" &&
  cmake --build "$work/build" -j "$jobs" && cmake --install "$work/build"; } >"$work/log" 2>&1; then
  tail -n 40 "$work/log" >&2
  die "building llama.cpp failed; the whole log is $work/log"
fi
touch "$work/prefix/complete"
mv "$work/prefix" "$prefix"
rm -rf "$work"
say "ready: $prefix"
echo "$prefix"
