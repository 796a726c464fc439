package backtrace

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func calls(names ...string) []Frame {
	var frames []Frame
	for _, name := range names {
		name, inlined := strings.CutSuffix(name, "*")
		frames = append(frames, Frame{Function: name, File: "p.cc", Line: 1, Object: "/x/libp.so", Inlined: inlined})
	}
	return frames
}

func times(n int, names ...string) []string {
	var all []string
	for range n {
		all = append(all, names...)
	}
	return all
}

// Whoever started a recursion stands at its outer end, behind the frames that a
// record has no room for.
func TestGapInARecursion(t *testing.T) {
	for _, test := range []struct {
		name string
		e    Explanation
		want string
	}{
		{"one function", Explanation{Frames: calls(times(64, "rec")...), More: 7983, Outer: calls(append(times(15, "rec"), "process")...)}, `
  #0 rec at p.cc:1 in libp.so
     … this frame repeated 8062 times
  #8062 process at p.cc:1 in libp.so`},
		{"two in turn", Explanation{Frames: calls(append([]string{"leaf"}, append(times(31, "odd", "even"), "odd")...)...), More: 100,
			Outer: calls("even", "odd", "even", "process")}, `
  #0 leaf at p.cc:1 in libp.so
  #1 odd at p.cc:1 in libp.so
  #2 even at p.cc:1 in libp.so
     … these 2 frames repeated about 83 times
  #167 process at p.cc:1 in libp.so`},
		{"inlined into itself", Explanation{Frames: calls(times(20, "rec*", "rec")...), More: 10, Outer: calls("rec*", "rec", "process")}, `
  #0 rec at p.cc:1 (inlined)
  #1 rec at p.cc:1 in libp.so
     … these 2 frames repeated about 31 times
  #62 process at p.cc:1 in libp.so`},
		{"no recursion", Explanation{Frames: calls("a", "b"), More: 3, Outer: calls("process")}, `
  #0 a at p.cc:1 in libp.so
  #1 b at p.cc:1 in libp.so
     … 3 more frames
  #5 process at p.cc:1 in libp.so`},
		{"nothing known of the outer end", Explanation{Frames: calls(times(64, "rec")...), More: 7999}, `
  #0 rec at p.cc:1 in libp.so
     … this frame repeated 64 times
     … 7999 more frames`},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := strings.TrimPrefix(test.e.String(), "a fatal signal")
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestFramesBeyondTheGap(t *testing.T) {
	rec, err := ParseRecord(strings.NewReader("eascmd-crash 1\nframe 0x1\nframe 0x2\nframes-more 7\nframe 0x3\nend\n"))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([][]uint64{{1, 2}, {3}}, [][]uint64{rec.Frames, rec.Outer}); diff != "" || rec.FramesMore != 7 {
		t.Error(diff, rec.FramesMore)
	}
}
