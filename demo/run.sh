#!/usr/bin/env bash
# The main job on an embedded example: a tiny model and preference pairs in, a reward head, numbers and scores out.
set -euo pipefail
cd "$(dirname "$0")/.."

model=tests/files/tiny-llama.gguf
out=out/demo
mkdir -p "$out"

echo "== align: $model with demo/pairs.jsonl =="
${COALA:-build/bin/coala} align --model "$model" --data demo/pairs.jsonl --out "$out"

echo
echo "== score: a kind and a rude answer that the head has not seen =="
cat >"$out/new.jsonl" <<'EOF'
{"id": "new-1", "prompt": "Can you help me with my sums?", "chosen": "Gladly. Take the first sum slowly and tell me where you stop. You can do this.", "rejected": "Not again. There is no point in telling you about sums. Find something easier."}
EOF
${COALA:-build/bin/coala} score --model "$model" --head "$out/head.safetensors" --data "$out/new.jsonl" --quiet

echo
echo "report: $out/report.html    metrics: $out/metrics.json    head: $out/head.safetensors"
