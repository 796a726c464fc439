package hosts

import (
	"context"
	"slices"

	"github.com/openeas/eascmd/internal/jvm"
)

// JavaForImage returns the jar of the host for Java processors to be run in an
// image, or "" where this machine has none and nothing to make it with.
func JavaForImage(ctx context.Context, opts Options) string {
	java, _, err := jvm.Choose(ctx)
	if err != nil {
		java = jvm.Runtime{} // a release brings the host all the same
	}
	jar, err := JavaJar(ctx, java, opts)
	if err != nil {
		return ""
	}
	return jar
}

// JavaSources returns the sources of the host for Java processors, by file name,
// for who compiles it elsewhere.
func JavaSources() (map[string][]byte, error) {
	sources, _, err := javaSources()
	return sources, err
}

// JavacFlags returns the flags that they are compiled with, beside those that say
// that it is for Java 8 and newer.
func JavacFlags() []string { return slices.Clone(javacFlags) }
