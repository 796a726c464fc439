package jvm

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Machine is where Javas are looked for.
type Machine struct {
	GOOS string                   // as runtime.GOOS
	Root string                   // stands before absolute paths; empty for this machine
	Home string                   // the user's home directory; may be empty
	Env  func(name string) string // as os.Getenv

	// Run runs a program and returns all that it prints. Where it is nil nothing
	// is run.
	Run func(ctx context.Context, program string, args ...string) (output string, err error)
}

// Find lists the Javas, each once: that which Java programs are run with, then
// those that something names, then the rest, the newest first. An error is that
// of the java of PATH, where that would be the first and does not run; all others are listed
// all the same.
func (m Machine) Find(ctx context.Context) (all []Runtime, err error) {
	seen := map[string]bool{}
	add := func(home, from string) {
		home, err := filepath.Abs(home) // a worker is started elsewhere
		if err != nil {
			return
		}
		real, err := filepath.EvalSymlinks(home)
		if err != nil || !m.IsJava(real) {
			return
		}
		if whole, ok := m.around(real); ok {
			home, real = whole, whole
		}
		if seen[real] {
			return
		}
		seen[real] = true
		java := Runtime{Home: home, From: from, Version: releaseVersion(real), suffix: m.suffix()}
		java.Compiler = m.isProgram(java.Program("javac"))
		all = append(all, java)
	}
	if home := m.Env("JAVA_HOME"); home != "" {
		add(home, "JAVA_HOME")
	}
	if path := m.look("java"); path != "" {
		real, linkErr := filepath.EvalSymlinks(path)
		if home := filepath.Dir(filepath.Dir(real)); linkErr == nil && hasClasses(home) {
			add(home, "PATH")
		} else if len(all) == 0 && m.Run != nil {
			// It chooses a Java, or says where to get one.
			var home string
			if home, err = m.chosenBy(ctx, path); err == nil {
				add(home, path)
			}
		}
	}
	if real, linkErr := filepath.EvalSymlinks(m.look("javac")); linkErr == nil {
		if home := filepath.Dir(filepath.Dir(real)); hasClasses(home) {
			add(home, "PATH")
		}
	}
	named := len(all)
	for _, pattern := range m.usual() {
		homes, globErr := filepath.Glob(pattern)
		if globErr != nil {
			continue // a home directory with a bracket in its name
		}
		for _, home := range homes {
			add(home, "")
		}
	}
	slices.SortStableFunc(all[named:], Runtime.newer)
	return all, err
}

// usual lists patterns of where Javas usually lie.
func (m Machine) usual() []string {
	var patterns []string
	switch m.GOOS {
	case "linux":
		for _, dir := range [...]string{"/usr/lib/jvm", "/usr/lib64/jvm", "/usr/java", "/opt/java"} {
			patterns = append(patterns, m.Root+dir+"/*")
		}
	case "darwin":
		patterns = append(patterns,
			m.Root+"/Library/Java/JavaVirtualMachines/*/Contents/Home",
			m.Root+"/opt/homebrew/opt/openjdk*/libexec/openjdk.jdk/Contents/Home",
			m.Root+"/usr/local/opt/openjdk*/libexec/openjdk.jdk/Contents/Home")
	}
	if m.Home != "" {
		patterns = append(patterns, filepath.Join(m.Home, ".sdkman/candidates/java/*"), filepath.Join(m.Home, ".jdks/*"))
	}
	return patterns
}

// IsJava reports whether a directory is that of a Java.
func (m Machine) IsJava(home string) bool {
	return m.isProgram(filepath.Join(home, "bin", "java"+m.suffix()))
}

// around returns the JDK that the JRE in home is a part of, as in Java 8.
func (m Machine) around(home string) (string, bool) {
	whole := filepath.Dir(home)
	return whole, filepath.Base(home) == "jre" && m.IsJava(whole)
}

// hasClasses reports whether a directory holds the classes of a Java, which tells
// it from one that has a program java, such as /usr.
func hasClasses(home string) bool {
	for _, name := range [...]string{"lib/modules", "lib/rt.jar", "jre/lib/rt.jar"} {
		if _, err := os.Stat(filepath.Join(home, filepath.FromSlash(name))); err == nil {
			return true
		}
	}
	return false
}

// look finds a program on the machine's PATH. What a relative directory in that
// holds depends on where one stands: it does not count.
func (m Machine) look(name string) string {
	for _, dir := range filepath.SplitList(m.Env("PATH")) {
		if path := filepath.Join(dir, name+m.suffix()); filepath.IsAbs(dir) && m.isProgram(path) {
			return path
		}
	}
	return ""
}

func (m Machine) suffix() string {
	if m.GOOS == "windows" {
		return ".exe"
	}
	return ""
}

func (m Machine) isProgram(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular() && (m.GOOS == "windows" || info.Mode()&0o111 != 0)
}

// chosenBy asks a program for the directory of the Java that it runs.
func (m Machine) chosenBy(ctx context.Context, program string) (string, error) {
	text, err := m.Run(ctx, program, "-XshowSettings:properties", "-version")
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(text) {
		if name, value, _ := strings.Cut(line, "="); strings.TrimSpace(name) == "java.home" {
			return strings.TrimSpace(value), nil
		}
	}
	return "", errors.New("it does not say where it is")
}

// version asks a Java for its version.
func (m Machine) version(ctx context.Context, java Runtime) (string, error) {
	text, err := m.Run(ctx, java.Program("java"), "-version")
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(text) {
		if _, rest, ok := strings.Cut(line, ` version "`); ok {
			version, _, _ := strings.Cut(rest, `"`)
			return version, nil
		}
	}
	return "", errors.New("it does not say its version")
}

// releaseVersion reads the version out of the file that a Java carries; it is
// empty where there is none.
func releaseVersion(home string) string {
	data, err := os.ReadFile(filepath.Join(home, "release"))
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(data)) {
		if value, ok := strings.CutPrefix(strings.TrimSpace(line), "JAVA_VERSION="); ok {
			return strings.Trim(value, `"`)
		}
	}
	return ""
}

// answerTime is how long a java may take to say something of itself.
const answerTime = 20 * time.Second

// run runs a program of this machine.
func run(ctx context.Context, program string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.WaitDelay = time.Second
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	first, _, _ := strings.Cut(strings.TrimSpace(out.String()), "\n")
	switch {
	case err == nil || errors.Is(err, exec.ErrWaitDelay):
		return out.String(), nil
	case ctx.Err() != nil:
		return "", errors.New("no answer in time")
	case first != "":
		return "", fmt.Errorf("%w: %s", err, first)
	}
	return "", err
}
