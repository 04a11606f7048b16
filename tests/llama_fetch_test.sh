#!/usr/bin/env bash
# tools/llama.sh notices a damaged archive in the cache and a download that is cut short, and fetches again.
# The network is not needed: a stand-in for pip hands out a cut archive first and the real one, from the cache of the
# build, second.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
archive=$(ls "${COALA_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/coala}"/downloads/llama_cpp_python-*.tar.gz 2>/dev/null | head -1) || true
if [ -z "${archive:-}" ]; then
  echo "SKIP: no llama.cpp archive in the cache"
  exit 77
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$work/cache/downloads" "$work/bin"
head -c 1000 "$archive" >"$work/cache/downloads/$(basename "$archive")"

cat >"$work/bin/python3" <<EOF
#!/usr/bin/env bash
# pip download ... -d FOLDER PACKAGE
while [ "\$1" != -d ]; do shift; done
if [ -e "$work/tried" ]; then
  cp "$archive" "\$2/"
else
  touch "$work/tried"
  head -c 500000 "$archive" >"\$2/$(basename "$archive")"
fi
EOF
chmod +x "$work/bin/python3"

got=$(COALA_CACHE="$work/cache" PATH="$work/bin:$PATH" "$root/tools/llama.sh" fetch 2>"$work/log")
cat "$work/log"
grep -q 'is damaged; fetching it again' "$work/log"
grep -q 'does not have the expected SHA-256' "$work/log"
cmp "$got" "$archive"
[ "$(ls "$work/cache/downloads" | wc -l)" -eq 1 ]
echo "a damaged archive and a cut download were both replaced"
