#!/bin/bash
# uml.sh: pid 1 of a user-mode-linux node. /bed-init has mounted /proc, /run and the machine's cache directory on
# /run/bed; `bed_env` comes from the kernel's command line. Every mount and ip is a fork, so they are few.
. "$bed_env"
mount -t sysfs sysfs /sys
mount -t tmpfs tmpfs /tmp
mount -t devtmpfs dev /dev 2>/dev/null # the kernel may have done it
mkdir -p /dev/pts /dev/shm /dev/mqueue
mount -t devpts -o gid=5,mode=620,ptmxmode=666 devpts /dev/pts
mount -t tmpfs tmpfs /dev/shm
mount -t mqueue mqueue /dev/mqueue
mount -t cgroup2 cgroup2 /sys/fs/cgroup
ip -batch - <<X
link set lo up
addr add $ADDRESS/32 dev vec0
link set vec0 up
route add default via $GATEWAY dev vec0 onlink
X
modprobe -d "$MODULES" -a overlay veth fuse loop nfsv4 xfs
[ -e /dev/fuse ] || mknod /dev/fuse c 10 229
echo 1 > /proc/sys/net/ipv4/ip_forward
echo 0 > /proc/sys/net/ipv4/conf/all/rp_filter
echo 1024 > /proc/sys/fs/inotify/max_user_instances
mount -t ext4 -o noatime /dev/ubda /mnt
DISK=/mnt
# the kubelet's cadvisor wants a "cpu MHz" line, which this kernel's /proc/cpuinfo lacks
while IFS= read -r line; do
  echo "$line"
  case $line in "model name"*) printf 'cpu MHz\t\t: 2000.000\n' ;; esac
done < /proc/cpuinfo > /run/cpuinfo
mount --bind /run/cpuinfo /proc/cpuinfo
. "$INIT/common.sh"
keep python3 "$INIT/agent.py" "$TOKEN" 7000 &
while :; do wait -n || sleep 1; done
