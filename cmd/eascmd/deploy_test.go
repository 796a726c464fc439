package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/openeas/eascmd/pkg/controlplane"
)

var updateDeploy = flag.Bool("update-deploy", false, "write the expected output of the commands that deploy")

// cloud is a control plane whose instances are of no use but quick.
type cloud struct {
	*controlplane.Server
	home   string
	prefix string // of uploads: a directory
}

// newCloud starts a control plane and lets the settings lead to it.
func newCloud(t *testing.T, delays controlplane.Delays) *cloud {
	t.Helper()
	home := emptyHome(t)
	t.Setenv("XDG_CACHE_HOME", filepath.Join(home, "cache"))
	served := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {}))
	t.Cleanup(served.Close)
	s, err := controlplane.Start(controlplane.Options{
		Runner: quickRunner{served.URL},
		Keys:   []controlplane.AccessKey{{ID: "LTAItestkey0001", Secret: "test-secret"}},
		Region: "cn-test", Delays: delays, Faults: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	c := &cloud{Server: s, home: home, prefix: filepath.Join(home, "bucket")}
	if err := os.MkdirAll(filepath.Join(home, ".eas"), 0o700); err != nil {
		t.Fatal(err)
	}
	settings := fmt.Sprintf("[default]\naccess_key_id=LTAItestkey0001\naccess_key_secret=test-secret\nendpoint=%s\nregion=cn-test\nupload_prefix=file://%s\n", s.Endpoint(), c.prefix)
	if err := os.WriteFile(filepath.Join(home, ".eas", "config"), []byte(settings), 0o600); err != nil {
		t.Fatal(err)
	}
	return c
}

// quickRunner runs instances that are ready at once, unless their model says
// how they end.
type quickRunner struct{ endpoint string }

func (r quickRunner) Run(ctx context.Context, spec controlplane.Spec, report func(controlplane.Report)) error {
	line := func(text string) { report(controlplane.Report{Kind: controlplane.Line, Text: text}) }
	switch path := spec.Description.ModelPath; {
	case strings.Contains(path, "oom"):
		line("loading a model that is too large")
		return &controlplane.Failure{Reason: "CRASHED", Message: "the instance was killed", Final: true,
			Last: &controlplane.LastState{ExitCode: 137, Reason: "OOMKilled", StartedAt: time.Now(), FinishedAt: time.Now()}}
	case strings.Contains(path, "missing"):
		return &controlplane.Failure{Reason: "FETCHING_FAILED", Message: "fetch " + path + ": NoSuchKey", Final: true}
	case strings.Contains(path, "waiting"):
		<-ctx.Done()
		return nil
	}
	line("ready")
	report(controlplane.Report{Kind: controlplane.Ready, Endpoint: r.endpoint})
	<-ctx.Done()
	return nil
}

// describe writes a description and returns its path.
func describe(t *testing.T, format string, args ...any) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "service.json")
	if err := os.WriteFile(path, fmt.Appendf(nil, format, args...), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

const echoJSON = `{"name":"echo","token":"%s","model_path":"http://models.example/%s.tar.gz","processor":"tensorflow_cpu_1.12","metadata":{"instance":1,"cpu":%d,"memory":1000}}`

// changing is what is not the same in two runs.
var changing = []struct {
	pattern *regexp.Regexp
	with    string
}{
	{regexp.MustCompile(`[0-9A-F]{8}-[0-9A-F]{4}-[0-9A-F]{4}-[0-9A-F]{4}-[0-9A-F]{12}`), "REQUEST-ID"},
	{regexp.MustCompile(`http://127\.0\.0\.1:\d+`), "http://HOST"},
	{regexp.MustCompile(`eas-m-[0-9a-z]+`), "eas-m-ID"},
	{regexp.MustCompile(`\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d[0-9.]*(Z|[+-]\d\d:\d\d)?`), "TIME"},
	{regexp.MustCompile(`echo-[0-9a-z]+-[0-9a-z]+`), "echo-INSTANCE"},
}

// steady replaces what is not the same in two runs.
func (c *cloud) steady(text string) string {
	text = strings.ReplaceAll(text, c.home, "HOME")
	for _, r := range changing {
		text = r.pattern.ReplaceAllString(text, r.with)
	}
	// YAML quotes what could be taken for a number.
	text = strings.ReplaceAll(text, `requestId: "REQUEST-ID"`, "requestId: REQUEST-ID")
	// Boxes have the width of what was replaced.
	text = regexp.MustCompile(`-{3,}`).ReplaceAllString(text, "---")
	return regexp.MustCompile(` {2,}\|`).ReplaceAllString(text, " |")
}

// golden compares output with what is expected of it.
func (c *cloud) golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", "deploy", name)
	got = c.steady(got)
	if *updateDeploy {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s: -want +got:\n%s", name, diff)
	}
}

