#!/bin/bash
# Cutline as a service of systemd, and its modules in cgroups v2, in a virtual machine: what cannot be tried on a machine that has neither.
# Makes a Debian image once (target/vm), boots it without a network, and has guest.sh install Cutline and look. Exit code 1: a check failed;
# 77: something is missing here. Everything that the machine says is in target/vm/console.log.
set -euo pipefail
cd "$(dirname "$0")/../.."
target=${CARGO_TARGET_DIR:-target}
vm=$target/vm

skip() {
    echo "SKIPPED vm: $1"
    exit 77
}
for program in qemu-system-x86_64:qemu-system-x86 mke2fs:e2fsprogs mmdebstrap:mmdebstrap; do
    command -v "${program%:*}" >/dev/null || skip "no ${program%:*}: apt-get install ${program#*:}"
done
[ -x "$target/release/cutline" ] || skip "no $target/release/cutline: cargo build --release"

if [ ! -e "$vm/image" ]; then
    [ "$(id -u)" = 0 ] || skip "the image, $vm/image, is not there yet: root makes it"
    mkdir -p "$vm"
    root=$(mktemp -d)
    trap 'rm -rf "$root"' EXIT
    # Bookworm: a program that was built against a newer libc does not start there.
    mmdebstrap --quiet --variant=minbase --include=linux-image-cloud-amd64,systemd-sysv,dbus,procps,sudo bookworm "$root/tree" ||
        skip "no packages of Debian bookworm to be had: mmdebstrap says why"
    # The second disk is an archive: what is to be tried. Its results go to the second serial port.
    cat >"$root/tree/etc/systemd/system/checks.service" <<'END'
[Service]
WorkingDirectory=/root
ExecStart=/bin/sh -c 'tar -xf /dev/vdb && exec bash tests/vm/guest.sh'
StandardOutput=tty
StandardError=journal+console
TTYPath=/dev/ttyS1
ExecStopPost=/bin/systemctl --no-block poweroff
END
    ln -s ../checks.service "$root/tree/etc/systemd/system/multi-user.target.wants/"
    cp "$root"/tree/boot/vmlinuz-* "$vm/kernel"
    cp "$root"/tree/boot/initrd.img-* "$vm/initrd"
    mke2fs -q -t ext4 -d "$root/tree" "$vm/image.new" 2G
    mv "$vm/image.new" "$vm/image"
fi

tar -cf "$vm/files.tar" tests/vm tuning/cutline.service docs/operations.md control/tests/modules/polite.sh \
    --transform "s,^$target/,target/," --absolute-names "$target/release/cutline"
# In software where the processor cannot: a /dev/kvm alone does not tell.
if grep -qwE 'vmx|svm' /proc/cpuinfo && [ -w /dev/kvm ]; then speed=(-accel kvm -cpu host); else speed=(-accel tcg -cpu max); fi
# Nothing is written to the image.
# In our process group: what ends us ends the machine.
timeout --foreground 900 qemu-system-x86_64 "${speed[@]}" -m 1G -smp 2 -nic none -display none -no-reboot -snapshot \
    -kernel "$vm/kernel" -initrd "$vm/initrd" -append "root=/dev/vda rw console=ttyS0 panic=-1" \
    -drive file="$vm/image",format=raw,if=virtio -drive file="$vm/files.tar",format=raw,if=virtio \
    -serial file:"$vm/console.log" -serial stdio </dev/null | sed -u 's/\r$//' | tee "$vm/checks.log"
grep -qx 'all checks passed' "$vm/checks.log"
