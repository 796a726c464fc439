package store

import (
	"context"
	"sync"

	"golang.org/x/time/rate"
)

// meter counts what goes out, tells of it and bounds its rate. A byte counts for
// the progress once, however often it has to be sent.
type meter struct {
	limiter *rate.Limiter // nil: no limit
	piece   int           // bytes that are let out at once

	mu       sync.Mutex
	tell     func(UploadProgress)
	state    UploadProgress
	complete int64         // of parts that the store has
	flying   map[int]int64 // how much of each part has gone out
	total    int64         // sent, all that was repeated included
}

func newMeter(opts UploadOptions, size int64) *meter {
	m := &meter{tell: opts.Progress, flying: map[int]int64{}, state: UploadProgress{Total: size}}
	if opts.LimitRate > 0 {
		m.piece = int(min(max(opts.LimitRate/10, leastPiece), bodyPiece))
		m.limiter = rate.NewLimiter(rate.Limit(opts.LimitRate), m.piece)
	}
	return m
}

// update changes the state and tells it.
func (m *meter) update(change func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	change()
	if m.tell != nil {
		m.tell(m.state)
	}
}

func (m *meter) phase(p Phase) {
	m.update(func() { m.state.Phase, m.state.Done = p, 0 })
}

func (m *meter) read(done int64) { m.update(func() { m.state.Done = done }) }
func (m *meter) repeated()       { m.update(func() { m.state.Retries++ }) }

// resumed begins with what is there already.
func (m *meter) resumed(bytes int64) {
	m.update(func() {
		m.complete, m.state.Resumed = bytes, bytes
		clear(m.flying)
		m.count()
	})
}

// sent notes how much of a part has gone out in the request that is at it.
func (m *meter) sent(part int, position int64) {
	m.update(func() {
		if more := position - m.flying[part]; more > 0 {
			m.total += more
		}
		m.flying[part] = position
		m.count()
	})
}

func (m *meter) lost(part int) {
	m.update(func() {
		delete(m.flying, part)
		m.count()
	})
}

func (m *meter) arrived(part int, size int64) {
	m.update(func() {
		delete(m.flying, part)
		m.complete += size
		m.count()
	})
}

// count sums up; the caller holds the lock.
func (m *meter) count() {
	m.state.Done = m.complete
	for _, n := range m.flying {
		m.state.Done += n
	}
}

func (m *meter) sentBytes() int64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.total
}

// held returns how much of the file is in the store.
func (m *meter) held() (bytes, of int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.complete, m.state.Total
}

// wait waits until n bytes may go out.
func (m *meter) wait(ctx context.Context, n int) error {
	if m.limiter == nil {
		return nil
	}
	for n > 0 {
		k := min(n, m.piece)
		if err := m.limiter.WaitN(ctx, k); err != nil {
			if cause := context.Cause(ctx); cause != nil {
				return cause
			}
			return err
		}
		n -= k
	}
	return nil
}
