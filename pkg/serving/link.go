package serving

import (
	"errors"
	"fmt"
	"io"
	"net"
	"runtime"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/openeas/eascmd/pkg/serving/wire"
)

// link is the connection to one worker after its HELLO: frames out, frames in,
// and the table of the requests that are there.
type link struct {
	conn    stream
	d       *dispatcher
	budget  *budget
	replace func(why string) // ends the worker; another one is started

	// Under the dispatcher's lock.
	ready       bool
	concurrency int
	window      int // requests it may have: concurrency plus prefetch
	inflight    int
	slots       []*job // by the low bits of a frame's id
	free        []int
	lastID      uint64
	overdue     int
	stuckSince  time.Time
	occupancy   float64 // ns of the worker that a request takes, smoothed
	lastDone    time.Time

	out outbox

	// Of the goroutine that reads.
	placed *job // the next payload comes right into its answer
	last   int  // length of the last answer of several frames

	pings int64 // sent, by the worker's goroutine alone
	pongs atomic.Int64
}

// Sizes of a link.
const (
	slotBits    = 10
	maxPrefetch = 64
	maxThreads  = 1<<slotBits - maxPrefetch

	// What is prefetched keeps a worker busy for at most this long: it is what
	// a request may lose by waiting at a worker while another one is free.
	prefetchTime = float64(2 * time.Millisecond)
)

func newLink(conn stream, d *dispatcher, b *budget, replace func(why string)) *link {
	l := &link{conn: conn, d: d, budget: b, replace: replace}
	l.out.conn, _ = conn.(promptConn)
	l.out.wake = make(chan struct{}, 1)
	l.out.gone = make(chan struct{})
	return l
}

// setConcurrency is called once, at READY.
func (l *link) setConcurrency(n int) {
	l.concurrency = min(max(n, 1), maxThreads)
	l.window = l.concurrency
	l.slots = make([]*job, 1<<slotBits)
	l.free = make([]int, 0, len(l.slots))
	for i := len(l.slots) - 1; i >= 0; i-- {
		l.free = append(l.free, i)
	}
}

// assign gives j a slot and has it sent with what leaves next; the dispatcher's
// lock is held and inflight < window. It is done under the lock so that no
// worker, however wrong, can answer a request before it is on its way.
func (l *link) assign(j *job, now time.Time) {
	slot := l.free[len(l.free)-1]
	l.free = l.free[:len(l.free)-1]
	l.slots[slot] = j
	l.lastID += 1 << slotBits
	j.id = l.lastID | uint64(slot)
	j.link = l
	j.sent = now
	l.inflight++
	j.long = len(j.body) > smallMessage
	l.out.add(wire.Header{Type: wire.Request, ID: j.id}, j.body, j.memory)
}

// unassign frees j's slot and learns from the time it took; the dispatcher's
// lock is held.
func (l *link) unassign(j *job, now time.Time) {
	slot := int(j.id & (1<<slotBits - 1))
	l.slots[slot] = nil
	l.free = append(l.free, slot)
	l.inflight--
	if j.overdue {
		l.overdue--
	}
	// A slot was free just now.
	if l.stuckSince = (time.Time{}); l.overdue >= l.concurrency {
		l.stuckSince = now
	}
	// A worker that is kept busy finishes a request every "occupancy"; one that
	// was idle worked on it since it was sent.
	start := j.sent
	if l.lastDone.After(start) {
		start = l.lastDone
	}
	l.lastDone = now
	took := max(float64(now.Sub(start)), 1)
	if l.occupancy == 0 {
		l.occupancy = took
	}
	l.occupancy += (took - l.occupancy) / 16
	prefetch := int(min(prefetchTime/l.occupancy, maxPrefetch))
	if prefetch == 1 {
		prefetch = 0 // a slow processor: whoever is free first should have it
	}
	l.window = l.concurrency + prefetch
}

// noteOverdue counts a request past its time, and notes the moment since which
// such requests have left no slot free; the dispatcher's lock is held.
func (l *link) noteOverdue(j *job, now time.Time) {
	j.overdue = true
	l.overdue++
	if l.overdue >= l.concurrency && l.stuckSince.IsZero() {
		l.stuckSince = now
	}
}

// each calls f for every request that the worker has.
func (l *link) each(f func(*job)) {
	for _, j := range l.slots {
		if j != nil {
			f(j)
		}
	}
}

// orphans returns the requests that the worker still has.
func (l *link) orphans() []*job {
	l.d.mu.Lock()
	defer l.d.mu.Unlock()
	var jobs []*job
	l.each(func(j *job) { jobs = append(jobs, j) })
	return jobs
}

