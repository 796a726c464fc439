package test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/openeas/eascmd/test/s3server"
)

// TestUploadToS3 uploads a package to a real S3 server with the program itself,
// which is killed on the way: what is there in the end is the package, what was
// sent is not sent again, and the secret of the key is nowhere.
func TestUploadToS3(t *testing.T) {
	server := s3server.Start(t)
	bin := binDir(t)
	server.SetEnv(t)
	home := t.TempDir()
	file := filepath.Join(t.TempDir(), "model.tar.gz")
	data := make([]byte, 40<<20)
	_, _ = rand.NewChaCha8([32]byte{7}).Read(data) // it never fails
	if err := os.WriteFile(file, data, 0o600); err != nil {
		t.Fatal(err)
	}
	// said is all that was printed; the secret must not be in it.
	var said bytes.Buffer
	command := func(ctx context.Context, args ...string) *exec.Cmd {
		cmd := exec.CommandContext(ctx, filepath.Join(bin, "eascmd"), args...)
		cmd.Env = append(os.Environ(), "HOME="+home, "XDG_CACHE_HOME="+filepath.Join(home, "cache"), "ALIBABA_CLOUD_ACCESS_KEY_ID=", "EASCMD_CONFIG=", "EASCMD_PROFILE=")
		cmd.Stderr = &said
		return cmd
	}
	run := func(status int, args ...string) []byte {
		t.Helper()
		out, err := command(t.Context(), args...).Output()
		said.Write(out)
		got := 0
		if exit, ok := errors.AsType[*exec.ExitError](err); ok {
			got = exit.ExitCode()
		} else if err != nil {
			t.Fatal(err)
		}
		if got != status {
			t.Fatalf("eascmd %s: status %d, want %d\n%s", strings.Join(args, " "), got, status, &said)
		}
		return out
	}
	run(0, "config", "set", "s3_endpoint", server.URL)
	run(0, "config", "set", "upload_prefix", "s3://"+server.Bucket+"/eas")

	random := rand.New(rand.NewPCG(1, 2))
	killed := 0
	for range 5 {
		ctx, cancel := context.WithTimeout(t.Context(), time.Duration(random.IntN(900)+100)*time.Millisecond)
		if command(ctx, "upload", file, "--limit-rate", "25MiB", "--parallel", "2").Run() != nil {
			killed++
		}
		cancel()
	}
	var result struct {
		Files []struct {
			Address, SHA256, CRC32C, Confirmed string
			Size, Sent, Resumed                int64
			Present                            bool
		}
		Failed []any
	}
	if err := json.Unmarshal(run(0, "upload", file, "-o", "json"), &result); err != nil {
		t.Fatal(err)
	}
	if len(result.Files) != 1 || len(result.Failed) != 0 {
		t.Fatalf("%+v", result)
	}
	f := result.Files[0]
	if f.Address != "s3://"+server.Bucket+"/eas/model.tar.gz" || f.CRC32C == "" || f.Confirmed != "crc32c" && !f.Present {
		t.Errorf("%+v", f)
	}
	if !f.Present && f.Sent+f.Resumed != int64(len(data)) {
		t.Errorf("after %d kills it sent %d bytes beside the %d that were there", killed, f.Sent, f.Resumed)
	}
	got, err := os.ReadFile(filepath.Join(server.Dir, server.Bucket, "eas", "model.tar.gz"))
	if err != nil || !bytes.Equal(got, data) {
		t.Errorf("the object has %d bytes that are not the file's %d: %v", len(got), len(data), err)
	}

	run(0, "upload", file) // again: nothing is sent
	if !strings.Contains(said.String(), "model.tar.gz") {
		t.Errorf("it said:\n%s", &said)
	}
	run(7, "upload", file, "--to", "s3://no-such-bucket/eas")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "another-secret")
	run(7, "upload", file, "--to", "s3://"+server.Bucket+"/other")
	for _, words := range []string{"there is no such bucket", "the signature is wrong"} {
		if !strings.Contains(said.String(), words) {
			t.Errorf("%q is not in:\n%s", words, &said)
		}
	}
	for _, secret := range []string{server.AccessKeySecret, "another-secret"} {
		if strings.Contains(said.String(), secret) {
			t.Errorf("the secret is told:\n%s", &said)
		}
		err := filepath.WalkDir(home, func(path string, d fs.DirEntry, err error) error {
			if err != nil || !d.Type().IsRegular() {
				return err
			}
			text, err := os.ReadFile(path)
			if bytes.Contains(text, []byte(secret)) {
				t.Errorf("the secret is in %s", path)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}
