//go:build tools

// Package tools pins helm-unittest, the plugin that runs the chart's test suites, outside the big module: their YAML
// libraries do not go together.
package tools

import _ "github.com/helm-unittest/helm-unittest/cmd/helm-unittest"
