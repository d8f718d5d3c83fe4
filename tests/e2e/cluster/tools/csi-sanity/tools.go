//go:build tools

// Package tools pins csi-sanity, the judge of CSI drivers. It speaks CSI 1.13, which Kubernetes 1.36, in the big module,
// does not compile with; so it has a small module of its own.
package tools

import _ "github.com/kubernetes-csi/csi-test/v5/cmd/csi-sanity"
