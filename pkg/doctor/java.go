package doctor

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

const groupJava = "Java"

// java is an installed Java.
type java struct {
	home     string
	version  string // as its file "release" says; may be empty
	compiler bool   // it has javac: a JDK
	why      string // why it is taken
}

func (j java) describe(m *machine) string {
	text := j.version
	if text == "" {
		text = "unknown version"
	}
	if !j.compiler {
		text += " (without javac)"
	}
	return text + " " + m.tilde(j.home)
}

// javaProbes look for JDKs and Maven.
func javaProbes(m *machine) []probe {
	return []probe{
		{group: groupJava, name: "JDK", fix: "see what `java -version` does", run: m.javas},
		{group: groupJava, name: "Maven", fix: "see what `mvn --version` does", run: func(ctx context.Context) []finding {
			return []finding{m.maven(ctx)}
		}},
	}
}

// javas finds all Javas and runs the one that is taken where no other is asked
// for: JAVA_HOME, or else that of PATH, or else the newest.
func (m *machine) javas(ctx context.Context) []finding {
	const name, more = "JDK", "other JDKs"
	needs := thing{what: "a JDK", apt: "default-jdk-headless", dnf: "java-latest-openjdk-devel", apk: "openjdk17-jdk",
		pacman: "jdk-openjdk", zypper: "java-17-openjdk-devel", brew: "openjdk"}
	var found []finding
	all, err := m.javaHomes(ctx)
	if err != nil {
		program := m.look("java")
		found = append(found, warning(name, "see what `"+program+" -version` does, or set JAVA_HOME to a JDK", "%s cannot be used: %v", m.tilde(program), err))
		if len(all) > 0 {
			found = append(found, ok(more, "%s", m.listJavas(all)))
		}
		return found
	}
	if set := m.env["JAVA_HOME"]; set != "" && !m.isJava(set) {
		found = append(found, warning("JAVA_HOME", "unset JAVA_HOME, or set it to the directory of a JDK", "%s is no Java: it has no bin/java", set))
	}
	if len(all) == 0 {
		return append(found, warning(name, m.install(needs), "none found, which processors in Java need"))
	}
	taken := all[0]
	program := m.javaProgram(taken.home, "java")
	text, err := m.run(ctx, program, "-version")
	switch {
	case err != nil:
		found = append(found, warning(name, "see what `"+program+" -version` does, or set JAVA_HOME to another", "%s cannot be used: %v", m.tilde(program), err))
	case !taken.compiler:
		found = append(found, warning(name, m.install(needs), "%s, %s", taken.describe(m), taken.why))
	default:
		if taken.version == "" {
			taken.version = versionIn(text)
		}
		found = append(found, ok(name, "%s, %s", taken.describe(m), taken.why))
	}
	if len(all) > 1 {
		found = append(found, ok(more, "%s", m.listJavas(all[1:])))
	}
	return found
}

func (m *machine) listJavas(all []java) string {
	var texts []string
	for _, j := range all {
		texts = append(texts, j.describe(m))
	}
	return strings.Join(texts, "\n")
}

func (m *machine) javaProgram(home, name string) string {
	if m.goos == "windows" {
		name += ".exe"
	}
	return filepath.Join(home, "bin", name)
}

func (m *machine) isJava(home string) bool { return isProgram(m.javaProgram(home, "java"), m.goos) }

// javaHomes lists the Javas, each once, the one that is taken first. An error is
// that of the java of PATH, if this would be taken and does not run.
func (m *machine) javaHomes(ctx context.Context) (all []java, err error) {
	seen := map[string]bool{}
	add := func(home, why string) {
		real, err := filepath.EvalSymlinks(home)
		if err != nil || seen[real] || !m.isJava(real) {
			return
		}
		seen[real] = true
		all = append(all, java{
			home: home, why: why, version: javaVersion(real),
			compiler: isProgram(m.javaProgram(real, "javac"), m.goos),
		})
	}
	if home := m.env["JAVA_HOME"]; home != "" {
		add(home, "by JAVA_HOME")
	}
	for _, name := range []string{"javac", "java"} {
		if path, err := filepath.EvalSymlinks(m.look(name)); err == nil {
			add(filepath.Dir(filepath.Dir(path)), "by PATH")
		}
	}
	if path := m.look("java"); path != "" && len(all) == 0 {
		// Not in a Java's directory: it chooses one, or says where to get one.
		var home string
		if home, err = m.chosenJava(ctx, path); err == nil {
			add(home, "by "+m.tilde(path))
		}
	}
	chosen := len(all)
	var patterns []string
	switch m.goos {
	case "linux":
		patterns = []string{m.path("/usr/lib/jvm/*"), m.path("/opt/java/*"), m.path("/usr/java/*")}
	case "darwin":
		patterns = []string{m.path("/Library/Java/JavaVirtualMachines/*/Contents/Home"), m.path("/opt/homebrew/opt/openjdk*/libexec/openjdk.jdk/Contents/Home")}
	}
	if m.home != "" {
		patterns = append(patterns, filepath.Join(m.home, ".sdkman/candidates/java/*"))
	}
	for _, pattern := range patterns {
		homes, err := filepath.Glob(pattern)
		if err != nil {
			continue
		}
		for _, home := range homes {
			add(home, "the newest")
		}
	}
	slices.SortStableFunc(all[chosen:], func(a, b java) int { return javaFeature(b.version) - javaFeature(a.version) })
	return all, err
}

// chosenJava asks a java for the directory that it is in.
func (m *machine) chosenJava(ctx context.Context, program string) (string, error) {
	text, err := m.run(ctx, program, "-XshowSettings:properties", "-version")
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

// javaVersion reads the version out of the file that a Java carries; it is
// empty where there is none.
func javaVersion(home string) string {
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

// javaFeature returns the number that people call a Java by: 17 of 17.0.9, 8 of
// 1.8.0_392.
func javaFeature(version string) int {
	version = strings.TrimPrefix(version, "1.")
	end := strings.IndexFunc(version, func(c rune) bool { return c < '0' || c > '9' })
	if end < 0 {
		end = len(version)
	}
	n, err := strconv.Atoi(version[:end])
	if err != nil {
		return 0
	}
	return n
}

func (m *machine) maven(ctx context.Context) finding {
	const name = "Maven"
	needs := everywhere("Maven", "maven")
	needs.brew = "maven"
	path := m.look("mvn")
	if path == "" {
		return warning(name, m.install(needs), "none found")
	}
	text, err := m.run(ctx, path, "--batch-mode", "--version")
	if err != nil {
		return warning(name, "see what `mvn --version` does", "%s cannot be used: %v", m.tilde(path), err)
	}
	version := "of unknown version"
	if fields := strings.Fields(firstLine(text)); len(fields) > 2 && fields[1] == "Maven" {
		version, _, _ = strings.Cut(fields[2], "\x1b") // it may be coloured
	}
	return ok(name, "%s", fmt.Sprintf("%s %s", m.tilde(path), version))
}
