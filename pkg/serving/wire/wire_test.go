package wire

import (
	"bytes"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestHeaderIsSixteenBytesLittleEndian(t *testing.T) {
	h := Header{Length: 0x00030201, Type: Response, Flags: More | Exception, Status: 0x0504, ID: 0x0d0c0b0a09080706}
	want := []byte{0x01, 0x02, 0x03, 0x00, 6, 3, 0x04, 0x05, 0x06, 0x07, 0x08, 0x09, 0x0a, 0x0b, 0x0c, 0x0d}
	got := h.Append(nil)
	if !bytes.Equal(got, want) {
		t.Errorf("% x, want % x", got, want)
	}
	back, err := ParseHeader(got)
	if err != nil || back != h {
		t.Errorf("%+v, %v", back, err)
	}
}

func TestHeadersThatEndAConnection(t *testing.T) {
	for _, test := range []struct {
		h  Header
		ok bool
	}{
		{Header{Type: Request, Length: MaxPayload}, true},
		{Header{Type: Request, Length: MaxPayload + 1}, false},
		{Header{Type: 0}, false},
		{Header{Type: Settings + 1}, false},
		{Header{Type: Settings + 1, Flags: Optional}, true},
		{Header{Type: 200, Flags: Optional, Length: MaxPayload + 1}, false},
		{Header{Type: Ping, Flags: 0x70}, true},
	} {
		if _, err := ParseHeader(test.h.Append(nil)); (err == nil) != test.ok {
			t.Errorf("%+v: %v", test.h, err)
		}
	}
}

func TestMessagesAreCut(t *testing.T) {
	for size, frames := range map[int]int{0: 1, 1: 1, MaxPayload: 1, MaxPayload + 1: 2, 3 * MaxPayload: 3, 3*MaxPayload + 1: 4} {
		body := bytes.Repeat([]byte("abcdefg"), size/7+1)[:size]
		rest := AppendMessage(nil, Header{Type: Request, ID: 9}, body)
		var joined []byte
		n := 0
		for ; len(rest) > 0; n++ {
			h, err := ParseHeader(rest)
			if err != nil || h.ID != 9 || h.Type != Request {
				t.Fatalf("%+v %v", h, err)
			}
			joined = append(joined, rest[HeaderSize:HeaderSize+int(h.Length)]...)
			rest = rest[HeaderSize+int(h.Length):]
			if more := h.Flags&More != 0; more != (len(rest) > 0) {
				t.Errorf("size %d, frame %d: MORE is %v", size, n, more)
			}
		}
		if n != frames || !bytes.Equal(joined, body) {
			t.Errorf("size %d: %d frames, want %d", size, n, frames)
		}
	}
}

func TestProperties(t *testing.T) {
	var b []byte
	var err error
	for _, p := range [][2]string{{"a", "1"}, {"empty", ""}, {"a", "2"}, {"text", "ünï\n="}} {
		if b, err = AppendProperty(b, p[0], p[1]); err != nil {
			t.Fatal(err)
		}
	}
	got, err := Properties(b)
	if diff := cmp.Diff(map[string]string{"a": "2", "empty": "", "text": "ünï\n="}, got); diff != "" || err != nil {
		t.Error(diff, err)
	}
	if _, err := AppendProperty(nil, "x", "a\x00b"); err == nil {
		t.Error("a zero byte was taken")
	}
	for _, bad := range []string{"a", "a\x00", "a\x00b", "a\x00b\x00c"} {
		if got, err := Properties([]byte(bad)); err == nil {
			t.Errorf("%q gave %v", bad, got)
		}
	}
}

func FuzzProperties(f *testing.F) {
	f.Add("a\x00b\x00")
	f.Add("a\x00")
	f.Fuzz(func(t *testing.T, payload string) {
		props, err := Properties([]byte(payload))
		if err != nil {
			return
		}
		for name, value := range props {
			if strings.ContainsRune(name, 0) || strings.ContainsRune(value, 0) {
				t.Fatal("a zero byte came through")
			}
			if !strings.Contains(payload, name+"\x00"+value+"\x00") {
				t.Fatalf("%q=%q was not in the payload", name, value)
			}
		}
	})
}
