package main

import (
	"strconv"
	"strings"
	"unicode/utf8"
)

// style is how a piece of text looks.
type style struct {
	colour string // CSS; empty: the usual one
	bold   bool
	faint  bool
}

// cell is one character on the screen.
type cell struct {
	char  rune
	style style
}

// screen is a terminal that understands as much as our own output needs:
// colours, carriage returns, and lines that are erased and written again.
type screen struct {
	lines [][]cell
	row   int
	col   int
	style style
}

func (s *screen) write(text string) {
	for len(text) > 0 {
		if sequence, ok := escape(text); ok {
			s.control(sequence)
			text = text[len(sequence):]
			continue
		}
		c, n := utf8.DecodeRuneInString(text)
		text = text[n:]
		switch c {
		case '\n':
			s.row++
			s.col = 0
		case '\r':
			s.col = 0
		case '\t':
			for s.put(' '); s.col%8 != 0; {
				s.put(' ')
			}
		default:
			if c >= ' ' {
				s.put(c)
			}
		}
	}
}

func (s *screen) put(c rune) {
	for len(s.lines) <= s.row {
		s.lines = append(s.lines, nil)
	}
	line := s.lines[s.row]
	for len(line) <= s.col {
		line = append(line, cell{char: ' '})
	}
	line[s.col] = cell{c, s.style}
	s.lines[s.row] = line
	s.col++
}

// escape returns the control sequence that text begins with.
func escape(text string) (string, bool) {
	if !strings.HasPrefix(text, "\x1b[") {
		return "", false
	}
	end := strings.IndexFunc(text[2:], func(c rune) bool { return c >= '@' && c <= '~' })
	if end < 0 {
		return "", false
	}
	return text[:2+end+1], true
}

func (s *screen) control(sequence string) {
	args := strings.Split(sequence[2:len(sequence)-1], ";")
	switch sequence[len(sequence)-1] {
	case 'K': // erase to the end of the line
		if s.row < len(s.lines) && s.col < len(s.lines[s.row]) {
			s.lines[s.row] = s.lines[s.row][:s.col]
		}
	case 'A': // up
		n, _ := strconv.Atoi(args[0])
		s.row = max(0, s.row-max(1, n))
	case 'm':
		for _, arg := range args {
			s.paint(arg)
		}
	}
}

// colours of a dark terminal.
var colours = map[string]string{
	"31": "#f47067", "32": "#57ab5a", "33": "#c69026", "34": "#539bf5", "35": "#b083f0", "36": "#39c5cf",
}

func (s *screen) paint(code string) {
	switch code {
	case "", "0":
		s.style = style{}
	case "1":
		s.style.bold = true
	case "2":
		s.style.faint = true
	case "39":
		s.style.colour = ""
	default:
		if colour, ok := colours[code]; ok {
			s.style.colour = colour
		}
	}
}