// must runs a command that has to end with a status.
func must(t *testing.T, status int, args ...string) outcome {
	t.Helper()
	got := runMain(t, "", args...)
	if got.status != status {
		t.Fatalf("%v: exit status %d, want %d\n%s%s", args, got.status, status, got.stdout, got.stderr)
	}
	if strings.Contains(got.stdout+got.stderr, "test-secret") {
		t.Errorf("%v: the access key secret is shown", args)
	}
	return got
}

func TestCreateAndDelete(t *testing.T) {
	c := newCloud(t, controlplane.Delays{})
	path := describe(t, echoJSON, "test-token", "m", 1)

	dry := must(t, 0, "create", path, "--dry-run")
	c.golden(t, "create-dry-run.txt", dry.stdout)
	if strings.Contains(dry.stdout+dry.stderr, "test-token") {
		t.Error("--dry-run shows the token")
	}

	created := must(t, 0, "create", path)
	c.golden(t, "create.txt", created.stdout)
	for _, want := range []string{"region cn-test, profile default, account LTAI****0001", "[OK] Service is running"} {
		if !strings.Contains(created.stderr, want) {
			t.Errorf("there is no %q in:\n%s", want, created.stderr)
		}
	}
	again := must(t, 7, "create", path)
	if !strings.Contains(again.stderr, "service echo: exists already in cn-test") || !strings.Contains(again.stderr, "eascmd apply") {
		t.Errorf("stderr:\n%s", again.stderr)
	}

	// Nobody is there to answer.
	if asked := must(t, 2, "delete", "echo"); !strings.Contains(asked.stderr, "Are you sure to delete the service [echo] in [cn-test]") {
		t.Errorf("stderr:\n%s", asked.stderr)
	}
	deleted := must(t, 0, "delete", "echo", "-y")
	c.golden(t, "delete.txt", deleted.stdout)
	for _, want := range []string{"[OK] Service [echo] in region [cn-test] is terminating", "[OK] Service was deleted successfully"} {
		if !strings.Contains(deleted.stderr, want) {
			t.Errorf("there is no %q in:\n%s", want, deleted.stderr)
		}
	}
	must(t, 7, "delete", "echo", "-y")
}

func TestCreateJSON(t *testing.T) {
	c := newCloud(t, controlplane.Delays{})
	got := must(t, 0, "create", describe(t, echoJSON, "test-token", "m", 1), "-o", "json", "--label", "team=search")
	c.golden(t, "create.json", got.stdout)
	if s := must(t, 0, "stop", "echo", "-y", "-o", "json"); true {
		c.golden(t, "stop.json", s.stdout)
		if n := strings.Count(s.stderr, "Service is stopped"); n != 1 {
			t.Errorf("it is said %d times that the service is stopped:\n%s", n, s.stderr)
		}
	}
	if s := must(t, 0, "start", "echo", "-o", "yaml"); true {
		c.golden(t, "start.yaml", s.stdout)
	}
	if s := must(t, 0, "restart", "echo", "-o", "json"); true {
		c.golden(t, "restart.json", s.stdout)
	}
	if s := must(t, 0, "delete", "echo", "-y", "-o", "json"); true {
		c.golden(t, "delete.json", s.stdout)
	}
}

