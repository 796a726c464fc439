package ui

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestChecklist(t *testing.T) {
	list := Checklist{
		{"First", "short", "ok", "one line", ""},
		{"First", "of two words", "warning", "several lines\nand one that is so long that it has to be broken at the place where the width ends", "`a command that is longer than the line and stays whole`, then rest"},
		{"Second", "\x1b[31mred", "failure", "", "mend it"},
	}
	tests := []struct {
		screen screen
		want   string
	}{
		{screen{width: 60}, `First
  ok       short         one line
  warning  of two words  several lines
                         and one that is so long that it has
                         to be broken at the place where the
                         width ends
                         fix:
                         ` + "`a command that is longer than the line and stays whole`," + `
                         then rest

Second
  failure  red
                         fix: mend it
`},
		{screen{width: 200, colour: true}, "\x1b[1mFirst\x1b[0m\n" +
			"  \x1b[32mok     \x1b[0m  short         one line\n" +
			"  \x1b[33mwarning\x1b[0m  of two words  several lines\n" +
			"                         and one that is so long that it has to be broken at the place where the width ends\n" +
			"                         fix: `a command that is longer than the line and stays whole`, then rest\n\n" +
			"\x1b[1mSecond\x1b[0m\n" +
			"  \x1b[31mfailure\x1b[0m  red\n" +
			"                         fix: mend it\n"},
	}
	for _, test := range tests {
		var b strings.Builder
		if err := list.render(&b, test.screen); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(test.want, b.String()); diff != "" {
			t.Errorf("width %d: -want +got:\n%s", test.screen.width, diff)
		}
	}
}

func TestUnbroken(t *testing.T) {
	for line, want := range map[string][]string{
		"":                           nil,
		"a b":                        {"a", "b"},
		"run `a b c`, or `d`":        {"run", "`a b c`,", "or", "`d`"},
		"never `closed at all":       {"never", "`closed at all"},
		"`a` `b c` d":                {"`a`", "`b c`", "d"},
		"(`sudo x y`; then `z`)":     {"(`sudo x y`;", "then", "`z`)"},
		"  spaces   are  not  kept ": {"spaces", "are", "not", "kept"},
	} {
		if diff := cmp.Diff(want, unbroken(line)); diff != "" {
			t.Errorf("%q: -want +got:\n%s", line, diff)
		}
	}
}
