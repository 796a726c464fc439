package source

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/openeas/eascmd/internal/classfile"
	"github.com/openeas/eascmd/internal/classfile/classtest"
	"github.com/openeas/eascmd/internal/fault"
	"github.com/openeas/eascmd/pkg/config"
	"github.com/openeas/eascmd/pkg/config/credentials"
	"github.com/openeas/eascmd/pkg/pack"
	"github.com/openeas/eascmd/pkg/service"
	"github.com/openeas/eascmd/pkg/store"
	"github.com/openeas/eascmd/test/ossserver"
)

// bench is a project and where it is published to.
type bench struct {
	t     *testing.T
	dir   string // holds the project's files
	cache string
	to    string // directory that stands for a store
	steps []string
	warns []string
}

// newBench makes a project of files. It becomes the current directory.
func newBench(t *testing.T, files map[string]string) *bench {
	t.Helper()
	root, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	b := &bench{t: t, dir: filepath.Join(root, "project"), cache: filepath.Join(root, "cache"), to: filepath.Join(root, "store")}
	if err := os.Mkdir(b.dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, content := range files {
		b.write(name, content)
	}
	t.Chdir(b.dir)
	return b
}

func (b *bench) write(name, content string) {
	b.t.Helper()
	path := filepath.Join(b.dir, filepath.FromSlash(name))
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(content), 0o644)); err != nil {
		b.t.Fatal(err)
	}
}

// run runs a command in the project.
func (b *bench) run(name string, args ...string) {
	b.t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		b.t.Skip("missing: " + name)
	}
	cmd := exec.CommandContext(b.t.Context(), path, args...)
	cmd.Dir = b.dir
	if out, err := cmd.CombinedOutput(); err != nil {
		b.t.Fatalf("%s: %v\n%s", name, err, out)
	}
}

// options publishes the service of a file to the directory.
func (b *bench) options(file string) Options {
	b.t.Helper()
	d, err := service.Load(filepath.Join(b.dir, file))
	if err != nil {
		b.t.Fatal(err)
	}
	b.steps, b.warns = nil, nil
	return Options{
		Description: d, File: filepath.Join(b.dir, file), CacheDir: b.cache, Elsewhere: true,
		Prefix: store.Address{Scheme: store.File, Key: strings.TrimPrefix(filepath.ToSlash(b.to), "/") + "/"},
		Step:   func(text string) { b.steps = append(b.steps, text) },
		Warn:   func(text, _ string) { b.warns = append(b.warns, text) },
	}
}

// onEAS is options for EAS itself, without the upload.
func (b *bench) onEAS(file string) Options {
	b.t.Helper()
	o := b.options(file)
	o.Elsewhere, o.DryRun = false, true
	o.Prefix = store.Address{Scheme: store.OSS, Bucket: "models", Key: "team/"}
	return o
}

func (b *bench) publish(o Options) *Published {
	b.t.Helper()
	p, err := Publish(b.t.Context(), o)
	if err != nil {
		b.t.Fatalf("%v (%s)", err, fault.HintOf(err))
	}
	return p
}

// fields returns some of the texts of a description.
func fields(t *testing.T, text []byte, names ...string) map[string]string {
	t.Helper()
	var all map[string]any
	if err := json.Unmarshal(text, &all); err != nil {
		t.Fatal(err)
	}
	some := map[string]string{}
	for _, name := range names {
		if value, ok := all[name]; ok {
			some[name] = fmt.Sprint(value)
		}
	}
	return some
}

// hexDigits stand for the hash in an object's name.
var hexDigits = regexp.MustCompile(`-[0-9a-f]{16}\b`)

func plainAddress(text string) string { return hexDigits.ReplaceAllString(text, "-HASH") }

func addresses(p *Published) []string {
	var all []string
	for _, u := range p.Uploads {
		all = append(all, u.Field+" "+plainAddress(u.Address))
	}
	return all
}

const processorSource = `#include <stddef.h>
void *initialize(const char *e, const char *c, int *state) { *state = 200; return (void *)1; }
int process(void *b, const void *in, int n, void **out, int *m) { *out = NULL; *m = 0; return 200; }
`

