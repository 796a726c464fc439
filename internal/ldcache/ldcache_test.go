package ldcache

import (
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestParse compares with what ldconfig reads in the same file.
func TestParse(t *testing.T) {
	data, err := os.ReadFile("/etc/ld.so.cache")
	if err != nil {
		t.Skip("/etc/ld.so.cache is missing")
	}
	const ldconfig = "/sbin/ldconfig"
	if _, err := os.Stat(ldconfig); err != nil {
		t.Skip("ldconfig is missing")
	}
	out, err := exec.CommandContext(t.Context(), ldconfig, "-p").Output()
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{}
	for line := range strings.Lines(string(out)) {
		name, path, ok := strings.Cut(strings.TrimSpace(line), " => ")
		if !ok || strings.Contains(name, "hwcap") || !strings.Contains(name, "libc6") {
			continue
		}
		name, _, _ = strings.Cut(name, " (")
		if _, ok := want[name]; !ok {
			want[name] = path
		}
	}
	if diff := cmp.Diff(want, Parse(data)); diff != "" {
		t.Errorf("cache (-ldconfig +ours):\n%s", diff)
	}
}

func FuzzParse(f *testing.F) {
	if data, err := os.ReadFile("/etc/ld.so.cache"); err == nil {
		f.Add(data[:min(len(data), 4096)])
	}
	f.Add([]byte("glibc-ld.so.cache1.1"))
	f.Add(append([]byte("glibc-ld.so.cache1.1\xff\xff\xff\xff"), make([]byte, 100)...))
	f.Fuzz(func(t *testing.T, data []byte) {
		for name := range Parse(data) {
			if name == "" {
				t.Error("an empty name")
			}
		}
	})
}