// abandon tells the worker that nobody waits for j any more. What is still to
// be written of its body is held by the outbox; the dispatcher's lock is held.
func (l *link) abandon(j *job) {
	j.abandoned = true
	j.body, j.memory = nil, nil
	l.out.message(wire.Header{Type: wire.Cancel, ID: j.id}, nil, nil)
}

// stream is what frames travel on.
type stream interface {
	io.ReadWriteCloser
	CloseRead() error
}

// promptConn is a stream that can be used without waiting.
type promptConn interface {
	stream
	// tryRead returns 0 and no error where nothing has come.
	tryRead([]byte) (int, error)
	// tryWrite returns how many bytes were taken. An error is none: whoever
	// writes the rest meets it.
	tryWrite([]byte) int
	// writeAll writes pieces together.
	writeAll(pieces [][]byte) error
	// hold keeps the descriptor from being closed until release.
	hold() (fd int, ok bool)
	release()
}

// readLoop reads answers until the connection ends. It returns nil at
// end-of-file, otherwise what the worker did wrong. Between what only a goroutine
// can wait for it leaves the reading to a lane of the express; nil: there is
// none.
//
// put is given what the program sets of the service's properties.
func (l *link) readLoop(in *inbox, lane *lane, put func([]byte) error) error {
	in.room = l.room
	in.waits = l.out.flush // what the answers have made room for
	for {
		if lane != nil {
			if err := lane.watch(l, in); err != nil {
				return err
			}
		}
		h, payload, err := in.next()
		if err != nil {
			if errors.Is(err, errEOF) {
				return nil
			}
			return err
		}
		switch h.Type {
		case wire.Response:
			if err := l.response(h, payload); err != nil {
				return err
			}
		case wire.Pong:
			l.pongs.Add(1)
		case wire.Settings:
			if err := put(payload); err != nil {
				return err
			}
		case wire.Frames: // as its READY has shown
		case wire.Drained: // its process ends now, which is what counts
		default:
			if h.Type.Known() {
				return fmt.Errorf("frame %v after READY", h.Type)
			}
		}
	}
}

// job returns the request that a frame answers, nil where the worker does not
// have it; the dispatcher's lock is held.
func (l *link) job(h wire.Header) *job {
	if j := l.slots[h.ID&(1<<slotBits-1)]; j != nil && j.id == h.ID {
		return j
	}
	return nil
}

// room returns where the payload of a long frame is to be put, nil where nobody
// wants it.
func (l *link) room(h wire.Header) []byte {
	if h.Type != wire.Response {
		return nil
	}
	l.d.mu.Lock()
	j := l.job(h)
	abandoned := j != nil && j.abandoned
	l.d.mu.Unlock()
	if j == nil || abandoned || len(j.answer)+int(h.Length) > wire.MaxMessage {
		return nil
	}
	l.grow(j, h)
	l.placed = j
	return j.answer[len(j.answer) : len(j.answer)+int(h.Length)]
}

// mostGuessed is the longest answer that memory is taken for before it is
// known to be that long.
const mostGuessed = 4 << 20

// grow makes room for a frame in the memory of a long answer. All of it counts
// in the budget.
func (l *link) grow(j *job, h wire.Header) {
	need := len(j.answer) + int(h.Length)
	if j.kept != nil && need <= cap(j.answer) {
		return
	}
	if h.Flags&wire.More != 0 {
		// The answers of a processor are alike, more often than not.
		need = max(2*need, min(l.last, mostGuessed))
	}
	bigger := l.budget.buffer(need)
	bigger.held = int64(len(bigger.b))
	l.budget.force(bigger.held)
	n := copy(bigger.b, j.answer)
	j.kept.drop()
	j.kept, j.answer = bigger, bigger.b[:n]
}

func (l *link) response(h wire.Header, payload []byte) error {
	placed := l.placed != nil
	l.placed = nil
	l.d.mu.Lock()
	j := l.job(h)
	abandoned := j != nil && j.abandoned
	early := j != nil && l.out.holds(j)
	l.d.mu.Unlock()
	if j == nil {
		return fmt.Errorf("RESPONSE to request %d, which it does not have", h.ID)
	}
	if early {
		return fmt.Errorf("RESPONSE to request %d before it had the whole request", h.ID)
	}
	if !abandoned {
		if len(j.answer)+len(payload) > wire.MaxMessage {
			return fmt.Errorf("RESPONSE of more than %d bytes", wire.MaxMessage)
		}
		switch {
		case placed:
			j.answer = j.answer[:len(j.answer)+len(payload)]
		case h.Flags&wire.More != 0 || len(j.answer) > 0 || len(payload) > keptBuffer:
			l.grow(j, h)
			fallthrough
		default:
			j.answer = append(j.answer, payload...)
		}
	}
	if h.Flags&wire.More != 0 {
		return nil
	}
	if j.kept != nil {
		l.last = len(j.answer)
	}
	j.status, j.flags = h.Status, h.Flags
	l.d.finish(l, j, nil, time.Now())
	return nil
}

