#!/bin/sh
# Weakens one side of one ordering edge at a time (and once leaves out the zero behind a record) and expects the loom tests to fail.
# Run from anywhere; takes some minutes, because each build has its own flags. Exit status 0 = every mutation was caught.
set -u
cd "$(dirname "$0")/../.." || exit 2
survivors=0

run() {
    RUSTFLAGS="--cfg loom $1" cargo test --quiet -p cutline-ring --release --test loom
}

RUSTFLAGS="--cfg loom" cargo test --quiet -p cutline-ring --release --test loom >/dev/null 2>&1 || {
    echo "the loom tests fail without any mutation: run them first"
    exit 2
}
log=$(mktemp)
trap 'rm -f "$log"' EXIT
for edge in spsc_e1 spsc_e1_acquire bytes_e1 bytes_e1_acquire e2 e2_acquire e3 e3_acquire e4 e4_acquire bytes_zero_next; do
    if RUSTFLAGS="--cfg loom --cfg weaken=\"$edge\"" cargo test --quiet -p cutline-ring --release --test loom --no-run >"$log" 2>&1; then
        if run "--cfg weaken=\"$edge\"" >"$log" 2>&1; then
            echo "SURVIVED $edge"
            survivors=$((survivors + 1))
        else
            echo "caught   $edge by: $(sed -n 's/^    \([a-z0-9_]*\)$/\1/p' "$log" | sort -u | tr '\n' ' ')"
        fi
    else
        echo "BROKEN   $edge does not build"
        cat "$log"
        exit 2
    fi
done
exit "$survivors"
