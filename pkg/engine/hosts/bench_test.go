package hosts_test

import (
	"fmt"
	"testing"

	"github.com/openeas/eascmd/pkg/serving/hosttest"
)

// BenchmarkHost measures the host alone: requests of 128 bytes, 16 at a time.
func BenchmarkHost(b *testing.B) {
	host := cppHost(b)
	for _, threads := range []int{1, 5} {
		b.Run(fmt.Sprintf("threads=%d", threads), func(b *testing.B) {
			w := hosttest.Start(b, host, hosttest.Options{Threads: threads})
			hosttest.Pipeline(b, w, 16, 128)
		})
	}
}
