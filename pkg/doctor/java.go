package doctor

import (
	"cmp"
	"context"
	"strings"

	"github.com/openeas/eascmd/internal/fault"
	"github.com/openeas/eascmd/internal/jvm"
	"github.com/openeas/eascmd/pkg/engine/hosts"
)

const groupJava = "Java"

// javaProbes look for JDKs and Maven.
func javaProbes(m *machine) []probe {
	return []probe{
		{group: groupJava, name: "JDK", fix: "see what `java -version` does", run: m.javas},
		{group: groupJava, name: "Maven", fix: "see what `mvn --version` does", run: func(ctx context.Context) []finding {
			return []finding{m.maven(ctx)}
		}},
		{group: groupJava, name: "host", run: func(ctx context.Context) []finding {
			return m.javaHost(ctx, hosts.Options{})
		}},
	}
}

// jvms is where Javas are looked for.
func (m *machine) jvms() jvm.Machine {
	return jvm.Machine{
		GOOS: m.goos, Root: m.root, Home: m.home, Run: m.run,
		Env: func(name string) string { return m.env[name] },
	}
}

// javas finds all Javas and runs the one that is taken where no other is asked
// for: JAVA_HOME, or else that of PATH, or else the newest.
func (m *machine) javas(ctx context.Context) []finding {
	const name, more = "JDK", "other JDKs"
	needs := thing{what: "a JDK", apt: "default-jdk-headless", dnf: "java-latest-openjdk-devel", apk: "openjdk17-jdk",
		pacman: "jdk-openjdk", zypper: "java-17-openjdk-devel", brew: "openjdk"}
	var found []finding
	all, err := m.jvms().Find(ctx)
	if err != nil {
		program := m.look("java")
		found = append(found, warning(name, "see what `"+program+" -version` does, or set JAVA_HOME to a JDK", "%s cannot be used: %v", m.tilde(program), err))
		if len(all) > 0 {
			found = append(found, ok(more, "%s", m.listJavas(all)))
		}
		return found
	}
	if set := m.env["JAVA_HOME"]; set != "" && !m.jvms().IsJava(set) {
		found = append(found, warning("JAVA_HOME", "unset JAVA_HOME, or set it to the directory of a JDK", "%s is no Java: it has no bin/java", set))
	}
	if len(all) == 0 {
		return append(found, warning(name, m.install(needs), "none found, which processors in Java need"))
	}
	taken := all[0]
	program := taken.Program("java")
	text, err := m.run(ctx, program, "-version")
	switch {
	case err != nil:
		found = append(found, warning(name, "see what `"+program+" -version` does, or set JAVA_HOME to another", "%s cannot be used: %v", m.tilde(program), err))
	case !taken.Compiler:
		found = append(found, warning(name, m.install(needs), "%s, %s: it runs processors and builds none", m.describeJava(taken), m.whyJava(taken)))
	default:
		if taken.Version == "" {
			taken.Version = versionIn(text)
		}
		found = append(found, ok(name, "%s, %s", m.describeJava(taken), m.whyJava(taken)))
	}
	if len(all) > 1 {
		found = append(found, ok(more, "%s", m.listJavas(all[1:])))
	}
	return found
}

func (m *machine) listJavas(all []jvm.Runtime) string {
	var texts []string
	for _, j := range all {
		texts = append(texts, m.describeJava(j))
	}
	return strings.Join(texts, "\n")
}

func (m *machine) describeJava(j jvm.Runtime) string {
	text := cmp.Or(j.Version, "unknown version")
	if !j.Compiler {
		text += " (a JRE, without javac)"
	}
	return text + " " + m.tilde(j.Home)
}

// whyJava says why a Java is taken.
func (m *machine) whyJava(j jvm.Runtime) string {
	if j.From == "" {
		return "the newest"
	}
	return "by " + m.tilde(j.From)
}

// javaHost says where the host of Java processors is, or what it will be compiled
// with, where there is a Java. It is not compiled here: a busy machine takes longer
// for that than a check may.
func (m *machine) javaHost(ctx context.Context, opts hosts.Options) []finding {
	const name = "host"
	all, err := m.jvms().Find(ctx)
	if err != nil || len(all) == 0 {
		return nil // that there is no Java, or what is wrong with it, is said already
	}
	jar, err := hosts.KeptJavaJar(opts)
	if err == nil && jar != "" {
		return []finding{ok(name, "%s", m.tilde(jar))}
	}
	var compiler jvm.Runtime
	if err == nil {
		compiler, err = hosts.JavaCompiler(ctx, all[0])
	}
	if err != nil {
		return []finding{warning(name, fault.HintOf(err), "%s", firstLine(err.Error()))}
	}
	return []finding{ok(name, "not compiled yet, which %s does at first use", m.tilde(compiler.Program("javac")))}
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
	return ok(name, "%s %s", m.tilde(path), version)
}
