package store

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// someCheckpoint is that of an upload of which parts 1 and 3 of 3 are there.
func someCheckpoint() checkpoint {
	return checkpoint{
		Version: checkpointVersion, Address: "oss://bucket/x", Endpoint: "https://oss-cn-shanghai.aliyuncs.com", Upload: "0004B9894A22E5B1888A1E29F8236E2D",
		SHA256: strings.Repeat("0a", 32), layout: layout{Size: 250, PartSize: 100, EndSize: 100},
		Parts: []Part{{1, 100, `"A1"`, ""}, {3, 50, `"A3"`, "c2Vj"}},
	}
}

func encoded(t testing.TB, c checkpoint) []byte {
	c.Sum = c.sum()
	b, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestParseCheckpoint(t *testing.T) {
	want := someCheckpoint()
	got, err := parseCheckpoint(encoded(t, want))
	if err != nil {
		t.Fatal(err)
	}
	want.Sum = want.sum()
	if diff := cmp.Diff(&want, got, cmp.AllowUnexported(checkpoint{})); diff != "" {
		t.Error(diff)
	}
	// What cannot be is not believed, although its sum is right.
	for name, change := range map[string]func(*checkpoint){
		"another version":     func(c *checkpoint) { c.Version++ },
		"parts of no upload":  func(c *checkpoint) { c.Upload = "" },
		"no size":             func(c *checkpoint) { c.Size = 0 },
		"a negative size":     func(c *checkpoint) { c.Size = -250 },
		"no size of parts":    func(c *checkpoint) { c.PartSize = 0 },
		"no checksum":         func(c *checkpoint) { c.SHA256 = "x" },
		"a part too many":     func(c *checkpoint) { c.Parts[1].Number = 4 },
		"part 0":              func(c *checkpoint) { c.Parts[0].Number = 0 },
		"a part twice":        func(c *checkpoint) { c.Parts[1] = c.Parts[0] },
		"a part that is long": func(c *checkpoint) { c.Parts[1].Size = 100 },
		"another part size":   func(c *checkpoint) { c.PartSize, c.EndSize = 99, 99 },
		"a larger end":        func(c *checkpoint) { c.EndSize = 101 },
		"no end":              func(c *checkpoint) { c.EndSize = 0 },
		"another end":         func(c *checkpoint) { c.EndSize = 99 },
	} {
		c := someCheckpoint()
		change(&c)
		if _, err := parseCheckpoint(encoded(t, c)); err == nil {
			t.Errorf("%s: it is believed", name)
		}
	}
	// Every byte counts.
	data := encoded(t, someCheckpoint())
	for i := range data {
		damaged := append([]byte(nil), data...)
		damaged[i] ^= 0x01
		if c, err := parseCheckpoint(damaged); err == nil {
			if diff := cmp.Diff(&want, c, cmp.AllowUnexported(checkpoint{})); diff != "" {
				t.Errorf("byte %d of %d is damaged, and it is believed: %s", i, len(data), diff)
			}
		}
	}
}

func TestReadCheckpoint(t *testing.T) {
	name := filepath.Join(t.TempDir(), "x.json")
	if _, err := readCheckpoint(name); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a missing one: %v", err)
	}
	if err := os.WriteFile(name, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(name, maxCheckpoint+1); err != nil {
		t.Fatal(err)
	}
	if _, err := readCheckpoint(name); err == nil || !strings.Contains(err.Error(), "too large") {
		t.Errorf("a large one: %v", err)
	}
}

// What add has returned for is in the file, whoever else adds.
func TestJournal(t *testing.T) {
	const parts = 200
	j := &journal{path: filepath.Join(t.TempDir(), "x.json"), state: someCheckpoint()}
	j.state.Size, j.state.Parts = parts*100, nil
	var all sync.WaitGroup
	for n := 1; n <= parts; n++ {
		all.Go(func() {
			p := Part{Number: n, Size: 100, ETag: "x"}
			if err := j.add(p); err != nil {
				t.Error(err)
				return
			}
			c, err := readCheckpoint(j.path)
			if err != nil {
				t.Error(err)
				return
			}
			for _, have := range c.Parts {
				if have == p {
					return
				}
			}
			t.Errorf("part %d is not in the file", n)
		})
	}
	all.Wait()
	if c, err := readCheckpoint(j.path); err != nil || len(c.Parts) != parts {
		t.Errorf("%+v, %v", c, err)
	}
}

// A checkpoint that is believed fits together: its parts are parts of the file.
func FuzzCheckpoint(f *testing.F) {
	f.Add(encoded(f, someCheckpoint()), true)
	f.Add([]byte(`{"version":1,"upload":"u","size":9223372036854775807,"partSize":1,"endSize":1,"parts":[{"number":1,"size":1}]}`), true)
	f.Add([]byte(`{"version":1}`), false)
	f.Add([]byte(`[]`), false)
	f.Fuzz(func(t *testing.T, data []byte, sign bool) {
		if sign { // else hardly any would get past the sum
			var c checkpoint
			if json.Unmarshal(data, &c) != nil {
				return
			}
			data = encoded(t, c)
		}
		c, err := parseCheckpoint(data)
		if err != nil {
			return
		}
		var sum int64
		last := 0
		for _, p := range c.Parts {
			if p.Number <= last || p.Size <= 0 || p.Size > c.PartSize {
				t.Fatalf("%+v in %+v", p, c)
			}
			last = p.Number
			sum += p.Size
		}
		if sum > c.Size || c.Upload == "" {
			t.Fatalf("%d bytes of %d: %+v", sum, c.Size, c)
		}
		if again, err := parseCheckpoint(encoded(t, *c)); err != nil || cmp.Diff(c, again, cmp.AllowUnexported(checkpoint{})) != "" {
			t.Fatalf("%+v is read again as %+v, %v", c, again, err)
		}
	})
}
