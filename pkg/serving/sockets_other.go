//go:build !linux

package serving

import "net/netip"

// listening cannot be known here.
func listening(int) ([]netip.AddrPort, bool) { return nil, false }
