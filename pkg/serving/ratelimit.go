package serving

import (
	"sync/atomic"
	"time"
)

// rateLimiter lets limit requests a second through: a bucket of one second's
// worth that fills steadily. It keeps one number, the time at which the bucket
// would be empty ("theoretical arrival time"), so that no lock is needed.
type rateLimiter struct {
	interval atomic.Int64 // nanoseconds a request costs; 0: no limit
	tat      atomic.Int64
	start    time.Time
}

// burst is how much may be saved up, in nanoseconds.
const burst = int64(time.Second)

func newRateLimiter(limit int) *rateLimiter {
	r := &rateLimiter{start: time.Now()}
	r.set(limit)
	return r
}

// set changes the limit; 0 is none.
func (r *rateLimiter) set(limit int) {
	if limit <= 0 {
		r.interval.Store(0)
		return
	}
	r.interval.Store(max(int64(time.Second)/int64(limit), 1))
}

func (r *rateLimiter) allow() bool {
	if r.interval.Load() == 0 {
		return true
	}
	return r.allowAt(int64(time.Since(r.start)))
}

func (r *rateLimiter) allowAt(now int64) bool {
	for {
		old := r.tat.Load()
		next := max(old, now) + r.interval.Load()
		if next-now > burst {
			return false
		}
		if r.tat.CompareAndSwap(old, next) {
			return true
		}
	}
}
