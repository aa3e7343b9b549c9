#!/bin/bash
# In the virtual machine of vm.sh, as root: installs Cutline as docs/operations.md says, and looks whether it is as that says. A line for
# each check.
set -u
export PATH=/usr/local/bin:$PATH SYSTEMD_PAGER=cat
data=/var/lib/cutline
group=/sys/fs/cgroup/system.slice/cutline.service
failed=0

# check WHAT COMMAND...: it has to succeed; what it prints is shown.
check() {
    local what=$1 out
    shift
    if out=$("$@" 2>&1); then
        echo "ok      $what${out:+: $out}"
    else
        failed=$((failed + 1))
        echo "FAILED  $what: $* says: $out"
    fi
}
# until_is SECONDS COMMAND...: it succeeds within that time.
until_is() {
    local end=$((SECONDS + $1))
    shift
    until "$@"; do
        [ "$SECONDS" -lt "$end" ] || return 1
        sleep 0.5
    done
}
show() { systemctl show -P "$1" cutline; }
is() { [ "$(show "$1")" = "$2" ] || { show "$1"; return 1; }; }
# What a command prints has this in it. The line is shown.
has() {
    local wanted=$1
    shift
    "$@" 2>&1 | grep -m1 -E -e "$wanted"
}
has_not() {
    local refused=$1
    shift
    ! "$@" 2>&1 | grep -E -e "$refused"
}
since=0
told() { journalctl -u cutline -o cat --since "@$since" "$@"; }
as_cutline() { sudo -u cutline cutline "$@"; }
module() { as_cutline modules $data | grep -E "^$1 +$2 "; }
pid_of() { module "$1" running | awk '{print $3}'; }

echo "Linux $(uname -r), $(systemctl --version | head -1)"
echo "127.0.0.1 $(hostname)" >>/etc/hosts

# --- installed as the manual says, but for the build -----------------------------------------------------------------

install -D -t /opt/modules tests/vm/module.sh control/tests/modules/polite.sh
cp tests/vm/my.toml .
cargo() { :; }
sed -n '/^### As a service/,/^### /p' docs/operations.md | sed -n '/^```sh/,/^```/{/^```/d;p}' >install.sh
# Each message of sd_notify is on record.
systemctl log-level debug
check "installed with the manual's commands" eval '. ./install.sh >install.log 2>&1 || { cat install.log; told; false; }'

check "active" is ActiveState active
first=$(show MainPID)
check "by READY=1 of its main process" has "message from PID $first \(READY=1" told
check "and says that its lanes make progress" until_is 15 has "message from PID $first \(WATCHDOG=1" told
check "systemd has nothing to say of the unit's folders" has_not 'mode is different' told
check "as its user" has '^cutline$' stat -c %U "/proc/$first"
check "without capabilities" has '^CapEff:\s0+$' cat "/proc/$first/status"
check "with a filter of system calls" has '^Seccomp:\s2' cat "/proc/$first/status"
check "the file system is not its to write" has 'Read-only' nsenter -m -t "$first" touch /usr/local/bin/mine /etc/cutline/mine
check "security by the manual's command" has 'exposure level.*: 1\.9 ' systemd-analyze security --offline=true tuning/cutline.service
check "security of what runs" has 'exposure level.*: 1\.7 ' systemd-analyze --no-pager security cutline
check "modules are shown to its user" module calm running
check "stat is shown to its user" has 'running' as_cutline stat $data

# --- modules in cgroups ----------------------------------------------------------------------------------------------

calm=$(pid_of calm)
check "told where the groups are" has "cgroups below $group with cpu, memory, pids" cat $data/events.jsonl
check "Cutline in a group of its own" has "^$first$" cat $group/supervisor/cgroup.procs
check "a module in its own" has "^$calm$" cat $group/module-calm/cgroup.procs
check "without limits" has '^max 100000 max max $' eval 'cat $group/module-calm/{cpu,memory,pids}.max | tr "\n" " "'
check "cpu.max" has '^20000 100000$' cat $group/module-burner/cpu.max
check "pids.max" has '^8$' cat $group/module-forker/pids.max

used() { sed -n 's/^usage_usec //p' $group/module-burner/cpu.stat; }
share() {
    local from began
    from=$(used)
    began=$(date +%s%6N)
    sleep 10
    echo "$((100 * ($(used) - from) / ($(date +%s%6N) - began))) %"
}
check "who burns has its 20 % of a core" has '^(1[6-9]|2[0-2]) %' share
check "because the kernel throttles it" has '^nr_throttled [1-9]' cat $group/module-burner/cpu.stat

check "who forks is refused" has '^max [1-9]' cat $group/module-forker/pids.events
check "has no more than 8" has '^[1-8]$' cat $group/module-forker/pids.current
check "printed so" has '"module":"forker".*[Cc]annot fork' cat $data/modules.jsonl
check "and runs" module forker running

