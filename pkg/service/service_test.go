package service_test

import (
	"path/filepath"
	"testing"

	"github.com/openeas/eascmd/pkg/service"
)

// samples returns the descriptions that are known to work.
func samples(t testing.TB) []string {
	t.Helper()
	files, err := filepath.Glob("testdata/samples/*.json")
	if err != nil || len(files) == 0 {
		t.Fatalf("no samples: %v", err)
	}
	return files
}

func TestSamples(t *testing.T) {
	for _, file := range samples(t) {
		t.Run(filepath.Base(file), func(t *testing.T) {
			d, err := service.Load(file)
			if err != nil {
				t.Fatal(err)
			}
			for _, w := range d.Warnings {
				t.Errorf("unexpected: %v", w)
			}
		})
	}
}
