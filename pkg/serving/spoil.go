//go:build !race

package serving

const spoilPooled = false