// object is a project with a processor in C.
func object(t *testing.T) *bench {
	b := newBench(t, map[string]string{
		"processor.c":  processorSource,
		"weights.bin":  "the model",
		"warm/1.bin":   "a request",
		"warm/2.bin":   "another one",
		"service.json": description("./build", "libx.so", `, "model_path": "weights.bin", "warm_up_data_path": "warm", "cuda": "/usr/local/cuda", "token": "secret"`),
	})
	if runtime.GOARCH != "amd64" || runtime.GOOS != "linux" {
		t.Skip("missing: Linux on x86-64")
	}
	if err := os.Mkdir("build", 0o755); err != nil {
		t.Fatal(err)
	}
	b.run("gcc", "-shared", "-fPIC", "-o", "build/libx.so", "processor.c")
	return b
}

func description(path, entry, more string) string {
	return fmt.Sprintf(`{"name": "svc", "processor_path": %q, "processor_entry": %q, "processor_type": "cpp"%s, "metadata": {"instance": 1, "cpu": 1, "memory": 1000}}`, path, entry, more)
}

func TestPublish(t *testing.T) {
	b := object(t)
	p := b.publish(b.options("service.json"))
	want := []string{
		"processor_path file://" + b.to + "/svc/build-HASH.tar.gz",
		"model_path file://" + b.to + "/svc/weights-HASH/weights.bin",
		"warm_up_data_path file://" + b.to + "/svc/warm-HASH/1.bin",
		"warm_up_data_path file://" + b.to + "/svc/warm-HASH/2.bin",
	}
	if diff := cmp.Diff(want, addresses(p)); diff != "" {
		t.Errorf("uploads, -want +got:\n%s", diff)
	}
	got := fields(t, p.Description, "processor_path", "processor_entry", "model_path", "warm_up_data_path", "cuda", "name")
	for name := range got {
		got[name] = plainAddress(got[name])
	}
	prefix := "file://" + b.to + "/svc/"
	if diff := cmp.Diff(map[string]string{
		"name": "svc", "processor_entry": "libx.so", "processor_path": prefix + "build-HASH.tar.gz",
		"model_path": prefix + "weights-HASH/weights.bin", "warm_up_data_path": prefix + "warm-HASH/",
	}, got); diff != "" {
		t.Errorf("description, -want +got:\n%s", diff)
	}
	for _, u := range p.Uploads {
		data, err := os.ReadFile(strings.TrimPrefix(u.Address, "file://"))
		if err != nil || int64(len(data)) != u.Size || u.Present || u.Sent != u.Size {
			t.Errorf("%+v: %d bytes, %v", u, len(data), err)
		}
	}
	unpacked := filepath.Join(t.TempDir(), "x")
	if _, err := pack.Extract(t.Context(), strings.TrimPrefix(p.Uploads[0].Address, "file://"), unpacked, pack.ExtractOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(unpacked, "libx.so")); err != nil {
		t.Error(err)
	}
	if len(p.Warnings) != len(b.warns) || len(b.warns) != 1 || !strings.Contains(b.warns[0], "EAS itself cannot read file://") {
		t.Errorf("warnings: %q", b.warns)
	}

	// The same once more: the same addresses, nothing is packed, nothing is sent.
	again := b.publish(b.options("service.json"))
	for i, u := range again.Uploads {
		if u.Address != p.Uploads[i].Address || !u.Present || u.Sent != 0 || u.Cached != (u.Field == processorPath) {
			t.Errorf("%+v, before %+v", u, p.Uploads[i])
		}
	}
	if steps := strings.Join(b.steps, "\n"); strings.Contains(steps, "Packing") || !strings.Contains(steps, "has not changed") {
		t.Errorf("steps: %s", steps)
	}

	// Another line: another package, and the one before stays.
	b.write("build/note.txt", "changed")
	third := b.publish(b.options("service.json"))
	if third.Uploads[0].Address == p.Uploads[0].Address || third.Uploads[0].Cached {
		t.Errorf("%+v", third.Uploads[0])
	}
	if _, err := os.Stat(strings.TrimPrefix(p.Uploads[0].Address, "file://")); err != nil {
		t.Error(err)
	}
	packages, err := filepath.Glob(filepath.Join(b.cache, "sources", "*", "*"+packageExt))
	if err != nil || len(packages) != 1 {
		t.Errorf("packages in the cache: %v, %v", packages, err)
	}
}

