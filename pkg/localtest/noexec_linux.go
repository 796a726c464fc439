package localtest

import (
	"golang.org/x/sys/unix"

	"github.com/openeas/eascmd/internal/fault"
	"github.com/openeas/eascmd/pkg/runplan"
)

// executable refuses a processor on a file system from which nothing may be
// executed. The loader's own words for it ("failed to map segment") name
// neither the cause nor the place.
func executable(p runplan.Processor) error {
	var stat unix.Statfs_t
	if err := unix.Statfs(p.Entry, &stat); err != nil || stat.Flags&unix.ST_NOEXEC == 0 {
		return nil // what cannot be known is left to the loader
	}
	return fault.New(fault.Missing, "%s lies on a file system that is mounted noexec: no code can be loaded from it", p.Entry).
		WithHint("set TMPDIR to a directory on another file system, or move the processor there")
}
