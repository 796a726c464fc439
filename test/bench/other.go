//go:build !linux

// Command bench measures eascmd; it does so on Linux only.
package main

import (
	"fmt"
	"os"
)

func main() {
	fmt.Fprintln(os.Stderr, "bench: the measurements need Linux: they read /proc, and a C/C++ processor runs only there")
	os.Exit(1)
}