// The same on OSS, with the credentials of a profile.
func TestPublishOSS(t *testing.T) {
	b := object(t)
	server, err := ossserver.New(ossserver.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	key := config.Credentials{AccessKeyID: "LTAI5tPublish", AccessKeySecret: "secret"}
	server.SetKey(ossserver.Key{ID: key.AccessKeyID, Secret: key.AccessKeySecret, Account: "1"})
	if err := server.CreateBucket("models", "1"); err != nil {
		t.Fatal(err)
	}
	l, err := server.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	options := func() Options {
		o := b.onEAS("service.json")
		o.DryRun = false
		o.Store = store.Options{OSSEndpoint: l.URL, Region: server.Region(), Credentials: credentials.Static(key)}
		return o
	}
	first := b.publish(options())
	if _, received, _ := server.Count(ossserver.PutObject); received == 0 {
		t.Error("nothing was sent")
	}
	for _, u := range first.Uploads {
		addr, err := store.ParseAddress(u.Address)
		if err != nil {
			t.Fatal(err)
		}
		path, err := store.Fetch(t.Context(), addr, store.FetchOptions{Options: options().Store, CacheDir: t.TempDir()})
		if err != nil {
			t.Fatal(err)
		}
		if data, err := os.ReadFile(path); err != nil || int64(len(data)) != u.Size {
			t.Errorf("%s: %d bytes, want %d, %v", u.Address, len(data), u.Size, err)
		}
	}
	server.ForgetRequests()
	again := b.publish(options())
	if n, _, _ := server.Count(ossserver.PutObject); n != 0 || !again.Uploads[0].Present {
		t.Errorf("%d objects were sent again", n)
	}

	// A wrong key ends it, and is not told.
	o := options()
	o.Store.Credentials = credentials.Static{AccessKeyID: key.AccessKeyID, AccessKeySecret: "wrong-one"}
	o.Prefix.Key = "other/"
	if _, err := Publish(t.Context(), o); fault.KindOf(err) != fault.Remote || strings.Contains(err.Error()+fault.HintOf(err), "wrong-one") {
		t.Errorf("%v of kind %v", err, fault.KindOf(err))
	}
}

func TestDryRun(t *testing.T) {
	b := object(t)
	o := b.options("service.json")
	o.DryRun = true
	p := b.publish(o)
	if _, err := os.Stat(b.to); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("something was uploaded: %v", err)
	}
	done := b.publish(b.options("service.json"))
	if diff := cmp.Diff(string(done.Description), string(p.Description)); diff != "" {
		t.Errorf("-done +planned:\n%s", diff)
	}
}

