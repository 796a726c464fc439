package ui

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Format is how results are printed. It is the value of a flag.
type Format string

// The formats.
const (
	Table Format = "table" // for people
	JSON  Format = "json"
	YAML  Format = "yaml"
)

// Formats lists all formats.
func Formats() []string { return []string{string(Table), string(JSON), string(YAML)} }

// String returns the format's name.
func (f *Format) String() string { return string(*f) }

// Set takes the name of a format.
func (f *Format) Set(name string) error {
	switch format := Format(strings.ToLower(name)); format {
	case Table, JSON, YAML:
		*f = format
		return nil
	}
	return fmt.Errorf("the formats are %s", strings.Join(Formats(), ", "))
}

// Type is the word for the value in the help.
func (f *Format) Type() string { return "format" }

// Result is what a command prints on standard output. Its JSON form, as
// encoding/json makes it, is what JSON and YAML print.
type Result interface {
	// View returns the form for people.
	View() View
}

// View is a form for people: a List, Details, a Checklist or Text.
type View interface {
	render(w io.Writer, s screen) error
}

// screen is what a view is shown on.
type screen struct {
	width  int
	colour bool
}

func (s screen) paint(style style, text string) string {
	if !s.colour {
		return text
	}
	return style.around(text)
}

// Text is a View that is printed as it is, with a newline at its end.
type Text string

func (t Text) render(w io.Writer, _ screen) error {
	_, err := io.WriteString(w, strings.TrimSuffix(string(t), "\n")+"\n")
	return err
}

// Print writes a result to standard output.
func (t *Terminal) Print(format Format, result Result) error {
	var b bytes.Buffer
	var err error
	switch format {
	case JSON:
		err = encodeJSON(&b, result)
	case YAML:
		err = encodeYAML(&b, result)
	default:
		err = result.View().render(&b, screen{t.viewWidth(), t.Colour && t.OutTTY && t.ErrTTY})
	}
	if err != nil {
		return err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.bar.erase()
	_, err = t.Out.Write(b.Bytes())
	t.bar.redraw()
	return err
}

func encodeJSON(w io.Writer, value any) error {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(value); err != nil {
		return err
	}
	_, err := io.WriteString(w, HarmlessJSON(b.String()))
	return err
}

// HarmlessJSON escapes what encoding/json leaves as it is in strings although it
// may control a terminal or reorder what it shows. The values stay the same.
func HarmlessJSON(text string) string {
	if isPlain(text) {
		return text
	}
	var b strings.Builder
	b.Grow(len(text))
	for _, c := range text {
		if c >= 0x7f && c < 0xa0 || reorders(c) {
			fmt.Fprintf(&b, `\u%04x`, c)
			continue
		}
		b.WriteRune(c)
	}
	return b.String()
}

// encodeYAML goes by way of JSON, so that both formats have the same fields in
// the same order.
func encodeYAML(w io.Writer, value any) error {
	data, err := json.Marshal(value)
	if err != nil {
		return err
	}
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	node, err := yamlNode(d)
	if err != nil {
		return err
	}
	var b bytes.Buffer
	e := yaml.NewEncoder(&b)
	e.SetIndent(2)
	if err := e.Encode(node); err != nil {
		return err
	}
	if err := e.Close(); err != nil {
		return err
	}
	// Texts with such characters are in double quotes, where YAML has the same
	// escapes as JSON.
	_, err = io.WriteString(w, HarmlessJSON(b.String()))
	return err
}

func yamlNode(d *json.Decoder) (*yaml.Node, error) {
	token, err := d.Token()
	if err != nil {
		return nil, err
	}
	switch value := token.(type) {
	case json.Delim:
		node := &yaml.Node{Kind: yaml.MappingNode}
		if value == '[' {
			node.Kind = yaml.SequenceNode
		}
		for d.More() {
			child, err := yamlNode(d)
			if err != nil {
				return nil, err
			}
			node.Content = append(node.Content, child)
		}
		if len(node.Content) == 0 {
			node.Style = yaml.FlowStyle // {} and [] have no other form
		}
		_, err := d.Token() // the closing bracket
		return node, err
	case string:
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: value, Style: yamlStyle(value)}, nil
	case json.Number:
		return &yaml.Node{Kind: yaml.ScalarNode, Value: value.String()}, nil
	case nil:
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!null", Value: "null"}, nil
	default:
		return &yaml.Node{Kind: yaml.ScalarNode, Value: fmt.Sprint(value)}, nil
	}
}

// yamlStyle quotes every string that a reader of YAML 1.1 or 1.2 could take
// for something else; when in doubt it quotes.
func yamlStyle(text string) yaml.Style {
	switch strings.ToLower(text) {
	case "", "y", "n", "yes", "no", "on", "off", "true", "false", "null":
		return yaml.DoubleQuotedStyle
	}
	if c := text[0]; !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '/') {
		return yaml.DoubleQuotedStyle
	}
	for _, c := range text {
		plain := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.ContainsRune(" _./-+", c)
		if !plain {
			if strings.Contains(text, "\n") && Printable(text) == text && strings.TrimRight(text, " ") == text {
				return yaml.LiteralStyle
			}
			return yaml.DoubleQuotedStyle
		}
	}
	if strings.HasSuffix(text, " ") {
		return yaml.DoubleQuotedStyle
	}
	return 0
}
