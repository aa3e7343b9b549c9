#!/bin/sh
# Tests host.sh: on a made-up machine every knob, and as root on this one a harmless subset. Exit code 1 on a failure.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failed=0

fail() {
    failed=1
    echo "FAILED: $1"
}
# What is run exits with the code $1.
expect() {
    code=0
    wanted=$1
    shift
    "$@" >"$work/out" 2>&1 || code=$?
    [ "$code" = "$wanted" ] || { fail "exit code $code, not $wanted: $*"; cat "$work/out"; }
}
says() { grep -qE -e "$1" "$work/out" || { fail "does not say: $1"; cat "$work/out"; }; }
says_not() { ! grep -qE -e "$1" "$work/out" || { fail "says: $1"; cat "$work/out"; }; }
contents() { (cd "$1" && find . -type f ! -path './run/*' | sort | xargs -d '\n' grep -H '' || true); }

# --- a made-up machine of four cores, two of them lanes' -------------------------------------------------------------

root=$work/root
put() { mkdir -p "$(dirname "$root$1")" && printf '%s\n' "$2" >"$root$1"; }
cpu=/sys/devices/system/cpu
put $cpu/online 0-3
put $cpu/isolated 2-3
put $cpu/nohz_full 2
put $cpu/intel_pstate/no_turbo 0
for core in 0 1 2 3; do
    put $cpu/cpu$core/cpufreq/scaling_governor powersave
    put $cpu/cpu$core/cpuidle/state0/latency 0
    put $cpu/cpu$core/cpuidle/state0/name POLL
    put $cpu/cpu$core/cpuidle/state0/disable 0
    put $cpu/cpu$core/cpuidle/state1/latency 133
    put $cpu/cpu$core/cpuidle/state1/name C6
    put $cpu/cpu$core/cpuidle/state1/disable 0
done
put /proc/cmdline "quiet isolcpus=2-3 rcu_nocbs=2,3"
put /proc/swaps "Filename Type Size Used Priority"
put /proc/mounts "tmpfs /dev/shm tmpfs rw,size=9k,huge=within_size 0 0"
put /proc/irq/7/smp_affinity_list 0-3
put /proc/irq/8/smp_affinity_list 2-3
put /proc/irq/9/smp_affinity_list 0-1
put /proc/5/comm irqbalance
put /proc/sys/kernel/timer_migration 1
put /proc/sys/vm/swappiness 0
put /proc/sys/vm/max_map_count 4096
put /proc/sys/vm/stat_interval 1
put /proc/sys/vm/dirty_bytes 999
put /proc/sys/vm/dirty_background_bytes 888
put /sys/kernel/mm/transparent_hugepage/enabled madvise
put /sys/kernel/mm/transparent_hugepage/defrag always
cat >"$work/lanes.toml" <<END
[[lane]]
core = 2 # one
[[lane]]
core = 3
[log]
live_segments = 4
segment_bytes = 1_099_511_627_776
END
export CUTLINE_TUNING_ROOT="$root" CUTLINE_TUNING_STATE="$work/state"
host() { sh "$here/host.sh" -c "$work/lanes.toml" "$@"; }
contents "$root" >"$work/before"

expect 1 host check
says '^WRONG +cpu2.governor +powersave +want performance'
says "echo performance > $root$cpu/cpu2/cpufreq/scaling_governor"
says_not 'cpu[01]\.(governor|idle)'
says '^WRONG +cpu3.idle.state1 .*C6 takes 133 us'
says_not 'state0'
says '^ok +turbo .*no_turbo = 0'
says '^ok +isolcpus +2-3 +want 2-3'
says '^WRONG +nohz_full +2 +want 2-3'
says '^ok +rcu_nocbs +2,3 +want 2-3'
says '^WRONG +irq.7 +0-3 +want 0-1'
says '^WRONG +irq.8 +2-3 +want 0-1'
says '^ok +irq.clear +1 interrupts'
says '^WRONG +irqbalance +1 running'
says '^unknown +kernel.numa_balancing'
says '^unknown +clocksource'
says '^ok +vm.swappiness +0 '
says '^ok +thp.enabled +madvise'
says '^WRONG +thp.defrag +always'
says '^ok +shm.huge +within_size'
says '^WRONG +vm.max_map_count +4096 +want >=65530'
says '^WRONG +shm.free .*want >= 16106127360 KiB'
contents "$root" | cmp -s - "$work/before" || fail "check changed something"