// A damaged package in the cache is not uploaded.
func TestDamagedCache(t *testing.T) {
	b := object(t)
	o := b.options("service.json")
	o.DryRun = true
	first := b.publish(o)
	if err := os.WriteFile(first.Uploads[0].Package, []byte("damaged"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(first.Uploads[0].Package, first.Uploads[0].Size); err != nil {
		t.Fatal(err)
	}
	again := b.publish(b.options("service.json"))
	if again.Uploads[0].Address != first.Uploads[0].Address || again.Uploads[0].Cached {
		t.Errorf("%+v", again.Uploads[0])
	}
}

// The cache does not grow for ever.
func TestPrune(t *testing.T) {
	b := object(t)
	b.publish(b.onEAS("service.json"))
	states, err := filepath.Glob(filepath.Join(b.cache, "sources", "*", "state.json"))
	if err != nil || len(states) != 3 {
		t.Fatalf("%v, %v", states, err)
	}
	old := time.Now().Add(-2 * unused)
	if err := os.Chtimes(states[0], old, old); err != nil {
		t.Fatal(err)
	}
	prune(b.cache)
	left, err := filepath.Glob(filepath.Join(b.cache, "sources", "*"))
	if err != nil || len(left) != 2 || slices.Contains(left, filepath.Dir(states[0])) {
		t.Errorf("%v, %v", left, err)
	}
}

// A file that keeps its size and its time is still read anew when it changes.
func TestUnnoticedChange(t *testing.T) {
	b := object(t)
	first := b.publish(b.onEAS("service.json"))
	info, err := os.Stat("weights.bin")
	if err != nil {
		t.Fatal(err)
	}
	b.write("weights.bin", "THE MODEL")
	if err := os.Chtimes("weights.bin", info.ModTime(), info.ModTime()); err != nil {
		t.Fatal(err)
	}
	if again := b.publish(b.onEAS("service.json")); again.Uploads[1].Address == first.Uploads[1].Address {
		t.Errorf("%s for both", again.Uploads[1].Address)
	}
}

// A package does not change with the description that lies in it.
func TestDescriptionInPackage(t *testing.T) {
	b := object(t)
	b.write("build/service.json", description("./", "libx.so", ""))
	t.Chdir("build")
	first := b.publish(b.onEAS("build/service.json"))
	b.write("build/service.json", description("./", "libx.so", `, "model_config": "x"`))
	second := b.publish(b.onEAS("build/service.json"))
	if first.Uploads[0].Address != second.Uploads[0].Address || !second.Uploads[0].Cached {
		t.Errorf("%+v, %+v", first.Uploads[0], second.Uploads[0])
	}
	if want := "processor_path oss://models/team/svc/build-HASH.tar.gz"; addresses(first)[0] != want {
		t.Errorf("%s, want %s", addresses(first)[0], want)
	}
}

func TestFiles(t *testing.T) {
	b := object(t)
	b.run("tar", "-czf", "p.bin", "-C", "build", ".")
	b.run("tar", "-cjf", "p.tar.bz2", "-C", "build", ".")
	b.run("cp", "build/libx.so", "libx.so.1")
	for _, tt := range []struct {
		name, text string
		want       string
		entry      string
	}{
		{"a shared object arrives under another name", description("build/libx.so", "./libx.so", ""), "processor_path oss://models/team/svc/libx-HASH.so", "libx-HASH.so"},
		{"a shared object with a version", description("libx.so.1", "libx.so.1", ""), "processor_path oss://models/team/svc/libx-HASH.so.1", "libx-HASH.so.1"},
		{"an archive that is not called one", description("p.bin", "libx.so", ""), "processor_path oss://models/team/svc/p.bin-HASH.tar.gz", "libx.so"},
		{"an archive", description("p.tar.bz2", "libx.so", ""), "processor_path oss://models/team/svc/p-HASH.tar.bz2", "libx.so"},
		{"an address stays", description("oss://other/p.tar.gz", "libx.so", ""), "", "libx.so"},
		{"a built-in processor", `{"name": "svc", "processor": "pmml", "model_path": "weights.bin", "metadata": {"instance": 1, "cpu": 1}}`, "model_path oss://models/team/svc/weights-HASH/weights.bin", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b.write("service.json", tt.text)
			for range 2 { // the second time from what is known
				p := b.publish(b.onEAS("service.json"))
				if got := strings.Join(addresses(p), " "); got != tt.want {
					t.Errorf("%q, want %q", got, tt.want)
				}
				if got := plainAddress(fields(t, p.Description, "processor_entry")["processor_entry"]); got != tt.entry {
					t.Errorf("processor_entry %q, want %q", got, tt.entry)
				}
			}
		})
	}
}

// What EAS unpacks goes by the name.
func TestNamedArchive(t *testing.T) {
	b := newBench(t, map[string]string{
		"m.tar.gz": "no archive", "m.bin": "", "m.gz": "",
	})
	for name, want := range map[string]bool{"m.tar.gz": true, "m.bin": false, "m.gz": false} {
		b.write("service.json", `{"name": "svc", "processor": "pmml", "model_path": "`+name+`", "metadata": {"instance": 1, "cpu": 1}}`)
		b.publish(b.onEAS("service.json"))
		if got := strings.Contains(strings.Join(b.warns, "\n"), "by its content it is not"); got != want {
			t.Errorf("%s: warnings %q", name, b.warns)
		}
	}
}

func TestModelDirectory(t *testing.T) {
	b := newBench(t, map[string]string{
		"my model/part/a": "a", "my model/.git/x": "x", "my model/b.tmp": "b", "my model/.easignore": "*.tmp\n",
		"service.json": `{"name": "svc", "processor": "pmml", "model_path": "my model/", "model_entry": "part/a", "metadata": {"instance": 1, "cpu": 1}}`,
	})
	p := b.publish(b.options("service.json"))
	if want := "model_path file://" + b.to + "/svc/my_model-HASH.tar.gz"; strings.Join(addresses(p), " ") != want {
		t.Errorf("%q, want %q", addresses(p), want)
	}
	if got := fields(t, p.Description, "model_entry")["model_entry"]; got != "part/a" {
		t.Errorf("model_entry %q", got)
	}
	unpacked := filepath.Join(t.TempDir(), "x")
	stats, err := pack.Extract(t.Context(), strings.TrimPrefix(p.Uploads[0].Address, "file://"), unpacked, pack.ExtractOptions{})
	if err != nil || stats.Files != 1 {
		t.Errorf("%+v, %v", stats, err)
	}
}

func TestPublishFaults(t *testing.T) {
	b := object(t)
	b.write("glibc.map", "GLIBC_2.99 { future; };")
	b.write("glibc.c", "int future(int n) { return n; }")
	b.write("new.c", processorSource+"int future(int);\nint more(void) { return future(1); }\n")
	b.write("bad.c", "int initialize(void) { return 0; }")
	for _, dir := range []string{"stub", "new", "cpu", "zlib", "bad", "empty"} {
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	b.run("gcc", "-shared", "-fPIC", "-nostdlib", "-o", "stub/libc.so.6", "glibc.c", "-Wl,-soname,libc.so.6,--version-script=glibc.map")
	b.run("gcc", "-shared", "-fPIC", "-o", "new/libx.so", "new.c", "stub/libc.so.6")
	b.run("gcc", "-shared", "-fPIC", "-o", "bad/libx.so", "bad.c")
	data, err := os.ReadFile("build/libx.so")
	if err != nil {
		t.Fatal(err)
	}
	data[18] = 183 // arm64
	b.write("cpu/libx.so", string(data))
	b.run("tar", "-czf", "new.tar.gz", "-C", "new", ".")
	b.write("hollow.tar.gz", "")
	b.run("gcc", "-shared", "-fPIC", "-o", "stub/libnowhere.so.3", "glibc.c", "-Wl,-soname,libnowhere.so.3")
	b.run("gcc", "-shared", "-fPIC", "-o", "zlib/libx.so", "processor.c", "-Wl,--no-as-needed", "stub/libnowhere.so.3")

	for _, tt := range []struct {
		name, text string
		kind       fault.Kind
		want       string
		elsewhere  string // the warning on a target of one's own; empty: the same error
	}{
		{"glibc", description("new", "libx.so", ""), fault.Processor, "libx.so needs GLIBC_2.99 of libc.so.6 (for future); EAS has GLIBC_2.36", "GLIBC_2.99"},
		{"glibc, in a package", description("new.tar.gz", "libx.so", ""), fault.Processor, "needs GLIBC_2.99", "GLIBC_2.99"},
		{"glibc, one file", description("new/libx.so", "libx.so", ""), fault.Processor, "needs GLIBC_2.99", "GLIBC_2.99"},
		{"CPU", description("cpu", "libx.so", ""), fault.Processor, "it is built for arm64, and EAS has x86-64", "built for arm64"},
		{"library", description("zlib", "libx.so", ""), fault.Processor, "the shared library libnowhere.so.3, needed by libx.so, is not on EAS", "libnowhere.so.3"},
		{"functions", description("bad", "libx.so", ""), fault.Processor, "process", ""},
		{"entry", description("build", "liby.so", ""), fault.Description, "the processor holds no file liby.so", ""},
		{"entry of a file", description("build/libx.so", "liby.so", ""), fault.Description, "the processor holds no file liby.so", ""},
		{"nothing there", description("nowhere", "libx.so", ""), fault.Description, "processor_path: there is no", ""},
		{"empty model", description("build", "libx.so", `, "model_path": "empty"`), fault.Description, "holds nothing to pack", ""},
		{"empty archive as a model", description("build", "libx.so", `, "model_path": "hollow.tar.gz"`), fault.Description, "hollow.tar.gz is empty, and EAS would fail to unpack it", ""},
		{"empty archive as a processor", description("hollow.tar.gz", "libx.so", ""), fault.Description, "processor_path: ", ""},
		{"everything", description("build", "libx.so", `, "model_path": "/"`), fault.Description, "model_path: / is all of this machine's files", ""},
		{"no requests", description("build", "libx.so", `, "warm_up_data_path": "empty"`), fault.Description, "holds no files", ""},
		{"s3", description("build", "libx.so", `, "model_path": "s3://bucket/m"`), fault.Description, "not a place that the platform can read", "EAS itself cannot read s3://"},
		{"instances", `{"name": "svc", "processor": "pmml", "model_path": "weights.bin", "metadata": {"cpu": 1}}`, fault.Description, "metadata.instance", ""},
		{"no Python", strings.ReplaceAll(description("build", "app.py", ""), "cpp", "python"), fault.Processor, "there is no Python on EAS", "there is no Python on EAS"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b.write("build/app.py", "")
			b.write("service.json", tt.text)
			_, err := Publish(t.Context(), b.onEAS("service.json"))
			if err == nil || fault.KindOf(err) != tt.kind || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%v of kind %v, want %q of kind %v", err, fault.KindOf(err), tt.want, tt.kind)
			}
			_, err = Publish(t.Context(), b.options("service.json"))
			switch {
			case tt.elsewhere == "" && (err == nil || !strings.Contains(err.Error(), tt.want)):
				t.Errorf("elsewhere: %v, want %q", err, tt.want)
			case tt.elsewhere != "" && err != nil:
				t.Errorf("elsewhere: %v", err)
			case tt.elsewhere != "" && !strings.Contains(strings.Join(b.warns, "\n"), tt.elsewhere):
				t.Errorf("elsewhere: warnings %q, want %q", b.warns, tt.elsewhere)
			}
			if tt.elsewhere == "" {
				if found, _ := filepath.Glob(filepath.Join(b.to, "*")); len(found) > 0 {
					t.Errorf("uploaded although a check failed: %v", found)
				}
			}
			os.RemoveAll(b.to)
		})
	}
}

