# common.sh: what both kinds of node do once they stand on their own root. Sourced by pid 1, which has set:
# NAME ADDRESS HOME_DIR (of this node) TOOLS DISK (a writable directory) LABELS
echo "$NAME" > /proc/sys/kernel/hostname
mount --make-rshared /
# A directory of the node's own over each place that pods' hostPath volumes usually name. Each is a peer group of its
# own, else every volume mounted below it would appear twice.
own() {
  mkdir -p "$DISK/$1"
  mount --bind "$DISK/$1" "$2"
  mount --make-private "$2"
  mount --make-shared "$2"
}
own var-lib /var/lib
own var-log /var/log
own opt /opt
own etc-cni /etc/cni
own srv /srv
# The pool of a node that has one. Right after a power cut the kernel may still be about to let go of it.
if [ -n "${POOL:-}" ]; then
  mkdir -p /var/lib/moorage/nfs
  for _ in $(seq 100); do
    mount -o loop "$POOL" /var/lib/moorage/nfs && break
    sleep 0.1
  done
fi
mkdir -p /opt/cni/bin /etc/cni/net.d /run/lock /run/netns /run/containerd /var/lib/kubelet
mount --bind "$TOOLS/cni" /opt/cni/bin
cp "$HOME_DIR/cni.conflist" /etc/cni/net.d/10-bed.conflist
mount --bind "$HOME_DIR/resolv.conf" /etc/resolv.conf
mount --bind "$HOME_DIR/hosts" /etc/hosts
export PATH="$TOOLS:$PATH"

# A daemon that ends comes back after a second; it logs into the cluster's directory.
keep() {
  local log=$HOME_DIR/$1.log
  while :; do
    "$@" >> "$log" 2>&1
    sleep 1
  done
}

keep containerd --config "$HOME_DIR/containerd.toml" &
# a kubelet that comes before the socket fails once and costs a second
while [ ! -S /run/containerd/containerd.sock ]; do sleep 0.1; done
keep kubelet --config="$HOME_DIR/kubelet.json" --kubeconfig="$HOME_DIR/kubeconfig" --hostname-override="$NAME" \
  --node-ip="$ADDRESS" --cert-dir=/var/lib/kubelet/pki --node-labels="$LABELS" --v=2 &
