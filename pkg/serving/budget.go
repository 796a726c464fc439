package serving

import (
	"container/list"
	"context"
	"sync"
)

// budget bounds the bytes of bodies held in memory. A request's whole need is
// taken at once and before it is read, so that no two requests can each hold
// half of what they need and wait for the other. Waiters are served in order,
// so that a large body is not starved by small ones.
type budget struct {
	limit int64

	mu      sync.Mutex
	used    int64
	peak    int64     // the most that was used since the last trim
	waiters list.List // of *budgetWaiter
}

type budgetWaiter struct {
	need  int64
	ready chan struct{}
}

func newBudget(limit int64) *budget { return &budget{limit: limit} }

// acquire takes n bytes, which must not exceed the limit, waiting for them
// until ctx ends.
func (b *budget) acquire(ctx context.Context, n int64) error {
	b.mu.Lock()
	if b.waiters.Len() == 0 && b.used+n <= b.limit {
		b.take(n)
		b.mu.Unlock()
		return nil
	}
	w := &budgetWaiter{need: n, ready: make(chan struct{})}
	e := b.waiters.PushBack(w)
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
}

// trim reports, once, that much memory was used and hardly any is now.
func (b *budget) trim() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.peak < worthTrimming || b.used > worthTrimming/16 {
		return false
	}
	b.peak = b.used
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
