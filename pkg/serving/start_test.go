package serving

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/openeas/eascmd/pkg/runplan"
	"github.com/openeas/eascmd/pkg/serving/wire"
)

// Who has said how many threads there are is told to the worker: it decides
// whether the program may ask for another number.
func TestStartSaysWhoSetTheThreads(t *testing.T) {
	for from, plan := range map[string]runplan.Plan{
		"":            {Worker: runplan.Worker{Threads: 5}, Given: []string{"rpc.keepalive"}},
		"description": {Worker: runplan.Worker{Threads: 2}, Given: []string{"rpc.keepalive", "rpc.worker_threads"}},
		"caller":      {Worker: runplan.Worker{Threads: 1, ThreadsFixed: true}, Given: []string{"rpc.worker_threads"}},
	} {
		payload, err := startPayload(&plan)
		if err != nil {
			t.Fatal(err)
		}
		props, err := wire.Properties(payload)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(from, props["threads.from"]); d != "" {
			t.Errorf("threads.from (-want +got):\n%s", d)
		}
	}
}
