# The knobs, one after the other; read by host.sh, which says what `knob` and `fact` do with them.

sys=/sys/devices/system/cpu
online=$(cores_in "$(value_of "$root$sys/online" || echo 0)")
# Without pinned lanes a thread may run anywhere: what is set per core is set for all.
tuned=${cores:-$online}
others=$(select_cores "$online" "$cores" out)
list=$(spelled "$(select_cores "$cores" "" out)")

# --- cores

lacking=$(select_cores "$cores" "$online" out)
fact lanes.cores "$(spelled "$(select_cores "$online" "" out)") online" "${list:-any}" "a lane cannot be pinned to a core that is not there" "give the lanes other cores" "$(at_least "-$(echo "$lacking" | wc -w)" 0)"

for core in $tuned; do
    knob "cpu$core.governor" "$sys/cpu$core/cpufreq/scaling_governor" performance "a core that slows down when idle wakes up slow"
done
for core in $tuned; do
    for idle in "$root$sys/cpu$core"/cpuidle/state*/; do
        exit_us=$(value_of "$idle/latency") || continue
        [ "$exit_us" -le "$IDLE_EXIT_MAX_US" ] && continue
        at=${idle%/} && at=${at##*/}
        knob "cpu$core.idle.$at" "$sys/cpu$core/cpuidle/$at/disable" 1 "$(value_of "$idle/name") takes $exit_us us to wake from"
    done
done

# Which is better has to be measured: more speed for few busy cores, or the same speed always.
turbo=2 turbo_now=
for file in intel_pstate/no_turbo cpufreq/boost; do
    turbo_now=$(value_of "$root$sys/$file") && turbo=0 && turbo_now="$file = $turbo_now" && break
done
fact turbo "$turbo_now" any "reported only: measure both, with bench" "" "$turbo"

# NAME FILE WHY: the lanes' cores must be in a list that the boot has set; without a file it is read from the command line.
boot_list() {
    if [ -z "$cores" ]; then
        fact "$1" "-" "- (no pinned lane)" "$3" "" 0
        return
    fi
    if [ -n "$2" ]; then
        set_now=$(value_of "$root$2") || set_now=
        [ "$set_now" = "(null)" ] && set_now=
    else
        set_now=$(value_of "$root/proc/cmdline" | tr ' ' '\n' | sed -n "s/^$1=//p" | tail -n 1)
    fi
    lacking=$(select_cores "$cores" "$(cores_in "$set_now")" out)
    fact "$1" "${set_now:-none}" "$list" "$3" "add $1=$list to the kernel's command line and boot" "$(at_least "-$(echo "$lacking" | wc -w)" 0)"
}
boot_list isolcpus $sys/isolated "nothing else is scheduled on the lanes' cores"
boot_list nohz_full $sys/nohz_full "no tick interrupts a lane that runs alone"
boot_list rcu_nocbs "" "no RCU callbacks on the lanes' cores"

# --- interrupts

if [ -n "$cores" ]; then
    clear=0
    for irq in "$root"/proc/irq/[0-9]*/smp_affinity_list; do
        allowed=$(value_of "$irq") || continue
        number=${irq%/smp_affinity_list} && number=${number##*/}
        if [ -z "$(select_cores "$cores" "$(cores_in "$allowed")" in)" ]; then
            clear=$((clear + 1))
            continue
        fi
        keep=$(select_cores "$(cores_in "$allowed")" "$cores" out)
        # In the kernel's own spelling, which is what will be read again.
        knob "irq.$number" "/proc/irq/$number/smp_affinity_list" "$(spelled "${keep:-$others}")" "an interrupt stops the lane on its core for microseconds"
    done
    fact irq.clear "$clear interrupts" "off cores $list" "an interrupt stops the lane on its core for microseconds" "" 0
fi
balancer=$(cat "$root"/proc/[0-9]*/comm 2>/dev/null | grep -cx irqbalance || true)
fact irqbalance "$balancer running" 0 "it moves interrupts back onto the lanes' cores" "systemctl disable --now irqbalance" "$(at_least "-$balancer" 0)"

# --- scheduler and clock

knob kernel.timer_migration /proc/sys/kernel/timer_migration 0 "timers of idle cores would move to busy ones: to the lanes"
knob kernel.sched_autogroup /proc/sys/kernel/sched_autogroup_enabled 0 "shares by session let a shell compete with the pipeline"
knob kernel.numa_balancing /proc/sys/kernel/numa_balancing 0 "it unmaps pages to see who uses them: page faults on lanes"
clock=$(value_of "$root/sys/devices/system/clocksource/clocksource0/current_clocksource") && read_clock=0 || read_clock=2
case $clock in tsc | kvm-clock | hyperv_clocksource_tsc_page | '') ;; *) read_clock=1 ;; esac
fact clocksource "$clock" "tsc|kvm-clock" "a lane reads the clock once per cycle; other sources cost a system call" "see why the kernel gave up the TSC: dmesg | grep -i tsc" "$read_clock"

