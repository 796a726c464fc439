package hosttest

import (
	"bufio"
	"bytes"
	"testing"

	"github.com/openeas/eascmd/pkg/serving/wire"
)

// Pipeline is the body of a benchmark: it keeps `window` echo requests of `size`
// bytes at the worker until b.N are answered. One goroutine writes what one read
// brought answers for, so that the worker's cost is not hidden behind the
// gateway's.
func Pipeline(b *testing.B, w *Worker, window, size int) {
	body := append([]byte("echo "), bytes.Repeat([]byte{'x'}, size-5)...)
	client := w.takeOver()
	reader := bufio.NewReaderSize(client, 1<<20)
	var out []byte
	var id uint64
	sent, answered := 0, 0
	b.SetBytes(int64(size))
	b.ResetTimer()
	for answered < b.N {
		out = out[:0]
		for ; sent < b.N && sent-answered < window; sent++ {
			id++
			out = wire.AppendFrame(out, wire.Header{Type: wire.Request, ID: id}, body)
		}
		if _, err := client.Write(out); err != nil {
			b.Fatal(err)
		}
		for first := true; first || reader.Buffered() >= wire.HeaderSize; first = false {
			head, err := reader.Peek(wire.HeaderSize)
			if err != nil {
				b.Fatal(err)
			}
			h, err := wire.ParseHeader(head)
			if err != nil || h.Type != wire.Response || h.Status != 200 || int(h.Length) != size-5 {
				b.Fatalf("answer %+v: %v", h, err)
			}
			if _, err := reader.Discard(wire.HeaderSize + int(h.Length)); err != nil {
				b.Fatal(err)
			}
			answered++
			if answered == sent {
				break
			}
		}
	}
	b.StopTimer()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "requests/s")
}
