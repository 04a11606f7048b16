#!/usr/bin/env bash
# Usage: tools/sysroot.sh ARCHITECTURE     prints a folder with Debian's packages of that architecture to compile against
# (aarch64), made on the first call in the cache. Needs root (debootstrap) and the cross compiler, and installs both.
set -euo pipefail

architecture=$1
case $architecture in
  aarch64) debian=arm64 ;;
  *) echo "sysroot: aarch64, not $architecture" >&2; exit 2 ;;
esac
packages=(libc6-dev libstdc++-12-dev libopenblas-pthread-dev nlohmann-json3-dev libcli11-dev libfmt-dev libxxhash-dev
  zlib1g-dev libzstd-dev libcpp-httplib-dev libssl-dev libbrotli-dev)
cache=${COALA_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/coala}
key=$({ echo "$debian ${packages[*]}"; cat "${BASH_SOURCE[0]}"; } | sha256sum | cut -c1-16)
sysroot=$cache/sysroot-$debian-$key

if ! command -v debootstrap >/dev/null || ! command -v "$architecture-linux-gnu-g++" >/dev/null; then
  apt-get update -qq >&2
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
    debootstrap "g++-$architecture-linux-gnu" >&2
fi
if [ ! -f "$sysroot/complete" ]; then
  mkdir -p "$cache"
  exec 9>"$cache/sysroot.lock"
  flock 9
  if [ ! -f "$sysroot/complete" ]; then
    rm -rf "$sysroot" "$sysroot.work"
    # The mirror that this machine uses, where it is a Debian.
    mirror=$(cat /etc/apt/sources.list /etc/apt/sources.list.d/*.sources 2>/dev/null |
      sed -nE 's#^(URIs: |deb (\[[^]]*\] )?)(https?://[^ ]+/debian/?)( .*)?$#\3#p' | head -1) || true
    debootstrap --foreign --arch="$debian" --variant=minbase --include="$(IFS=,; echo "${packages[*]}")" \
      bookworm "$sysroot.work" ${mirror:+"$mirror"} >&2
    # The packages are only unpacked: nothing of them is to run here.
    for package in "$sysroot.work"/var/cache/apt/archives/*.deb; do dpkg-deb -x "$package" "$sysroot.work"; done
    # What the scripts of libopenblas-pthread-dev would have linked.
    for library in openblas blas lapack; do
      ln -sf openblas-pthread/libopenblas.so "$sysroot.work/usr/lib/$architecture-linux-gnu/lib$library.so"
    done
    for header in "$sysroot.work/usr/include/$architecture-linux-gnu"/openblas-pthread/*.h; do
      ln -sf "openblas-pthread/$(basename "$header")" "$sysroot.work/usr/include/$architecture-linux-gnu"
    done
    touch "$sysroot.work/complete"
    mv "$sysroot.work" "$sysroot"
  fi
fi
echo "$sysroot"
