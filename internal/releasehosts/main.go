// Command releasehosts builds the hosts that a release carries: for C and C++
// processors one a platform, for Java processors one jar, so that a machine
// without a compiler can run such processors too.
//
//	go run ./internal/releasehosts DIR
//
// writes DIR/linux-<arch>/<name> and DIR/java/<name>. It needs a C compiler for each
// platform and a JDK. The hosts for C and C++ run on systems whose C library is as
// old as the one here, or newer: build releases on an old one.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"

	"github.com/openeas/eascmd/pkg/engine/hosts"
)

// compilers are the C compilers by architecture, as distributions call them.
var compilers = map[string]string{
	"amd64": "x86_64-linux-gnu-gcc",
	"arm64": "aarch64-linux-gnu-gcc",
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: releasehosts DIR")
		os.Exit(2)
	}
	for arch, compiler := range compilers {
		if arch == runtime.GOARCH {
			compiler = "cc"
		}
		path := filepath.Join(os.Args[1], "linux-"+arch, hosts.CPPName("linux", arch))
		if err := hosts.Release(ctx, compiler, path); err != nil {
			fmt.Fprintf(os.Stderr, "releasehosts: linux/%s: %v\n", arch, err)
			os.Exit(1)
		}
		fmt.Println(path)
	}
	path := filepath.Join(os.Args[1], "java", hosts.JavaName())
	if err := hosts.ReleaseJava(ctx, path); err != nil {
		fmt.Fprintf(os.Stderr, "releasehosts: java: %v\n", err)
		os.Exit(1)
	}
	fmt.Println(path)
}