// outbox is what is to be written to a worker. Small messages are copied and
// leave together in one write; long ones take turns, a frame each, so that a
// small message never waits for a whole long one.
//
// Whoever has something to send may write it, if nobody else does and the
// connection takes it at once; what is left of it is written by a goroutine.
type outbox struct {
	conn promptConn // nil: nothing can be written at once

	mu      sync.Mutex
	small   []byte
	spare   []byte // of flush
	long    []longMessage
	writing bool // somebody is
	ended   bool // nothing is written any more
	wake    chan struct{}
	gone    chan struct{} // closed when the writer has ended
}

type longMessage struct {
	header wire.Header
	rest   []byte
	memory *buffer // that rest lies in; nil: nobody's
}

// smallMessage is the longest message that is copied: copying it costs less
// than a system call of its own.
const smallMessage = 32 << 10

// message sends a message. A long one holds the memory that it lies in, until
// it was written or never will be.
func (o *outbox) message(h wire.Header, payload []byte, memory *buffer) {
	o.add(h, payload, memory)
	o.kick()
}

// add is message for who calls kick or flush.
func (o *outbox) add(h wire.Header, payload []byte, memory *buffer) {
	o.mu.Lock()
	defer o.mu.Unlock()
	switch {
	case o.ended:
	case len(payload) <= smallMessage:
		o.small = wire.AppendFrame(o.small, h, payload)
	default:
		memory.hold()
		o.long = append(o.long, longMessage{h, payload, memory})
	}
}

// kick has what was added written by the goroutine that writes.
func (o *outbox) kick() {
	select {
	case o.wake <- struct{}{}:
	default:
	}
}

// flush writes what was added if that takes no waiting, and otherwise has it
// written.
func (o *outbox) flush() {
	o.mu.Lock()
	if o.writing || o.ended || len(o.small)+len(o.long) == 0 {
		o.mu.Unlock() // whoever writes looks again
		return
	}
	if len(o.small) == 0 || o.conn == nil {
		o.mu.Unlock()
		o.kick()
		return
	}
	o.writing = true
	small := o.small
	o.small = o.spare[:0]
	o.mu.Unlock()
	n := o.conn.tryWrite(small)
	o.mu.Lock()
	o.writing = false
	if o.spare = small; cap(small) > 1<<20 {
		o.spare = nil // a burst is over: give its memory back
	}
	if n < len(small) && !o.ended {
		o.spare = o.small
		o.small = append(slices.Clone(small[n:]), o.small...)
	}
	left := len(o.small)+len(o.long) > 0
	o.mu.Unlock()
	if left {
		o.kick()
	}
}

// holds reports whether the body of a request is not wholly written yet. A
// short one was copied.
func (o *outbox) holds(j *job) bool {
	if !j.long {
		return false
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	for i := range o.long {
		if o.long[i].header.ID == j.id {
			return true
		}
	}
	return false
}

// write writes messages until the connection breaks or stop is closed. Only
// the reader reports a broken connection, so that there is one report; where
// the worker has only stopped reading, it is made to see the end.
func (o *outbox) write(conn stream, stop <-chan struct{}) {
	defer close(o.gone)
	defer o.end()
	var spare, header []byte
	var pieces [3][]byte
	for {
		select {
		case <-stop:
			return
		case <-o.wake:
		}
		// Whoever was woken together with the sender has its message ready in a
		// moment: let them run first, so that all leave in one system call.
		runtime.Gosched()
		for {
			o.mu.Lock()
			if o.writing {
				o.mu.Unlock()
				break // who writes looks for what is left afterwards
			}
			small := o.small
			o.small = spare[:0]
			var chunk []byte
			var written *buffer // after this piece
			if len(o.long) > 0 {
				m := &o.long[0]
				h := m.header
				chunk = m.rest[:min(len(m.rest), wire.MaxPayload)]
				m.rest = m.rest[len(chunk):]
				h.Length = uint32(len(chunk))
				last := len(m.rest) == 0
				if !last {
					h.Flags |= wire.More
				}
				header = h.Append(header[:0])
				turn := *m
				end := len(o.long) - 1
				copy(o.long, o.long[1:])
				o.long[end] = turn
				if last {
					written = turn.memory
					o.long[end] = longMessage{} // or the body would be kept
					o.long = o.long[:end]
				}
			}
			o.writing = len(small) > 0 || chunk != nil
			o.mu.Unlock()
			if len(small) == 0 && chunk == nil {
				spare = small
				break
			}
			var err error
			if chunk == nil {
				_, err = conn.Write(small)
			} else {
				pieces = [...][]byte{small, header, chunk}
				err = writeAll(conn, pieces[:])
				written.drop()
			}
			if err != nil {
				conn.CloseRead()
				return
			}
			o.mu.Lock()
			o.writing = false
			o.mu.Unlock()
			if cap(small) > 1<<20 {
				small = nil // a burst is over: give its memory back
			}
			spare = small
		}
	}
}

func writeAll(conn stream, pieces [][]byte) error {
	if c, ok := conn.(promptConn); ok {
		return c.writeAll(pieces)
	}
	parts := net.Buffers(pieces)
	_, err := parts.WriteTo(conn)
	return err
}

// end drops what will not be written any more.
func (o *outbox) end() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.ended, o.writing = true, false
	for _, m := range o.long {
		m.memory.drop()
	}
	o.long, o.small = nil, nil
}