func TestApply(t *testing.T) {
	c := newCloud(t, controlplane.Delays{})
	must(t, 5, "diff", describe(t, echoJSON, "test-token", "m", 1))
	must(t, 0, "apply", describe(t, echoJSON, "test-token", "m", 1))
	same := must(t, 0, "apply", describe(t, echoJSON, "test-token", "m", 1), "-o", "json")
	c.golden(t, "apply-nothing.json", same.stdout)
	must(t, 0, "diff", describe(t, echoJSON, "test-token", "m", 1))

	other := describe(t, `{"metadata":{"name":"echo","instance":1,"cpu":2,"memory":1000,"rpc.keepalive":9000},"token":"other-token","model_path":"http://models.example/m.tar.gz","processor":"tensorflow_cpu_1.12"}`)
	differs := must(t, 5, "diff", other)
	c.golden(t, "diff.txt", differs.stdout)
	c.golden(t, "diff.json", must(t, 5, "diff", other, "-o", "json").stdout)
	if strings.Contains(differs.stdout, "other-token") {
		t.Error("diff shows a token")
	}
	must(t, 0, "apply", other, "--dry-run")
	c.golden(t, "apply.json", must(t, 0, "apply", other, "-o", "json").stdout)
	must(t, 0, "diff", other)

	scaled := must(t, 0, "modify", "echo", "-Dmetadata.instance=2", "-o", "json")
	c.golden(t, "modify-scale.json", scaled.stdout)
	if !strings.Contains(scaled.stderr, "is scaling to 2 instances, without a new version") {
		t.Errorf("stderr:\n%s", scaled.stderr)
	}
	c.golden(t, "modify.json", must(t, 0, "modify", "echo", "-D", "metadata.memory=1500", "-o", "json").stdout)
	c.golden(t, "modify.txt", must(t, 0, "update", "echo", "-D", "metadata.memory=2000").stdout)
	misspelt := must(t, 0, "modify", "echo", "-Dmetadata.instnce=2", "--dry-run")
	if !strings.Contains(misspelt.stderr, "[WARN] the change: metadata.instnce: ") || !strings.Contains(misspelt.stderr, "did you mean metadata.instance?") {
		t.Errorf("stderr of a change of a field that there is not:\n%s", misspelt.stderr)
	}
	switched := must(t, 0, "version", "echo", "1", "-o", "json")
	c.golden(t, "version.json", switched.stdout)
	must(t, 7, "version", "echo", "99")
}

func TestRollbackOfModify(t *testing.T) {
	newCloud(t, controlplane.Delays{})
	must(t, 0, "create", describe(t, echoJSON, "test-token", "m", 1))
	got := must(t, 4, "modify", "echo", "-Dmodel_path=http://models.example/oom.tar.gz", "--rollback", "-o", "json")
	var result deployed
	if err := json.Unmarshal([]byte(got.stdout), &result); err != nil {
		t.Fatal(err)
	}
	if !result.RolledBack || result.Version != 1 || result.Status != "Running" || result.Failure == nil || result.Failure.Cause != "oom" {
		t.Errorf("result %+v", result)
	}
	for _, want := range []string{"loading a model that is too large", "OOMKilled", "version 1 runs again", "-Dmetadata.memory=2000"} {
		if !strings.Contains(got.stderr, want) {
			t.Errorf("there is no %q in:\n%s", want, got.stderr)
		}
	}
	must(t, 0, "diff", describe(t, echoJSON, "test-token", "m", 1))
}

func TestCreateFails(t *testing.T) {
	newCloud(t, controlplane.Delays{})
	for _, test := range []struct {
		model  string
		status int
		stderr string
	}{
		{"oom", 4, "it needs more memory than its 1000 MB (OOMKilled)"},
		{"missing", 7, "its model or processor cannot be fetched"},
	} {
		got := must(t, test.status, "create", describe(t, strings.Replace(echoJSON, "echo", "echo_"+test.model, 1), "t", test.model, 1))
		if !strings.Contains(got.stderr, test.stderr) {
			t.Errorf("there is no %q in:\n%s", test.stderr, got.stderr)
		}
	}
}

func TestCreateFailsOverThere(t *testing.T) {
	c := newCloud(t, controlplane.Delays{})
	for _, test := range []struct {
		reason string
		status int
		cause  string
	}{{"image-pull", 7, "image"}, {"oom", 4, "oom"}, {"resources", 7, "resources"}} {
		c.Inject(controlplane.Fault{Kind: controlplane.CreateFails, Reason: test.reason})
		name := "echo_" + strings.ReplaceAll(test.reason, "-", "_")
		path := describe(t, strings.Replace(echoJSON, "echo", name, 1), "t", "m", 1)
		// What finds no room is waited for in vain.
		got := must(t, test.status, "create", path, "-o", "json", "--timeout", "2s")
		var result deployed
		if err := json.Unmarshal([]byte(got.stdout), &result); err != nil {
			t.Fatal(err)
		}
		if result.Failure == nil || result.Failure.Cause != test.cause {
			t.Errorf("%s: result %+v\n%s", test.reason, result.Failure, got.stderr)
		}
	}
}

