//go:build unix

package doctor

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/openeas/eascmd/internal/jvmtest"
	"github.com/openeas/eascmd/pkg/engine/hosts"
)

func TestVersionIn(t *testing.T) {
	for text, want := range map[string]string{
		"gcc (Debian 12.2.0-14+deb12u1) 12.2.0\nCopyright":    "12.2.0",
		"gcc (GCC) 14.2.1 20240912 (Red Hat 14.2.1-3)":        "14.2.1",
		"Debian clang version 14.0.6\nTarget: x86_64":         "14.0.6",
		"Ubuntu clang version 18.1.3 (1ubuntu1)":              "18.1.3",
		"GNU Make 4.3\nBuilt for x86_64-pc-linux-gnu":         "4.3",
		"cmake version 3.25.1":                                "3.25.1",
		"openjdk version \"17.0.15\" 2025-04-15":              "17.0.15",
		"\n\n  tool 1.2.3\n":                                  "1.2.3",
		"cc (Alpine 13.2.1_git20240309) 13.2.1 20240309":      "13.2.1",
		"no number here":                                      "of unknown version",
		"":                                                    "of unknown version",
		"odd ) bracket ( 1.0":                                 "1.0",
		"g++ (crosstool-NG 1.26.0 (with brackets)) 12.1.0":    "12.1.0",
		"Apple clang version 15.0.0 (clang-1500.3.9.4)\nmore": "15.0.0",
	} {
		if got := versionIn(text); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}

func TestTools(t *testing.T) {
	gcc := "echo 'gcc (Debian 12.2.0-14) 12.2.0'"
	clang := "echo 'Debian clang version 14.0.6'"
	tests := []struct {
		name string
		make func(t *testing.T, m *machine)
		want finding
	}{
		{"none", func(*testing.T, *machine) {}, warning("C compiler", "`sudo apt-get install gcc`", "none found")},
		{"one under two names", func(t *testing.T, m *machine) {
			m.program(t, "/bin/gcc", gcc)
			if err := os.Symlink("gcc", m.path("/bin/cc")); err != nil {
				t.Fatal(err)
			}
		}, ok("C compiler", "/bin/cc 12.2.0")},
		{"two", func(t *testing.T, m *machine) {
			m.program(t, "/bin/gcc", gcc)
			m.program(t, "/other/clang", clang)
		}, ok("C compiler", "/bin/gcc 12.2.0, /other/clang 14.0.6")},
		{"by CC", func(t *testing.T, m *machine) {
			m.env["CC"] = m.program(t, "/opt/cc", clang) + " -m64"
			m.program(t, "/bin/gcc", gcc)
		}, ok("C compiler", "/opt/cc 14.0.6, /bin/gcc 12.2.0")},
		{"CC that is not there", func(t *testing.T, m *machine) {
			m.env["CC"] = m.path("/opt/none")
			m.program(t, "/bin/gcc", gcc)
		}, ok("C compiler", "/bin/gcc 12.2.0")},
		{"broken", func(t *testing.T, m *machine) {
			m.program(t, "/bin/gcc", "echo 'libz.so.1: cannot open' >&2; exit 127")
		},
			warning("C compiler", "see what `/bin/gcc --version` does, or `sudo apt-get install gcc`", "cannot be used: /bin/gcc: exit status 127: libz.so.1: cannot open")},
		{"one hangs", func(t *testing.T, m *machine) {
			m.program(t, "/bin/gcc", gcc)
			m.program(t, "/bin/clang", hang)
		}, ok("C compiler", "/bin/gcc 12.2.0 (cannot be used: /bin/clang: no answer in time)")},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			m := fake(t)
			m.write(t, "/etc/os-release", "ID=debian\n", 0o644)
			test.make(t, m)
			ctx := t.Context()
			if strings.Contains(test.name, "hangs") {
				ctx = soon(t)
			}
			got := m.tools(ctx, "C compiler", everywhere("a C compiler", "gcc"), m.cc()...)
			if diff := cmp.Diff([]finding{test.want}, m.at([]finding{got}), private); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

func TestLibc(t *testing.T) {
	m := fake(t)
	if got := m.libc(); got.state != Warning || !strings.Contains(got.found, "no glibc") {
		t.Errorf("on a machine without any: %+v", got)
	}
	m.write(t, "/lib64/libc.so.6", "no ELF file", 0o755)
	if got := m.libc(); got.state != Warning {
		t.Errorf("a file that is none: %+v", got)
	}
	m.write(t, "/lib/ld-musl-x86_64.so.1", "", 0o755)
	if got := m.libc(); got.state != Warning || !strings.HasPrefix(got.found, "musl") {
		t.Errorf("with musl: %+v", got)
	}
	if runtime.GOOS != "linux" {
		t.Skip("missing: Linux")
	}
	if got := thisMachine().libc(); !regexp.MustCompile(`^glibc 2\.\d+$|^musl|^no glibc`).MatchString(got.found) {
		t.Errorf("here: %+v", got)
	}
}

func TestHost(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("missing: Linux")
	}
	m := thisMachine()
	t.Setenv("CC", filepath.Join(t.TempDir(), "none"))
	opts := hosts.Options{CacheDir: t.TempDir()}
	got := m.cppHost(t.Context(), opts)
	if got.state != Warning || got.breaks != processEngine || got.fix == "" {
		t.Errorf("without a compiler: %+v", got)
	}
	// One that is there and does not run.
	path := filepath.Join(opts.CacheDir, "hosts", hosts.CPPName(runtime.GOOS, runtime.GOARCH))
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	for script, works := range map[string]bool{"exit 1": false, "exit 0": true} {
		if err := os.WriteFile(path, []byte("#!/bin/sh\n"+script+"\n"), 0o755); err != nil {
			t.Fatal(err)
		}
		if got := m.cppHost(t.Context(), opts); (got.state == OK) != works || (got.breaks == 0) != works {
			t.Errorf("%s: %+v", script, got)
		}
	}
}

// answers is what an interpreter says when package python asks it.
func answers(version, real string, venv, pip bool) string {
	parts := strings.Split(version, ".")
	return fmt.Sprintf(`printf '\036eascmd:{"version":"%s","major":%s,"minor":%s,"executable":"%s","prefix":"/p","has_venv":true,"has_ensurepip":%t,"has_pip":%t}\n'`,
		version, parts[0], parts[1], real, venv, pip)
}

func TestPythons(t *testing.T) {
	tests := []struct {
		name string
		make func(t *testing.T, m *machine)
		want []finding
	}{
		{"none", func(*testing.T, *machine) {}, []finding{warning("python3", "`sudo apt-get install python3 python3-venv python3-pip`", "none found, which processors in Python need")}},
		{"one under two names", func(t *testing.T, m *machine) {
			m.program(t, "/bin/python3", answers("3.11.2", "/usr/bin/python3.11", true, true))
			m.program(t, "/bin/python3.11", answers("3.11.2", "/usr/bin/python3.11", true, true))
		}, []finding{ok("python3", "3.11.2 /bin/python3 with venv and pip")}},
		{"that of PATH is taken, others from the newest on", func(t *testing.T, m *machine) {
			m.program(t, "/bin/python3", answers("3.9.1", "/a", true, true))
			m.program(t, "/other/python3", answers("3.8.1", "/b", true, true))
			m.program(t, "/home/me/.pyenv/versions/3.13.0/bin/python3", answers("3.13.0", "/c", true, true))
			m.program(t, "/home/me/miniconda3/bin/python3", answers("3.12.4", "/d", true, true))
			m.program(t, "/envs/mine/bin/python3", answers("3.10.4", "/e", true, false))
			m.write(t, "/home/me/.conda/environments.txt", m.path("/envs/mine")+"\n/gone\nrelative\n", 0o644)
		}, []finding{
			ok("python3", "3.9.1 /bin/python3 with venv and pip"),
			ok("others", "3.13.0 ~/.pyenv/versions/3.13.0/bin/python3\n3.12.4 ~/miniconda3/bin/python3\n3.10.4 /envs/mine/bin/python3 (without pip)\n3.8.1 /other/python3"),
		}},
		{"without venv", func(t *testing.T, m *machine) {
			m.program(t, "/bin/python3", answers("3.11.2", "/a", false, true))
		}, []finding{warning("python3", "`sudo apt-get install python3.11-venv python3-pip`", "3.11.2 /bin/python3 (without venv)")}},
		{"too old", func(t *testing.T, m *machine) {
			m.program(t, "/bin/python3", answers("3.6.8", "/a", true, true))
		}, []finding{warning("python3", "`sudo apt-get install python3 python3-venv python3-pip`", "3.6.8 /bin/python3 (older than 3.8)")}},
		{"shims of pyenv for versions that are not chosen", func(t *testing.T, m *machine) {
			m.env["PYENV_ROOT"] = m.path("/pyenv")
			m.env["PATH"] = m.path("/pyenv/shims") + ":" + m.env["PATH"]
			m.program(t, "/pyenv/shims/python3", answers("3.12.1", "/pyenv/versions/3.12.1/bin/python3", true, true))
			m.program(t, "/pyenv/shims/python3.8", "echo 'pyenv: python3.8: command not found'; exit 127")
			m.program(t, "/bin/python3.8", answers("3.8.9", "/b", true, true))
		}, []finding{ok("python3", "3.12.1 /pyenv/shims/python3 with venv and pip"), ok("others", "3.8.9 /bin/python3.8")}},
		{"that of PATH is broken", func(t *testing.T, m *machine) {
			m.program(t, "/bin/python3", "echo 'bad interpreter' >&2; exit 1")
			m.program(t, "/other/python3.10", answers("3.10.1", "/b", true, true))
		}, []finding{
			warning("python3", "see what `/bin/python3 --version` does", "/bin/python3 cannot be used: exit status 1: bad interpreter"),
			ok("others", "3.10.1 /other/python3.10"),
		}},
		{"another hangs", func(t *testing.T, m *machine) {
			m.program(t, "/bin/python3", answers("3.11.2", "/a", true, true))
			m.program(t, "/other/python3.10", hang)
		}, []finding{ok("python3", "3.11.2 /bin/python3 with venv and pip"), ok("others", "/other/python3.10: no answer in time")}},
		{"Python 2", func(t *testing.T, m *machine) { m.program(t, "/bin/python3", answers("2.7.18", "/a", true, true)) },
			[]finding{warning("python3", "see what `/bin/python3 --version` does", "/bin/python3 cannot be used: it is Python 2.7.18")}},
		{"hangs", func(t *testing.T, m *machine) { m.program(t, "/bin/python3", hang) },
			[]finding{warning("python3", "see what `/bin/python3 --version` does", "/bin/python3 cannot be used: no answer in time")}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			m := fake(t)
			m.write(t, "/etc/os-release", "ID=debian\n", 0o644)
			test.make(t, m)
			ctx := t.Context()
			if strings.HasSuffix(test.name, "hangs") {
				ctx = soon(t)
			}
			if diff := cmp.Diff(test.want, m.at(m.pythons(ctx)), private); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

func TestRealPython(t *testing.T) {
	m := thisMachine()
	path := m.look("python3")
	if path == "" {
		t.Skip("missing: python3")
	}
	got := m.python(t.Context(), path)
	if got.err != nil || !strings.HasPrefix(got.version, "3.") || !filepath.IsAbs(got.real) {
		t.Errorf("%s: %+v", path, got)
	}
}

// jdk puts a Java on the machine.
func (m *machine) jdk(t *testing.T, home, version string, compiler bool) {
	t.Helper()
	m.program(t, home+"/bin/java", `echo 'openjdk version "`+version+`" 2025-04-15' >&2`)
	if compiler {
		m.program(t, home+"/bin/javac", "")
	}
	m.write(t, home+"/lib/modules", "", 0o644)
	if version != "9.9.9" {
		m.write(t, home+"/release", "IMPLEMENTOR=\"X\"\nJAVA_VERSION=\""+version+"\"\n", 0o644)
	}
}

func TestJavas(t *testing.T) {
	tests := []struct {
		name string
		make func(t *testing.T, m *machine)
		want []finding
	}{
		{"none", func(*testing.T, *machine) {}, []finding{warning("JDK", "`sudo apt-get install default-jdk-headless`", "none found, which processors in Java need")}},
		{"the newest", func(t *testing.T, m *machine) {
			m.jdk(t, "/usr/lib/jvm/java-8", "1.8.0_392", true)
			m.jdk(t, "/usr/lib/jvm/java-17", "17.0.15", true)
			m.jdk(t, "/usr/lib/jvm/jre-21", "21", false)
			if err := os.Symlink("java-17", m.path("/usr/lib/jvm/default")); err != nil {
				t.Fatal(err)
			}
			m.write(t, "/usr/lib/jvm/readme", "", 0o644)
		}, []finding{
			warning("JDK", "`sudo apt-get install default-jdk-headless`", "21 (a JRE, without javac) /usr/lib/jvm/jre-21, the newest: it runs processors and builds none"),
			ok("other JDKs", "17.0.15 /usr/lib/jvm/default\n1.8.0_392 /usr/lib/jvm/java-8"),
		}},
		{"by PATH before the newest", func(t *testing.T, m *machine) {
			m.jdk(t, "/usr/lib/jvm/java-11", "11.0.2", true)
			m.jdk(t, "/usr/lib/jvm/java-25", "25", true)
			if err := os.Symlink("../usr/lib/jvm/java-11/bin/java", m.path("/bin/java")); err != nil {
				t.Fatal(err)
			}
		}, []finding{ok("JDK", "11.0.2 /usr/lib/jvm/java-11, by PATH"), ok("other JDKs", "25 /usr/lib/jvm/java-25")}},
		{"by JAVA_HOME before PATH", func(t *testing.T, m *machine) {
			m.jdk(t, "/usr/lib/jvm/java-11", "11.0.2", true)
			m.jdk(t, "/home/me/.sdkman/candidates/java/8", "9.9.9", true)
			m.env["JAVA_HOME"] = m.path("/home/me/.sdkman/candidates/java/8")
			m.env["PATH"] += ":" + m.path("/usr/lib/jvm/java-11/bin")
		}, []finding{ok("JDK", "9.9.9 ~/.sdkman/candidates/java/8, by JAVA_HOME"), ok("other JDKs", "11.0.2 /usr/lib/jvm/java-11")}},
		{"JAVA_HOME that leads nowhere", func(t *testing.T, m *machine) {
			m.jdk(t, "/usr/lib/jvm/java-11", "11.0.2", true)
			m.env["JAVA_HOME"] = "/nowhere"
		}, []finding{
			warning("JAVA_HOME", "unset JAVA_HOME, or set it to the directory of a JDK", "/nowhere is no Java: it has no bin/java"),
			ok("JDK", "11.0.2 /usr/lib/jvm/java-11, the newest"),
		}},
		{"by a script", func(t *testing.T, m *machine) {
			m.jdk(t, "/jdk", "11.0.2", true)
			m.jdk(t, "/usr/lib/jvm/java-25", "25", true)
			m.program(t, "/other/java", "echo '    java.home = "+m.path("/jdk")+"' >&2")
		}, []finding{ok("JDK", "11.0.2 /jdk, by /other/java"), ok("other JDKs", "25 /usr/lib/jvm/java-25")}},
		{"by a script that fails", func(t *testing.T, m *machine) {
			m.jdk(t, "/usr/lib/jvm/java-25", "25", true)
			m.program(t, "/other/java", "echo 'no version is set' >&2; exit 1")
		}, []finding{
			warning("JDK", "see what `/other/java -version` does, or set JAVA_HOME to a JDK", "/other/java cannot be used: exit status 1: no version is set"),
			ok("other JDKs", "25 /usr/lib/jvm/java-25"),
		}},
		{"hangs", func(t *testing.T, m *machine) {
			m.jdk(t, "/usr/lib/jvm/java-11", "11.0.2", true)
			m.program(t, "/usr/lib/jvm/java-11/bin/java", hang)
		}, []finding{warning("JDK", "see what `/usr/lib/jvm/java-11/bin/java -version` does, or set JAVA_HOME to another",
			"/usr/lib/jvm/java-11/bin/java cannot be used: no answer in time")}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			m := fake(t)
			m.write(t, "/etc/os-release", "ID=debian\n", 0o644)
			test.make(t, m)
			ctx := t.Context()
			if test.name == "hangs" {
				ctx = soon(t)
			}
			if diff := cmp.Diff(test.want, m.at(m.javas(ctx)), private); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

func TestJavaHost(t *testing.T) {
	jars := t.TempDir()
	jvmtest.WriteHost(t, filepath.Join(jars, hosts.JavaName()))
	tests := []struct {
		name string
		make func(t *testing.T, m *machine)
		opts hosts.Options
		want []finding
	}{
		{"no Java", func(*testing.T, *machine) {}, hosts.Options{}, nil},
		{"came along", func(t *testing.T, m *machine) { m.jdk(t, "/usr/lib/jvm/11", "11.0.2", false) }, hosts.Options{Dirs: []string{jars}},
			[]finding{ok("host", "%s", filepath.Join(jars, hosts.JavaName()))}},
		{"not yet", func(t *testing.T, m *machine) { m.jdk(t, "/usr/lib/jvm/11", "11.0.2", true) }, hosts.Options{},
			[]finding{ok("host", "not compiled yet, which /usr/lib/jvm/11/bin/javac does at first use")}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			m := fake(t)
			test.make(t, m)
			test.opts.CacheDir = t.TempDir()
			if diff := cmp.Diff(test.want, m.at(m.javaHost(t.Context(), test.opts)), private); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

func TestMaven(t *testing.T) {
	tests := []struct {
		name, script string
		want         finding
	}{
		{"none", "", warning("Maven", "install Maven", "none found")},
		{"coloured", `printf '\033[1mApache Maven 3.8.7\033[0m (x)\nMaven home: /usr\n'`, ok("Maven", "/bin/mvn 3.8.7")},
		{"without Java", "echo 'JAVA_HOME is not defined correctly' >&2; exit 1",
			warning("Maven", "see what `mvn --version` does", "/bin/mvn cannot be used: exit status 1: JAVA_HOME is not defined correctly")},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			m := fake(t)
			if test.script != "" {
				m.program(t, "/bin/mvn", test.script)
			}
			if diff := cmp.Diff([]finding{test.want}, m.at([]finding{m.maven(context.Background())}), private); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}
