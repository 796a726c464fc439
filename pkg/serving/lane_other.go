//go:build !linux

package serving

import (
	"errors"
	"net"
	"time"
)

// lane is on Linux only; elsewhere there is none, and the server has every
// connection.
type lane struct{}

func newLane(*gateway) *lane { return nil }

func (*lane) take(*net.TCPConn) bool    { return false }
func (*lane) conns() int                { return 0 }
func (*lane) look(time.Duration)        {}
func (*lane) drain()                    {}
func (*lane) close()                    {}
func (*lane) run()                      {}
func (*lane) watch(*link, *inbox) error { return nil }

func newPromptConn(duplex) (promptConn, error) { return nil, errors.ErrUnsupported }