func TestCreateWithoutAnswer(t *testing.T) {
	c := newCloud(t, controlplane.Delays{})
	for i, kind := range []controlplane.FaultKind{controlplane.ResetAfter, controlplane.FailedAfter} {
		c.Inject(controlplane.Fault{Kind: kind, Action: "CreateService"})
		path := describe(t, strings.Replace(echoJSON, "echo", fmt.Sprintf("echo%d", i), 1), "t", "m", 1)
		got := must(t, 0, "create", path, "-o", "json")
		if !strings.Contains(got.stderr, "whether the service is being created is not known") {
			t.Errorf("%s: stderr:\n%s", kind, got.stderr)
		}
		var result deployed
		if err := json.Unmarshal([]byte(got.stdout), &result); err != nil {
			t.Fatal(err)
		}
		if result.Status != "Running" || result.Version != 1 || result.Token != "t" {
			t.Errorf("%s: result %+v", kind, result)
		}
	}
	// A question that fails and a change whose answer is lost are asked again.
	c.Inject(controlplane.Fault{Kind: controlplane.Unavailable, Action: "DescribeService", Times: 2})
	c.Inject(controlplane.Fault{Kind: controlplane.ResetAfter, Action: "UpdateService"})
	must(t, 0, "modify", "echo0", "-Dmetadata.cpu=2")
}

func TestCreateTimesOut(t *testing.T) {
	newCloud(t, controlplane.Delays{})
	path := describe(t, echoJSON, "t", "waiting", 1)
	got := must(t, 1, "create", path, "--timeout", "400ms")
	if !strings.Contains(got.stderr, "service echo does not run after 400ms") || !strings.Contains(got.stderr, "it goes on") {
		t.Errorf("stderr:\n%s", got.stderr)
	}
	must(t, 0, "delete", "echo", "-y")
	must(t, 0, "create", path, "--no-wait")
}

func TestCreateInterrupted(t *testing.T) {
	newCloud(t, controlplane.Delays{})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var stdout, stderr tripwire
	stderr.when, stderr.then = "[OK] Waiting", cancel
	status := Main(ctx, []string{"create", describe(t, echoJSON, "t", "waiting", 1)}, strings.NewReader(""), &stdout, &stderr)
	if status != 130 {
		t.Errorf("exit status %d", status)
	}
	for _, want := range []string{"service [echo] is no longer waited for, but what was begun goes on in [cn-test]", "`eascmd desc echo`"} {
		if !strings.Contains(stderr.String(), want) {
			t.Errorf("there is no %q in:\n%s", want, stderr.String())
		}
	}
}

// tripwire calls then when something was written.
type tripwire struct {
	mu   sync.Mutex
	text strings.Builder
	when string
	then func()
}

func (w *tripwire) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	n, err := w.text.Write(p)
	if w.when != "" && strings.Contains(w.text.String(), w.when) {
		w.then()
	}
	return n, err
}

func (w *tripwire) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.text.String()
}

// What is noticed in a description is shown under one word.
func TestNoticed(t *testing.T) {
	newCloud(t, controlplane.Delays{})
	path := describe(t, `{"name":"echo","processor":"pmml","model_path":"http://models.example/m","metadata":{"instance":1,"cup":1}}`)
	for _, args := range [][]string{{"create", path, "--dry-run"}, {"diff", path}, {"test", path}} {
		got := runMain(t, "", args...)
		if want := "[WARN] " + path + ":1:"; !strings.Contains(got.stderr, want) || strings.Contains(got.stderr, "warning:") {
			t.Errorf("%s: there is no %q, or the word twice in:\n%s", args[0], want, got.stderr)
		}
	}
}

