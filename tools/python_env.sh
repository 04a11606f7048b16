#!/usr/bin/env bash
# Prints a Python that has the packages the tests compare with (safetensors, numpy, pyarrow), what packs coala's own
# (setuptools),
# and the clients that the server is asked by (openai, langchain-openai, schemathesis, aiohttp), from a virtual environment in the
# cache that is made on the first call. Prints the system's Python when the packages cannot be had: the tests that need
# them then skip and say so.
set -euo pipefail

packages=(safetensors==0.8.0 numpy==2.4.6 pyarrow==26.0.1 setuptools==84.2.1 openai==3.57.0
  langchain-openai==1.7.4 schemathesis==4.32.5 aiohttp==3.14.5)
cache=${COALA_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/coala}
key=$({ echo "${packages[*]}"; python3 --version; } | sha256sum | cut -c1-16)
folder=$cache/python-$key

if [ ! -f "$folder/complete" ]; then
  mkdir -p "$cache"
  exec 9>"$cache/python.lock"
  flock 9
  if [ ! -f "$folder/complete" ]; then
    rm -rf "$folder"
    if python3 -m venv "$folder" >&2 && "$folder/bin/python" -m pip install --quiet "${packages[@]}" >&2; then
      touch "$folder/complete"
    else
      echo "python_env: no ${packages[*]}: the tests that compare with them will skip" >&2
      rm -rf "$folder"
      command -v python3
      exit 0
    fi
  fi
fi
echo "$folder/bin/python"
