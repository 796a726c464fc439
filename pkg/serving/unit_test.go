package serving

import (
	"context"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/openeas/eascmd/pkg/serving/wire"
)

func TestBudget(t *testing.T) {
	b := newBudget(100)
	ctx := t.Context()
	if err := b.acquire(ctx, 60); err != nil {
		t.Fatal(err)
	}
	large, small := make(chan error, 1), make(chan error, 1)
	go func() { large <- b.acquire(ctx, 80) }()
	eventually(t, "the large one waits", func() bool { return b.waiting() == 1 })
	// A small one that would fit does not pass the large one, or that would starve.
	go func() { small <- b.acquire(ctx, 10) }()
	eventually(t, "both wait", func() bool { return b.waiting() == 2 })
	b.release(60)
	if err := <-large; err != nil {
		t.Error(err)
	}
	if err := <-small; err != nil {
		t.Error(err)
	}
	if got := b.inUse(); got != 90 {
		t.Errorf("%d in use", got)
	}
	// Who gives up leaves nothing behind and lets the next one in.
	short, cancel := context.WithCancel(ctx)
	gaveUp, next := make(chan error, 1), make(chan error, 1)
	go func() { gaveUp <- b.acquire(short, 50) }()
	eventually(t, "it waits", func() bool { return b.waiting() == 1 })
	go func() { next <- b.acquire(ctx, 5) }()
	eventually(t, "the next waits behind it", func() bool { return b.waiting() == 2 })
	cancel()
	if err := <-gaveUp; err == nil {
		t.Error("it got what was not there")
	}
	if err := <-next; err != nil {
		t.Error(err)
	}
	b.force(1000)
	b.release(1095)
	if got := b.inUse(); got != 0 {
		t.Errorf("%d in use", got)
	}
}

// Memory is given back once a burst of large bodies is over, and only then.
func TestTrim(t *testing.T) {
	b := newBudget(1 << 40)
	b.force(worthTrimming - 1)
	b.release(worthTrimming - 1)
	if b.trim() {
		t.Error("trimmed after little")
	}
	b.force(worthTrimming)
	if b.trim() {
		t.Error("trimmed while it is in use")
	}
	b.release(worthTrimming)
	if !b.trim() {
		t.Error("not trimmed after a burst")
	}
	if b.trim() {
		t.Error("trimmed twice")
	}
}

func (b *budget) waiting() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.waiters.Len()
}

func TestBudgetUnderContention(t *testing.T) {
	b := newBudget(1000)
	var all sync.WaitGroup
	for i := range 50 {
		all.Go(func() {
			for n := range 200 {
				need := int64((i*31+n*17)%1000 + 1)
				ctx, cancel := context.WithTimeout(t.Context(), time.Duration(n%3)*time.Millisecond)
				if b.acquire(ctx, need) == nil {
					if used := b.inUse(); used > 1000 {
						t.Errorf("%d in use", used)
					}
					b.release(need)
				}
				cancel()
			}
		})
	}
	all.Wait()
	if b.inUse() != 0 || b.waiting() != 0 {
		t.Errorf("%d in use, %d waiting", b.inUse(), b.waiting())
	}
}

func TestRateLimiter(t *testing.T) {
	r := newRateLimiter(10)
	const second = int64(time.Second)
	allowed := func(now int64, tries int) (n int) {
		for range tries {
			if r.allowAt(now) {
				n++
			}
		}
		return n
	}
	for i, test := range []struct {
		now   int64
		tries int
		want  int
	}{
		{0, 20, 10},            // a full bucket
		{second / 10, 5, 1},    // fills by one every 100 ms
		{second / 10, 5, 0},    //
		{second, 20, 9},        // nine more
		{100 * second, 20, 10}, // never more than a second's worth
	} {
		if got := allowed(test.now, test.tries); got != test.want {
			t.Errorf("step %d: %d were let through, want %d", i, got, test.want)
		}
	}
	if unlimited := newRateLimiter(0); !unlimited.allow() {
		t.Error("no limit refuses")
	}
}

func TestBackoff(t *testing.T) {
	b := backoff{settled: 10 * time.Second}
	now := time.Now()
	var waits []time.Duration
	for range 10 {
		waits = append(waits, b.next(time.Time{}, now))
	}
	ms := time.Millisecond
	want := []time.Duration{0, 100 * ms, 200 * ms, 400 * ms, 800 * ms, 1600 * ms, 3200 * ms, 6400 * ms, 10000 * ms, 10000 * ms}
	for i := range want {
		if waits[i] != want[i] {
			t.Errorf("pause %d is %v, want %v", i, waits[i], want[i])
		}
	}
	if got := b.next(now.Add(-time.Second), now); got != 10*time.Second {
		t.Errorf("after a short life: %v", got)
	}
	if got := b.next(now.Add(-time.Minute), now); got != 0 {
		t.Errorf("after a long life: %v", got)
	}
}

