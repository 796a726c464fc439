package store_test

import (
	"bytes"
	"io/fs"
	"log"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/openeas/eascmd/internal/fault"
	"github.com/openeas/eascmd/pkg/store"
	"github.com/openeas/eascmd/pkg/store/storetest"
	"github.com/openeas/eascmd/test/ossserver"
)

// TestOSS holds the store against a server that does as OSS does.
func TestOSS(t *testing.T) {
	storetest.Run(t, storetest.Suite{New: func(t *testing.T) (store.Store, store.Address) {
		r := newOSSRig(t)
		return r.open(t, r.opts), store.Address{Scheme: store.OSS, Bucket: ossBucket, Key: "place/"}
	}})
}

const (
	ossPart  = 128 << 10
	ossParts = 8
	ossSize  = (ossParts-1)*ossPart + 777
)

// ossTransfer is a file, an address that it goes to, and a cache.
type ossTransfer struct {
	*ossRig
	data     []byte
	upload   store.UploadOptions
	fetch    store.FetchOptions
	warnings []string
}

func newOSSTransfer(t *testing.T) *ossTransfer {
	t.Helper()
	x := &ossTransfer{ossRig: newOSSRig(t), data: storetest.Noise(7, ossSize)}
	file := filepath.Join(t.TempDir(), "model")
	if err := os.WriteFile(file, x.data, 0o600); err != nil {
		t.Fatal(err)
	}
	cache, warn := t.TempDir(), func(text string) { x.warnings = append(x.warnings, text) }
	x.upload = store.UploadOptions{
		File: file, To: store.Address{Scheme: store.OSS, Bucket: ossBucket, Key: "a/model"}, Options: x.opts, CacheDir: cache,
		PartSize: ossPart, Parallel: 2, RetryDelay: time.Millisecond, Warn: warn,
	}
	x.fetch = store.FetchOptions{Options: x.opts, CacheDir: cache, RetryDelay: time.Millisecond, Warn: warn}
	return x
}

// wantObject holds what the server has against the file.
func (x *ossTransfer) wantObject(t *testing.T) {
	t.Helper()
	path, err := store.Fetch(t.Context(), x.upload.To, x.fetch)
	if err != nil {
		t.Fatal(err)
	}
	x.wantFile(t, path)
}

func (x *ossTransfer) wantFile(t *testing.T, path string) {
	t.Helper()
	if got, err := os.ReadFile(path); err != nil || !bytes.Equal(got, x.data) {
		t.Errorf("%d bytes came, not the %d of the file: %v", len(got), len(x.data), err)
	}
}

// A fault in the middle of an upload costs the parts that it hits and nothing
// else.
func TestOSSUploadFaults(t *testing.T) {
	tests := []struct {
		name  string
		again int // parts that are sent once more
		ossserver.Fault
		all bool // all is sent anew
	}{
		{name: "begin fails", Fault: ossserver.Fault{Operation: ossserver.InitiateMultipartUpload, Action: ossserver.Fail}},
		{name: "begin is lost", Fault: ossserver.Fault{Operation: ossserver.InitiateMultipartUpload, Action: ossserver.DropAnswer}},
		{name: "part is cut", again: 1, Fault: ossserver.Fault{Operation: ossserver.UploadPart, Part: 3, Action: ossserver.DropRequest, Bytes: 50_000}},
		{name: "part's answer is lost", again: 1, Fault: ossserver.Fault{Operation: ossserver.UploadPart, Part: 3, Action: ossserver.DropAnswer}},
		{name: "part fails twice", again: 2, Fault: ossserver.Fault{Operation: ossserver.UploadPart, Part: 3, Action: ossserver.Fail, Times: 2}},
		{name: "part arrives damaged", again: 1, Fault: ossserver.Fault{Operation: ossserver.UploadPart, Part: 3, Action: ossserver.CorruptRequest}},
		{name: "part's CRC is another", again: 1, Fault: ossserver.Fault{Operation: ossserver.UploadPart, Part: 3, Action: ossserver.WrongCRC}},
		{name: "every part is throttled once", again: ossParts, Fault: ossserver.Fault{Operation: ossserver.UploadPart, Action: ossserver.Fail, Status: 503, Code: "ServerBusy", Times: ossParts}},
		{name: "refused before it is sent", again: 1, Fault: ossserver.Fault{Operation: ossserver.UploadPart, Part: 3, Action: ossserver.Fail, Status: 503, Code: "TotalQpsLimitExceeded", Early: true}},
		{name: "upload is lost", all: true, Fault: ossserver.Fault{Operation: ossserver.UploadPart, Part: ossParts, Action: ossserver.LoseUpload}},
		{name: "completion fails", Fault: ossserver.Fault{Operation: ossserver.CompleteMultipartUpload, Action: ossserver.Fail}},
		{name: "completion is lost", Fault: ossserver.Fault{Operation: ossserver.CompleteMultipartUpload, Action: ossserver.DropAnswer}},
		{name: "upload is lost at the end", all: true, Fault: ossserver.Fault{Operation: ossserver.CompleteMultipartUpload, Action: ossserver.LoseUpload}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			x := newOSSTransfer(t)
			x.Inject(test.Fault)
			done, err := store.Upload(t.Context(), x.upload)
			if err != nil {
				t.Fatal(err)
			}
			if len(x.Faults()) != 0 {
				t.Error("it did not happen")
			}
			if done.Confirmed != store.CRC64 {
				t.Errorf("the store has confirmed it by %q", done.Confirmed)
			}
			sent, _, _ := x.Count(ossserver.UploadPart)
			if want := ossParts + test.again; sent != want && !test.all {
				t.Errorf("%d parts were sent, want %d", sent, want)
			}
			// Which part fails twice, and that is told, is a matter of chance.
			said := slices.DeleteFunc(x.warnings, func(text string) bool { return strings.Contains(text, "attempts have failed") })
			if len(said) > 0 != test.all {
				t.Errorf("it is said: %q", said)
			}
			x.wantObject(t)
		})
	}
}

