package main

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const example = "../../examples/image_classification"

// Services that are no good do not pass.
func TestExaminationsCatch(t *testing.T) {
	for _, tt := range []struct {
		name     string
		service  http.HandlerFunc
		commands []string
	}{
		{
			"always the same", func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, `{"result": 1}`) },
			[]string{"accuracy", "samples", "refused", "cut", "damaged", "huge", "progressive"},
		},
		{
			"guesses", func(w http.ResponseWriter, r *http.Request) { fmt.Fprintf(w, `{"result": %d}`, rand.IntN(10)) },
			[]string{"accuracy", "upright", "together"},
		},
		{
			"refuses", func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(http.StatusBadRequest) },
			[]string{"accuracy", "samples", "upright", "refused", "cut", "damaged"},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				_, _ = io.Copy(io.Discard, r.Body)
				tt.service(w, r)
			}))
			defer server.Close()
			for _, command := range tt.commands {
				err := run(t.Context(), []string{command, "-example", example, "-every", "50", "-connections", "2", server.URL}, io.Discard)
				if err == nil {
					t.Errorf("it passes %s", command)
				} else if errors.Is(err, os.ErrNotExist) {
					t.Fatal(err)
				}
			}
		})
	}
}

func TestUsage(t *testing.T) {
	for _, args := range [][]string{nil, {"speed"}, {"accuracy"}, {"accuracy", "-every"}, {"cut", "a", "b"}, {"agree", "a"}} {
		if err := run(t.Context(), args, io.Discard); err == nil {
			t.Errorf("%q is taken", args)
		}
	}
}

func TestAgree(t *testing.T) {
	dir := t.TempDir()
	write := func(name string, digits func(i int) int, n int) string {
		var lines strings.Builder
		for i := range n {
			fmt.Fprintf(&lines, "digit %d: %d\n", i, digits(i))
		}
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(lines.String()), 0o666); err != nil {
			t.Fatal(err)
		}
		return path
	}
	a := write("a", func(i int) int { return i % 10 }, 1000)
	for name, b := range map[string]struct {
		digits func(i int) int
		n      int
		agree  bool
	}{
		"same":    {func(i int) int { return i % 10 }, 1000, true},
		"two":     {func(i int) int { return min(i%10, 10-i/998) }, 1000, true},
		"more":    {func(i int) int { return min(i%10, 8) }, 1000, false},
		"shorter": {func(i int) int { return i % 10 }, 999, false},
	} {
		if err := run(t.Context(), []string{"agree", a, write(name, b.digits, b.n)}, io.Discard); (err == nil) != b.agree {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestReadSheetErrors(t *testing.T) {
	dir := t.TempDir()
	picture, labels := filepath.Join(dir, "sheet.png"), filepath.Join(dir, "sheet.txt")
	write := func(path string, data []byte) {
		if err := os.WriteFile(path, data, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	write(picture, drawn().png())
	for text, fault := range map[string]string{
		"12":                    "no picture of digit 2 of row 1",
		"1\n2":                  "no picture of digit 1 of row 2",
		"x":                     "sheet.txt:1: 'x' is no digit",
		strings.Repeat("1", 51): "more than 50",
	} {
		write(labels, []byte(text))
		if _, err := readSheet(picture, labels); err == nil || !strings.Contains(err.Error(), fault) {
			t.Errorf("%q: %v, want %q", text, err, fault)
		}
	}
	write(labels, []byte("1\n"))
	digits, err := readSheet(picture, labels)
	if err != nil || len(digits) != 1 || digits[0] != *drawn() {
		t.Errorf("one digit is read as %d: %v", len(digits), err)
	}
	write(picture, []byte("nonsense"))
	if _, err := readSheet(picture, labels); err == nil {
		t.Error("nonsense is a picture")
	}
}

func TestIsSentence(t *testing.T) {
	for text, want := range map[string]bool{
		"the JPEG is broken: Bogus marker length": true,
		"":                       false,
		"a\x00b":                 false,
		"a line\nanother":        false,
		"\xff\xfe":               false,
		strings.Repeat("a", 300): false,
	} {
		if got := isSentence(text); got != want {
			t.Errorf("%q: %v", text, got)
		}
	}
}
