//go:build unix

package doctor

import (
	"context"
	"errors"
	"net"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/openeas/eascmd/pkg/engine/docker"
)

func TestReport(t *testing.T) { synctest.Test(t, testReport) }

func testReport(t *testing.T) {
	forever := make(chan struct{})
	defer close(forever)
	probes := []probe{
		{group: "First", name: "a", run: func(context.Context) []finding { return []finding{ok("a", "1"), ok("b", "2")} }},
		{group: "First", name: "deaf", fix: "`kick it`", breaks: dockerEngine, run: func(context.Context) []finding { <-forever; return nil }},
		{group: "Second", name: "deaf too", run: func(context.Context) []finding { <-forever; return nil }},
		{group: "Second", name: "polite", run: func(ctx context.Context) []finding {
			<-ctx.Done()
			return []finding{warning("polite", "wait", "it took too long")}
		}},
		{group: "Third", name: "absent", run: func(context.Context) []finding { return nil }},
		{group: "Third", name: "last", run: func(context.Context) []finding { return []finding{ok("last", "3")} }},
	}
	const limit = 200 * time.Millisecond
	got, err := report(t.Context(), probes, limit, processEngine|dockerEngine)
	if err != nil {
		t.Fatal(err)
	}
	want := Report{OK: true, Checks: []Check{
		{"First", "a", OK, "1", ""},
		{"First", "b", OK, "2", ""},
		{"First", "deaf", Warning, "no answer within 200ms", "`kick it`"},
		{"Second", "deaf too", Warning, "no answer within 200ms", slow},
		{"Second", "polite", Warning, "it took too long", "wait"},
		{"Third", "last", OK, "3", ""},
	}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestReportInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	forever := make(chan struct{})
	t.Cleanup(func() { close(forever) })
	_, err := report(ctx, []probe{{group: "g", name: "n", run: func(context.Context) []finding {
		cancel()
		<-forever
		return nil
	}}}, time.Hour, processEngine)
	if !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want %v", err, context.Canceled)
	}
}

func TestSettle(t *testing.T) {
	broken := func(e engines) finding { f := warning("n", "f", "x"); f.breaks = e; return f }
	both := processEngine | dockerEngine
	tests := []struct {
		name  string
		have  engines
		found []finding
		want  []State
	}{
		{"nothing is broken", both, []finding{ok("n", "x"), broken(0)}, []State{OK, Warning}},
		{"no Docker", both, []finding{broken(dockerEngine)}, []State{Warning}},
		{"no compiler", both, []finding{broken(processEngine), ok("n", "x")}, []State{Warning, OK}},
		{"neither", both, []finding{broken(dockerEngine), ok("n", "x"), broken(processEngine), broken(0)}, []State{Failure, OK, Failure, Warning}},
		{"what both need", both, []finding{broken(both)}, []State{Failure}},
		{"no Docker where there is only that", dockerEngine, []finding{broken(dockerEngine)}, []State{Failure}},
		{"what is broken is not there anyway", dockerEngine, []finding{broken(processEngine)}, []State{Warning}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			r := settle([]probe{{group: "g"}}, [][]finding{test.found}, test.have)
			var got []State
			for _, c := range r.Checks {
				got = append(got, c.State)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
			if failed := slices.Contains(test.want, Failure); r.OK == failed || len(r.Failures()) > 0 != failed {
				t.Errorf("ok %v, failures %v", r.OK, r.Failures())
			}
		})
	}
}

// All that can hang hangs: the report comes all the same, and each line says
// what gave no answer.
func TestEverythingHangs(t *testing.T) {
	m := fake(t)
	for _, name := range []string{"cc", "g++", "make", "cmake", "python3", "mvn", "nvidia-smi"} {
		m.program(t, "/bin/"+name, hang)
	}
	m.program(t, "/usr/lib/jvm/jdk-17/bin/java", hang)
	m.program(t, "/usr/lib/jvm/jdk-17/bin/javac", "exec "+hang)
	m.write(t, "/usr/lib/jvm/jdk-17/release", "JAVA_VERSION=\"17.0.9\"\n", 0o644)
	m.env["HTTPS_PROXY"] = "http://" + silentAddress(t, "tcp", "127.0.0.1:0") // reached, and that is all
	socket := filepath.Join(t.TempDir(), "s")
	silentAddress(t, "unix", socket)

	opts := Options{Limit: 5 * time.Second, Docker: docker.ConnectOptions{Host: "unix://" + socket}}
	opts.Config.Path = m.write(t, "/config", "endpoint = "+silentAddress(t, "tcp", "127.0.0.1:0")+"\n", 0o600)
	begin := time.Now()
	r, err := report(t.Context(), probes(t.Context(), m, opts), opts.Limit, processEngine|dockerEngine)
	if err != nil {
		t.Fatal(err)
	}
	// Far above the limit, for a busy machine, and far below a hang.
	if taken := time.Since(begin); taken > 2*time.Minute {
		t.Errorf("it took %v", taken)
	}
	silent := map[string]string{"daemon": "does not answer", "offset": "no answer within"}
	for _, name := range []string{"C compiler", "C++ compiler", "make", "cmake", "python3", "JDK", "Maven"} {
		silent[name] = "no answer"
	}
	for _, c := range r.Checks {
		want, hangs := silent[c.Name]
		if !hangs {
			continue
		}
		delete(silent, c.Name)
		if !strings.Contains(c.Found, want) {
			t.Errorf("%s: %q does not contain %q", c.Name, c.Found, want)
		}
		if c.State != OK && c.Fix == "" {
			t.Errorf("%s: nothing says how to mend it", c.Name)
		}
	}
	for name := range silent {
		t.Errorf("there is no line about %s", name)
	}
}

// silentAddress listens without ever answering, and returns the address.
func silentAddress(t *testing.T, network, address string) string {
	t.Helper()
	l, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	var conns []net.Conn
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			conns = append(conns, c)
		}
	}()
	t.Cleanup(func() {
		l.Close()
		<-done
		for _, c := range conns {
			c.Close()
		}
	})
	return l.Addr().String()
}

// What a run makes of a real machine has the promised form.
func TestMake(t *testing.T) {
	t.Setenv("HOME", t.TempDir())
	t.Setenv("EASCMD_ENDPOINT", "127.0.0.1:1")
	r, err := Make(t.Context(), Options{Limit: 20 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	var groups []string
	seen := map[string]bool{}
	for _, c := range r.Checks {
		if !slices.Contains(groups, c.Group) {
			groups = append(groups, c.Group)
		} else if groups[len(groups)-1] != c.Group {
			t.Errorf("group %s begins twice", c.Group)
		}
		if key := c.Group + "/" + c.Name; seen[key] {
			t.Errorf("%s is there twice", key)
		} else {
			seen[key] = true
		}
		if c.Found == "" || (c.State == OK) != (c.Fix == "") {
			t.Errorf("incomplete: %+v", c)
		}
	}
	want := []string{groupDocker, groupGPU, groupBuilding, groupPython, groupJava, groupProcess, groupDisk, groupClock, groupNetwork, groupConfig}
	if runtime.GOOS == "linux" {
		if diff := cmp.Diff(want, groups); diff != "" {
			t.Errorf("-want +got:\n%s", diff)
		}
	}
}
