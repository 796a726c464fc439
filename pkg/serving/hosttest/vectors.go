package hosttest

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/openeas/eascmd/pkg/serving/wire"
	"github.com/openeas/eascmd/workers"
)

// step is one line of a vector; workers/vectors/README.md describes them.
type step struct {
	line  int
	verb  string
	bytes []byte            // of ">", "<" and "<?"
	props map[string]string // of "start"
	exit  int               // of "exit"; -1 for any
}

func testVectors(t *testing.T, host Host) {
	names, err := fs.Glob(workers.Vectors, "vectors/*.txt")
	if err != nil || len(names) == 0 {
		t.Fatalf("no vectors: %v", err)
	}
	for _, name := range names {
		text, err := fs.ReadFile(workers.Vectors, name)
		if err != nil {
			t.Fatal(err)
		}
		t.Run(strings.TrimSuffix(strings.TrimPrefix(name, "vectors/"), ".txt"), func(t *testing.T) {
			if host.NoStatus && name == "vectors/status.txt" {
				return
			}
			steps, err := parseVector(text)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			play(t, host, steps)
		})
	}
}

// parseVector reads a vector.
func parseVector(text []byte) ([]step, error) {
	var steps []step
	s := bufio.NewScanner(bytes.NewReader(text))
	for line := 1; s.Scan(); line++ {
		items, err := parseItems(s.Text())
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", line, err)
		}
		if len(items) == 0 {
			continue
		}
		st := step{line: line, verb: items[0].text, exit: -1}
		args := items[1:]
		switch st.verb {
		case ">", "<", "<?":
			for _, item := range args {
				b, err := item.bytes()
				if err != nil {
					return nil, fmt.Errorf("line %d: %w", line, err)
				}
				st.bytes = append(st.bytes, b...)
			}
		case "start":
			st.props = make(map[string]string)
			for _, item := range args {
				name, value, ok := strings.Cut(item.text, "=")
				if !ok {
					return nil, fmt.Errorf("line %d: %q is no name=value", line, item.text)
				}
				st.props[name] = value
			}
		case "exit":
			if len(args) > 0 {
				if st.exit, err = strconv.Atoi(args[0].text); err != nil {
					return nil, fmt.Errorf("line %d: %w", line, err)
				}
			}
		case "hello", "ready", "failed", "close":
		default:
			return nil, fmt.Errorf("line %d: unknown word %q", line, st.verb)
		}
		steps = append(steps, st)
	}
	if err := s.Err(); err != nil {
		return nil, err
	}
	return steps, nil
}

// item is a word of a line. A part of it in quotation marks has been unquoted.
type item struct {
	text   string
	quoted bool // begins with a quotation mark
	times  int
}

func (it item) bytes() ([]byte, error) {
	b := []byte(it.text)
	if !it.quoted {
		var err error
		if b, err = hex.DecodeString(it.text); err != nil {
			return nil, fmt.Errorf("%q: %w", it.text, err)
		}
	}
	return bytes.Repeat(b, it.times), nil
}

func parseItems(line string) ([]item, error) {
	var items []item
	for {
		line = strings.TrimLeft(line, " \t")
		if line == "" || line[0] == '#' {
			return items, nil
		}
		it := item{quoted: line[0] == '"', times: 1}
		var text []byte
		for line != "" && line[0] != ' ' && line[0] != '\t' && line[0] != '*' {
			if line[0] != '"' {
				text = append(text, line[0])
				line = line[1:]
				continue
			}
			var part []byte
			var err error
			if part, line, err = unquote(line[1:]); err != nil {
				return nil, err
			}
			text = append(text, part...)
		}
		if strings.HasPrefix(line, "*") {
			number, rest, _ := strings.Cut(line[1:], " ")
			n, err := strconv.Atoi(number)
			if err != nil || n < 0 || n > wire.MaxPayload {
				return nil, fmt.Errorf("bad repetition %q", number)
			}
			it.times, line = n, rest
		}
		it.text = string(text)
		items = append(items, it)
	}
}

