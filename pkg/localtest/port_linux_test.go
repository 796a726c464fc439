package localtest

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestListeners(t *testing.T) {
	const table = `  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 4711 1 0000000000000000 100 0 0 10 0
   1: 0100007F:1F90 0100007F:C000 01 00000000:00000000 00:00000000 00000000     0        0 4712 1 0000000000000000 20 4 30 10 -1
   2: 00000000:0016 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4713 1 0000000000000000 100 0 0 10 0
   3: broken
`
	if d := cmp.Diff([]listener{{"1000", "4711"}}, listeners([]byte(table), 8080), cmp.AllowUnexported(listener{})); d != "" {
		t.Errorf("listeners (-want +got):\n%s", d)
	}
	if got := listeners([]byte(table), 9090); got != nil {
		t.Errorf("a free port: %v", got)
	}
}
