package backtrace

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"
)

const sample = `eascmd-crash 1
signal 11 1
address 0x8
thread 1234 eas worker 3
request 17
other 18
other 19
pc 0x7f12a0001010
sp 0x7f12b0000f00
stack 0x7f12b0000000 0x7f12b0800000
maps
55d0a0000000-55d0a0001000 r-xp 00000000 fd:01 99   /usr/bin/host
7f12a0000000-7f12a0001000 r--p 00000000 fd:01 1234                       /srv/my model/libecho.so
7f12a0001000-7f12a0002000 r-xp 00001000 fd:01 1234                       /srv/my model/libecho.so (deleted)
7f12b0000000-7f12b0800000 rw-p 00000000 00:00 0 
7ffc1000-7ffc2000 r-xp 00000000 00:00 0                                  [vdso]
end-maps
frame 0x7f12a0001010
frame 0x55d0a0000123
frames-more 7
end
`

func sampleRecord() *Record {
	return &Record{
		Signal: 11, Code: 1, Address: 8, ThreadID: 1234, ThreadName: "eas worker 3", Request: 17, HasRequest: true,
		Others: []uint64{18, 19}, PC: 0x7f12a0001010, SP: 0x7f12b0000f00, StackLow: 0x7f12b0000000, StackHigh: 0x7f12b0800000,
		Maps: []Mapping{
			{Low: 0x55d0a0000000, High: 0x55d0a0001000, Perms: "r-xp", Device: "fd:01", Inode: 99, Path: "/usr/bin/host"},
			{Low: 0x7f12a0000000, High: 0x7f12a0001000, Perms: "r--p", Device: "fd:01", Inode: 1234, Path: "/srv/my model/libecho.so"},
			{Low: 0x7f12a0001000, High: 0x7f12a0002000, Perms: "r-xp", Offset: 0x1000, Device: "fd:01", Inode: 1234, Path: "/srv/my model/libecho.so", Deleted: true},
			{Low: 0x7f12b0000000, High: 0x7f12b0800000, Perms: "rw-p", Device: "00:00"},
			{Low: 0x7ffc1000, High: 0x7ffc2000, Perms: "r-xp", Device: "00:00", Path: "[vdso]"},
		},
		Frames: []uint64{0x7f12a0001010, 0x55d0a0000123}, FramesMore: 7, Complete: true,
	}
}

func parse(t testing.TB, text string) *Record {
	t.Helper()
	rec, err := ParseRecord(strings.NewReader(text))
	if err != nil {
		t.Fatalf("ParseRecord(%q): %v", text, err)
	}
	return rec
}

func TestParseRecord(t *testing.T) {
	for _, tc := range []struct {
		name string
		text string
		want *Record
	}{
		{"complete", sample, sampleRecord()},
		{"only the header", "eascmd-crash 1\n", &Record{}},
		{"a number cut in half is not used", "eascmd-crash 1\nsignal 6 -6\npc 0x7f12", &Record{Signal: 6, Code: -6}},
		{"broken off within the maps", "eascmd-crash 1\nmaps\n1000-2000 r-xp 00000000 fd:01 5 /a\n2000-30",
			&Record{Maps: []Mapping{{Low: 0x1000, High: 0x2000, Perms: "r-xp", Device: "fd:01", Inode: 5, Path: "/a"}}}},
		{"lines without sense are skipped", "eascmd-crash 1\nsignal x\nfoo bar\n\npc 12\nsp 0xzz\nstack 0x2 0x1\nframe\nframe 0x5\nrequest -1\nframes-more -3\nthread\nmaps\nrubbish\n2-1 r-xp 0 0:0 0\nend-maps\nend\n",
			&Record{Frames: []uint64{5}, Complete: true}},
		{"a thread without a request or a name", "eascmd-crash 1\nthread 5\nend\n", &Record{ThreadID: 5, Complete: true}},
		{"nothing after end counts", "eascmd-crash 1\nend\npc 0x1\n", &Record{Complete: true}},
		{"a line feed in a path", "eascmd-crash 1\nmaps\n1000-2000 r-xp 00000000 fd:01 5 /a\\012b\nend-maps\nend\n",
			&Record{Maps: []Mapping{{Low: 0x1000, High: 0x2000, Perms: "r-xp", Device: "fd:01", Inode: 5, Path: "/a\nb"}}, Complete: true}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, parse(t, tc.text)); diff != "" {
				t.Errorf("record (-want +got):\n%s", diff)
			}
		})
	}
}