expect 0 host apply
says 'set cpu2.governor to performance \(was powersave\)'
contents "$root" >"$work/applied"
cat >"$work/expected" <<END
./proc/irq/7/smp_affinity_list:0-1
./proc/irq/8/smp_affinity_list:0-1
./proc/sys/kernel/timer_migration:0
./proc/sys/vm/dirty_background_bytes:67108864
./proc/sys/vm/dirty_bytes:268435456
./proc/sys/vm/max_map_count:65530
./proc/sys/vm/stat_interval:120
./sys/devices/system/cpu/cpu2/cpufreq/scaling_governor:performance
./sys/devices/system/cpu/cpu2/cpuidle/state1/disable:1
./sys/devices/system/cpu/cpu3/cpufreq/scaling_governor:performance
./sys/devices/system/cpu/cpu3/cpuidle/state1/disable:1
./sys/kernel/mm/transparent_hugepage/defrag:madvise
END
diff "$work/before" "$work/applied" | sed -n 's/^> //p' | cmp -s - "$work/expected" || { fail "apply changed something else"; diff "$work/before" "$work/applied" || true; }

# Twice is once: the value to go back to is the first one. What somebody changes in between is put back too.
expect 0 host apply
says_not 'set'
echo schedutil >"$root$cpu/cpu2/cpufreq/scaling_governor"
expect 0 host apply
says 'was schedutil'
expect 0 host undo
contents "$root" | cmp -s - "$work/before" || { fail "undo did not put everything back"; contents "$root" | diff "$work/before" - || true; }
[ ! -e "$work/state" ] || fail "a state file is left after undo"
expect 0 host undo
says 'nothing to undo'

# A subset by name.
expect 0 host -k 'irq.7' -k 'vm.stat*' apply
[ "$(cat "$root/proc/irq/7/smp_affinity_list" "$root/proc/sys/vm/stat_interval" | tr '\n' ' ')" = "0-1 120 " ] || fail "the subset is not set"
[ "$(cat "$root/proc/irq/8/smp_affinity_list")" = 2-3 ] || fail "more than the subset is set"
expect 0 host -k 'irq.7' -k 'vm.stat*' check
expect 0 host undo
contents "$root" | cmp -s - "$work/before" || fail "undo did not put the subset back"

# What the kernel does not take is said, and is not put back later.
ln -sf /dev/null "$root/proc/sys/vm/stat_interval"
expect 1 host -k 'vm.stat*' apply
says 'refused: vm.stat_interval stays'
[ ! -e "$work/state" ] || fail "a change that was refused is on record"
rm "$root/proc/sys/vm/stat_interval"
put /proc/sys/vm/stat_interval 1

# Without rights nothing changes, and what lacks them is named.
if [ "$(id -u)" = 0 ] && command -v setpriv >/dev/null; then
    chmod 755 "$work"
    expect 1 setpriv --reuid=65534 --regid=65534 --clear-groups env CUTLINE_TUNING_STATE="$work/state" sh "$here/host.sh" -c "$work/lanes.toml" -k 'irq.*' apply
    says 'no rights to set irq.7: .* run this as root'
    contents "$root" | cmp -s - "$work/before" || fail "something changed without rights"
fi

for wrong in '' 'look' 'check apply' '-c /nowhere check' '-x check'; do
    # shellcheck disable=SC2086 # words
    expect 2 sh "$here/host.sh" $wrong
done
unset CUTLINE_TUNING_ROOT

# --- this machine ----------------------------------------------------------------------------------------------------

expect 1 sh "$here/host.sh" -k 'vm.swappiness' -k 'limit.*' -c "$work/lanes.toml" check
if [ "$(id -u)" != 0 ] || [ ! -w /proc/sys/vm/stat_interval ]; then
    echo "skipped: apply on this machine needs root"
else
    vm() { grep -H '' /proc/sys/vm/stat_interval /proc/sys/vm/dirty_*bytes /proc/sys/vm/dirty_*ratio /proc/sys/vm/swappiness; }
    this() { sh "$here/host.sh" -k 'vm.stat_interval' -k 'vm.dirty_*' "$@"; }
    vm >"$work/vm-before"
    expect 0 this apply
    expect 0 this check
    vm >"$work/vm-applied"
    [ "$(diff "$work/vm-before" "$work/vm-applied" | grep -c '^>')" -gt 0 ] || fail "apply set nothing"
    expect 0 this undo
    vm | cmp -s - "$work/vm-before" || { fail "this machine is not as it was"; vm | diff "$work/vm-before" - || true; }
fi

[ "$failed" = 0 ] && echo "tuning: all tests passed"
exit "$failed"
