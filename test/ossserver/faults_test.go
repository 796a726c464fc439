package ossserver_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aliyun/aliyun-oss-go-sdk/oss"
	"github.com/google/go-cmp/cmp"

	"github.com/openeas/eascmd/test/ossserver"
)

func TestFaults(t *testing.T) {
	r := newRig(t)
	b := r.bucket()
	body := noise(partSize)
	put := func() error { return b.PutObject("x", bytes.NewReader(body)) }
	exists := func() bool {
		there, err := b.IsObjectExist("x")
		if err != nil {
			t.Fatal(err)
		}
		return there
	}

	t.Run("a request is cut", func(t *testing.T) {
		r.ForgetRequests()
		r.Inject(ossserver.Fault{Operation: ossserver.PutObject, Action: ossserver.DropRequest, Bytes: 1000})
		if err := put(); err == nil {
			t.Error("it went well")
		} else if _, ok := errors.AsType[oss.ServiceError](err); ok {
			t.Errorf("there was an answer: %v", err)
		}
		if exists() {
			t.Error("a piece was stored")
		}
		if n, received, _ := r.Count(ossserver.PutObject); n != 1 || received != 1000 {
			t.Errorf("%d requests of %d bytes", n, received)
		}
	})
	t.Run("an answer is lost", func(t *testing.T) {
		r.Inject(ossserver.Fault{Operation: ossserver.PutObject, Action: ossserver.DropAnswer})
		if err := put(); err == nil {
			t.Error("there was an answer")
		}
		if !exists() {
			t.Error("it was not done")
		}
	})
	t.Run("an answer is cut", func(t *testing.T) {
		r.Inject(ossserver.Fault{Operation: ossserver.GetObject, Action: ossserver.DropAnswer, Bytes: 5000})
		answer, err := b.GetObject("x")
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Close()
		if got, err := io.ReadAll(answer); err == nil || len(got) != 5000 || !bytes.HasPrefix(body, got) {
			t.Errorf("%d bytes, %v", len(got), err)
		}
	})
	t.Run("it is throttled", func(t *testing.T) {
		r.Inject(ossserver.Fault{Operation: ossserver.PutObject, Action: ossserver.Fail, Status: 503, Code: "QpsLimitExceeded", RetryAfter: 7, Skip: 1, Times: 2})
		r.Inject(ossserver.Fault{Operation: ossserver.PutObject, Action: ossserver.Fail, Early: true, Skip: 1})
		if err := put(); err != nil {
			t.Error(err)
		}
		for range 2 {
			var header http.Header
			err := b.PutObject("x", bytes.NewReader(body), oss.GetResponseHeader(&header))
			if code(t, err) != "QpsLimitExceeded" || header.Get("Retry-After") != "7" {
				t.Errorf("%v, %v", header, err)
			}
		}
		if err := put(); err == nil {
			t.Error("there is no second fault")
		}
		if err := put(); err != nil {
			t.Error(err)
		}
	})
	t.Run("an upload is lost", func(t *testing.T) {
		up, _ := r.sent(b, "parts", body)
		r.Inject(ossserver.Fault{Operation: ossserver.UploadPart, Part: 2, Action: ossserver.LoseUpload})
		if _, err := b.UploadPart(up, bytes.NewReader(body), partSize, 2); code(t, err) != "NoSuchUpload" {
			t.Error(err)
		}
		if _, err := b.ListUploadedParts(up); code(t, err) != "NoSuchUpload" {
			t.Error(err)
		}
	})
	t.Run("bytes change on the way", func(t *testing.T) {
		for _, action := range []ossserver.Action{ossserver.WrongCRC, ossserver.CorruptRequest} {
			r.Inject(ossserver.Fault{Operation: ossserver.PutObject, Action: action})
			if _, ok := errors.AsType[oss.CRCCheckError](put()); !ok {
				t.Errorf("%s: the SDK did not see it", action)
			}
		}
		if err := put(); err != nil {
			t.Fatal(err)
		}
		r.Inject(ossserver.Fault{Operation: ossserver.GetObject, Action: ossserver.CorruptAnswer})
		answer, err := b.GetObject("x")
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Close()
		if got, err := io.ReadAll(answer); err != nil || bytes.Equal(got, body) || !bytes.Equal(got[1:], body[1:]) {
			t.Errorf("not one byte is another: %v", err)
		}
	})
	t.Run("it hangs", func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		r.Inject(ossserver.Fault{Operation: ossserver.HeadObject, Action: ossserver.Hang})
		go func() {
			for len(r.Faults()) > 0 && ctx.Err() == nil {
				time.Sleep(time.Millisecond)
			}
			cancel()
		}()
		if _, err := b.GetObjectDetailedMeta("x", oss.WithContext(ctx)); !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	})
	t.Run("it is slow", func(t *testing.T) {
		r.Inject(ossserver.Fault{Operation: ossserver.PutObject, Action: ossserver.Slow, BytesPerSecond: 1 << 20})
		began := time.Now()
		if err := put(); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(began); took < 50*time.Millisecond {
			t.Errorf("it took %s", took)
		}
	})
}

