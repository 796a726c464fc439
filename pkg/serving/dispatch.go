package serving

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/openeas/eascmd/pkg/serving/wire"
)

// job is one request on its way through a worker. The handler that made it
// waits on done; the goroutine that reads the worker's answers fills the
// result in before it signals.
type job struct {
	body   []byte
	memory *buffer // that body lies in; nil: in memory of the job's own
	id     uint64  // of its frames, 0 before it is sent

	client client    // to see whether it still waits; nil: nobody's
	since  time.Time // when it was submitted
	sent   time.Time // when it was handed to a worker
	link   *link     // the worker that has it, nil while it is queued

	// abandoned is set when nobody waits any more (408, a client that left): the
	// answer, when it comes, only frees the slot. overdue: its time is over.
	// long: its body leaves in pieces.
	abandoned bool
	overdue   bool
	long      bool
	finished  bool
	watched   bool // the sweeper holds it: it is not used again

	done   chan struct{} // capacity 1
	waiter waiter        // is told in place of done; nil: done
	status uint16
	flags  wire.Flags
	answer []byte
	kept   *buffer // that answer lies in; nil: in memory of the job's own
	failed *failure
}

// client is where a request came from.
type client interface {
	// left reports whether it is gone.
	left() bool
}

// waiter waits for jobs without a goroutine. It is told once of each: that it
// has its answer, or that none will come.
type waiter interface {
	// answered is called without a lock, and may take the time of a system call.
	answered(*job)
	// givenUp is called with the dispatcher's lock held.
	givenUp(*job)
}

// failure is why a request got no answer from the processor.
type failure struct {
	status int
	text   string
}

// tell tells whoever waits; no lock is held.
func (j *job) tell() {
	if j.waiter != nil {
		j.waiter.answered(j)
		return
	}
	j.done <- struct{}{}
}

// dispatcher holds the one queue of the service and decides which worker gets
// a request. A worker has at most its concurrency plus a few prefetched
// requests; everything else waits here, where it can still be refused, timed
// out or given to somebody else.
type dispatcher struct {
	limits  *limits
	metrics *metrics
	kind    atomic.Int32 // a kind

	mu      sync.Mutex
	links   []*link // the ready ones
	leaving []*link // those that are not ready any more and still have requests
	queue   jobQueue
	ups     []*upstream   // the ready programs that serve HTTP themselves
	parked  int           // requests that wait for one
	news    chan struct{} // closed and replaced when that may be worth another look
	waiting bool          // a worker is on its way: requests may wait for it
	down    *failure      // no worker will come any more
}

func newDispatcher(l *limits, m *metrics) *dispatcher {
	return &dispatcher{limits: l, metrics: m, news: make(chan struct{})}
}

// submit takes a request in. It returns a failure at once where the request
// cannot even wait.
func (d *dispatcher) submit(j *job) *failure {
	d.mu.Lock()
	defer d.mu.Unlock()
	l, f := d.place(j)
	if l != nil {
		l.out.kick()
	}
	return f
}

// submitLater is submit for who calls flush soon: what several requests need
// leaves together then.
func (d *dispatcher) submitLater(j *job) *failure {
	d.mu.Lock()
	defer d.mu.Unlock()
	_, f := d.place(j)
	return f
}

// flush sends what submitLater has left to be sent. It returns the memory that
// it is given to work with.
func (d *dispatcher) flush(memory []*link) []*link {
	d.mu.Lock()
	links := append(memory[:0], d.links...)
	d.mu.Unlock()
	for _, l := range links {
		l.out.flush()
	}
	clear(links)
	return links
}

// place gives a request to a worker, which is returned, or puts it into the
// queue; d.mu is held.
func (d *dispatcher) place(j *job) (*link, *failure) {
	if l := d.idlest(); l != nil && d.queue.len() == 0 {
		l.assign(j, j.since)
		return l, nil
	}
	if len(d.links) == 0 {
		if d.down != nil {
			return nil, d.down
		}
		if !d.waiting {
			return nil, failNotReady
		}
	}
	if d.queue.len() >= int(d.limits.maxQueue.Load()) {
		return nil, failQueueFull
	}
	d.queue.push(j)
	return nil, nil
}

