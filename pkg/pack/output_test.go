package pack

import (
	"bytes"
	"sync"
	"testing"
	"testing/synctest"
)

// While the first segment stands still, the others take no more memory than
// there is for them; and when it goes on, all comes out in order.
func TestOutputIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const parts, size = 13, 4 << 20 // twice what may wait
		var b bytes.Buffer
		o := newOutput(&b)
		first := o.begin(0, make([]byte, 0, outChunk))
		var group sync.WaitGroup
		for i := 1; i < parts; i++ {
			p := o.begin(i, make([]byte, 0, outChunk))
			group.Go(func() {
				if _, err := p.Write(bytes.Repeat([]byte{byte(i)}, size)); err != nil {
					t.Error(err)
				}
				if _, err := p.end(); err != nil {
					t.Error(err)
				}
			})
		}
		synctest.Wait() // until all stand still
		waiting := 0
		o.mu.Lock()
		for _, p := range o.waiting {
			waiting += len(p.full)
		}
		o.mu.Unlock()
		if waiting != outMemory/outChunk {
			t.Errorf("%d chunks wait, of %d", waiting, outMemory/outChunk)
		}
		if b.Len() > 0 {
			t.Error("something was written out of turn")
		}
		if _, err := first.Write(make([]byte, size)); err != nil {
			t.Error(err)
		}
		if _, err := first.end(); err != nil {
			t.Error(err)
		}
		group.Wait()
		var want []byte
		for i := range parts {
			want = append(want, bytes.Repeat([]byte{byte(i)}, size)...)
		}
		if !bytes.Equal(b.Bytes(), want) {
			t.Error("not in order")
		}
	})
}
