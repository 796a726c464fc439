// Package workers holds the sources of the hosts, the small programs that make
// a worker out of a processor, one per language. They are embedded, so that
// eascmd can build a host where it runs; package pkg/engine/hosts does that.
package workers

import _ "embed"

// CPPHost is the C source of the host for C and C++ processors.
//
//go:embed cpp/eashost.c
var CPPHost string
