#!/bin/bash
# filer.sh: pid 1 of a user-mode-linux machine that is a kernel NFS server and nothing else. /bed-init has mounted /proc,
# /run and the machine's cache directory on /run/bed; `bed_env` comes from the kernel's command line.
. "$bed_env"
mount -t sysfs sysfs /sys
mount -t tmpfs tmpfs /tmp
mount -t devtmpfs dev /dev 2>/dev/null # the kernel may have done it
ip -batch - <<X
link set lo up
addr add $ADDRESS/$PREFIX dev vec0
link set vec0 up
route add default via $GATEWAY
X
ip -batch "$ROUTES"
echo "$NAME" > /proc/sys/kernel/hostname
mount -t ext4 -o noatime /dev/ubda /srv
mkdir -p "$ROOT" /srv/.nfs/v4recovery
mount --bind /srv/.nfs /var/lib/nfs
modprobe -d "$MODULES" nfsd
mount -t nfsd nfsd /proc/fs/nfsd
# a client that is gone must not hold its locks for long, nor a restart wait long for those there were
for each in nfsv4leasetime nfsv4gracetime; do echo "$LEASE" > /proc/fs/nfsd/$each; done
# NFS 4 begins at one root; ours cannot be /, which is on the machine's hostfs
echo "/srv *(rw,sync,fsid=0,no_root_squash,no_subtree_check,insecure)" > /run/exports
mount --bind /run/exports /etc/exports
exportfs -ra
keep() {
  while :; do
    "$@"
    sleep 1
  done
}
keep rpc.mountd --foreground -N 2 -N 3 &
rpc.nfsd -N 3 -V 4.1 -V 4.2 "$THREADS"
keep python3 "$INIT/agent.py" "$TOKEN" 7000 &
while :; do wait -n || sleep 1; done
