#!/usr/bin/env bash
# Trains the demo's language model from nothing and writes it as GGUF: under an hour on two cores, resumed where it
# stopped when it is run again. usage: demo/model/rebuild.sh [OUT [arguments of train.py]]
set -euo pipefail
cd "$(dirname "$0")/../.."

out=${1:-out/model}
shift || true
packages=demo/model/requirements.txt
cache=${COALA_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/coala}
python=$cache/model-$(sha256sum "$packages" | cut -c1-16)
if [ ! -f "$python/complete" ]; then
  python3 -m venv --clear "$python"
  "$python/bin/python" -m pip install --quiet --requirement "$packages"
  touch "$python/complete"
fi

# XLA allocates and frees its large buffers in every step; without these, half of the time goes into page faults.
export MALLOC_MMAP_THRESHOLD_=8000000000 MALLOC_TRIM_THRESHOLD_=16000000000 MALLOC_TOP_PAD_=200000000
"$python/bin/python" demo/model/train.py --out "$out" "$@"
"$python/bin/python" demo/model/to_gguf.py --from "$out" --out "$out/tutor-3m-f16.gguf"
