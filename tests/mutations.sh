#!/bin/sh
# Weakens one side of one ordering edge at a time and expects the loom tests to fail: mutations.sh [CRATE...], by default ring, shm
# and journal. The edges are those that the sources name: edge!("x", "y"), or cfg!(weaken = "z") where it is no ordering. Only
# the workspace's crates are built again for each, by a wrapper around the compiler. Exit status 0 = every mutation was caught.
set -u
cd "$(dirname "$0")/.." || exit 2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
caught=0
survivors=0

loom_tests() {
    case $1 in
    ring) set -- -p cutline-ring --test loom ;;
    *) set -- -p "cutline-$1" --lib loom_tests ;;
    esac
    RUSTFLAGS="--cfg loom" cargo test --quiet "$@"
}

[ $# -gt 0 ] || set -- ring shm journal
for crate; do
    unset RUSTC_WORKSPACE_WRAPPER
    loom_tests "$crate" >"$work/log" 2>&1 || {
        cat "$work/log"
        echo "the loom tests of $crate fail without any mutation"
        exit 2
    }
    edges=$(find "$crate/src" -name '*.rs' -exec cat {} + | tr -d '\n' | grep -oE 'edge!\( *"[a-z0-9_]+", *"[a-z0-9_]+",? *\)|weaken = "[a-z0-9_]+"' | grep -oE '"[a-z0-9_]+"' | tr -d '"' | sort -u)
    [ -n "$edges" ] || {
        echo "$crate names no edge"
        exit 2
    }
    for edge in $edges; do
        # Cargo tells builds apart by the wrapper's path.
        wrapper=$work/$crate-$edge
        printf '#!/bin/sh\nexec "$@" --cfg '\''weaken="%s"'\''\n' "$edge" >"$wrapper"
        chmod +x "$wrapper"
        export RUSTC_WORKSPACE_WRAPPER="$wrapper"
        if loom_tests "$crate" >"$work/log" 2>&1; then
            echo "SURVIVED $crate $edge"
            survivors=$((survivors + 1))
        elif grep -q '^test result: FAILED' "$work/log"; then
            echo "caught   $crate $edge by: $(sed -n 's/^    \([a-z0-9_:]*\)$/\1/p' "$work/log" | sort -u | tr '\n' ' ')"
            caught=$((caught + 1))
        else
            cat "$work/log"
            echo "BROKEN   $crate $edge does not build"
            exit 2
        fi
    done
done
echo "$caught caught, $survivors survived"
[ "$survivors" -eq 0 ]
