package localtest

import (
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/openeas/eascmd/internal/fault"
	"github.com/openeas/eascmd/internal/jvm"
	"github.com/openeas/eascmd/internal/jvmtest"
	"github.com/openeas/eascmd/pkg/engine/hosts"
	"github.com/openeas/eascmd/pkg/runplan"
)

// hostDir returns a directory with what goes for the host of Java processors.
func hostDir(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	jvmtest.WriteHost(t, filepath.Join(dir, hosts.JavaName()))
	return dir
}

func TestUseJava(t *testing.T) {
	for _, name := range []string{"LC_ALL", "LC_CTYPE", "LANG"} {
		t.Setenv(name, "")
	}
	opts := hosts.Options{Dirs: []string{hostDir(t)}, Fleeting: true}
	for _, test := range []struct {
		name, version, options string
		worker                 runplan.Worker
		heap                   string // the option, "" for none
		tcp                    bool
		note                   string
	}{
		{name: "no limit", version: "17.0.9", worker: runplan.Worker{Count: 1}},
		{name: "before Unix sockets", version: "11.0.2", worker: runplan.Worker{Count: 1}, tcp: true},
		{name: "three quarters", version: "17.0.9", worker: runplan.Worker{Count: 1, MemoryMB: 2000}, heap: "-Xmx1536000k"},
		{name: "a share of it", version: "17.0.9", worker: runplan.Worker{Count: 2, MemoryMB: 2000}, heap: "-Xmx768000k"},
		{name: "little", version: "17.0.9", worker: runplan.Worker{Count: 1, MemoryMB: 400}, heap: "-Xmx278528k"},
		{name: "very little", version: "17.0.9", worker: runplan.Worker{Count: 1, MemoryMB: 100}, heap: "-Xmx51200k"},
		{name: "with the gateway", version: "17.0.9", worker: runplan.Worker{Count: 1, MemoryMB: 1024, Cgroup: runplan.OwnCgroup}, heap: "-Xmx737280k"},
		{name: "by an option", version: "17.0.9", options: "-Xmx1g", worker: runplan.Worker{Count: 1, MemoryMB: 2000}, heap: "-Xmx1g"},
		{name: "too much", version: "17.0.9", options: "-Xmx4g", worker: runplan.Worker{Count: 2, MemoryMB: 2000}, heap: "-Xmx4g",
			note: "processor_jvm_options lets the heap grow to 4096 MB, and a worker has 1000 MB"},
		{name: "by a variable", version: "17.0.9", worker: runplan.Worker{Count: 1, MemoryMB: 2000,
			Env: []runplan.Env{{Name: "JAVA_TOOL_OPTIONS", Value: "-ea -Xmx100m"}}}},
		{name: "another variable", version: "17.0.9", worker: runplan.Worker{Count: 1, MemoryMB: 2000,
			Env: []runplan.Env{{Name: "JAVA_TOOL_OPTIONS", Value: "-ea"}}}, heap: "-Xmx1536000k"},
	} {
		t.Run(test.name, func(t *testing.T) {
			plan := &runplan.Plan{Processor: runplan.Processor{JVMOptions: test.options}, Worker: test.worker}
			java := &Java{Runtime: jvm.Runtime{Home: "/jdk", Version: test.version}}
			if err := UseJava(t.Context(), plan, java, opts); err != nil {
				t.Fatal(err)
			}
			heap := ""
			for _, word := range plan.Worker.Command {
				if strings.HasPrefix(word, "-Xmx") {
					heap += word
				}
			}
			if heap != test.heap || plan.Worker.TCP != test.tcp {
				t.Errorf("the heap is by %q, TCP %v; want %q, %v", heap, plan.Worker.TCP, test.heap, test.tcp)
			}
			notes := ""
			for _, n := range java.Notes {
				notes += n.Text
				if n.Hint == "" {
					t.Errorf("nothing says what to do about %q", n.Text)
				}
			}
			if !strings.HasPrefix(notes, test.note) || (notes == "") != (test.note == "") {
				t.Errorf("notes %q, want %q", notes, test.note)
			}
			if runtime.GOOS == "linux" {
				want := append([]runplan.Env{{Name: "LC_CTYPE", Value: "C.UTF-8"}}, test.worker.Env...)
				if diff := cmp.Diff(want, plan.Worker.Env); diff != "" {
					t.Errorf("environment (-want +got):\n%s", diff)
				}
			}
		})
	}
}

