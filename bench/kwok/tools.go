//go:build tools

// Package tools names the command that stands in for a thousand kubelets in `make bench`, so that go.mod and go.sum
// pin it. Built by bench/scale (with tests/e2e/cluster/toolchain.py), and only for the bench.
package tools

import _ "sigs.k8s.io/kwok/cmd/kwok"
