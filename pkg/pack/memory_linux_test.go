//go:build !race

package pack

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"testing"
)

// envMemory makes TestMemory's own process write the tree that it names.
const envMemory = "EASCMD_TEST_PACK_MEMORY"

// Memory is bounded whatever the sizes: of a file that is all holes, of ones that
// do not compress, and of very many small ones, with as many workers as there
// can be.
func TestMemory(t *testing.T) {
	if dir := os.Getenv(envMemory); dir != "" {
		writeForMemory(t, dir)
		return
	}
	dir := t.TempDir()
	f, err := os.Create(filepath.Join(dir, "sparse.bin"))
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Truncate(1 << 30); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(os.Args[0], "-test.run=^TestMemory$")
	cmd.Env = append(os.Environ(), envMemory+"="+dir)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	const most = 200 << 20
	m := regexp.MustCompile(`(?m)^VmHWM:\s+(\d+) kB$`).FindSubmatch(out)
	if m == nil {
		t.Fatalf("it does not say how much it used:\n%s", out)
	}
	used, err := strconv.ParseInt(string(m[1]), 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	if used <<= 10; used > most {
		t.Errorf("%s were used, more than %s", size(used), size(most))
	} else {
		t.Logf("%s were used", size(used))
	}
}

func writeForMemory(t *testing.T, dir string) {
	entries, _, err := Walk(t.Context(), dir, WalkOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 20_000 {
		e := DataEntry(fmt.Sprintf("ENV/lib/python3.11/site-packages/package%d/module_with_a_name_%d.py", i/100, i), 0o644, nil)
		e.Size, e.Open = 4<<10, noise(uint64(i), 4<<10)
		entries = append(entries, e)
	}
	for i := range 20 {
		entries = append(entries, Entry{Name: fmt.Sprintf("model/%d.bin", i), Size: 10 << 20, Open: noise(uint64(i), 10<<20)})
	}
	if _, err := Write(t.Context(), io.Discard, entries, WriteOptions{Workers: maxWorkers}); err != nil {
		t.Fatal(err)
	}
	// What wait4 tells has the parent's own memory in it.
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	os.Stdout.Write(status)
}
