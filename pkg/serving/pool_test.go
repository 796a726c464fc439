package serving

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/openeas/eascmd/pkg/runplan"
	"github.com/openeas/eascmd/pkg/serving/wire"
)

func TestSizeClasses(t *testing.T) {
	class, size := sizeClass(1)
	if class != 0 {
		t.Fatalf("the least is in class %d", class)
	}
	for n := 1; n <= mostPooled; n += 1 + n/1000 {
		c, s := sizeClass(n)
		if s < n || s > max(n+n/4, leastPooled)+2*classSpare {
			t.Fatalf("%d bytes get %d", n, s)
		}
		if c != class && (c != class+1 || s <= size) || c == class && s != size {
			t.Fatalf("%d bytes are in class %d of %d bytes, after class %d of %d", n, c, s, class, size)
		}
		class, size = c, s
		if again, whole := sizeClass(s); s <= mostPooled && (again != c || whole != s) {
			t.Fatalf("a buffer of class %d, %d bytes, would be one of class %d, %d", c, s, again, whole)
		}
	}
	if class, size := sizeClass(mostPooled); class != classes-1 || size < mostPooled {
		t.Errorf("the largest are of class %d, %d bytes", class, size)
	}
}

func TestBuffersAreUsedAgain(t *testing.T) {
	b := newBudget(64 << 20)
	m := b.buffer(1 << 20)
	m.held = 1 << 20
	b.force(m.held)
	m.b[0] = 'x'
	m.hold()
	m.drop()
	if b.pool.idle != 0 || m.b[0] != 'x' || b.inUse() != 1<<20 {
		t.Fatal("it was given back by the first of two holders")
	}
	m.drop()
	if b.pool.idle != int64(len(m.b)) || b.inUse() != 0 {
		t.Fatalf("%d bytes are idle, %d in use", b.pool.idle, b.inUse())
	}
	if spoilPooled && (m.b[0] == 'x' || m.b[len(m.b)-1] == 0) {
		t.Error("its memory is as it was")
	}
	if other := b.buffer(1<<20 - 100_000); other != m || b.pool.idle != 0 {
		t.Error("another one was made")
	}
	if huge := b.buffer(mostPooled + 1); len(huge.b) != mostPooled+1 {
		t.Errorf("%d bytes", len(huge.b))
	} else if huge.drop(); b.pool.idle != 0 {
		t.Error("a huge one was kept")
	}
	var none *buffer
	none.hold()
	none.drop()
	none.forget()
}

func TestIdleBuffersAreBounded(t *testing.T) {
	const limit = 16 << 20
	b := newBudget(limit)
	give := func(n, size int) {
		var all []*buffer
		for range n {
			all = append(all, b.buffer(size))
		}
		for _, m := range all {
			m.drop()
		}
	}
	give(20, 300<<10)
	if b.pool.idle > limit/8 || b.pool.idle < limit/16 {
		t.Fatalf("%d bytes are idle", b.pool.idle)
	}
	// What is used takes their room.
	for _, used := range []int64{limit - 1<<20, limit - 100, limit} {
		b.force(used)
		if b.pool.idle+used > limit {
			t.Errorf("%d bytes are used, %d idle", used, b.pool.idle)
		}
		give(20, 300<<10)
		if b.pool.idle+used > limit {
			t.Errorf("%d bytes are used, %d idle, after some were given back", used, b.pool.idle)
		}
		b.release(used)
	}
	// Those that nobody needs go after a while, the others do not.
	give(20, 300<<10)
	for range 3 * restLooks {
		b.buffer(300 << 10).drop()
		b.trim()
	}
	if _, size := sizeClass(300 << 10); b.pool.idle != int64(size) {
		t.Errorf("%d bytes are idle, one of %d is needed", b.pool.idle, size)
	}
	for range 3 * restLooks {
		b.trim()
	}
	if b.pool.idle != 0 {
		t.Errorf("%d bytes are idle, none is needed", b.pool.idle)
	}
}

func TestOutboxGivesBackWhatItWillNotWrite(t *testing.T) {
	ours, theirs := socketPair(t)
	b := newBudget(64 << 20)
	o := outbox{wake: make(chan struct{}, 1), gone: make(chan struct{})}
	stop := make(chan struct{})
	go o.write(ours, stop)
	send := func(id uint64) {
		m := b.buffer(2 << 20)
		m.held = 2 << 20
		b.force(m.held)
		o.message(wire.Header{Type: wire.Request, ID: id}, m.b[:2<<20], m)
		m.drop()
	}
	for id := range uint64(3) {
		send(id + 1)
	}
	if got := b.inUse(); got != 6<<20 {
		t.Errorf("%d bytes are counted while nothing is read", got)
	}
	theirs.Close()
	close(stop)
	<-o.gone
	send(4)
	if got := b.inUse(); got != 0 {
		t.Errorf("%d bytes are still counted", got)
	}
}