check "who eats is started" as_cutline module start $data eater
check "memory.max" has '^67108864$' cat $group/module-eater/memory.max
check "and the kernel ends it" until_is 120 has '^oom_kill [1-9]' cat $group/module-eater/memory.events
check "that is told" until_is 10 has '"module":"eater".*"event":"failed"' cat $data/events.jsonl
check "with memory as the reason" has '"module":"eater".*"failed".* because memory ran out: ' cat $data/events.jsonl
check "it is recovered" until_is 60 has '"module":"eater".*"event":"recovered"' cat $data/events.jsonl
check "and runs" until_is 30 module eater running

check "who does nothing is the same process still" [ "$(pid_of calm)" = "$calm" ]
check "and well" has_not '"module":"calm".*("failed"|unhealthy)' cat $data/events.jsonl

# --- reload ----------------------------------------------------------------------------------------------------------

# Behind a link that lies elsewhere the file is not watched: what is seen is the signal's doing.
install -d -g cutline -m 750 /etc/cutline/elsewhere
mv /etc/cutline/cutline.toml /etc/cutline/elsewhere/
ln -s elsewhere/cutline.toml /etc/cutline/cutline.toml
sleep 3
sed -i 's/cpu_percent = 20/cpu_percent = 40/' /etc/cutline/elsewhere/cutline.toml
sleep 3
since=$(date +%s)
check "an edit that nobody sees is not in force" has '^20000 100000$' cat $group/module-burner/cpu.max
check "reload" systemctl reload cutline
check "is told" until_is 10 has "message from PID $first \(RELOADING=1" told
check "by the signal" until_is 10 has SIGHUP cat $data/config-history.jsonl
check "is in force" until_is 15 has '^40000 100000$' cat $group/module-burner/cpu.max
check "and over" until_is 10 is SubState running
check "without a restart" is MainPID "$first"

# --- killed, stopped -------------------------------------------------------------------------------------------------

as_cutline generate --to unix:$data/feed.sock --count 3000 >generated.log
sleep 3
again() { [ "$(show NRestarts)" = "$1" ] && [ "$(show ActiveState)" = active ]; }
# This kernel's landlock is older than one of the guards, which each module's start says.
complaints() { told -t cutline | grep -v landlock; }
since=$(date +%s)
kill -9 "$first"
check "killed, it comes back" until_is 60 again 1
check "with what it had" has '^recovered 3000 receipts' told -t cutline
check "and its modules, in groups as before" has '^40000 100000$' cat $group/module-burner/cpu.max
check "the old ones are gone" [ ! -e "/proc/$calm" ]
check "without a complaint" has_not 'warning|damaged|cannot' complaints

second=$(show MainPID)
kill -STOP "$second"
check "stopped for longer than WatchdogSec, it is ended" until_is 60 has 'Watchdog timeout' told
check "and comes back" until_is 60 again 2

# --- doctor ----------------------------------------------------------------------------------------------------------

doctor() { systemd-run --quiet --wait --pipe "$@" cutline doctor --config /etc/cutline/cutline.toml; }
check "doctor: no quota, no limit" has 'cgroup.cpu .*none' doctor
check "doctor: a quota" has 'cgroup.cpu .*0.50 cores' doctor -p CPUQuota=50%
check "doctor: a limit" has 'cgroup.memory .*200 MiB' doctor -p MemoryMax=200M

# --- stop ------------------------------------------------------------------------------------------------------------

# What Cutline has left of its groups when it has ended; systemd removes the rest.
mkdir -p /run/systemd/system/cutline.service.d
printf '[Service]\nExecStopPost=+/bin/sh -c "cd %s; ls -d */ >/root/left; true"\n' $group >/run/systemd/system/cutline.service.d/left.conf
systemctl daemon-reload
third=$(show MainPID)
lines=$(wc -l <$data/events.jsonl)
stopped() { tail -n "+$((lines + 1))" $data/events.jsonl | sed -n 's/.*"module":"\([a-z]*\)".*"event":"stopped".*/\1/p' | tr '\n' ' '; }
check "stop" systemctl stop cutline
check "is told" has "message from PID $third \(STOPPING=1" told
check "in time" is Result success
check "with exit code 0" is ExecMainStatus 0
check "drained" has 'lanes_drained' tail -n "+$((lines + 1))" $data/events.jsonl
check "in order" has 'burner .*calm .*plane system' stopped
check "it has removed its groups" eval '[ -e /root/left ] && ! grep . /root/left'
check "no group is left" [ ! -e $group ]
check "no process either" has_not . find /proc -maxdepth 1 -user cutline
check "and the logs are well" has identical as_cutline verify $data --strict

# --- a configuration that is none ------------------------------------------------------------------------------------

echo 'nothing = "of ours"' >>/etc/cutline/elsewhere/cutline.toml
check "a configuration that is none is no start" eval '! systemctl start cutline'
sleep 4
check "and is not tried again" is NRestarts 0
check "the service has failed" is ActiveState failed
check "with exit code 2" is ExecMainStatus 2

if [ $failed = 0 ]; then
    echo "all checks passed"
else
    # Nothing else of the machine is kept.
    cat install.log $data/*.jsonl
    journalctl -b -o short-monotonic | tail -2000
    echo "$failed checks failed"
fi
