package pack

import (
	"io"
	"sync"
)

const (
	// outChunk is the unit in which compressed data is handed on.
	outChunk = 128 << 10
	// outMemory is how much compressed data may wait for its turn.
	outMemory = 24 << 20
)

// output brings the segments, which are compressed at the same time, into
// their order. Of the segment whose turn it is everything is written at once;
// those behind it wait in memory, of which there is a fixed amount. When that is
// used up they stand still, which never stops the first one.
type output struct {
	w io.Writer

	mu      sync.Mutex
	turn    *sync.Cond // the head has moved, memory is free again, or it has failed
	head    int        // the segment whose turn it is
	waiting map[int]*part
	spare   [][]byte
	room    int // chunks that may still be made
	err     error
	written int64 // of w; only for whoever has the turn, and at the end
}

func newOutput(w io.Writer) *output {
	o := &output{w: w, waiting: map[int]*part{}, room: outMemory / outChunk}
	o.turn = sync.NewCond(&o.mu)
	return o
}

// part is the output of one segment. It is an io.Writer for one goroutine.
type part struct {
	o     *output
	index int
	cur   []byte   // not handed on yet
	full  [][]byte // wait for the turn
	done  bool     // nothing follows
}

// begin begins a segment. cur is a chunk that the caller owns; end returns it or
// another one in its place.
func (o *output) begin(index int, cur []byte) *part {
	p := &part{o: o, index: index, cur: cur[:0]}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.waiting[index] = p
	return p
}

func (p *part) Write(b []byte) (int, error) {
	for n := 0; n < len(b); {
		if len(p.cur) == cap(p.cur) {
			if err := p.handOn(); err != nil {
				return n, err
			}
		}
		k := min(len(b)-n, cap(p.cur)-len(p.cur))
		p.cur = append(p.cur, b[n:n+k]...)
		n += k
	}
	return len(b), nil
}

// handOn writes the current chunk, or lets it wait and takes another one.
func (p *part) handOn() error {
	mine, err := p.o.await(p)
	if err != nil {
		return err
	}
	if !mine {
		return nil
	}
	err = p.o.write(p.full, p.cur)
	p.full, p.cur = nil, p.cur[:0]
	return err
}

// await waits until it is the part's turn, which it reports, or there is another
// chunk for it, which it then has.
func (o *output) await(p *part) (mine bool, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for {
		switch {
		case o.err != nil:
			return false, o.err
		case o.head == p.index:
			return true, nil
		case len(o.spare) > 0:
			p.full = append(p.full, p.cur)
			p.cur = o.spare[len(o.spare)-1][:0]
			o.spare = o.spare[:len(o.spare)-1]
			return false, nil
		case o.room > 0:
			p.full = append(p.full, p.cur)
			p.cur = make([]byte, 0, outChunk)
			o.room--
			return false, nil
		}
		o.turn.Wait()
	}
}

// write writes chunks that have waited, which are free then, and one more. Only
// whoever has the turn calls it.
func (o *output) write(full [][]byte, cur []byte) error {
	for _, b := range append(full, cur) {
		n, err := o.w.Write(b)
		o.written += int64(n)
		if err != nil {
			o.fail(err)
			return err
		}
	}
	if len(full) > 0 {
		o.mu.Lock()
		o.spare = append(o.spare, full...)
		o.turn.Broadcast()
		o.mu.Unlock()
	}
	return nil
}

// end ends a segment and returns a chunk for the next one. Where the turn has
// not come to it yet, whoever ends the segment before it goes on for it.
func (p *part) end() ([]byte, error) {
	if err := p.handOn(); err != nil {
		return nil, err
	}
	o := p.o
	o.mu.Lock()
	if o.head != p.index {
		p.done = true
		o.mu.Unlock()
		return p.cur, nil
	}
	for next := p; next != nil && (next == p || next.done); next = o.waiting[o.head] {
		o.mu.Unlock()
		if err := o.write(next.full, nil); err != nil {
			return nil, err
		}
		o.mu.Lock()
		delete(o.waiting, o.head)
		o.head++
	}
	o.turn.Broadcast()
	o.mu.Unlock()
	return p.cur, nil
}

// fail ends the waiting of all.
func (o *output) fail(err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.err == nil {
		o.err = err
	}
	o.turn.Broadcast()
}
