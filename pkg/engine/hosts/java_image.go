package hosts

import "slices"

// JavaSources returns the sources of the host for Java processors, by file name,
// for who compiles it elsewhere.
func JavaSources() (map[string][]byte, error) {
	sources, _, err := javaSources()
	return sources, err
}

// JavacFlags returns the flags that they are compiled with, beside those that say
// that it is for Java 8 and newer.
func JavacFlags() []string { return slices.Clone(javacFlags) }
