package ui

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestPage(t *testing.T) {
	var b strings.Builder
	page := Page{Text("[RequestId]: 1"), Details{{"Token", "x"}}, Page{}}
	if err := page.render(&b, screen{width: 80}); err != nil {
		t.Fatal(err)
	}
	want := "[RequestId]: 1\n+-------+---+\n| Token | x |\n+-------+---+\n"
	if diff := cmp.Diff(want, b.String()); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}
