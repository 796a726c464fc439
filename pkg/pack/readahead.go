package pack

import "io"

// chunk is the unit that archives are read, decompressed and written in.
const chunk = 256 << 10

// readAhead decompresses in a goroutine of its own, so that a second core
// writes files meanwhile. Close ends the goroutine and waits for it.
type readAhead struct {
	full chan piece
	free chan []byte
	stop chan struct{}
	done chan struct{}

	cur piece
	off int
}

type piece struct {
	buf []byte
	err error // valid after buf
}

func newReadAhead(r io.Reader) *readAhead {
	const pieces = 4
	a := &readAhead{
		full: make(chan piece, pieces),
		free: make(chan []byte, pieces),
		stop: make(chan struct{}),
		done: make(chan struct{}),
	}
	for range pieces {
		a.free <- make([]byte, chunk)
	}
	go a.fill(r)
	return a
}

func (a *readAhead) fill(r io.Reader) {
	defer close(a.done)
	for {
		var buf []byte
		select {
		case buf = <-a.free:
		case <-a.stop:
			return
		}
		n, err := fill(r, buf)
		select {
		case a.full <- piece{buf[:n], err}:
		case <-a.stop:
			return
		}
		if err != nil {
			return
		}
	}
}

func (a *readAhead) Read(p []byte) (int, error) {
	for a.off == len(a.cur.buf) {
		if a.cur.err != nil {
			return 0, a.cur.err
		}
		if a.cur.buf != nil {
			a.free <- a.cur.buf[:chunk] // never blocks: it has room for all pieces
		}
		a.cur, a.off = <-a.full, 0
	}
	n := copy(p, a.cur.buf[a.off:])
	a.off += n
	return n, nil
}

func (a *readAhead) Close() {
	close(a.stop)
	<-a.done
}
