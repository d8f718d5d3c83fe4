//go:build tools

// Package minio pins the MinIO server that the tests of engine flavor minio run. It is no part of Moorage.
package minio

import _ "github.com/minio/minio"
