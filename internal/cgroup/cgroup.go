// Package cgroup limits the memory of a run's workers with a control group of
// their own, where the system lets this user make one. It knows version 2 (a
// delegated subtree) and the memory hierarchy of version 1.
//
// A group is a directory; whoever holds its path can put processes in, read
// how many the kernel killed for memory, and remove it. So the parts of a run
// share nothing but that path.
package cgroup

import "errors"

// ErrUnsupported says that no control group can be made here.
var ErrUnsupported = errors.New("no control group can be made here")
