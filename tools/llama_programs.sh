#!/usr/bin/env bash
# Prints a folder with llama.cpp's own llama-server and llama-completion, of the pinned source and as it is (without our
# changes), for tests that give them what coala exports. They are built into the cache on the first call (10 minutes on
# 2 cores); coala itself does not use them.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cache=${COALA_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/coala}
archive=$("$here/tools/llama.sh" fetch)
key=$({ sha256sum <"$archive"; cat "${BASH_SOURCE[0]}"; "${CXX:-c++}" --version; grep -m1 -E '^(flags|Features)' /proc/cpuinfo || true; } |
  sha256sum | cut -c1-16)
folder=$cache/llama-programs-$key

if [ ! -f "$folder/complete" ]; then
  exec 9>"$cache/llama-programs.lock"
  flock 9
  if [ ! -f "$folder/complete" ]; then
    rm -rf "$folder" "$folder.work"
    mkdir -p "$folder.work"
    tar -xzf "$archive" -C "$folder.work" --strip-components=3 --wildcards '*/vendor/llama.cpp/*'
    echo "llama_programs: building llama-server and llama-completion (about 10 minutes on 2 cores, once)" >&2
    if ! { cmake -S "$folder.work" -B "$folder.work/build" -G Ninja -DCMAKE_BUILD_TYPE=Release -DBUILD_SHARED_LIBS=OFF \
      -DGGML_OPENMP=OFF -DLLAMA_OPENSSL=OFF -DLLAMA_BUILD_UI=OFF -DLLAMA_USE_PREBUILT_UI=OFF -DLLAMA_BUILD_TESTS=OFF \
      -DLLAMA_BUILD_EXAMPLES=OFF -DLLAMA_BUILD_APP=OFF &&
      cmake --build "$folder.work/build" -j "${COALA_JOBS:-$(nproc)}" --target llama-server llama-completion; } \
      >"$folder.work/log" 2>&1; then
      tail -n 40 "$folder.work/log" >&2
      exit 1
    fi
    mkdir -p "$folder.work/done"
    mv "$folder.work"/build/bin/llama-{server,completion} "$folder.work/done"
    touch "$folder.work/done/complete"
    mv "$folder.work/done" "$folder"
    rm -rf "$folder.work"
  fi
fi
echo "$folder"
