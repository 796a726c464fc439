package pack

import (
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
)

// BenchmarkWrite packs the directory that EASCMD_BENCH_TREE names, or one of 64
// MiB made for it, at every level.
func BenchmarkWrite(b *testing.B) {
	dir := os.Getenv("EASCMD_BENCH_TREE")
	if dir == "" {
		dir = b.TempDir()
		makeTree(b, dir, 64<<20)
	}
	entries, _, err := Walk(b.Context(), dir, WalkOptions{})
	if err != nil {
		b.Fatal(err)
	}
	if entries, _, err = Bytecode(b.Context(), entries); err != nil {
		b.Fatal(err)
	}
	for level := 1; level <= 9; level++ {
		b.Run(fmt.Sprintf("level=%d", level), func(b *testing.B) {
			var s WriteStats
			for b.Loop() {
				if s, err = Write(b.Context(), io.Discard, entries, WriteOptions{Level: level}); err != nil {
					b.Fatal(err)
				}
			}
			b.SetBytes(s.Tar)
			b.ReportMetric(float64(s.Written), "bytes")
			b.ReportMetric(float64(s.Segments), "segments")
		})
	}
}

func BenchmarkWalk(b *testing.B) {
	dir := os.Getenv("EASCMD_BENCH_TREE")
	if dir == "" {
		dir = b.TempDir()
		makeTree(b, dir, 8<<20)
	}
	for b.Loop() {
		if _, _, err := Walk(b.Context(), dir, WalkOptions{}); err != nil {
			b.Fatal(err)
		}
	}
}

// makeTree makes files of together about size bytes that compress as programs
// do.
func makeTree(t testing.TB, dir string, size int64) {
	t.Helper()
	r := rand.New(rand.NewPCG(1, 2))
	words := make([][]byte, 4096)
	for i := range words {
		from := r.IntN(len(noiseBlock()) - 100)
		words[i] = noiseBlock()[from : from+10+r.IntN(50)]
	}
	for i := 0; size > 0; i++ {
		var content []byte
		want := r.IntN(64 << 10)
		if i%100 == 0 {
			want = 5 << 20
		}
		for len(content) < want {
			content = append(content, words[int(r.ExpFloat64()*400)%len(words)]...)
		}
		name := filepath.Join(dir, EnvDir, fmt.Sprintf("d%d", i%20), fmt.Sprintf("f%d", i))
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, content, 0o644); err != nil {
			t.Fatal(err)
		}
		size -= int64(len(content))
	}
}