func TestWrongDeployment(t *testing.T) {
	newCloud(t, controlplane.Delays{})
	elsewhere := describe(t, `{"name":"echo","processor":"pmml","model_path":"http://models.example/m.tar.gz","metadata":{"instance":1,"cpu":1,"region":"cn-beijing"}}`)
	for _, test := range []struct {
		args   []string
		status int
		stderr string
	}{
		{[]string{"create", elsewhere}, 3, "is for region cn-beijing (metadata.region), but the endpoint of profile default is in cn-test"},
		{[]string{"apply", elsewhere}, 3, "cn-beijing"},
		{[]string{"diff", elsewhere}, 3, "cn-beijing"},
		{[]string{"modify", "echo", "-Dmetadata.region=cn-beijing"}, 3, "cn-beijing"},
		{[]string{"modify", "echo", "-Dname=other"}, 3, "a service's name cannot change"},
		{[]string{"modify", "echo"}, 2, "nothing says what to change"},
		{[]string{"modify", "echo", "-Dx"}, 2, "it is no path=value"},
		{[]string{"modify", "echo", "-Dmetadata.cpu=1"}, 7, "echo"},
		{[]string{"create", describe(t, `{"name":"echo"}`)}, 3, "processor"},
		{[]string{"create", elsewhere, "--no-wait", "--timeout", "1s"}, 2, "exclude each other"},
		{[]string{"apply", elsewhere, "--no-wait", "--rollback"}, 2, "exclude each other"},
		{[]string{"create", elsewhere, "--label", "x"}, 2, "it is no NAME=VALUE"},
		{[]string{"version", "echo"}, 2, "the number of the version is missing"},
		{[]string{"version", "echo", "x"}, 2, "a whole number from 1 on is needed"},
		{[]string{"stop", "echo", "-y"}, 7, "echo"},
	} {
		got := must(t, test.status, test.args...)
		if !strings.Contains(got.stderr, test.stderr) {
			t.Errorf("%v: there is no %q in:\n%s", test.args, test.stderr, got.stderr)
		}
	}
}

func TestSourceToService(t *testing.T) {
	c := newCloud(t, controlplane.Delays{})
	dir := t.TempDir()
	model := filepath.Join(dir, "weights")
	write := func(text string) {
		t.Helper()
		if err := os.MkdirAll(model, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(model, "w.bin"), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("one")
	path := filepath.Join(dir, "service.json")
	text := `{"name":"echo","token":"t","model_path":"weights","processor":"tensorflow_cpu_1.12","metadata":{"instance":1,"cpu":1,"memory":1000}}`
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}

	must(t, 0, "create", path, "--dry-run")
	if entries := c.objects(t); len(entries) != 0 {
		t.Fatalf("--dry-run has uploaded %v", entries)
	}
	var created deployed
	if err := json.Unmarshal([]byte(must(t, 0, "create", path, "-o", "json").stdout), &created); err != nil {
		t.Fatal(err)
	}
	if len(created.Uploads) != 1 || created.Uploads[0].Field != "model_path" {
		t.Errorf("uploads %+v", created.Uploads)
	}
	first := c.objects(t)
	if len(first) != 1 || !strings.HasPrefix(first[0], "echo/weights-") {
		t.Errorf("objects %v", first)
	}
	must(t, 0, "diff", path)

	write("two")
	must(t, 5, "diff", path)
	must(t, 0, "apply", path)
	must(t, 0, "diff", path)
	if second := c.objects(t); len(second) != 2 {
		t.Errorf("objects %v: the first version has lost its own, or the second has none", second)
	}
	write("three")
	must(t, 0, "modify", "echo", "-Dmodel_path="+model, "-o", "json")
	must(t, 0, "diff", path)

	// Whatever else is in the bucket stays.
	neighbour := filepath.Join(c.prefix, "echo_too", "weights.tar.gz")
	if err := os.MkdirAll(filepath.Dir(neighbour), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(neighbour, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	var gone actedOn
	if err := json.Unmarshal([]byte(must(t, 0, "delete", "echo", "-y", "--purge", "-o", "json").stdout), &gone); err != nil {
		t.Fatal(err)
	}
	if len(gone.Purged) != 3 || !gone.Deleted {
		t.Errorf("result %+v", gone)
	}
	if diff := cmp.Diff([]string{"echo_too/weights.tar.gz"}, c.objects(t)); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// objects lists what is in the bucket.
func (c *cloud) objects(t *testing.T) []string {
	t.Helper()
	var names []string
	err := filepath.WalkDir(c.prefix, func(path string, entry fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err == nil && entry.Name() == ".eascmd" {
			return filepath.SkipDir // what the store keeps beside its objects
		}
		if err != nil || entry.IsDir() {
			return err
		}
		name, err := filepath.Rel(c.prefix, path)
		names = append(names, filepath.ToSlash(name))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}
