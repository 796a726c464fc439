//go:build unix

package jvm

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/openeas/eascmd/internal/fault"
)

// machine is a machine in a directory of its own.
type machine struct {
	Machine
	env map[string]string
}

func fake(t *testing.T) *machine {
	t.Helper()
	root, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	m := &machine{env: map[string]string{"PATH": "relative:" + root + "/bin"}}
	m.Machine = Machine{GOOS: "linux", Root: root, Home: root + "/home/me", Run: run, Env: func(name string) string { return m.env[name] }}
	return m
}

func (m *machine) write(t *testing.T, name, text string, mode os.FileMode) {
	t.Helper()
	path := m.Root + name
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
}

func (m *machine) link(t *testing.T, target, name string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(m.Root+name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(m.Root+target, m.Root+name); err != nil {
		t.Fatal(err)
	}
}

// java puts a Java on the machine. One of unknown version has no file release.
func (m *machine) java(t *testing.T, home, version string, programs ...string) {
	t.Helper()
	for _, name := range append(programs, "java") {
		m.write(t, home+"/bin/"+name, "#!/bin/sh\nexit 1\n", 0o755)
	}
	m.write(t, home+"/lib/modules", "", 0o644)
	if version != "" {
		m.write(t, home+"/release", "IMPLEMENTOR=\"X\"\nJAVA_VERSION=\""+version+"\"\nMODULES=\"java.base\"\n", 0o644)
	}
}

// at removes the machine's directory from what was found.
func (m *machine) at(all []Runtime) []Runtime {
	for i := range all {
		all[i].Home = strings.TrimPrefix(all[i].Home, m.Root)
		all[i].From = strings.TrimPrefix(all[i].From, m.Root)
	}
	return all
}

func TestFind(t *testing.T) {
	for _, test := range []struct {
		name string
		make func(t *testing.T, m *machine)
		want []Runtime
		err  string
	}{
		{name: "none", make: func(*testing.T, *machine) {}},
		{name: "the newest first", make: func(t *testing.T, m *machine) {
			m.java(t, "/usr/lib/jvm/java-8", "1.8.0_392", "javac")
			m.java(t, "/usr/lib/jvm/a", "17.0.9", "javac")
			m.java(t, "/usr/lib/jvm/b", "17.0.15")
			m.java(t, "/home/me/.sdkman/candidates/java/21", "21")
			m.java(t, "/opt/java/unknown", "")
			m.link(t, "/usr/lib/jvm/a", "/usr/lib/jvm/z")
			m.write(t, "/usr/lib/jvm/readme", "", 0o644)
		}, want: []Runtime{
			{Home: "/home/me/.sdkman/candidates/java/21", Version: "21"},
			{Home: "/usr/lib/jvm/b", Version: "17.0.15"},
			{Home: "/usr/lib/jvm/a", Version: "17.0.9", Compiler: true},
			{Home: "/usr/lib/jvm/java-8", Version: "1.8.0_392", Compiler: true},
			{Home: "/opt/java/unknown"},
		}},
		{name: "JAVA_HOME, then PATH, then the newest", make: func(t *testing.T, m *machine) {
			m.java(t, "/usr/lib/jvm/25", "25")
			m.java(t, "/usr/lib/jvm/11", "11.0.2")
			m.java(t, "/mine", "17", "javac")
			m.link(t, "/usr/lib/jvm/11/bin/java", "/etc/alternatives/java")
			m.link(t, "/etc/alternatives/java", "/bin/java")
			m.env["JAVA_HOME"] = m.Root + "/mine"
		}, want: []Runtime{
			{Home: "/mine", Version: "17", Compiler: true, From: "JAVA_HOME"},
			{Home: "/usr/lib/jvm/11", Version: "11.0.2", From: "PATH"},
			{Home: "/usr/lib/jvm/25", Version: "25"},
		}},
		{name: "java counts more than javac", make: func(t *testing.T, m *machine) {
			m.java(t, "/usr/lib/jvm/17", "17", "javac")
			m.java(t, "/usr/lib/jvm/jre-11", "11")
			m.link(t, "/usr/lib/jvm/17/bin/javac", "/bin/javac")
			m.link(t, "/usr/lib/jvm/jre-11/bin/java", "/bin/java")
		}, want: []Runtime{
			{Home: "/usr/lib/jvm/jre-11", Version: "11", From: "PATH"},
			{Home: "/usr/lib/jvm/17", Version: "17", Compiler: true, From: "PATH"},
		}},
		{name: "the JRE in a JDK 8 is that JDK", make: func(t *testing.T, m *machine) {
			m.java(t, "/usr/lib/jvm/8", "1.8.0_392", "javac")
			m.java(t, "/usr/lib/jvm/8/jre", "1.8.0_392")
			m.link(t, "/usr/lib/jvm/8/jre/bin/java", "/bin/java")
			m.env["JAVA_HOME"] = m.Root + "/usr/lib/jvm/8/jre"
		}, want: []Runtime{{Home: "/usr/lib/jvm/8", Version: "1.8.0_392", Compiler: true, From: "JAVA_HOME"}}},
		{name: "a program that chooses", make: func(t *testing.T, m *machine) {
			m.java(t, "/jdk", "11.0.2")
			m.java(t, "/usr/lib/jvm/25", "25")
			m.write(t, "/bin/java", "#!/bin/sh\necho '    java.home = "+m.Root+"/jdk' >&2\n", 0o755)
		}, want: []Runtime{{Home: "/jdk", Version: "11.0.2", From: "/bin/java"}, {Home: "/usr/lib/jvm/25", Version: "25"}}},
		{name: "a program that fails", make: func(t *testing.T, m *machine) {
			m.java(t, "/usr/lib/jvm/25", "25")
			m.write(t, "/bin/java", "#!/bin/sh\necho 'no version is set' >&2; exit 1\n", 0o755)
		}, want: []Runtime{{Home: "/usr/lib/jvm/25", Version: "25"}}, err: "exit status 1: no version is set"},
		{name: "a program that fails beside JAVA_HOME", make: func(t *testing.T, m *machine) {
			m.java(t, "/jdk", "11.0.2")
			m.env["JAVA_HOME"] = m.Root + "/jdk"
			m.write(t, "/bin/java", "#!/bin/sh\nexit 1\n", 0o755)
		}, want: []Runtime{{Home: "/jdk", Version: "11.0.2", From: "JAVA_HOME"}}},
	} {
		t.Run(test.name, func(t *testing.T) {
			m := fake(t)
			test.make(t, m)
			got, err := m.Find(t.Context())
			if (err == nil) != (test.err == "") || err != nil && err.Error() != test.err {
				t.Errorf("error %v, want %q", err, test.err)
			}
			if diff := cmp.Diff(test.want, m.at(got), cmpopts.IgnoreUnexported(Runtime{}), cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

func TestChoose(t *testing.T) {
	for _, test := range []struct {
		name       string
		make       func(t *testing.T, m *machine)
		want       string
		others     int
		err, hint  string
		interrupts bool
	}{
		{name: "none", make: func(*testing.T, *machine) {}, err: "there is no Java here", hint: "install one"},
		{name: "JAVA_HOME that is none", make: func(t *testing.T, m *machine) {
			m.java(t, "/usr/lib/jvm/25", "25")
			m.env["JAVA_HOME"] = "/nowhere"
		}, err: "JAVA_HOME, /nowhere, is no Java: it has no bin/java", hint: "unset JAVA_HOME"},
		{name: "found", make: func(t *testing.T, m *machine) {
			m.java(t, "/usr/lib/jvm/25", "25.0.1")
			m.java(t, "/usr/lib/jvm/17", "17.0.1")
			m.env["PATH"] = m.Root + "/usr/lib/jvm/17/bin"
		}, want: "17.0.1 (PATH)", others: 1},
		{name: "one that is told by running it", make: func(t *testing.T, m *machine) {
			m.java(t, "/jdk", "")
			m.write(t, "/jdk/bin/java", "#!/bin/sh\necho 'openjdk version \"21.0.2\" 2024-01-16' >&2\n", 0o755)
			m.env["JAVA_HOME"] = m.Root + "/jdk"
		}, want: "21.0.2 (JAVA_HOME)"},
		{name: "one that does not run", make: func(t *testing.T, m *machine) {
			m.java(t, "/usr/lib/jvm/jdk", "")
		}, err: "the Java in /usr/lib/jvm/jdk cannot be used: exit status 1", hint: "/usr/lib/jvm/jdk/bin/java -version"},
		{name: "a program that fails", make: func(t *testing.T, m *machine) {
			m.write(t, "/bin/java", "#!/bin/sh\nexit 3\n", 0o755)
		}, err: "the java of PATH cannot be used: exit status 3", hint: "java -version"},
		{name: "an interrupt", make: func(t *testing.T, m *machine) {
			m.write(t, "/bin/java", "#!/bin/sh\nexec sleep 600\n", 0o755)
		}, err: "looking for a Java was interrupted: the user has gone", interrupts: true},
	} {
		t.Run(test.name, func(t *testing.T) {
			m := fake(t)
			test.make(t, m)
			ctx, cancel := context.WithCancelCause(t.Context())
			defer cancel(nil)
			kind := fault.Missing
			if test.interrupts {
				cancel(errors.New("the user has gone"))
				kind = fault.Interrupted
			}
			java, others, err := m.choose(ctx)
			if test.err != "" {
				text := strings.ReplaceAll(fault.HintOf(err), m.Root, "")
				if err == nil || strings.ReplaceAll(err.Error(), m.Root, "") != test.err && !strings.HasPrefix(err.Error(), test.err) || !strings.Contains(text, test.hint) || fault.KindOf(err) != kind {
					t.Errorf("got %v (kind %d, hint %q), want %q and %q", err, fault.KindOf(err), text, test.err, test.hint)
				}
				return
			}
			if err != nil || java.String() != test.want || len(others) != test.others {
				t.Errorf("got %v with %d others, %v; want %s with %d", java, len(others), err, test.want, test.others)
			}
		})
	}
}

func TestFeature(t *testing.T) {
	for version, want := range map[string]int{
		"": 0, "17.0.15": 17, "1.8.0_392": 8, "21": 21, "25-ea": 25, "9.0.4": 9, "unknown": 0, "99999999999999999999": 0,
	} {
		if got := (Runtime{Version: version}).Feature(); got != want {
			t.Errorf("%q is Java %d, want %d", version, got, want)
		}
	}
}

// A Java that is named by a relative path is run from elsewhere.
func TestChooseRelative(t *testing.T) {
	m := fake(t)
	m.java(t, "/my jdk", "17")
	m.env["JAVA_HOME"] = "my jdk/"
	t.Chdir(m.Root)
	if java, _, err := m.choose(t.Context()); err != nil || java.Program("java") != m.Root+"/my jdk/bin/java" {
		t.Errorf("got %s, %v", java.Program("java"), err)
	}
}

// The Java of this machine says of itself what was found out without running it.
func TestThisMachine(t *testing.T) {
	java, _, err := Choose(t.Context())
	if fault.KindOf(err) == fault.Missing {
		t.Skipf("missing: a Java (%v)", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	if version, err := This().version(t.Context(), java); err != nil || version != java.Version {
		t.Errorf("%s says that it is %q, %v; want %q", java.Program("java"), version, err, java.Version)
	}
	if runtime.GOOS == "linux" && !hasClasses(java.Home) {
		t.Errorf("%s is taken for no Java", java.Home)
	}
}