// What is to wait is left alone for as long as the store asks.
func TestOSSRetryAfter(t *testing.T) {
	t.Parallel()
	x := newOSSTransfer(t)
	x.Inject(ossserver.Fault{Operation: ossserver.UploadPart, Part: 1, Action: ossserver.Fail, Status: 503, Code: "QpsLimitExceeded", RetryAfter: 1})
	began := time.Now()
	if _, err := store.Upload(t.Context(), x.upload); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(began); took < time.Second {
		t.Errorf("it took %s", took)
	}
}

// What does not pass ends an upload with a reason, and the next one goes on.
func TestOSSUploadRefused(t *testing.T) {
	t.Parallel()
	x := newOSSTransfer(t)
	for _, f := range []struct {
		ossserver.Fault
		want string
	}{
		{ossserver.Fault{Action: ossserver.Fail, Status: 403, Code: "AccessDenied"}, "AccessDenied"},
		{ossserver.Fault{Action: ossserver.Fail, Status: 503, Code: "ServerBusy", Times: -1}, "ServerBusy"},
		{ossserver.Fault{Action: ossserver.CorruptRequest, Times: -1}, "what arrived is damaged"},
		{ossserver.Fault{Action: ossserver.DropRequest, Times: -1}, ""},
	} {
		f.Operation, f.Part = ossserver.UploadPart, ossParts
		x.Inject(f.Fault)
		_, err := store.Upload(t.Context(), x.upload)
		if err == nil || !strings.Contains(err.Error(), f.want) || fault.HintOf(err) == "" {
			t.Errorf("got %v (hint: %s), want %s", err, fault.HintOf(err), f.want)
		}
		noSecrets(t, err, ossKey)
		x.ClearFaults()
	}
	x.ForgetRequests()
	done, err := store.Upload(t.Context(), x.upload)
	if err != nil {
		t.Fatal(err)
	}
	if n, _, _ := x.Count(ossserver.UploadPart); n != 1 || done.Resumed != (ossParts-1)*ossPart {
		t.Errorf("%d parts were sent, %d bytes had been", n, done.Resumed)
	}
	x.wantObject(t)
	again, err := store.Upload(t.Context(), x.upload)
	if err != nil || !again.Skipped {
		t.Errorf("it was sent again: %+v, %v", again, err)
	}
}

// Parts that the store has given up meanwhile are sent anew.
func TestOSSUploadExpired(t *testing.T) {
	t.Parallel()
	x := newOSSTransfer(t)
	x.Inject(ossserver.Fault{Operation: ossserver.UploadPart, Part: ossParts, Action: ossserver.Fail, Status: 403, Code: "AccessDenied"})
	if _, err := store.Upload(t.Context(), x.upload); err == nil {
		t.Fatal("it went well")
	}
	x.ExpireUploads(ossBucket)
	if _, err := store.Upload(t.Context(), x.upload); err != nil {
		t.Fatal(err)
	}
	if len(x.warnings) != 1 || !strings.Contains(x.warnings[0], "the store has given it up") {
		t.Errorf("it is said: %q", x.warnings)
	}
	x.wantObject(t)
	if left := x.Uploads(ossBucket); len(left) != 0 {
		t.Errorf("uploads are left: %v", left)
	}
}

