package ui

import (
	"fmt"
	"io"
	"strings"

	"github.com/olekukonko/tablewriter"
	"github.com/olekukonko/tablewriter/renderer"
	"github.com/olekukonko/tablewriter/tw"
)

// List is a table with a header and a row for each thing. Columns whose cells
// are all numbers are aligned to the right.
type List struct {
	Header []string // shown in upper case
	Rows   [][]any
}

func (l List) render(w io.Writer, _ screen) error {
	header := make([]any, len(l.Header))
	align := make([]tw.Align, len(l.Header))
	for i, name := range l.Header {
		header[i] = strings.ToUpper(name)
		align[i] = tw.AlignLeft
		if l.numeric(i) {
			align[i] = tw.AlignRight
		}
	}
	table := newTable(w, align, tw.Settings{})
	table.Header(header...)
	for _, row := range l.Rows {
		cells := make([]string, len(l.Header))
		for i, cell := range row {
			cells[i] = cellText(cell)
		}
		if err := table.Append(cells); err != nil {
			return err
		}
	}
	return table.Render()
}

func (l List) numeric(column int) bool {
	for _, row := range l.Rows {
		switch row[column].(type) {
		case int, int32, int64, uint, uint32, uint64, float32, float64:
		default:
			return false
		}
	}
	return len(l.Rows) > 0
}

// Details is a table of two columns about one thing: keys on the right of
// theirs, values on the left. A value of several lines, or one that is longer
// than the line, goes on in rows with an empty key.
type Details []Detail

// Detail is one row of Details.
type Detail struct {
	Key   string
	Value any
}

func (d Details) render(w io.Writer, s screen) error {
	keyWidth := 0
	for _, row := range d {
		keyWidth = max(keyWidth, displayWidth(row.Key))
	}
	room := max(s.width-keyWidth-len("|  |  |"), 20)
	table := newTable(w, []tw.Align{tw.AlignRight, tw.AlignLeft}, tw.Settings{})
	for _, row := range d {
		key := row.Key
		for line := range strings.SplitSeq(cellText(row.Value), "\n") {
			for _, part := range wrap(line, room) {
				if err := table.Append([]string{key, part}); err != nil {
					return err
				}
				key = ""
			}
		}
	}
	return table.Render()
}

func newTable(w io.Writer, align []tw.Align, settings tw.Settings) *tablewriter.Table {
	return tablewriter.NewTable(w,
		tablewriter.WithRenderer(renderer.NewBlueprint(tw.Rendition{
			Symbols:  tw.NewSymbols(tw.StyleASCII),
			Settings: settings,
		})),
		tablewriter.WithConfig(tablewriter.Config{
			Header: tw.CellConfig{
				Formatting: tw.CellFormatting{AutoFormat: tw.Off, AutoWrap: tw.WrapNone},
				Alignment:  tw.CellAlignment{Global: tw.AlignCenter},
			},
			Row: tw.CellConfig{
				Formatting: tw.CellFormatting{AutoFormat: tw.Off, AutoWrap: tw.WrapNone},
				Alignment:  tw.CellAlignment{PerColumn: align},
			},
			Behavior: tw.Behavior{TrimSpace: tw.Off},
		}),
	)
}

// cellText makes a cell: nothing in it moves the cursor or colours the box.
func cellText(value any) string {
	text := strings.TrimRight(Printable(fmt.Sprint(value)), "\n")
	return strings.ReplaceAll(text, "\t", "    ")
}

// wrap breaks a line at spaces so that its parts fit width. A word is never
// broken: endpoints and tokens are there to be copied. Leading spaces stay,
// because JSON is indented with them.
func wrap(line string, width int) []string {
	if displayWidth(line) <= width {
		return []string{line}
	}
	indent := line[:len(line)-len(strings.TrimLeft(line, " "))]
	var parts []string
	part := indent
	for word := range strings.FieldsSeq(line) {
		switch {
		case part == indent:
			part += word
		case displayWidth(part)+1+displayWidth(word) <= width:
			part += " " + word
		default:
			parts = append(parts, part)
			part = indent + word
		}
	}
	return append(parts, part)
}

// viewWidth is the width that tables may have: that of the terminal, and a
// fixed one elsewhere, so that what is piped does not depend on the window.
func (t *Terminal) viewWidth() int {
	const fixed = 120
	if !t.OutTTY {
		return fixed
	}
	return streamWidth(t.Out, fixed)
}
