package serving

import "github.com/openeas/eascmd/pkg/serving/wire"

// The statuses of EAS that have no name in HTTP.
const (
	statusQueueFull    = 450
	statusClientClosed = 499
)

// httpStatus turns a processor's status into HTTP's: 0 and 200 are 200, what
// can be an HTTP status of an answer stays, everything else and every
// exception is 400.
func httpStatus(status uint16, flags wire.Flags) int {
	switch {
	case flags&wire.Exception != 0:
		return 400
	case status == 0:
		return 200
	case status >= 200 && status <= 599:
		return int(status)
	default:
		return 400
	}
}

// bodyless reports whether HTTP forbids a body with a status. (205 may carry an
// empty one only, which comes to the same.)
func bodyless(status int) bool { return status == 204 || status == 205 || status == 304 }
