#!/usr/bin/env bash
# Everything from Debian packages to the two model folders: text, tokenizer, both trainings,
# export, measurements, model cards. About 50 minutes on two idle cores, no GPU.
#
#   ./train_all.sh                             trains and rewrites ../tiny-mdm, ../tiny-ar
#   STEPS=200 DECAY_START=140 WORK=/tmp/work OUT=/tmp/out ./train_all.sh
#                                              a quick trial that leaves the folders alone
#
# An interrupted run goes on from its last checkpoint when started again. Everything in between
# lies in WORK (default: ./work), which may be deleted.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
WORK=${WORK:-$here/work}
OUT=${OUT:-$here/..}
STEPS=${STEPS:-6000} DECAY_START=${DECAY_START:-4600}
LOGS=$here/logs
[ "$(cd "$OUT" 2>/dev/null && pwd)" = "$(cd "$here/.." && pwd)" ] || LOGS=$OUT/logs
mkdir -p "$WORK" "$OUT" "$LOGS"
as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi; }

echo "== text: Debian packages"
as_root apt-get install -y --no-install-recommends python3-venv libsword-utils bible-kjv \
    bible-kjv-text sword-text-web sword-comm-mhcc sword-comm-tdavid jargon-text
# This one is only read, never installed: it would bring all of R along.
(cd "$WORK" && apt-get download r-cran-janeaustenr && dpkg -x r-cran-janeaustenr_*.deb unpacked)

echo "== Python environment"
[ -x "$WORK/venv/bin/python" ] || python3 -m venv "$WORK/venv"
"$WORK/venv/bin/pip" install --quiet --requirement "$here/requirements.txt"
python=$WORK/venv/bin/python
export OMP_NUM_THREADS=1 PYTHONDONTWRITEBYTECODE=1
# Keep freed memory instead of handing it back to the system: a tenth faster.
export MALLOC_MMAP_MAX_=0 MALLOC_TRIM_THRESHOLD_=8000000000 MALLOC_TOP_PAD_=268435456

if [ ! -e "$WORK/data/valid.npz" ]; then
    "$python" "$here/prepare_data.py" --out "$WORK/data" --unpacked "$WORK/unpacked" | tee "$WORK/data.log"
    "$python" "$here/train_tokenizer.py" --data "$WORK/data" | tee "$WORK/tokenizer.log"
fi

echo "== training both twins; see $WORK/mdm.log and $WORK/ar.log"
jobs=()
for kind in mdm ar; do
    "$python" "$here/train.py" --kind $kind --data "$WORK/data" --out "$WORK/$kind" \
        --steps "$STEPS" --decay-start "$DECAY_START" >>"$WORK/$kind.log" 2>&1 &
    jobs+=($!)
done
for job in "${jobs[@]}"; do wait "$job"; done

echo "== export, measurements, model cards"
for kind in mdm ar; do
    "$python" "$here/export.py" --kind $kind --checkpoint "$WORK/$kind/checkpoint.pt" \
        --tokenizer "$WORK/data/tokenizer.json" --out "$OUT/tiny-$kind"
    cp "$WORK/$kind/train.csv" "$LOGS/$kind.csv"
    "$python" "$here/measure_sinks.py" --model "$OUT/tiny-$kind" --data "$WORK/data" \
        --out "$LOGS/measured-$kind.json"
done
for kind in mdm ar; do
    "$python" "$here/card.py" --kind $kind --logs "$LOGS" --data "$WORK/data" \
        --folder "$OUT/tiny-$kind" --note "$WORK/note.md"
done
