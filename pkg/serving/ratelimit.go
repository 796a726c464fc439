package serving

import (
	"sync/atomic"
	"time"
)

// rateLimiter lets limit requests a second through: a bucket of one second's
// worth that fills steadily. It keeps one number, the time at which the bucket
// would be empty ("theoretical arrival time"), so that no lock is needed.
type rateLimiter struct {
	interval int64 // nanoseconds a request costs; 0: no limit
	burst    int64 // nanoseconds that may be saved up
	tat      atomic.Int64
	start    time.Time
}

func newRateLimiter(limit int) *rateLimiter {
	r := &rateLimiter{start: time.Now()}
	if limit > 0 {
		r.interval = int64(time.Second) / int64(limit)
		r.burst = int64(time.Second)
	}
	return r
}

func (r *rateLimiter) allow() bool {
	if r.interval == 0 {
		return true
	}
	return r.allowAt(int64(time.Since(r.start)))
}

func (r *rateLimiter) allowAt(now int64) bool {
	for {
		old := r.tat.Load()
		next := max(old, now) + r.interval
		if next-now > r.burst {
			return false
		}
		if r.tat.CompareAndSwap(old, next) {
			return true
		}
	}
}
