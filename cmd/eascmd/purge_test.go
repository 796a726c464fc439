package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/openeas/eascmd/pkg/controlplane"
	"github.com/openeas/eascmd/pkg/store"
)

// begin begins an upload that comes to no end, as one that is killed does.
func (c *cloud) begin(t *testing.T, name string) store.Address {
	t.Helper()
	addr, err := store.ParseAddress("file://" + filepath.ToSlash(c.prefix) + "/" + name)
	if err != nil {
		t.Fatal(err)
	}
	s, err := store.Open(t.Context(), addr, store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	m, err := s.CreateMultipart(t.Context(), addr.Key, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := m.PutPart(t.Context(), 1, store.NewBody(strings.NewReader("part"), 0, 4)); err != nil {
		t.Fatal(err)
	}
	return addr
}

// What an interrupted upload has left goes with --purge, whether the service was
// created or not; what belongs to others stays.
func TestPurge(t *testing.T) {
	c := newCloud(t, controlplane.Delays{})
	begun, others := c.begin(t, "echo/build.tar.gz"), c.begin(t, "echo_too/build.tar.gz")
	whole := filepath.Join(c.prefix, "echo", "model.tar.gz")
	if err := os.WriteFile(whole, nil, 0o644); err != nil {
		t.Fatal(err)
	}

	must(t, 7, "delete", "echo", "-y") // it does not exist, and nobody asked for more
	asked := must(t, 2, "delete", "echo", "--purge")
	for _, want := range []string{
		"service [echo] does not exist in [cn-test], but there is 1 object and 1 unfinished upload below file://",
		"Are you sure to remove what is below file://",
	} {
		if !strings.Contains(asked.stderr, want) {
			t.Errorf("there is no %q in:\n%s", want, asked.stderr)
		}
	}
	got := must(t, 0, "delete", "echo", "--purge", "-y", "-o", "json")
	follows(t, "delete", got.stdout)
	var result actedOn
	if err := json.Unmarshal([]byte(got.stdout), &result); err != nil {
		t.Fatal(err)
	}
	result.RequestID = ""
	want := actedOn{Service: "echo", Region: "cn-test", Purged: []string{strings.Replace(begun.String(), "build", "model", 1)}, GivenUp: []string{begun.String()}}
	if diff := cmp.Diff(want, result); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if _, err := os.Lstat(filepath.Join(c.prefix, "echo")); err == nil {
		t.Error("a directory is left")
	}
	// Once there is nothing, the service does not exist and that is all.
	if again := must(t, 7, "delete", "echo", "--purge", "-y"); !strings.Contains(again.stderr, "does not exist") {
		t.Errorf("stderr:\n%s", again.stderr)
	}

	// Of one that was created, too.
	must(t, 0, "create", describe(t, echoJSON, "test-token", "m", 1))
	begun = c.begin(t, "echo/build.tar.gz")
	gone := must(t, 0, "delete", "echo", "--purge", "-y")
	if want := "[OK] Removed an unfinished upload of [" + begun.String() + "]"; !strings.Contains(gone.stderr, want) {
		t.Errorf("there is no %q in:\n%s", want, gone.stderr)
	}
	s, err := store.Open(t.Context(), others, store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if ids, err := s.Uploads(t.Context(), others.Key); len(ids) != 1 || err != nil {
		t.Errorf("another service's upload: %v, %v", ids, err)
	}
}
