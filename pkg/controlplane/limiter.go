package controlplane

import (
	"math"
	"net/http"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// limiter refuses calls of an access key that come too fast.
type limiter struct {
	rate  rate.Limit
	burst int

	mu  sync.Mutex
	key map[string]*rate.Limiter
}

func newLimiter(perSecond float64, burst int) *limiter {
	if burst == 0 {
		burst = max(1, int(math.Ceil(2*perSecond)))
	}
	return &limiter{rate: rate.Limit(perSecond), burst: burst, key: map[string]*rate.Limiter{}}
}

func (l *limiter) allow(id string, now time.Time) *apiError {
	if l.rate == 0 {
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	bucket, ok := l.key[id]
	if !ok {
		bucket = rate.NewLimiter(l.rate, l.burst)
		l.key[id] = bucket
	}
	if !bucket.AllowN(now, 1) {
		return throttled()
	}
	return nil
}

func throttled() *apiError {
	return refuse(http.StatusTooManyRequests, "Throttling.User", "Request was denied due to user flow control.")
}
