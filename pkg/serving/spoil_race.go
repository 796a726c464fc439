//go:build race

package serving

// spoilPooled fills memory with garbage when it is given back, to show who
// still uses it. Tests run with the race detector.
const spoilPooled = true
