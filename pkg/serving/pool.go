package serving

import (
	"math/bits"
	"sync/atomic"
)

// buffer is the memory of one body, with what it holds of the budget. It is
// used again when the last of its holders has dropped it: fresh memory for
// every body would cost more than all that is done with it, in page faults and
// in garbage collections. A nil buffer holds nothing and is nobody's.
type buffer struct {
	b       []byte // its whole length
	held    int64  // bytes of the budget
	budget  *budget
	class   int // negative: it is not used again
	holders atomic.Int32
}

// hold makes somebody else a holder too.
func (m *buffer) hold() {
	if m != nil {
		m.holders.Add(1)
	}
}

// drop ends the hold of one holder, who does not touch the memory any more.
func (m *buffer) drop() {
	if m != nil && m.holders.Add(-1) == 0 {
		m.budget.put(m)
	}
}

// forget is a drop by the only holder that leaves the memory to the garbage
// collector, where somebody else may still look at it.
func (m *buffer) forget() {
	if m != nil {
		m.budget.release(m.held)
		m.held = 0
	}
}

// Sizes of the buffers that are used again. There are four classes between a
// power of two and the next, so that a fifth of one is lost at most. Each has
// some room beyond, for a body of a round length and the look at its end.
const (
	leastPooled = 16 << 10
	mostPooled  = 16 << 20
	classSpare  = 512
	classes     = 4*10 + 1 // powers of two from leastPooled to mostPooled
)

// sizeClass returns the class whose buffers hold n bytes, at least leastPooled
// and at most mostPooled, and its size.
func sizeClass(n int) (class, size int) {
	const least = 14 // leastPooled is 1<<least
	n = max(n-classSpare, leastPooled)
	power := bits.Len(uint(n-1)) - 1 // 1<<power < n <= 2<<power, but for the least
	if n == leastPooled {
		return 0, leastPooled + classSpare
	}
	quarter := 1 << (power - 2)
	steps := (n - 1<<power + quarter - 1) / quarter // 1 to 4
	return 4*(power-least) + steps, 1<<power + steps*quarter + classSpare
}

// pool holds the buffers that nobody uses, under the budget's lock.
type pool struct {
	idle  int64 // bytes
	most  int64
	free  [classes][]*buffer
	least [classes]int // how many lay idle all the time since the last rest
	looks int
}

func (p *pool) take(class int) *buffer {
	list := p.free[class]
	if len(list) == 0 {
		return nil
	}
	last := len(list) - 1
	m := list[last]
	list[last] = nil
	p.free[class] = list[:last]
	p.least[class] = min(p.least[class], last)
	p.idle -= int64(len(m.b))
	return m
}

func (p *pool) put(m *buffer) {
	if m.class < 0 || p.idle+int64(len(m.b)) > p.most {
		return
	}
	if spoilPooled {
		spoil(m.b)
	}
	p.free[m.class] = append(p.free[m.class], m)
	p.idle += int64(len(m.b))
}

// spoil makes everyone who still reads a buffer that was given back notice.
func spoil(b []byte) {
	for i := range b {
		b[i] = 0xdb
	}
}

// drop leaves buffers to the garbage collector, the largest first, until no
// more than so many bytes are idle.
func (p *pool) drop(most int64) {
	for class := classes - 1; class >= 0 && p.idle > most; class-- {
		for p.idle > most && len(p.free[class]) > 0 {
			p.take(class)
		}
	}
}

// restLooks is after how many looks those are dropped that were not needed
// meanwhile.
const restLooks = 20

// rest is called now and then. It drops what has long not been needed, and
// returns how many bytes that were.
func (p *pool) rest() int64 {
	if p.looks++; p.looks < restLooks || p.idle == 0 {
		return 0
	}
	p.looks = 0
	before := p.idle
	for class := range p.free {
		for range p.least[class] {
			p.take(class)
		}
		p.least[class] = len(p.free[class])
	}
	return before - p.idle
}