// unquote reads up to the closing quotation mark and returns the rest behind it.
func unquote(s string) (text []byte, rest string, err error) {
	escapes := map[byte]byte{'0': 0, 'n': '\n', '"': '"', '\\': '\\'}
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '"':
			return text, s[i+1:], nil
		case '\\':
			i++
			if i == len(s) {
				return nil, "", fmt.Errorf("the line ends in an escape")
			}
			c, ok := escapes[s[i]]
			if !ok {
				return nil, "", fmt.Errorf("unknown escape \\%c", s[i])
			}
			text = append(text, c)
		default:
			text = append(text, s[i])
		}
	}
	return nil, "", fmt.Errorf("no closing quotation mark")
}

// play acts as the gateway of a vector. It reads the connection itself, because a
// vector is about bytes.
func play(t *testing.T, host Host, steps []step) {
	w := launch(t, host, Options{})
	conn := w.conn
	conn.SetDeadline(time.Now().Add(patience))
	bytesOfFrames := frameBytes{conn: conn}
	next := func(st step, want wire.Type) map[string]string {
		t.Helper()
		f, err := readFrame(conn)
		if err != nil {
			t.Fatalf("line %d: %v", st.line, err)
		}
		props, err := wire.Properties(f.payload)
		if f.Type != want || err != nil {
			t.Fatalf("line %d: got %v %q (%v), want %v", st.line, f.Type, f.payload, err, want)
		}
		return props
	}
	for i := 0; i < len(steps); i++ {
		st := steps[i]
		switch st.verb {
		case "hello":
			checkHello(t, next(st, wire.Hello), w.PID)
			w.Send(wire.AppendFrame(nil, wire.Header{Type: wire.Hello}, properties(t, "protocol", "1", "features", "")))
		case "start":
			w.SendStart(host, Options{
				Threads:     atoi(st.props["threads"]),
				ModelEntry:  st.props["model_entry"],
				ModelConfig: st.props["model_config"],
			})
		case "ready":
			if props := next(st, wire.Ready); atoi(props["concurrency"]) < 1 {
				t.Fatalf("line %d: READY has concurrency %q", st.line, props["concurrency"])
			}
		case "failed":
			if props := next(st, wire.Failed); props["message"] == "" || props["state"] == "" {
				t.Fatalf("line %d: FAILED says %q", st.line, props)
			}
		case ">":
			w.Send(st.bytes)
		case "<":
			got := make([]byte, len(st.bytes))
			n, err := io.ReadFull(&bytesOfFrames, got)
			if err != nil || !bytes.Equal(got, st.bytes) {
				t.Fatalf("line %d: got %s (%v)\nwant %s", st.line, abbreviate(got[:n]), err, abbreviate(st.bytes))
			}
		case "<?":
			var want []string
			for ; i < len(steps) && steps[i].verb == "<?"; i++ {
				want = append(want, string(steps[i].bytes))
			}
			i--
			for len(want) > 0 {
				f, err := readFrame(conn)
				if err != nil {
					t.Fatalf("line %d: %v", st.line, err)
				}
				got := wire.AppendFrame(nil, f.Header, f.payload)
				at := slices.Index(want, string(got))
				if at < 0 {
					t.Fatalf("line %d: got %s, which is none of those wanted", st.line, abbreviate(got))
				}
				want = slices.Delete(want, at, at+1)
			}
		case "close":
			w.Close()
		case "exit":
			if st.exit >= 0 {
				w.ExpectExit(st.exit)
			} else {
				w.Exit()
			}
		}
	}
}

// frameBytes reads the bytes of a worker's frames, without those of frames that
// it may send at any time.
type frameBytes struct {
	conn io.Reader
	rest []byte
}

func (b *frameBytes) Read(p []byte) (int, error) {
	for len(b.rest) == 0 {
		f, err := readFrame(b.conn)
		if err != nil {
			return 0, err
		}
		b.rest = wire.AppendFrame(nil, f.Header, f.payload)
	}
	n := copy(p, b.rest)
	b.rest = b.rest[n:]
	return n, nil
}

func atoi(s string) int {
	n, _ := strconv.Atoi(s)
	return n
}

func abbreviate(b []byte) string {
	if len(b) > 80 {
		return fmt.Sprintf("%x… (%d bytes)", b[:80], len(b))
	}
	return fmt.Sprintf("%x", b)
}
