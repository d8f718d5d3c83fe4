//go:build tools

// Package tools pins the embedded S3 engine by this module's go.sum.
package tools

import _ "github.com/versity/versitygw/cmd/versitygw"