func TestParseRecordRefuses(t *testing.T) {
	for _, text := range []string{"", "\n", "eascmd-crash 1", "eascmd-crash 2\n", "eascmd-crash 12\n", "\x00\x00", "signal 11 1\n"} {
		if _, err := ParseRecord(strings.NewReader(text)); !errors.Is(err, ErrNoRecord) {
			t.Errorf("ParseRecord(%q): error %v, want ErrNoRecord", text, err)
		}
	}
	broken := errors.New("broken disk")
	if _, err := ParseRecord(iotest.ErrReader(broken)); !errors.Is(err, broken) {
		t.Errorf("error %v, want %v", err, broken)
	}
}

// TestParseRecordCut checks that a record that breaks off anywhere gives a
// part of the whole one.
func TestParseRecordCut(t *testing.T) {
	whole := sampleRecord()
	for n := len(header) + 1; n < len(sample); n++ {
		rec := parse(t, sample[:n])
		if rec.Complete {
			t.Fatalf("cut at %d: complete", n)
		}
		if got := len(rec.Maps); got > 0 {
			if diff := cmp.Diff(whole.Maps[:got], rec.Maps); diff != "" {
				t.Fatalf("cut at %d: maps (-want +got):\n%s", n, diff)
			}
		}
		if got := len(rec.Frames); got > 0 {
			if diff := cmp.Diff(whole.Frames[:got], rec.Frames); diff != "" {
				t.Fatalf("cut at %d: frames (-want +got):\n%s", n, diff)
			}
		}
		if rec.PC != 0 && rec.PC != whole.PC {
			t.Fatalf("cut at %d: pc %#x", n, rec.PC)
		}
		// It is explained as far as it goes.
		if got := rec.Explain(t.Context(), Options{Signal: 11}).String(); !strings.HasPrefix(got, "signal 11 (SIGSEGV)") {
			t.Fatalf("cut at %d: %s", n, got)
		}
	}
}

func TestParseRecordBounds(t *testing.T) {
	var b bytes.Buffer
	b.WriteString(header + "\n")
	for i := range 2 * maxFrames {
		fmt.Fprintf(&b, "frame %#x\nother %d\n", i, i)
	}
	b.WriteString("maps\n")
	for i := range 2 * maxMappings {
		fmt.Fprintf(&b, "%x-%x r-xp 0 0:0 0\n", i, i+1)
	}
	rec := parse(t, b.String())
	if len(rec.Frames) != maxFrames || len(rec.Others) != maxOthers || len(rec.Maps) != maxMappings {
		t.Errorf("%d frames, %d others, %d mappings", len(rec.Frames), len(rec.Others), len(rec.Maps))
	}

	endless := strings.NewReader(header + "\nthread 1 " + strings.Repeat("x", 2*maxRecord))
	if _, err := ParseRecord(endless); err != nil {
		t.Fatal(err)
	}
	if read := int(endless.Size()) - endless.Len(); read > maxRecord {
		t.Errorf("%d bytes were read", read)
	}
}

func FuzzParseRecord(f *testing.F) {
	f.Add([]byte(sample))
	f.Add([]byte(header + "\n"))
	f.Add([]byte(strings.ReplaceAll(sample, "1010", "0000")))
	self, err := os.ReadFile("/proc/self/maps")
	if err == nil {
		f.Add([]byte(header + "\nsignal 6 -6\nmaps\n" + string(self) + "end-maps\nend\n"))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		rec, err := ParseRecord(bytes.NewReader(data))
		if err != nil {
			return
		}
		// Files that the fuzzer names are not for it to read.
		for i := range rec.Maps {
			if rec.Maps[i].file() {
				rec.Maps[i].Path = "/nowhere" + rec.Maps[i].Path
			}
		}
		if rec.Explain(t.Context(), Options{}).String() == "" {
			t.Error("no explanation")
		}
	})
}
