//go:build tools

// Package aistore pins NVIDIA AIStore's server, which the tests of engine flavor aistore run. It is no part of Moorage.
package aistore

import _ "github.com/NVIDIA/aistore/cmd/aisnode"