// inbox reads frames from a worker. Short ones are read many at a time; the
// payload of a long one is read to where it is wanted.
type inbox struct {
	conn       io.Reader
	buf        []byte
	start, end int
	follows    bool // another long frame, most likely

	room func(wire.Header) []byte // for a long payload; nil, or returns nil: nobody has any
	own  []byte                   // for that case

	waits func() // is called before a read; nil: nothing
}

// inboxSize is the length of the longest frame that is a short one.
const inboxSize = 64 << 10

func newInbox(conn io.Reader) *inbox {
	return &inbox{conn: conn, buf: make([]byte, inboxSize)}
}

// errEOF is a connection that ended between two frames, by the worker's doing
// or by ours.
var errEOF = errors.New("end of file")

// errCut is one that ended inside a frame: a process that died while it wrote.
var errCut = errors.New("its connection ended inside a frame")

// next returns the next frame. The payload is valid until the call after.
func (in *inbox) next() (wire.Header, []byte, error) {
	for {
		h, payload, come, err := in.peek()
		switch {
		case err != nil:
			return h, nil, err
		case come == whole:
			in.take(payload)
			return h, payload, nil
		case come == tooLong:
			return in.long(h, payload)
		}
		most := len(in.buf)
		if in.follows && in.end < wire.HeaderSize {
			most = wire.HeaderSize // what comes after it need not be copied
		}
		in.follows = false
		if in.waits != nil {
			in.waits()
		}
		n, err := in.conn.Read(in.buf[in.end:most])
		in.end += n
		if n == 0 && err != nil {
			if in.end > 0 {
				return wire.Header{}, nil, fmt.Errorf("%w: %w", errCut, err)
			}
			return wire.Header{}, nil, errEOF
		}
	}
}

// arrival is how much of a frame has come.
type arrival int

const (
	partly  arrival = iota
	whole           // its payload too
	tooLong         // the payload, of which the beginning is there, does not fit
)

// peek returns what has come of the next frame; take takes it. There is room to
// read on where it is not there whole.
func (in *inbox) peek() (wire.Header, []byte, arrival, error) {
	have := in.buf[in.start:in.end]
	if len(have) >= wire.HeaderSize {
		h, err := wire.ParseHeader(have)
		if err != nil {
			return h, nil, partly, err
		}
		size := wire.HeaderSize + int(h.Length)
		if len(have) >= size {
			return h, have[wire.HeaderSize:size], whole, nil
		}
		if size > len(in.buf) {
			return h, have[wire.HeaderSize:], tooLong, nil
		}
	}
	if in.start > 0 {
		in.end = copy(in.buf, have)
		in.start = 0
	}
	return wire.Header{}, nil, partly, nil
}

func (in *inbox) take(payload []byte) { in.start += wire.HeaderSize + len(payload) }

// long reads the payload of a long frame, of which the beginning is there and
// nothing after it.
func (in *inbox) long(h wire.Header, begin []byte) (wire.Header, []byte, error) {
	var payload []byte
	if in.room != nil {
		payload = in.room(h)
	}
	if payload == nil {
		if in.own == nil {
			in.own = make([]byte, wire.MaxPayload)
		}
		payload = in.own[:h.Length]
	}
	n := copy(payload, begin)
	in.start, in.end = 0, 0
	in.follows = h.Flags&wire.More != 0
	if _, err := io.ReadFull(in.conn, payload[n:]); err != nil {
		return wire.Header{}, nil, fmt.Errorf("%w: %w", errCut, err)
	}
	return h, payload, nil
}

// decimal reads a number from a message's properties.
func decimal(props map[string]string, name string, otherwise int) (int, error) {
	text, ok := props[name]
	if !ok {
		return otherwise, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		return 0, fmt.Errorf("property %s is %q, not a number", name, text)
	}
	return n, nil
}