// The memory of one request must not be another's as long as anybody uses it:
// under the race detector what is given back is filled with garbage.
func TestMemoryIsNotSharedByRequests(t *testing.T) {
	s := ready(t, func(p *runplan.Plan, _ *timings) {
		p.Worker.Count = 2
		p.Gateway.MaxQueueSize = 1000
		p.Gateway.KeepAliveMS = 1500
	})
	text := make([]byte, 5<<20)
	random := rand.New(rand.NewPCG(1, 2))
	for i := range text {
		text[i] = byte('a' + random.IntN(26))
	}
	body := func(r *rand.Rand) []byte {
		size := []int{100, 9_000, 40_000, 70_000, 300_000, 1 << 20, 2_500_000}[r.IntN(7)]
		size += r.IntN(size)
		at := r.IntN(len(text) - size)
		return text[at : at+size]
	}
	deadline := time.Now().Add(4 * time.Second)
	if testing.Short() {
		deadline = time.Now().Add(time.Second)
	}
	var all sync.WaitGroup
	var same, refused atomic.Int64
	for i := range 8 {
		all.Go(func() {
			r := rand.New(rand.NewPCG(uint64(i), 3))
			for time.Now().Before(deadline) {
				want := body(r)
				var from io.Reader = bytes.NewReader(want)
				if r.IntN(3) == 0 {
					from = struct{ io.Reader }{from} // of a length that nobody knows
				}
				ctx, leave := context.WithCancel(t.Context())
				if r.IntN(6) == 0 { // one that leaves
					time.AfterFunc(time.Duration(r.IntN(20))*time.Millisecond, leave)
				}
				req, _ := http.NewRequestWithContext(ctx, "POST", s.url("/"), from)
				resp, err := s.client.Do(req)
				if err == nil {
					var got []byte
					if got, err = io.ReadAll(resp.Body); err == nil {
						switch {
						case resp.StatusCode != 200:
							refused.Add(1)
						case !bytes.Equal(got, want):
							t.Errorf("%d bytes came back for %d, not the same", len(got), len(want))
						default:
							same.Add(1)
						}
					}
					resp.Body.Close()
				}
				if err != nil && ctx.Err() == nil {
					t.Errorf("%d bytes: %v", len(want), err)
				}
				leave()
			}
		})
	}
	all.Go(func() { // requests that outlive their time, with long bodies and long answers
		for time.Now().Before(deadline) {
			for _, command := range []string{"sleep 3000 ", "half-answer 200000 "} {
				if a := s.post(command + strings.Repeat("s", 1<<20)); a.status != 408 && a.status != 500 && a.status != 503 {
					t.Errorf("%s: %d %.80q", command, a.status, a.body)
				}
			}
		}
	})
	all.Go(func() { // workers that die while they read and answer
		for time.Now().Before(deadline) {
			time.Sleep(500 * time.Millisecond)
			s.post("half-answer 200000 die " + strings.Repeat("d", 1<<20))
		}
	})
	all.Wait()
	if same.Load() == 0 {
		t.Error("no answer came")
	}
	t.Logf("%d answers, %d refusals", same.Load(), refused.Load())
	eventually(t, "all is given back", func() bool { return s.metric("eascmd_body_memory_bytes") == 0 })
}

// Of an answer that has begun nothing stays counted, whatever its end is.
func TestHalfAnswers(t *testing.T) {
	for _, end := range []string{"die", "wait"} {
		for _, size := range []int{1000, 40_000, 200_000} {
			t.Run(fmt.Sprint(end, " ", size), func(t *testing.T) {
				s := ready(t, func(p *runplan.Plan, _ *timings) { p.Gateway.KeepAliveMS = 1000 })
				want := 408
				if end == "die" {
					want = 500
				}
				if a := s.post(fmt.Sprint("half-answer ", size, " ", end)); a.status != want {
					t.Errorf("%d %.200q", a.status, a.body)
				}
				eventually(t, "all is given back", func() bool { return s.metric("eascmd_body_memory_bytes") == 0 })
			})
		}
	}
}

// A client that takes its answer slowly gets its own, though others come and go
// meanwhile.
func TestSlowReadersGetTheirOwnAnswer(t *testing.T) {
	s := ready(t)
	const size = 12 << 20 // more than the kernel takes of it
	conn := s.dial()
	defer conn.Close()
	fmt.Fprintf(conn, "POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: %d\r\n\r\n", len("big 12582912"))
	io.WriteString(conn, "big 12582912")
	eventually(t, "it is answered", func() bool { return s.metric("eascmd_body_memory_bytes") >= size })
	for range 5 {
		if a := s.post(strings.Repeat("x", 1<<20)); a.status != 200 {
			t.Errorf("%d", a.status)
		}
	}
	got, err := io.ReadAll(conn)
	if err != nil {
		t.Fatal(err)
	}
	if _, body, _ := bytes.Cut(got, []byte("\r\n\r\n")); len(body) != size || bytes.Count(body, []byte("b")) != size {
		t.Errorf("%d bytes, %d of them as they should be", len(body), bytes.Count(body, []byte("b")))
	}
	eventually(t, "all is given back", func() bool { return s.metric("eascmd_body_memory_bytes") == 0 })
}
