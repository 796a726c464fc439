// Package workers holds the sources of the hosts, the small programs that make
// a worker out of a processor, one per language. They are embedded, so that
// eascmd can build a host where it runs; package pkg/engine/hosts does that.
package workers

import "embed"

// CPPHost is the C source of the host for C and C++ processors.
//
//go:embed cpp/eashost.c
var CPPHost string

// Python holds the host for Python processors and the package allspark, in its
// directory "python".
//
//go:embed python/eashost.py python/allspark/*.py python/allspark/py.typed
var Python embed.FS

// Java holds the sources of the host for Java processors, in its directory
// "java/eashost". They are for Java 8 and newer and need nothing but that.
//
//go:embed java/eashost/*.java
var Java embed.FS

// Vectors holds the test vectors of the worker protocol, in its directory
// "vectors"; README.md there describes their form.
//
//go:embed vectors
var Vectors embed.FS