func TestRun(t *testing.T) {
	t.Setenv(ossserver.EnvKeyID, keyID)
	t.Setenv(ossserver.EnvSecret, secret)
	dir := t.TempDir()
	ready := filepath.Join(dir, "ready")
	var out strings.Builder
	if err := ossserver.Run(t.Context(), []string{"-buckets", "models"}, &out); err == nil {
		t.Error("no directory is given")
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		done <- ossserver.Run(ctx, []string{"-dir", filepath.Join(dir, "state"), "-buckets", "models,second", "-ready", ready}, &out)
	}()
	defer func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}()
	var text []byte
	for deadline := time.Now().Add(time.Minute); text == nil; time.Sleep(time.Millisecond) {
		if text, _ = os.ReadFile(ready); text == nil && time.Now().After(deadline) {
			t.Fatal("it is not ready")
		}
	}
	where := strings.Fields(string(text))
	c, err := oss.New(where[0], keyID, secret, oss.AuthVersion(oss.AuthV4), oss.Region(ossserver.DefaultRegion), oss.HTTPClient(&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}))
	if err != nil {
		t.Fatal(err)
	}
	b, _ := c.Bucket("second")

	control := func(method, path, body string) string {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), method, where[1]+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Close = true
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		got, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp.Status + " " + string(got)
	}
	if got := control("POST", "/faults", `{"action":"explode"}`); !strings.HasPrefix(got, "400 ") {
		t.Error(got)
	}
	control("POST", "/faults", `{"operation":"PutObject","action":"fail","status":503}`)
	if err := b.PutObject("x", strings.NewReader("x")); code(t, err) != "ServerBusy" {
		t.Error(err)
	}
	control("POST", "/skew?by=20m", "")
	if err := b.PutObject("x", strings.NewReader("x")); code(t, err) != "RequestTimeTooSkewed" {
		t.Error(err)
	}
	control("POST", "/skew?by=0s", "")
	control("DELETE", "/requests", "")
	if err := b.PutObject("x", strings.NewReader("x")); err != nil {
		t.Error(err)
	}
	if _, err := b.InitiateMultipartUpload("y"); err != nil {
		t.Error(err)
	}
	control("POST", "/expire?bucket=second", "")
	if page, err := b.ListMultipartUploads(); err != nil || len(page.Uploads) != 0 {
		t.Errorf("%+v, %v", page, err)
	}
	var asked []ossserver.Request
	if err := json.Unmarshal([]byte(strings.TrimPrefix(control("GET", "/requests", ""), "200 OK ")), &asked); err != nil {
		t.Fatal(err)
	}
	want := ossserver.Request{Operation: ossserver.PutObject, Bucket: "second", Key: "x", Status: 200, Received: 1}
	if len(asked) != 3 || cmp.Diff(want, asked[0]) != "" {
		t.Errorf("%+v", asked)
	}
}
