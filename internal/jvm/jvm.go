// Package jvm finds the Javas of a machine: what runs Java programs, and what
// compiles them too.
//
// To find one nothing of it is run, unless PATH names a program that chooses
// among several, as on macOS, or it lacks the file "release", in which all that
// are newer than 6 say their version.
package jvm

import (
	"cmp"
	"context"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"

	"github.com/openeas/eascmd/internal/fault"
)

// Runtime is an installed Java.
type Runtime struct {
	Home     string // its directory, by the name that it was found by
	Version  string // such as 17.0.15 or 1.8.0_392; empty where it does not say it
	Compiler bool   // it has javac: it is a JDK

	// From says what names it: "JAVA_HOME", "PATH", or the path of a program that
	// chooses it. Empty: nothing does, it lies where Javas usually lie.
	From string

	suffix string // of its programs
}

// Program returns the path of one of its programs, such as java.
func (r Runtime) Program(name string) string {
	return filepath.Join(r.Home, "bin", name+r.suffix)
}

// Feature returns the number that people call it by: 17 of 17.0.9, 8 of
// 1.8.0_392, 0 where its version is not known.
func (r Runtime) Feature() int {
	n, err := strconv.Atoi(numbers(strings.TrimPrefix(r.Version, "1."))[0])
	if err != nil {
		return 0
	}
	return n
}

// String is what it is called in messages: "17.0.15 (PATH)".
func (r Runtime) String() string {
	return cmp.Or(r.Version, "of unknown version") + " (" + cmp.Or(r.From, r.Home) + ")"
}

// newer compares two by their versions: below 0 where r is the newer one.
func (r Runtime) newer(other Runtime) int {
	if d := other.Feature() - r.Feature(); d != 0 {
		return d
	}
	a, b := numbers(r.Version), numbers(other.Version)
	for i := range min(len(a), len(b)) {
		x, _ := strconv.Atoi(a[i])
		y, _ := strconv.Atoi(b[i])
		if x != y {
			return y - x
		}
	}
	return len(b) - len(a)
}

// numbers splits a version at all that is no digit. There is at least one part.
func numbers(version string) []string {
	return strings.FieldsFunc(version+" 0", func(c rune) bool { return c < '0' || c > '9' })
}

// Choose returns the Java of this machine that Java programs are run with: that
// of JAVA_HOME, else that of PATH, else the newest that is found, and the others.
// That there is none, or that it cannot be used, is an error of kind Missing.
func Choose(ctx context.Context) (chosen Runtime, others []Runtime, err error) {
	return This().choose(ctx)
}

func (m Machine) choose(ctx context.Context) (chosen Runtime, others []Runtime, err error) {
	if home := m.Env("JAVA_HOME"); home != "" && !m.IsJava(home) {
		return Runtime{}, nil, fault.New(fault.Missing, "JAVA_HOME, %s, is no Java: it has no bin/java", home).
			WithHint("unset JAVA_HOME, or set it to the directory of a Java")
	}
	all, err := m.Find(ctx)
	switch {
	case ctx.Err() != nil:
		return Runtime{}, nil, fault.New(fault.Interrupted, "looking for a Java was interrupted: %w", context.Cause(ctx))
	case err != nil:
		return Runtime{}, nil, fault.New(fault.Missing, "the java of PATH cannot be used: %w", err).
			WithHint("see what `java -version` does, or set JAVA_HOME to the directory of a Java")
	case len(all) == 0:
		return Runtime{}, nil, fault.New(fault.Missing, "there is no Java here, neither by JAVA_HOME nor on PATH nor where Javas usually lie").
			WithHint("install one (apt-get install default-jdk-headless, dnf install java-latest-openjdk-devel, apk add openjdk17-jdk, brew install openjdk), or set JAVA_HOME to one")
	}
	chosen = all[0]
	if chosen.Version == "" {
		if chosen.Version, err = m.version(ctx, chosen); err != nil {
			return Runtime{}, nil, fault.New(fault.Missing, "the Java in %s cannot be used: %w", chosen.Home, err).
				WithHint("see what `%s -version` does, or set JAVA_HOME to another Java", chosen.Program("java"))
		}
	}
	return chosen, all[1:], nil
}

// This is this machine.
func This() Machine {
	home, _ := os.UserHomeDir()
	return Machine{GOOS: runtime.GOOS, Home: home, Env: os.Getenv, Run: run}
}