func TestPrefix(t *testing.T) {
	b := newBench(t, map[string]string{
		"m":            "model",
		"local.json":   `{"name": "svc", "processor": "pmml", "model_path": "m", "metadata": {"instance": 1, "cpu": 1}}`,
		"address.json": `{"name": "svc", "processor": "pmml", "model_path": "oss://b-1/m", "metadata": {"instance": 1, "cpu": 1}}`,
	})
	o := b.onEAS("local.json")
	o.Prefix = store.Address{}
	if _, err := Publish(t.Context(), o); fault.KindOf(err) != fault.Description || !strings.Contains(fault.HintOf(err), "upload_prefix") {
		t.Errorf("%v (%s)", err, fault.HintOf(err))
	}
	o = b.onEAS("local.json")
	o.Prefix = store.Address{Scheme: store.S3, Bucket: "models"}
	if _, err := Publish(t.Context(), o); fault.KindOf(err) != fault.Description || !strings.Contains(err.Error(), "EAS reads oss:// only") {
		t.Error(err)
	}
	o = b.onEAS("address.json")
	o.Prefix = store.Address{}
	if p := b.publish(o); len(p.Uploads) != 0 {
		t.Errorf("%+v", p.Uploads)
	}
}

// javaProcessor is a class file with what EAS calls.
func javaProcessor(name string) string {
	return string(classtest.Bytes(classfile.Class{Access: classfile.Public, Name: name, Methods: []classfile.Member{
		{Access: classfile.Public, Name: "<init>", Descriptor: "(Ljava/lang/String;Ljava/lang/String;)V"},
		{Access: classfile.Public, Name: "Process", Descriptor: "([B)[B"},
	}}))
}

