//go:build tools

// Package tools keeps the module file's requirement: s5cmd, an S3 tool that the tests run as users do.
package tools

import _ "github.com/peak/s5cmd/v2"
