// Package store fetches models and processors from where they are kept. What
// comes over the network lies in a cache that is addressed by content: a file
// is in it whole and checked, or not at all, and is fetched again only when
// the other side has another version.
package store
