package ui

import (
	"fmt"
	"io"
	"slices"
	"strings"
)

// Checklist shows what was looked at, in groups: a line each with a state, and
// below it what to do about it. Items of a group follow each other.
type Checklist []ChecklistItem

// ChecklistItem is one thing that was looked at.
type ChecklistItem struct {
	Group, Name string
	State       string // "ok", "warning" or "failure"
	Found       string // may have several lines
	Fix         string // what to do; may be empty
}

// columnGap is what stands between two columns.
const columnGap = "  "

func (c Checklist) render(w io.Writer, s screen) error {
	c = slices.Clone(c)
	stateWidth, nameWidth := 0, 0
	for i, item := range c {
		item.Group, item.Name = cellText(item.Group), cellText(item.Name)
		c[i] = item
		stateWidth = max(stateWidth, displayWidth(item.State))
		nameWidth = max(nameWidth, displayWidth(item.Name))
	}
	margin := strings.Repeat(" ", 2*len(columnGap)+stateWidth+nameWidth+len(columnGap))
	room := max(s.width-len(margin), 30)
	group := ""
	for i, item := range c {
		if i == 0 || item.Group != group {
			if i > 0 {
				fmt.Fprintln(w)
			}
			group = item.Group
			fmt.Fprintln(w, s.paint(bold, group))
		}
		lines := fold(cellText(item.Found), room)
		if item.Fix != "" {
			lines = append(lines, fold("fix: "+cellText(item.Fix), room)...)
		}
		state := item.State + strings.Repeat(" ", stateWidth-displayWidth(item.State))
		name := item.Name + strings.Repeat(" ", nameWidth-displayWidth(item.Name))
		for j, line := range lines {
			begin := margin
			if j == 0 {
				begin = columnGap + s.paint(stateStyle(item.State), state) + columnGap + name + columnGap
			}
			if _, err := fmt.Fprintln(w, strings.TrimRight(begin+line, " ")); err != nil {
				return err
			}
		}
	}
	return nil
}

func stateStyle(state string) style {
	switch state {
	case "ok":
		return green
	case "warning":
		return yellow
	default:
		return red
	}
}

// fold breaks the lines of a text at spaces so that its parts fit width, but
// never inside a command between backquotes, which is there to be copied.
func fold(text string, width int) []string {
	var lines []string
	for line := range strings.SplitSeq(text, "\n") {
		part := ""
		for _, word := range unbroken(line) {
			switch {
			case part == "":
				part = word
			case displayWidth(part)+1+displayWidth(word) <= width:
				part += " " + word
			default:
				lines = append(lines, part)
				part = word
			}
		}
		lines = append(lines, part)
	}
	return lines
}

// unbroken splits a line into what stays together: words, and commands between
// backquotes with what stands next to them.
func unbroken(line string) []string {
	var words []string
	open := false
	for word := range strings.FieldsSeq(line) {
		if open {
			words[len(words)-1] += " " + word
		} else {
			words = append(words, word)
		}
		if strings.Count(word, "`")%2 == 1 {
			open = !open
		}
	}
	return words
}
