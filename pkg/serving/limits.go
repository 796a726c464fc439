package serving

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/openeas/eascmd/pkg/runplan"
)

// limits are the settings of the gateway that the program itself may change
// while it runs, and the properties that it and the description have set.
// Reading one costs an atomic load.
type limits struct {
	keepaliveNS atomic.Int64
	maxQueue    atomic.Int64
	threads     atomic.Int64
	contentType atomic.Pointer[string]
	rate        *rateLimiter

	mu    sync.Mutex
	props map[string]string
	given []string // what a program cannot change
}

func newLimits(plan *runplan.Plan) *limits {
	l := &limits{rate: newRateLimiter(plan.Gateway.RateLimit), props: maps.Clone(plan.Properties), given: plan.Given}
	if l.props == nil {
		l.props = make(map[string]string)
	}
	l.keepaliveNS.Store(plan.Gateway.KeepAliveMS * int64(time.Millisecond))
	l.maxQueue.Store(int64(plan.Gateway.MaxQueueSize))
	l.threads.Store(int64(plan.Worker.Threads))
	l.contentType.Store(&plan.Gateway.ContentType)
	return l
}

// keepalive is how long a request may take.
func (l *limits) keepalive() time.Duration { return time.Duration(l.keepaliveNS.Load()) }

// properties returns a copy of all of them.
func (l *limits) properties() map[string]string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return maps.Clone(l.props)
}

// put sets a property as the program wishes. What the description or the
// command line says counts more; an error says so, or what is wrong with the
// value.
func (l *limits) put(name, value string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if name == "rpc.token" {
		return fmt.Errorf("the program sets rpc.token; a token is taken from the service description alone")
	}
	if slices.Contains(l.given, name) {
		if old := l.props[name]; old != value {
			return fmt.Errorf("the program sets %s to %.100q; the service description or the command line says %.100q, which counts", name, value, old)
		}
		return nil
	}
	if err := l.apply(name, value); err != nil {
		return err
	}
	l.props[name] = value
	return nil
}

// apply makes a value take effect; l.mu is held.
func (l *limits) apply(name, value string) error {
	if name == "rpc.http.default_headers" {
		contentType := runplan.ContentType(value)
		l.contentType.Store(&contentType)
		return nil
	}
	lowest, most := int64(0), int64(maxLimit)
	switch name {
	case "rpc.keepalive", "rpc.worker_threads":
		lowest = 1
	case "rpc.max_queue_size", "rpc.rate_limit":
	default:
		return nil
	}
	n, err := strconv.ParseInt(value, 10, 64)
	if err != nil || n < lowest || n > most {
		return fmt.Errorf("the program sets %s to %.100q, which is no number from %d to %d", name, value, lowest, most)
	}
	switch name {
	case "rpc.keepalive":
		l.keepaliveNS.Store(n * int64(time.Millisecond))
	case "rpc.worker_threads":
		l.threads.Store(n)
	case "rpc.max_queue_size":
		l.maxQueue.Store(n)
	case "rpc.rate_limit":
		l.rate.set(int(n))
	}
	return nil
}

// maxLimit is what a number that a program sets may be: a keepalive of 24 days
// in milliseconds, which no sum of times overflows.
const maxLimit = 1<<31 - 1
