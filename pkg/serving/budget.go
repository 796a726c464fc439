package serving

import (
	"container/list"
	"context"
	"sync"
)

// budget bounds the bytes of bodies held in memory. A request's whole need is
// taken at once and before it is read, so that no two requests can each hold
// half of what they need and wait for the other. Waiters are served in order,
// so that a large body is not starved by small ones. Memory that waits to be
// used again makes room for what is used.
type budget struct {
	limit int64

	mu      sync.Mutex
	used    int64
	peak    int64     // the most that was used since the last trim
	waiters list.List // of *budgetWaiter
	pool    pool
}

type budgetWaiter struct {
	need  int64
	ready chan struct{}
}

// mostIdle is how many bytes are kept for use again at most.
const mostIdle = 64 << 20

func newBudget(limit int64) *budget {
	return &budget{limit: limit, pool: pool{most: min(limit/8, mostIdle)}}
}

// try takes n bytes where that needs no waiting.
func (b *budget) try(n int64) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.waiters.Len() > 0 || b.used+n > b.limit {
		return false
	}
	b.take(n)
	return true
}

// acquire takes n bytes, which must not exceed the limit, waiting for them
// until ctx ends.
func (b *budget) acquire(ctx context.Context, n int64) error {
	if b.try(n) {
		return nil
	}
	b.mu.Lock()
	w := &budgetWaiter{need: n, ready: make(chan struct{})}
	e := b.waiters.PushBack(w)
	b.grant()
	b.mu.Unlock()

	select {
	case <-w.ready:
		return nil
	case <-ctx.Done():
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	select {
	case <-w.ready: // it was granted while ctx ended
		b.used -= n
	default:
		b.waiters.Remove(e)
	}
	b.grant()
	return ctx.Err()
}

// force takes n bytes without waiting: an answer that has been computed is
// kept even above the limit, since to stop reading it would stop the answers
// of all other requests on that worker. The excess keeps new bodies out.
func (b *budget) force(n int64) {
	b.mu.Lock()
	b.take(n)
	b.mu.Unlock()
}

// take counts n bytes as used; b.mu is held.
func (b *budget) take(n int64) {
	b.used += n
	b.peak = max(b.peak, b.used)
	if b.used+b.pool.idle > b.limit {
		b.pool.drop(max(b.limit-b.used, 0))
	}
}

// buffer returns memory for n bytes at least, with one holder, and counts
// nothing for it.
func (b *budget) buffer(n int) *buffer {
	class, size := -1, n
	if n <= mostPooled {
		class, size = sizeClass(n)
		b.mu.Lock()
		m := b.pool.take(class)
		b.mu.Unlock()
		if m != nil {
			m.holders.Store(1)
			return m
		}
	}
	m := &buffer{b: make([]byte, size), budget: b, class: class}
	m.holders.Store(1)
	return m
}

// put takes a buffer back that has no holder any more.
func (b *budget) put(m *buffer) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.used -= m.held
	m.held = 0
	if b.used+b.pool.idle+int64(len(m.b)) <= b.limit {
		b.pool.put(m)
	}
	b.grant()
}

// trim is called now and then. It reports, once, that much memory was used and
// hardly any is now.
func (b *budget) trim() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	rested := b.pool.rest()
	if b.peak < worthTrimming || b.used > worthTrimming/16 {
		return rested >= worthTrimming/8
	}
	b.peak = b.used
	b.pool.drop(0)
	return true
}

// worthTrimming is how many bytes of bodies are worth a garbage collection to
// give them back at once.
const worthTrimming = 64 << 20

func (b *budget) release(n int64) {
	if n == 0 {
		return
	}
	b.mu.Lock()
	b.used -= n
	b.grant()
	b.mu.Unlock()
}

// grant serves waiters in order; b.mu is held.
func (b *budget) grant() {
	for e := b.waiters.Front(); e != nil; e = b.waiters.Front() {
		w := e.Value.(*budgetWaiter)
		if b.used+w.need > b.limit {
			return
		}
		b.take(w.need)
		b.waiters.Remove(e)
		close(w.ready)
	}
}

func (b *budget) inUse() int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.used
}