func TestJobQueue(t *testing.T) {
	var q jobQueue
	jobs := make([]*job, 100)
	for i := range jobs {
		jobs[i] = &job{id: uint64(i)}
	}
	for i := range 10 { // move the head, so that the ring wraps
		q.push(jobs[i])
		q.pop()
	}
	for _, j := range jobs {
		q.push(j)
	}
	q.remove(jobs[0])
	q.remove(jobs[50])
	q.remove(jobs[99])
	q.remove(&job{}) // not there
	var order []uint64
	q.each(func(j *job) { order = append(order, j.id) })
	if len(order) != 97 || q.len() != 97 {
		t.Fatalf("%d left", q.len())
	}
	for i, id := range order {
		want := uint64(i + 1)
		if i >= 49 {
			want++
		}
		if id != want || q.pop().id != want {
			t.Fatalf("place %d holds %d, want %d", i, id, want)
		}
	}
	if q.pop() != nil {
		t.Error("an empty queue gave something")
	}
}

// What is prefetched keeps a worker busy for two milliseconds at most, and a
// slow one gets nothing ahead of its time.
func TestPrefetchFollowsTheProcessor(t *testing.T) {
	for _, test := range []struct {
		takes    time.Duration
		from, to int
	}{
		{10 * time.Microsecond, maxPrefetch, maxPrefetch},
		{100 * time.Microsecond, 15, 20},
		{500 * time.Microsecond, 3, 4},
		{2 * time.Millisecond, 0, 0},
		{time.Second, 0, 0},
	} {
		d := newDispatcher(&limits{}, nil)
		l := newLink(nil, d, newBudget(1), nil)
		l.setConcurrency(5)
		now := time.Now()
		for range 200 {
			j := &job{}
			l.assign(j, now)
			now = now.Add(test.takes)
			l.unassign(j, now)
		}
		if got := l.window - l.concurrency; got < test.from || got > test.to {
			t.Errorf("a processor that takes %v has %d prefetched, want %d to %d", test.takes, got, test.from, test.to)
		}
	}
}

func TestWindowRates(t *testing.T) {
	var w window
	for range 50 {
		w.add(time.Now(), 2*time.Millisecond)
	}
	if qps, _ := w.rates(time.Now()); qps != 0 {
		t.Errorf("the running second counts already: %v", qps)
	}
	qps, mean := w.rates(time.Now().Add(2 * time.Second))
	if qps != 5 || mean != 2*time.Millisecond {
		t.Errorf("%v a second, mean %v", qps, mean)
	}
	if qps, _ := w.rates(time.Now().Add(time.Minute)); qps != 0 {
		t.Errorf("a minute later: %v", qps)
	}
}

// fuzzConn gives the fuzzer's bytes in pieces, as a socket does.
type fuzzConn struct {
	net.Conn
	r     io.Reader
	piece int
}

func (c *fuzzConn) Read(b []byte) (int, error) { return c.r.Read(b[:min(len(b), c.piece)]) }

func FuzzInbox(f *testing.F) {
	good := wire.AppendFrame(nil, wire.Header{Type: wire.Response, ID: 7, Status: 200}, []byte("hello"))
	f.Add(string(good), 3)
	f.Add(string(good)+string(good), 1000)
	f.Add("\xff\xff\xff\xff\x06\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00", 16)
	f.Add(string(good[:10]), 1)
	f.Fuzz(func(t *testing.T, data string, piece int) {
		in := newInbox(&fuzzConn{r: strings.NewReader(data), piece: max(1, min(piece, 1<<16))})
		total := 0
		for {
			h, payload, err := in.next()
			if err != nil {
				return
			}
			if int(h.Length) != len(payload) || len(payload) > wire.MaxPayload {
				t.Fatalf("length %d, payload %d", h.Length, len(payload))
			}
			if data[total+wire.HeaderSize:total+wire.HeaderSize+len(payload)] != string(payload) {
				t.Fatal("the payload is not what was sent")
			}
			total += wire.HeaderSize + len(payload)
		}
	})
}

type fuzzCall struct{ method, path, query, authorization string }

func (c fuzzCall) Method() string { return c.method }
func (c fuzzCall) Path() string   { return c.path }
func (c fuzzCall) Query() string  { return c.query }
func (c fuzzCall) Host() string   { return "h:1" }
func (c fuzzCall) Header(name string) string {
	if name == "Authorization" {
		return c.authorization
	}
	return ""
}

// Without the token nothing but ping and instance is answered with 200, and nothing reaches
// the processor.
func FuzzNobodyComesInWithoutTheToken(f *testing.F) {
	for _, s := range []string{"", "x", "Bearer x", "EAS x", "EAS AAAA", "Bearer ", "EAS ", "  "} {
		f.Add("POST", "/api/predict/echo", "a=b", s)
		f.Add("GET", "/metrics", "", s)
	}
	f.Fuzz(func(t *testing.T, method, path, query, authorization string) {
		const token = "a long and secret token"
		if strings.Contains(authorization, token) {
			return
		}
		fr := &front{name: "echo", auth: authorizer{token: token, service: "echo"}, limiter: newRateLimiter(0)}
		if path == builtinPrefix+"ping" || path == builtinPrefix+"instance" {
			return
		}
		r := fr.admit(fuzzCall{method, path, query, authorization})
		if r == nil || r.status < 400 {
			t.Fatalf("%q %q came in with %q: %v", method, path, authorization, r)
		}
	})
}