# --- memory

knob thp.enabled /sys/kernel/mm/transparent_hugepage/enabled "madvise|never" "always lets the kernel stop a thread to build huge pages"
knob thp.defrag /sys/kernel/mm/transparent_hugepage/defrag "madvise|defer+madvise|defer|never" "always compacts memory in the page fault"
knob thp.shmem_enabled /sys/kernel/mm/transparent_hugepage/shmem_enabled "never|advise|within_size|always" "deny and force overrule the mount option of the live logs"
shm=$(awk '$2 == "/dev/shm" { print $4 }' "$root/proc/mounts" 2>/dev/null | tail -n 1)
huge=$(echo "$shm" | tr ',' '\n' | sed -n 's/^huge=//p')
fact shm.huge "${huge:-never}" within_size "huge pages under the live logs: fewer misses in the TLB" "mount -o remount,huge=within_size /dev/shm (and in /etc/fstab)" \
    "$(case ${shm:+mounted}$huge in mountedwithin_size | mountedalways) echo 0 ;; '') echo 2 ;; *) echo 1 ;; esac)"
free=$(df -kP /dev/shm 2>/dev/null | awk 'NR == 2 { print $4 }')
fact shm.free "${free:-?} KiB free" ">= $((live_bytes / 1024)) KiB" "3 x (log.live_segments + 1) x log.segment_bytes, unless they lie there already" "mount -o remount,size=$((live_bytes / 512))k /dev/shm (and in /etc/fstab)" \
    "$(at_least "$free" $((live_bytes / 1024)))"
knob vm.swappiness /proc/sys/vm/swappiness "<=1" "a live segment in swap is a disk read on a lane"
knob vm.max_map_count /proc/sys/vm/max_map_count ">=65530" "each segment that is mapped takes one: beyond it mapping fails"
swaps=$(awk 'END { print NR - 1 }' "$root/proc/swaps" 2>/dev/null) || swaps=
fact swap "$swaps areas" 0 "tmpfs can be swapped out" "swapoff -a (and in /etc/fstab)" "$(at_least "${swaps:+-$swaps}" 0)"
knob vm.stat_interval /proc/sys/vm/stat_interval "120" "a kernel thread wakes on every core each interval, s"

# --- writing behind

knob vm.dirty_background_bytes /proc/sys/vm/dirty_background_bytes "$DIRTY_BACKGROUND_BYTES" "the kernel begins to write early and little by little"
knob vm.dirty_bytes /proc/sys/vm/dirty_bytes "$DIRTY_BYTES" "the keeper's flush does not wait behind gigabytes of others"

# --- limits of the process: those of this shell stand for those of the service

memlock=$(ulimit -l 2>/dev/null) || memlock=
fact limit.memlock "${memlock:-?} KiB" ">= $((live_bytes / 1024)) KiB" "memory of the live logs that may be locked" "LimitMEMLOCK=infinity in the service file" \
    "$(at_least "$memlock" $((live_bytes / 1024)))"
nofile=$(ulimit -n)
fact limit.nofile "$nofile" ">= $((connections + 1024))" "ingest.connections_max, segments, subscribers" "LimitNOFILE=$((connections + 1024)) in the service file" \
    "$(at_least "$nofile" $((connections + 1024)))"
