//go:build tools

// Package tools pins the external-snapshotter: the snapshot controller that an administrator installs once per cluster, and
// the sidecar of CSI drivers. Its libraries are newer than those of Kubernetes 1.36, in the big module; so it has a small one.
package tools

import (
	_ "github.com/kubernetes-csi/external-snapshotter/v8/cmd/csi-snapshotter"
	_ "github.com/kubernetes-csi/external-snapshotter/v8/cmd/snapshot-controller"
)
