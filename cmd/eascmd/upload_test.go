package main

import (
	"encoding/json"
	"errors"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/openeas/eascmd/pkg/config"
	"github.com/openeas/eascmd/pkg/ui"
	"github.com/openeas/eascmd/test/ossserver"
)

// uploadDir makes a directory of files the current one. to is a store.
func uploadDir(t *testing.T, files ...string) (dir, to string) {
	t.Helper()
	dir = emptyHome(t)
	t.Setenv("XDG_CACHE_HOME", filepath.Join(dir, "cache"))
	to = filepath.Join(dir, "store")
	work := filepath.Join(dir, "work")
	if err := os.Mkdir(work, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Chdir(work)
	for _, name := range files {
		if err := errors.Join(os.MkdirAll(filepath.Dir(name), 0o755), os.WriteFile(name, []byte("content of "+name), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	return work, to
}

// stored lists what is in a store that is a directory.
func stored(t *testing.T, to string) []string {
	t.Helper()
	var names []string
	err := filepath.WalkDir(to, func(path string, d os.DirEntry, err error) error {
		if err == nil && d.Name() == ".eascmd" {
			return filepath.SkipDir // what the store keeps beside objects
		}
		if err != nil || d.IsDir() {
			return err
		}
		rel, err := filepath.Rel(to, path)
		names = append(names, filepath.ToSlash(rel))
		return err
	})
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	return names
}

func TestUpload(t *testing.T) {
	for _, tt := range []struct {
		name string
		args []string
		want []string
		line string // the last on standard output
	}{
		{"a file", []string{"model.bin"}, []string{"p/model.bin"}, "Succeed: Total num: 1, size: 20. OK num: 1(upload 1 files)."},
		{"a file below", []string{"./dir/sub/b"}, []string{"p/b"}, "Succeed: Total num: 1, size: 20. OK num: 1(upload 1 files)."},
		{"a file with its path", []string{"./dir/sub/b", "--keep"}, []string{"p/dir/sub/b"}, "Succeed: Total num: 1, size: 20. OK num: 1(upload 1 files)."},
		{"a directory", []string{"dir"}, []string{"p/a", "p/sub/b"}, "Succeed: Total num: 2, size: 36. OK num: 2(upload 2 files)."},
		{"a directory with its path", []string{"dir/", "--keep"}, []string{"p/dir/a", "p/dir/sub/b"}, "Succeed: Total num: 2, size: 36. OK num: 2(upload 2 files)."},
		{"this directory", []string{".", "--keep"}, []string{"p/dir/a", "p/dir/sub/b", "p/model.bin"}, "Succeed: Total num: 3, size: 56. OK num: 3(upload 3 files)."},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, to := uploadDir(t, "model.bin", "dir/a", "dir/sub/b")
			args := append([]string{"upload", "--to", "file://" + to + "/p"}, tt.args...)
			got := runMain(t, "", args...)
			if got.status != 0 {
				t.Fatalf("%+v", got)
			}
			if diff := cmp.Diff(tt.want, stored(t, to)); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
			target := "file://" + to + "/p/"
			if len(tt.want) == 1 {
				target = "file://" + to + "/" + tt.want[0]
			}
			if want := "[OK] file target path: [" + target + "]\n" + tt.line + "\n"; got.stdout != want {
				t.Errorf("standard output %q, want %q", got.stdout, want)
			}
			if want := regexp.MustCompile(`(?m)^\[OK\] file endpoint:    \[.+\]$`); !want.MatchString(got.stderr) {
				t.Errorf("standard error %q", got.stderr)
			}

			again := runMain(t, "", append(args, "-o", "json")...)
			var result uploadResult
			if err := json.Unmarshal([]byte(again.stdout), &result); err != nil {
				t.Fatalf("%v: %+v", err, again)
			}
			for _, f := range result.Files {
				if !f.Present || f.Sent != 0 || len(f.SHA256) != 64 {
					t.Errorf("%+v", f)
				}
			}
			if result.Total != len(tt.want) || len(result.Files) != len(tt.want) || len(result.Failed) != 0 {
				t.Errorf("%+v", result)
			}
		})
	}
}

func TestUploadPrefixOfProfile(t *testing.T) {
	_, to := uploadDir(t, "a")
	t.Setenv("EASCMD_UPLOAD_PREFIX", "file://"+to+"/from/profile")
	if got := runMain(t, "", "upload", "a"); got.status != 0 {
		t.Fatalf("%+v", got)
	}
	if diff := cmp.Diff([]string{"from/profile/a"}, stored(t, to)); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestUploadMistakes(t *testing.T) {
	_, to := uploadDir(t, "a", "work/b")
	if err := os.Mkdir("empty", 0o755); err != nil {
		t.Fatal(err)
	}
	prefix := "file://" + to
	for _, tt := range []struct {
		args   []string
		status int
		want   string
	}{
		{[]string{}, 2, "the file or directory is missing"},
		{[]string{"a", "b"}, 2, "too many"},
		{[]string{"a"}, 3, "eascmd: hint: name it with --to oss://BUCKET/PREFIX, or store it with `eascmd config set upload_prefix"},
		{[]string{"nothing", "--to", prefix}, 2, "there is no file or directory nothing"},
		{[]string{"empty", "--to", prefix}, 2, "there are no files in empty"},
		{[]string{"a", "--to", "bucket/x"}, 2, `--to: "bucket/x" is no address of an object store`},
		{[]string{"../work/a", "--keep", "--to", prefix}, 2, "leads out of the current directory"},
		{[]string{"a", "--to", prefix, "--parallel", "-1"}, 2, "it is 1 to 16"},
		{[]string{"a", "--to", prefix, "--parallel", "17"}, 2, "it is 1 to 16"},
		{[]string{"a", "--to", prefix, "--limit-rate", "fast"}, 2, "a size is a number"},
	} {
		got := runMain(t, "", append([]string{"upload"}, tt.args...)...)
		if got.status != tt.status || got.stdout != "" || !strings.Contains(got.stderr, tt.want) {
			t.Errorf("%q: %+v", tt.args, got)
		}
	}
	if names := stored(t, to); len(names) != 0 {
		t.Errorf("stored: %q", names)
	}
}

// Every command that uploads knows how much of the line it may take.
func TestLineOfEveryUpload(t *testing.T) {
	emptyHome(t)
	for _, args := range [][]string{
		{"create", "service.json"}, {"apply", "service.json"}, {"modify", "echo", "-D", "metadata.cpu=1"},
		{"pysdk", "pack", "demo", "--upload"},
	} {
		for flag, want := range map[string]string{"--parallel=17": "it is 1 to 16", "--limit-rate=fast": "a size is a number"} {
			if got := runMain(t, "", append(args, flag)...); got.status != 2 || !strings.Contains(got.stderr, want) {
				t.Errorf("%q %s: %+v", args, flag, got)
			}
		}
	}
	if got := runMain(t, "", "pysdk", "pack", "demo", "--parallel", "2"); got.status != 2 || !strings.Contains(got.stderr, "add --upload") {
		t.Errorf("without --upload: %+v", got)
	}
}

// Before anything is sent to OSS it is said as whom.
func TestUploadSaysAsWhom(t *testing.T) {
	uploadDir(t, "a")
	server, err := ossserver.New(ossserver.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	const id, secret = "LTAI5tUploadAsWhom", "upload-secret"
	server.SetKey(ossserver.Key{ID: id, Secret: secret, Account: "1"})
	if err := server.CreateBucket("models", "1"); err != nil {
		t.Fatal(err)
	}
	front := httptest.NewServer(server)
	defer front.Close()
	for name, value := range map[string]string{
		"ACCESS_KEY_ID": id, "ACCESS_KEY_SECRET": secret, "REGION": server.Region(), "OSS_ENDPOINT": front.URL,
	} {
		t.Setenv("EASCMD_"+name, value)
	}
	got := runMain(t, "", "upload", "a", "--to", "oss://models/x")
	if got.status != 0 {
		t.Fatalf("%+v", got)
	}
	want := "endpoint " + front.URL + ", profile default, account " + config.Mask(id) + "\n[OK] oss endpoint:"
	if !strings.Contains(got.stderr, want) || strings.Contains(got.stderr+got.stdout, secret) {
		t.Errorf("standard error %q, want %q", got.stderr, want)
	}
}

// What cannot be uploaded is told, the rest is uploaded, and the status is not 0.
func TestUploadLoses(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("missing: symbolic links")
	}
	_, to := uploadDir(t, "dir/a", "dir/z", "dir/b\nc", "other/x")
	if err := errors.Join(os.Symlink("nowhere", "dir/dangling"), os.Symlink("../other", "dir/linked"), os.Symlink("a", "dir/link")); err != nil {
		t.Fatal(err)
	}
	got := runMain(t, "", "upload", "dir", "--to", "file://"+to)
	if got.status != 1 {
		t.Fatalf("%+v", got)
	}
	if diff := cmp.Diff([]string{"a", "link", "z"}, stored(t, to)); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if want := "FinishWithError: Total num: 6, size: 66. Error num: 3. OK num: 3(upload 3 files)."; !strings.Contains(got.stdout, want) {
		t.Errorf("standard output %q, want %q", got.stdout, want)
	}
	for _, want := range []string{"3 of 6 files were not uploaded", "dangling", "which is not followed", `"dir/b\nc": "b\nc" cannot be the name of an object`} {
		if !strings.Contains(got.stderr, want) {
			t.Errorf("standard error %q, without %q", got.stderr, want)
		}
	}
}

// Through a link to a directory is what is in it.
func TestUploadLink(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("missing: symbolic links")
	}
	_, to := uploadDir(t, "dir/a")
	if err := os.Symlink("dir", "link"); err != nil {
		t.Fatal(err)
	}
	if got := runMain(t, "", "upload", "link", "--keep", "--to", "file://"+to); got.status != 0 {
		t.Fatalf("%+v", got)
	}
	if diff := cmp.Diff([]string{"link/a"}, stored(t, to)); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestPysdkPackUploads(t *testing.T) {
	processorDir(t)
	to := filepath.Join(t.TempDir(), "store")
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	got := runMain(t, "", "pysdk", "pack", "-u", "demo", "--to", "file://"+to+"/p", "-o", "json")
	if got.status != 0 {
		t.Fatalf("%+v", got)
	}
	var result struct {
		SHA256 string
		Upload struct {
			Files []struct{ Address, SHA256 string }
		}
	}
	if err := json.Unmarshal([]byte(got.stdout), &result); err != nil {
		t.Fatal(err)
	}
	if f := result.Upload.Files; len(f) != 1 || f[0].Address != "file://"+to+"/p/demo.tar.gz" || f[0].SHA256 != result.SHA256 {
		t.Errorf("%+v", result)
	}
	if want := "[OK] file target path: [file://" + to + "/p/demo.tar.gz]"; !strings.Contains(got.stderr, want) {
		t.Errorf("standard error %q, without %q", got.stderr, want)
	}
	if diff := cmp.Diff([]string{"p/demo.tar.gz"}, stored(t, to)); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestThousands(t *testing.T) {
	for n, want := range map[int64]string{0: "0", 999: "999", 1000: "1,000", 33013: "33,013", 1234567890: "1,234,567,890"} {
		if got := thousands(n); got != want {
			t.Errorf("%d: %s, want %s", n, got, want)
		}
	}
}

// With -o json progress is an object a line on standard error, and there is one
// that says all is done.
func TestTransferEvents(t *testing.T) {
	var talk strings.Builder
	a := newApp(strings.NewReader(""), &strings.Builder{}, &talk)
	a.output = ui.JSON
	bar := a.transfer("uploading")
	bar.Reading("a", 1, 1<<30)
	for done := int64(0); done <= 10; done++ {
		bar.Sending("a", done, 10)
	}
	bar.Done()
	bar.Done()
	lines := strings.Split(strings.TrimSpace(talk.String()), "\n")
	var last transferEvent
	for _, line := range lines {
		if err := json.Unmarshal([]byte(line), &last); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
	}
	if diff := cmp.Diff(transferEvent{Event: "progress", File: "a", Done: 10, Total: 10, Rate: last.Rate}, last); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}
