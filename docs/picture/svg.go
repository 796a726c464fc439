package main

import (
	"fmt"
	"html"
	"io"
	"strings"
)

// Sizes in pixels. A monospaced character is about 0.6 times as wide as high;
// textLength makes it exactly so in every font.
const (
	fontSize   = 13
	charWidth  = 7.8
	lineHeight = 18
	margin     = 16
	titleBar   = 30
)

// render writes the screen as an SVG picture of a terminal window.
func (s *screen) render(w io.Writer, title string) error {
	columns := 0
	for _, line := range s.lines {
		columns = max(columns, len(line))
	}
	width := int(float64(columns)*charWidth) + 2*margin
	height := titleBar + len(s.lines)*lineHeight + margin

	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %d %d" role="img" aria-label="%s">`+"\n",
		width, height, width, height, html.EscapeString(title))
	fmt.Fprintf(&b, `<rect width="%d" height="%d" rx="8" fill="#22272e"/>`+"\n", width, height)
	for i, colour := range []string{"#f47067", "#c69026", "#57ab5a"} {
		fmt.Fprintf(&b, `<circle cx="%d" cy="16" r="5" fill="%s"/>`+"\n", 18+i*18, colour)
	}
	fmt.Fprintf(&b, `<g font-family="ui-monospace, SFMono-Regular, Menlo, Consolas, monospace" font-size="%d" fill="#cdd9e5">`+"\n", fontSize)
	for row, line := range s.lines {
		for start := 0; start < len(line); {
			end := start + 1
			for end < len(line) && line[end].style == line[start].style {
				end++
			}
			writeRun(&b, row, start, line[start:end])
			start = end
		}
	}
	b.WriteString("</g>\n</svg>\n")
	_, err := io.WriteString(w, b.String())
	return err
}

// writeRun writes cells that look alike.
func writeRun(b *strings.Builder, row, column int, cells []cell) {
	var text strings.Builder
	for _, c := range cells {
		text.WriteRune(c.char)
	}
	trimmed := strings.TrimRight(text.String(), " ")
	lead := len(trimmed) - len(strings.TrimLeft(trimmed, " "))
	column += lead
	trimmed = trimmed[lead:]
	if trimmed == "" {
		return
	}
	fmt.Fprintf(b, `<text xml:space="preserve" x="%.1f" y="%d" textLength="%.1f"`,
		margin+float64(column)*charWidth, titleBar+row*lineHeight+fontSize, float64(len([]rune(trimmed)))*charWidth)
	look := cells[0].style
	if look.colour != "" {
		fmt.Fprintf(b, ` fill="%s"`, look.colour)
	}
	if look.bold {
		b.WriteString(` font-weight="bold"`)
	}
	if look.faint {
		b.WriteString(` opacity="0.6"`)
	}
	fmt.Fprintf(b, ">%s</text>\n", html.EscapeString(trimmed))
}
