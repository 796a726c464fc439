// Package cgroup keeps a run's workers, and all that they start, in a control
// group of their own, where the system lets this user make one: so that their
// memory is limited, and none of them outlives the run. It knows version 2 (a
// delegated subtree where there is a limit) and the memory hierarchy of
// version 1.
//
// A group is a directory; whoever holds its path can put processes in, read
// how many the kernel killed for memory, and remove it. So the parts of a run
// share nothing but that path.
package cgroup

import "errors"

// ErrUnsupported says that no control group can be made here.
var ErrUnsupported = errors.New("no control group can be made here")