// What somebody says of the locale stays. That a machine's is C says nothing.
func TestUseJavaKeepsLocale(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("missing: Linux")
	}
	opts := hosts.Options{Dirs: []string{hostDir(t)}, Fleeting: true}
	java := Java{Runtime: jvm.Runtime{Home: "/jdk", Version: "17.0.9"}}
	type vars map[string]string
	for _, test := range []struct{ machine, described, want vars }{
		{nil, nil, vars{"LC_CTYPE": "C.UTF-8"}},
		{nil, vars{"LANG": "zh_CN.GBK"}, vars{"LANG": "zh_CN.GBK"}},
		{nil, vars{"LC_ALL": "C"}, vars{"LC_ALL": "C"}},
		{vars{"LANG": "de_DE.ISO-8859-1"}, nil, nil},
		{vars{"LANG": "de_DE.UTF-8", "LC_CTYPE": "C"}, nil, vars{"LC_CTYPE": "C.UTF-8"}},
		{vars{"LANG": "C"}, nil, vars{"LC_CTYPE": "C.UTF-8"}},
		{vars{"LC_ALL": "POSIX", "LANG": "de_DE.UTF-8"}, nil, vars{"LC_ALL": "C.UTF-8"}},
	} {
		for _, name := range []string{"LC_ALL", "LC_CTYPE", "LANG"} {
			t.Setenv(name, test.machine[name])
		}
		plan := &runplan.Plan{}
		for name, value := range test.described {
			plan.Worker.Env = append(plan.Worker.Env, runplan.Env{Name: name, Value: value})
		}
		if err := UseJava(t.Context(), plan, &java, opts); err != nil {
			t.Fatal(err)
		}
		var got vars
		for _, e := range plan.Worker.Env {
			if got == nil {
				got = vars{}
			}
			got[e.Name] = e.Value
		}
		if diff := cmp.Diff(test.want, got); diff != "" {
			t.Errorf("machine %v, description %v (-want +got):\n%s", test.machine, test.described, diff)
		}
	}
}

func TestUseJavaRefuses(t *testing.T) {
	java := Java{Runtime: jvm.Runtime{Home: "/jdk", Version: "1.8.0_392"}}
	for options, want := range map[string]string{
		"-Xmx4g -cp lib":      "processor_jvm_options: -cp is not taken",
		"'-Xmx4g":             "processor_jvm_options: the quote ' at character 1 is not closed",
		"--add-opens a/b=ALL": "processor_jvm_options: Java 1.8.0_392 has no option --add-opens",
	} {
		plan := &runplan.Plan{Processor: runplan.Processor{JVMOptions: options}}
		err := UseJava(t.Context(), plan, &java, hosts.Options{Dirs: []string{hostDir(t)}, Fleeting: true})
		if err == nil || !strings.HasPrefix(err.Error(), want) || fault.KindOf(err) != fault.Description {
			t.Errorf("%s: %v (kind %d), want %q", options, err, fault.KindOf(err), want)
		}
	}
}

// The class path that the check finds is in the plan, and so is the Java.
func TestCheckJava(t *testing.T) {
	java, err := FindJava(t.Context())
	if err != nil {
		t.Skipf("missing: a Java (%v)", err)
	}
	if !java.Compiler {
		t.Skip("missing: javac")
	}
	dir := t.TempDir()
	source := filepath.Join(t.TempDir(), "Echo.java")
	text := "package a;\npublic class Echo {\n\tpublic Echo(String entry, String config) { }\n\tpublic byte[] Process(byte[] in) { return in; }\n}\n"
	if err := os.WriteFile(source, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.CommandContext(t.Context(), java.Program("javac"), "-d", dir, source).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}

	plan := &runplan.Plan{Language: "java", Processor: runplan.Processor{Dir: dir, MainClass: "a.Echo"}}
	if _, err := Check(t.Context(), plan, ""); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{dir}, plan.Processor.ClassPath); diff != "" {
		t.Errorf("class path (-want +got):\n%s", diff)
	}
	host, err := FindHost(t.Context(), plan, hosts.Options{Dirs: []string{hostDir(t)}, Fleeting: true})
	if err != nil || host.Python != nil || host.Java == nil || host.Java.Home != java.Home {
		t.Errorf("the host is %+v, %v; want one with %s", host, err, java.Home)
	}
	if len(plan.Worker.Command) == 0 || plan.Worker.Command[0] != java.Program("java") {
		t.Errorf("the worker is %q", plan.Worker.Command)
	}

	plan.Processor.MainClass = "a.Ecko"
	if _, err := Check(t.Context(), plan, ""); fault.KindOf(err) != fault.Processor || !strings.Contains(err.Error()+fault.HintOf(err), "a.Echo") {
		t.Errorf("a wrong name: %v (hint %q)", err, fault.HintOf(err))
	}
	t.Setenv("JAVA_HOME", filepath.Join(dir, "nowhere"))
	if _, err := Check(t.Context(), plan, ""); fault.KindOf(err) != fault.Missing || !strings.HasPrefix(err.Error(), "JAVA_HOME") {
		t.Errorf("a wrong JAVA_HOME: %v", err)
	}
}
