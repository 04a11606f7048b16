#!/usr/bin/env bash
# Runs the fuzzers, one after the other: run.sh FOLDER-OF-FUZZERS HOW-LONG [NAME ...]
# HOW-LONG is a number of seconds for each, or a number of executions (1000000x).
# Inputs that are found go to out/fuzz/NAME, beside the committed corpus; an input that fails is kept there too.
set -euo pipefail
bin=$1
case $2 in
  *x) limit=-runs=${2%x} ;;
  *) limit=-max_total_time=$2 ;;
esac
shift 2
here=$(cd "$(dirname "$0")" && pwd)
[ $# -gt 0 ] || set -- $(cd "$here/corpus" && ls)
for name in "$@"; do
  [ -x "$bin/fuzz_$name" ] || continue  # gguf needs the language-model part
  found=out/fuzz/$name
  mkdir -p "$found"
  "$bin/fuzz_$name" "$limit" -timeout=10 -rss_limit_mb=2048 -max_len=8192 -print_final_stats=1 \
    -artifact_prefix="$found/failed-" "$found" "$here/corpus/$name" >"$found.log" 2>&1 ||
    { tail -60 "$found.log"; echo "fuzz: $name failed; the input is in $found" >&2; exit 1; }
  echo "$name: $(sed -n 's/^stat::number_of_executed_units: *//p' "$found.log") executions"
done
