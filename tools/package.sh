#!/usr/bin/env bash
# Usage: tools/package.sh [x86_64|aarch64]     default: this machine's architecture
#
# Makes out/coala-VERSION-linux-ARCHITECTURE.tar.gz: a folder with bin, lib and share that runs where it is unpacked, on
# every CPU of the architecture (x86_64: from x86-64-v2, 2009, on). For the other architecture it is compiled by Debian's
# cross compiler against a folder of Debian's packages. The same source and the same Debian packages give the same bytes.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$here"
architecture=${1:-$(uname -m)}
version=$(sed -n 's/^project(coala VERSION \([0-9.]*\).*/\1/p' CMakeLists.txt)
name=coala-$version-linux-$architecture

flags="-ffile-prefix-map=$here=coala"
case $architecture in
  x86_64) flags="-march=x86-64-v2 $flags" ;;
  aarch64) ;;
  *) echo "package: x86_64 or aarch64, not $architecture" >&2; exit 2 ;;
esac
options=(-DCMAKE_CXX_FLAGS="$flags")
if [ "$architecture" != "$(uname -m)" ]; then
  COALA_SYSROOT=$(tools/sysroot.sh "$architecture")
  export COALA_SYSROOT
  options+=(-DCMAKE_TOOLCHAIN_FILE="$here/cmake/$architecture.cmake")
fi
prefix=$(tools/llama.sh "$architecture")

build=build-portable-$architecture
cmake --preset portable -B "$build" -G Ninja -DCOALA_LLAMA_PREFIX="$prefix" "${options[@]}" >&2
cmake --build "$build" --target coala >&2
rm -rf "$build/$name"
cmake --install "$build" --strip --prefix "$build/$name" >&2

# Beside the program: every library that it needs but those of C and C++, and the licences of all.
root=${COALA_SYSROOT:-}
triple=$architecture-linux-gnu
places=("$root/usr/lib/$triple/openblas-pthread" "$root/usr/lib/$triple" "$root/lib/$triple")
needed() { "$triple-objdump" -p "$@" | sed -n 's/^ *NEEDED *//p'; }
libraries=$build/$name/lib/coala
todo=("$build/$name/bin/coala" "$libraries"/*.so)
while [ ${#todo[@]} -gt 0 ]; do
  found=()
  names=$(needed "${todo[@]}" | sort -u)
  for library in $names; do
    case $library in libc.so.* | libm.so.* | libstdc++.so.* | libgcc_s.so.* | ld-linux*) continue ;; esac
    [ -e "$libraries/$library" ] && continue
    for place in "${places[@]}"; do [ -e "$place/$library" ] && break; done
    install -m 644 "$place/$library" "$libraries/$library"
    found+=("$libraries/$library")
  done
  todo=("${found[@]}")
done
for package in libopenblas0-pthread libgfortran5 libquadmath0 libfmt9 libxxhash0 libzstd1 zlib1g \
  libcpp-httplib0.11 libssl3 libbrotli1 nlohmann-json3-dev libcli11-dev; do
  [ "$package $architecture" = "libquadmath0 aarch64" ] && continue
  install -D -m 644 "$root/usr/share/doc/$package/copyright" "$build/$name/share/doc/coala/licences/$package"
done

mkdir -p out
archive=out/$name.tar.gz
# In one order, of one owner and one time: that of the last commit.
time=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || echo 0)}
tar --sort=name --mode=u+rwX,go+rX,go-w --owner=0 --group=0 --numeric-owner --mtime="@$time" -C "$build" -cf - "$name" | gzip -n -9 >"$archive.partial"
mv "$archive.partial" "$archive"
(cd out && sha256sum "$name.tar.gz" >"$name.tar.gz.sha256")
echo "$archive"
