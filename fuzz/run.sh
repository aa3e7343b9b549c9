#!/bin/sh
# Runs every fuzz target, or the ones named, for SECONDS each, one after the other; one line per target, exit code 1 on a finding.
#
#     fuzz/run.sh SECONDS [TARGET...]
#
# What libFuzzer finds interesting goes to the target folder; corpus/ is only read. A finding's input is left in artifacts/TARGET/.
set -eu

case ${1:-} in
    '' | *[!0-9]*)
        echo "usage: fuzz/run.sh SECONDS [TARGET...]" >&2
        exit 2
        ;;
esac
seconds=$1
shift
cd "$(dirname "$0")"
if ! command -v cargo-fuzz >/dev/null; then
    echo "fuzz/run.sh: cargo-fuzz is not there: cargo install cargo-fuzz" >&2
    exit 2
fi
# The sanitizer is a compiler flag that stable keeps behind this.
export RUSTC_BOOTSTRAP=1
grown=${CARGO_TARGET_DIR:-$PWD/target}/corpus
# The log target's files: in memory, and gone afterwards though libFuzzer ends without destructors.
TMPDIR=$(mktemp -d "$([ -w /dev/shm ] && echo /dev/shm || echo "${TMPDIR:-/tmp}")/cutline-fuzz.XXXXXX")
export TMPDIR
trap 'rm -rf "$TMPDIR"' EXIT
trap 'exit 130' INT TERM

cargo fuzz build >"$TMPDIR/log" 2>&1 || {
    cat "$TMPDIR/log" >&2
    exit 1
}

found_any=0
for target in ${*:-$(cargo fuzz list)}; do
    mkdir -p "$grown/$target" "artifacts/$target"
    before=$(find "artifacts/$target" -type f | wc -l)
    status=0
    cargo fuzz run "$target" "$grown/$target" "corpus/$target" -- -fork=0 -max_len=4096 -timeout=20 \
        -max_total_time="$seconds" -print_final_stats=1 >"$TMPDIR/log" 2>&1 || status=$?
    stat() { sed -n "s/^stat::$1: *//p" "$TMPDIR/log" | tail -n 1; }
    coverage() { sed -n "s/^#[0-9]*[[:space:]]*$1.* cov: \([0-9]*\) .*/\1/p" "$TMPDIR/log" | tail -n 1; }
    executions=$(stat number_of_executed_units)
    findings=$(($(find "artifacts/$target" -type f | wc -l) - before))
    first=$(coverage INITED)
    last=$(coverage '[A-Z]')
    printf '%-10s %12s executions, coverage %s to %s (%s new inputs), %d findings\n' \
        "$target" "${executions:-no}" "${first:-?}" "${last:-?}" "$(stat new_units_added)" "$findings"
    if [ "$status" -ne 0 ] || [ "$findings" -ne 0 ]; then
        found_any=1
        grep -a -m 1 -A 4 -e 'panicked at' -e '^error' -e 'ERROR:' "$TMPDIR/log" || tail -n 20 "$TMPDIR/log"
    fi
done
exit "$found_any"