var (
	failNotReady  = &failure{503, "no worker is ready yet"}
	failNoWorker  = &failure{503, "no worker became ready within the request's time"}
	failQueueFull = &failure{statusQueueFull, "the queue is full"}
	failTimeout   = &failure{408, "the processor took longer than rpc.keepalive"}
	failLeft      = &failure{statusClientClosed, "the client left"}
)

// idlest returns the ready worker with the fewest requests that may have
// another one, or nil; d.mu is held.
func (d *dispatcher) idlest() *link {
	var best *link
	for _, l := range d.links {
		if l.inflight < l.window && (best == nil || l.inflight < best.inflight) {
			best = l
		}
	}
	return best
}

// expire ends the requests whose time is over. Those that their clients left
// at a worker count as past it from then on.
func (d *dispatcher) expire(now time.Time, keepalive time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	var late []*job
	d.queue.each(func(j *job) {
		if now.Sub(j.since) >= keepalive {
			late = append(late, j)
		}
	})
	why := failTimeout
	if len(d.links) == 0 {
		why = failNoWorker
	}
	for _, j := range late {
		d.giveUp(j, why)
	}
	for _, l := range slices.Concat(d.links, d.leaving) {
		l.each(func(j *job) {
			if j.client == nil || j.overdue || now.Sub(j.since) < keepalive {
				return
			}
			if !j.abandoned {
				d.giveUp(j, failTimeout)
			}
			l.noteOverdue(j, now)
		})
	}
}

// giveUp ends a request that has no answer yet; d.mu is held.
func (d *dispatcher) giveUp(j *job, why *failure) {
	j.failed = why
	if j.link == nil {
		d.queue.remove(j)
		j.finished = true
	} else {
		j.link.abandon(j)
	}
	if j.waiter != nil {
		j.waiter.givenUp(j)
		return
	}
	j.done <- struct{}{}
}

// finish is called when a worker has answered j (why is nil), or will not any
// more. It gives the freed slot to the next request in the queue.
func (d *dispatcher) finish(l *link, j *job, why *failure, now time.Time) {
	d.mu.Lock()
	l.unassign(j, now)
	d.refill(l, now)
	wanted := !j.abandoned
	if wanted {
		j.failed = why
	}
	j.finished = true
	d.mu.Unlock()
	if !wanted || why != nil {
		j.kept.drop()
		j.answer, j.kept = nil, nil
	}
	if wanted {
		j.tell()
	}
}

// refill gives a worker what it may have of the queue; d.mu is held. Sending it
// is left to the caller.
func (d *dispatcher) refill(l *link, now time.Time) {
	for l.ready && l.inflight < l.window {
		next := d.queue.pop()
		if next == nil {
			return
		}
		l.assign(next, now)
	}
}

// join makes a worker available and gives it what has been waiting.
func (d *dispatcher) join(l *link) {
	d.mu.Lock()
	defer d.mu.Unlock()
	l.ready = true
	d.links = append(d.links, l)
	d.refill(l, time.Now())
	l.out.kick()
}

// leave takes a worker out; its requests stay with it until fail.
func (d *dispatcher) leave(l *link) {
	d.mu.Lock()
	defer d.mu.Unlock()
	l.ready = false
	for i, other := range d.links {
		if other == l {
			d.links = append(d.links[:i], d.links[i+1:]...)
			d.leaving = append(d.leaving, l)
			return
		}
	}
}

// fail answers every request of a worker that died.
func (d *dispatcher) fail(l *link, why *failure) {
	for _, j := range l.orphans() {
		d.finish(l, j, why, time.Now())
	}
	d.mu.Lock()
	d.leaving = slices.DeleteFunc(d.leaving, func(other *link) bool { return other == l })
	d.mu.Unlock()
}

