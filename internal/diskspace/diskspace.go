// Package diskspace says how much room a file system has left, so that what
// writes much can stop before it fills somebody's disk.
package diskspace

// Space is the room of one file system, in bytes.
type Space struct {
	Free  uint64 // what this user may still write
	Total uint64
}
