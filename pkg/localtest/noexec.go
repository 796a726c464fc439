package localtest

import (
	"github.com/openeas/eascmd/internal/diskspace"
	"github.com/openeas/eascmd/internal/fault"
	"github.com/openeas/eascmd/pkg/runplan"
)

// executable refuses a processor on a file system from which nothing may be
// executed. The loader's own words for it ("failed to map segment") name
// neither the cause nor the place.
func executable(p runplan.Processor) error {
	if !diskspace.NoExec(p.Entry) {
		return nil
	}
	return fault.New(fault.Missing, "%s lies on a file system that is mounted noexec: no code can be loaded from it", p.Entry).
		WithHint("set TMPDIR to a directory on another file system, or move the processor there")
}
