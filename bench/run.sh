#!/usr/bin/env bash
# The figures of docs/benchmarks.md. The feature files are outside the repository; those that are not there are left out.
set -euo pipefail
cd "$(dirname "$0")/.."
shared=${COALA_SHARED:-../shared}
out=out/bench
mkdir -p "$out"

# (requirements) Prints the Python of a virtual environment in the cache, made on the first call.
environment() {
  local cache=${COALA_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/coala}
  local folder
  folder=$cache/rivals-$(sha256sum "$1" | cut -c1-16)
  if [ ! -f "$folder/complete" ]; then
    { python3 -m venv --clear "$folder" && "$folder/bin/python" -m pip install --quiet --requirement "$1"; } >&2 || return
    touch "$folder/complete"
  fi
  echo "$folder/bin/python"
}

echo "== one application of F'F =="
build/bin/bench_operator

echo "== does the cost model of Gram mode choose the faster way? (bench/gram.cpp) =="
build/bin/bench_gram

echo "== growth with the rows =="
for rows in 10000 30000 100000 300000 1000000; do build/bin/bench_scaling $rows; done

echo "== growth with the dimension, beside tuned logistic regression (bench/dimension.py) =="
python=$(environment bench/requirements.txt)
"$python" bench/dimension.py build/bin/coala 3000 1 384 768 1536 4096
"$python" bench/dimension.py build/bin/coala 20000 1 384 1536

echo "== conjugate-gradient iterations of the convex ReLU program's u-step =="
shopt -s nullglob
sets=("$shared"/data/features/*.safetensors)
if [ ${#sets[@]} -gt 0 ]; then
  build/bin/bench_cg_iterations "${sets[@]}"
else
  echo "no feature sets in $shared/data/features, left out"
fi

echo "== do refined gates find curvature? (bench/gates.py) =="
"$(tools/python_env.sh)" bench/gates.py build/bin/coala "${sets[@]}"

echo "== what half-precision features cost (bench/precision.py) =="
"$(tools/python_env.sh)" bench/precision.py build/bin/coala "${sets[@]}"

echo "== rivals on the same features (bench/rivals.py) =="
python=$(environment bench/requirements.txt)
"$python" bench/rivals.py build/bin/coala 3 "${sets[@]}"

imdb=$shared/data/features/imdb_minilm.safetensors
if [ -f "$imdb" ]; then
  python=$(environment bench/requirements-published.txt)
  echo "== the published JAX code (bench/published.py) =="
  "$python" bench/published.py build/bin "$imdb"
  echo "== objective and accuracy against time (bench/convergence.py) =="
  "$python" bench/convergence.py build/bin "$imdb" "$out/convergence.svg"
fi

for name in imdb_minilm imdb_llama alpaca_minilm_pairs; do
  features=$shared/data/features/$name.safetensors
  if [ ! -f "$features" ]; then
    echo "== $name: $features is not there, left out =="
    continue
  fi
  for class in gated linear cronos; do
    echo "== $name, $class, 5-fold cross-validation by prompt =="
    build/bin/coala train --features "$features" --folds 5 --model-class "$class" --out "$out/$name-$class.safetensors" \
      --quiet --json >"$out/$name-$class.json"
    python3 - "$out/$name-$class.json" <<'EOF'
import json, sys
m = json.load(open(sys.argv[1]))
key = "eval_accuracy" if "eval_accuracy" in m else "eval_rewards/accuracies"
ci = m[key + "_ci95"]
text = f"accuracy {100*m[key]:.2f} % [{100*ci[0]:.2f}, {100*ci[1]:.2f}], logistic regression {100*m['baseline/logistic_accuracy']:.2f} %, p {m['comparison/p_value']:.2g}"
if "baseline/length_accuracy" in m:
    text += f", longer wins {100*m['baseline/length_accuracy']:.2f} %"
print(text + f", last fit {m['solver']['seconds']:.1f} s")
EOF
  done
done

echo "== extraction beside PyTorch (bench/extraction.py) =="
if [ -d "$shared/models/imdb-llama" ]; then
  "$(environment bench/requirements-extraction.txt)" bench/extraction.py build/bin/coala "$shared" "$out/random-llama" 3
else
  echo "no models in $shared/models, left out"
fi
