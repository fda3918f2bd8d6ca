#!/bin/sh
# The main job, start to end: capture both embedded models on one prompt, see where their sinks float, open a file in
# Python. Leaves everything in out/demo/. Run by `make demo`, which sets ATTNTRACE and PYTHON.
set -eu
cd "$(dirname "$0")/.."
attntrace=${ATTNTRACE:?run make demo}
python=${PYTHON:?run make demo}
out=out/demo
prompt="${DEMO_PROMPT:-And it came to pass in those days, that the king of Israel went up to the house of the LORD, and said unto the people,}"

say() {
    printf '\n== %s\n' "$1"
}

rm -rf $out
mkdir -p $out

say "1. Capture: masked diffusion (tiny-mdm) and its autoregressive twin (tiny-ar), the same prompt, every map"
"$attntrace" capture --model tiny-mdm --prompt "$prompt" --gen-length 64 --block-length 16 \
    --temperature 0.7 --signals norms,cosine --output $out/mdm.h5
"$attntrace" capture --model tiny-ar --prompt "$prompt" --max-new-tokens 64 --temperature 0.7 \
    --signals norms --output $out/ar.h5

say "2. What the files hold, and that every number in them agrees with the others"
"$attntrace" info $out/mdm.h5
echo
"$attntrace" info $out/ar.h5
echo
"$attntrace" verify --deep $out/mdm.h5 $out/ar.h5

say "3. Sinks: a key is one where its received sum is above the mean of the others + 3 (Rulli et al.), per head"
"$attntrace" sinks $out/mdm.h5 --table summary
echo
"$attntrace" sinks $out/ar.h5 --table summary
"$attntrace" sinks $out/mdm.h5 --format csv --output $out/mdm-sinks.csv
"$attntrace" sinks $out/ar.h5 --format csv --output $out/ar-sinks.csv

say "4. Trajectories: sinks that dwell, hop, appear and die (tiny-mdm; the first rows)"
"$attntrace" trajectories $out/mdm.h5 --rows 12
for table in presences trajectories hops paths; do
    "$attntrace" trajectories $out/mdm.h5 --table $table --format csv --output $out/mdm-$table.csv
    "$attntrace" trajectories $out/ar.h5 --table $table --format csv --output $out/ar-$table.csv
done

say "5. The contrast, on like rows: the rows that scored each token, and windows of 16 of them"
"$attntrace" compare $out/mdm.h5 $out/ar.h5
"$attntrace" compare $out/mdm.h5 $out/ar.h5 --json --output $out/contrast.json

say "6. The same by layer, and the first token's share of attention against uniform"
"$attntrace" compare $out/mdm.h5 $out/ar.h5 --by-layer --rows 0
echo
echo "How to read it: where first_token_over_uniform is well above 1, the model keeps a sink at its first token; the"
echo "larger floating index and turnover are, the more its attention moves from one row, or window, to the next."

say "7. Drift: position across, step down, the shade what a position receives, sinks marked"
for layer in 1 3; do
    "$attntrace" trajectories $out/mdm.h5 --plot --layer $layer --height 24 | tee $out/mdm-layer-$layer.txt
    "$attntrace" trajectories $out/ar.h5 --plot --layer $layer --height 24 | tee $out/ar-layer-$layer.txt
done

say "8. Ask: long hops, and all that the trace tells of the strongest sink"
"$attntrace" trajectories $out/mdm.h5 --table hops --where "hop_distance > 8 or hop_distance < -8" --rows 5
echo
set -- $("$attntrace" sinks $out/mdm.h5 --sort=-score --columns step,layer,head,position --format csv |
    sed -n 2p | tr -d '\r' | tr , ' ')
"$attntrace" sinks $out/mdm.h5 --explain "$@"

say "9. Is the floating more, or less, than chance would give? Steps shuffled, positions permuted (layers 1 and 3)"
"$attntrace" analyze $out/mdm.h5 --metrics nulls --layers 1,3

say "10. A cohort: eight prompts, both models, every metric in one pass over each trace, means with intervals"
"$attntrace" capture --model tiny-mdm --prompts scripts/demo/prompts.jsonl --gen-length 64 --block-length 16 \
    --temperature 0.7 --record received --output $out/mdm
"$attntrace" capture --model tiny-ar --prompts scripts/demo/prompts.jsonl --max-new-tokens 64 \
    --temperature 0.7 --record received --output $out/ar
"$attntrace" analyze $out/mdm $out/ar --group-by model --output $out/analysis
"$attntrace" analyze $out/mdm.h5 --metrics qk_decomposition --json --output $out/mdm-qk.json
"$attntrace" analyze $out/ar.h5 --metrics qk_decomposition --json --output $out/ar-qk.json

say "11. Sinks taken away: nats per token on passages that neither model was trained on"
mkdir -p $out/scores
"$python" scripts/demo_scores.py "$attntrace" scripts/demo/passages.jsonl $out/scores

say "12. The same files in Python, and the papers' figures for print, each with the numbers behind it"
"$python" scripts/demo_read.py $out/mdm.h5
export PYTHONPATH=python/src
"$python" -m attntrace figures $out/mdm.h5 $out/mdm-qk.json --output $out/figures/mdm
"$python" -m attntrace figures $out/analysis --output $out/figures/cohort

say "13. What agrees with the papers at this tiny scale, and what does not"
"$python" scripts/demo_summary.py $out

say "14. See it: both traces as one page, which opens from disk"
"$attntrace" report $out/mdm.h5 $out/ar.h5 --verify deep --output $out/report.html
echo "open $PWD/$out/report.html in a browser ($(wc -c < $out/report.html) bytes, no network needed)"

say "Everything is in $out/. Next:"
cat <<END
  $attntrace trajectories $out/mdm.h5 --plot --layer 0 --head 2
  $attntrace analyze $out/mdm.h5
  $attntrace serve $out/mdm.h5
  $attntrace capture --prompt "your own words" --temperature 0.7 --seed 1 --output $out/mine.h5
  pages: docs/report.md; Python: docs/python.md; every metric: docs/metrics.md; cohorts: docs/cohorts.md; the file format: docs/format.md
END
