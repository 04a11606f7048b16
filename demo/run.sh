#!/usr/bin/env bash
# The main job on the embedded model and world: see demo/run.py, which this starts.
set -euo pipefail
cd "$(dirname "$0")/.."
exec python3 demo/run.py "$@"
