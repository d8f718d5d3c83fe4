#!/bin/bash
# namespace.sh ENV ROOT CACHE NEW: pid 1 of a namespace node, already in namespaces of its own. ROOT is the read-only
# root directory, CACHE the cache directory, NEW the mount point of the new root. All it starts dies with it.
set -eu
. "$1"
root=$2 cache=$3 new=$4
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root
mount --bind "$root" "$new"
mount -o remount,bind,ro "$new"
mount -t proc proc "$new/proc"
mount --rbind /sys "$new/sys"
# the machine's own devices: an NFS server's pod needs its loop devices
mount --rbind /dev "$new/dev"
mount -t tmpfs tmpfs "$new/dev/shm"
mount -t tmpfs -o mode=755 tmpfs "$new/run"
mkdir "$new/run/bed"
mount --bind "$cache" "$new/run/bed"
mkdir -p "$new/run/bed/${DISK#/run/bed/}/tmp"
mount --bind "$new/run/bed/${DISK#/run/bed/}/tmp" "$new/tmp"
chmod 1777 "$new/tmp"
cd "$new"
pivot_root . oldroot
# the copies of the machine's other mounts: a node that keeps them keeps them busy
umount -l /oldroot
cd /
set +e
. /run/bed/${INIT#/run/bed/}/common.sh
keep kube-proxy --config="$HOME_DIR/kube-proxy.json" &
while :; do wait -n || sleep 1; done