func TestJava(t *testing.T) {
	b := newBench(t, map[string]string{
		"classes/com/example/Echo.class": javaProcessor("com.example.Echo"),
		"classes/META-INF/MANIFEST.MF":   "Manifest-Version: 1.0\n",
		"lib/readme":                     "x",
	})
	text := func(path, class string) string {
		return fmt.Sprintf(`{"name": "svc", "processor_path": %q, "processor_mainclass": %q, "processor_type": "java", "metadata": {"instance": 1, "cpu": 1}}`, path, class)
	}
	if _, err := exec.LookPath("zip"); err == nil {
		t.Chdir("classes")
		b.run("sh", "-c", "cd classes && zip -qr ../echo.jar . && cp ../echo.jar ../lib")
		t.Chdir(b.dir)
	} else {
		b.run("jar", "cf", "echo.jar", "-C", "classes", "com")
		b.run("cp", "echo.jar", "lib")
	}
	b.write("broken.jar", "no zip")
	for _, tt := range []struct{ name, path, class, want, hint string }{
		{"jar", "echo.jar", "com.example.Echo", "", ""},
		{"directory of jars", "lib", "com.example.Echo", "", ""},
		{"directory of classes", "classes", "com.example.Echo", "", ""},
		{"another package", "echo.jar", "com.other.Echo", "com.other.Echo cannot be used as a processor: no class of this name is in echo.jar", "com.example.Echo"},
		{"not there", "lib", "Nothing", "no class of this name is in echo.jar", "com.example.Echo"},
		{"no jar", "broken.jar", "com.example.Echo", "broken.jar is no jar but a text file", "build or copy it again"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b.write("service.json", text(tt.path, tt.class))
			p, err := Publish(t.Context(), b.onEAS("service.json"))
			switch {
			case tt.want == "" && err != nil:
				t.Error(err)
			case tt.want == "" && tt.path == "echo.jar" && addresses(p)[0] != "processor_path oss://models/team/svc/echo-HASH.jar":
				t.Errorf("%q", addresses(p))
			case tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want) || !strings.Contains(fault.HintOf(err), tt.hint)):
				t.Errorf("%v (%s), want %q (%s)", err, fault.HintOf(err), tt.want, tt.hint)
			}
		})
	}
}