// expect says whether requests may wait for a worker that is on its way.
func (d *dispatcher) expect(waiting bool) {
	d.mu.Lock()
	d.waiting = waiting
	d.tell()
	d.mu.Unlock()
}

// shut refuses every request from here on, the queued ones included.
func (d *dispatcher) shut(why *failure) {
	d.mu.Lock()
	d.down = why
	d.tell()
	var queued []*job
	for j := d.queue.pop(); j != nil; j = d.queue.pop() {
		j.failed, j.finished = why, true
		queued = append(queued, j)
	}
	d.mu.Unlock()
	for _, j := range queued {
		j.tell()
	}
}

// hasWorker reports whether a worker is ready.
func (d *dispatcher) hasWorker() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.links)+len(d.ups) > 0
}

// load returns the numbers of queued requests, of requests at workers, and of
// ready workers.
func (d *dispatcher) load() (queued, inflight, ready int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, l := range d.links {
		inflight += l.inflight
	}
	for _, u := range d.ups {
		inflight += u.inflight
	}
	return d.queue.len() + d.parked, inflight, len(d.links) + len(d.ups)
}

// older returns the requests that have been under way since before a time and
// whose clients should be looked at.
func (d *dispatcher) older(than time.Time) []*job {
	d.mu.Lock()
	defer d.mu.Unlock()
	var old []*job
	add := func(j *job) {
		if !j.abandoned && j.client != nil && j.since.Before(than) {
			j.watched = true
			old = append(old, j)
		}
	}
	d.queue.each(add)
	for _, l := range slices.Concat(d.links, d.leaving) {
		l.each(add)
	}
	return old
}

// drop ends a request whose client left.
func (d *dispatcher) drop(j *job) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !j.finished && !j.abandoned {
		d.giveUp(j, failLeft)
	}
}

// stuck returns the ready workers that have had no free slot, because of
// requests past their time, for longer than limit.
func (d *dispatcher) stuck(now time.Time, limit time.Duration) []*link {
	d.mu.Lock()
	defer d.mu.Unlock()
	var stuck []*link
	for _, l := range d.links {
		if !l.stuckSince.IsZero() && now.Sub(l.stuckSince) >= limit {
			stuck = append(stuck, l)
		}
	}
	return stuck
}

// jobQueue is a first-in first-out queue that can lose an element from its
// middle. It is short (rpc.max_queue_size), so that a search is cheap.
type jobQueue struct {
	ring []*job
	head int
	n    int
}

func (q *jobQueue) len() int { return q.n }

func (q *jobQueue) push(j *job) {
	if q.n == len(q.ring) {
		bigger := make([]*job, max(16, 2*len(q.ring)))
		for i := range q.n {
			bigger[i] = q.ring[(q.head+i)%len(q.ring)]
		}
		q.ring, q.head = bigger, 0
	}
	q.ring[(q.head+q.n)%len(q.ring)] = j
	q.n++
}

func (q *jobQueue) pop() *job {
	if q.n == 0 {
		return nil
	}
	j := q.ring[q.head]
	q.ring[q.head] = nil
	q.head = (q.head + 1) % len(q.ring)
	q.n--
	return j
}

func (q *jobQueue) remove(j *job) {
	at := -1
	for i := range q.n {
		if q.ring[(q.head+i)%len(q.ring)] == j {
			at = i
			break
		}
	}
	if at < 0 {
		return
	}
	for i := at; i < q.n-1; i++ {
		q.ring[(q.head+i)%len(q.ring)] = q.ring[(q.head+i+1)%len(q.ring)]
	}
	q.n--
	q.ring[(q.head+q.n)%len(q.ring)] = nil
}

func (q *jobQueue) each(f func(*job)) {
	for i := range q.n {
		f(q.ring[(q.head+i)%len(q.ring)])
	}
}
