package store

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync/atomic"
	"time"
)

// mostAfter bounds how long a server's Retry-After is waited for.
const mostAfter = 2 * time.Minute

// retrier repeats requests that may be repeated.
type retrier struct {
	attempts int           // in a row
	delay    time.Duration // before the second attempt
	repeated atomic.Int64  // requests
	told     func(failure) // of each repetition
}

// failure is what a request is repeated for.
type failure struct {
	attempt int           // how many of that request have failed
	wait    time.Duration // until the next one
	err     error
}

func newRetrier(attempts int, delay time.Duration, told func(failure)) *retrier {
	if attempts <= 0 {
		attempts = 8
	}
	if delay <= 0 {
		delay = 500 * time.Millisecond
	}
	return &retrier{attempts: attempts, delay: delay, told: told}
}

// do tries until it works, or there is no point in trying.
func (r *retrier) do(ctx context.Context, try func() error) error {
	delay := r.delay
	for n := 1; ; n++ {
		err := try()
		if err == nil {
			return nil
		}
		retry, ok := errors.AsType[*retryError](err)
		if !ok || ctx.Err() != nil || n >= r.attempts || retry.once && n >= 2 {
			return err
		}
		r.repeated.Add(1)
		// Those that failed together are not to come back together.
		wait := delay/2 + rand.N(delay)
		wait = max(min(wait, maxRetryDelay), min(retry.after, mostAfter))
		delay = min(2*delay, maxRetryDelay)
		r.told(failure{n, wait, err})
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}