// A fault in a download ends in the right bytes or in a reason.
func TestOSSFetchFaults(t *testing.T) {
	tests := []struct {
		name string
		ossserver.Fault
		want string // the error, where there is one
	}{
		{name: "cut", Fault: ossserver.Fault{Action: ossserver.DropAnswer, Bytes: ossSize / 2, Times: 2}},
		{name: "lost", Fault: ossserver.Fault{Action: ossserver.DropAnswer, Times: 2}},
		{name: "throttled", Fault: ossserver.Fault{Action: ossserver.Fail, Status: 503, Code: "ServerBusy", Times: 2}},
		{name: "damaged once", Fault: ossserver.Fault{Action: ossserver.CorruptAnswer}},
		{name: "damaged always", Fault: ossserver.Fault{Action: ossserver.CorruptAnswer, Times: -1}, want: "damaged"},
		{name: "fails always", Fault: ossserver.Fault{Action: ossserver.Fail, Times: -1}, want: "InternalError"},
		{name: "cut always", Fault: ossserver.Fault{Action: ossserver.DropAnswer, Times: -1}, want: "EOF"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			x := newOSSTransfer(t)
			if _, err := store.Upload(t.Context(), x.upload); err != nil {
				t.Fatal(err)
			}
			test.Operation = ossserver.GetObject
			x.Inject(test.Fault)
			path, err := store.Fetch(t.Context(), x.upload.To, x.fetch)
			if test.want == "" {
				if err != nil {
					t.Fatal(err)
				}
				x.wantFile(t, path)
				return
			}
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want %s", err, test.want)
			}
			noSecrets(t, err, ossKey)
			x.ClearFaults()
			x.wantObject(t)
		})
	}
}

// Nothing that a transfer leaves behind or says has a secret in it, nor does the
// SDK print or log anything.
func TestOSSSecrets(t *testing.T) {
	x := newOSSTransfer(t)
	key := ossserver.Key{ID: "STS.NTExample", Secret: "secret-of-sts", Token: "token-of-sts", Account: ossKey.Account}
	x.SetKey(key)
	x.upload.Options.Credentials = &ossKeys{key: key}
	x.fetch.Options.Credentials = x.upload.Options.Credentials

	printed, err := os.Create(filepath.Join(t.TempDir(), "printed"))
	if err != nil {
		t.Fatal(err)
	}
	defer printed.Close()
	stdout, stderr := os.Stdout, os.Stderr
	os.Stdout, os.Stderr = printed, printed
	log.SetOutput(printed)
	restore := func() {
		os.Stdout, os.Stderr = stdout, stderr
		log.SetOutput(stderr)
	}
	defer restore()
	var failures []error
	for _, f := range []ossserver.Fault{
		{Operation: ossserver.UploadPart, Part: 5, Action: ossserver.Fail, Status: 403, Code: "SignatureDoesNotMatch"},
		{Operation: ossserver.UploadPart, Part: 6, Action: ossserver.DropRequest, Times: -1},
		{Operation: ossserver.CompleteMultipartUpload, Action: ossserver.Fail, Status: 400, Code: "InvalidArgument"},
	} {
		x.Inject(f)
		_, err := store.Upload(t.Context(), x.upload)
		failures = append(failures, err)
		x.ClearFaults()
	}
	left := map[string]string{}
	err = filepath.WalkDir(x.upload.CacheDir, func(path string, e fs.DirEntry, err error) error {
		if err == nil && e.Type().IsRegular() {
			var text []byte
			text, err = os.ReadFile(path)
			left[path] = string(text)
		}
		return err
	})
	_, last := store.Upload(t.Context(), x.upload)
	restore()
	if err != nil || last != nil {
		t.Fatal(err, last)
	}
	for _, err := range failures {
		if err == nil {
			t.Error("it went well")
		}
		noSecrets(t, err, key)
	}
	text, err := os.ReadFile(printed.Name())
	if err != nil || len(text) != 0 {
		t.Errorf("it was printed: %s (%v)", text, err)
	}
	if len(left) == 0 {
		t.Error("there is no checkpoint")
	}
	left["the warnings"] = strings.Join(x.warnings, "\n")
	for where, text := range left {
		if strings.Contains(text, key.Secret) || strings.Contains(text, key.Token) || strings.Contains(text, "Signature=") {
			t.Errorf("a secret is in %s: %s", where, text)
		}
	}
}
