// Package store brings files to object stores and models and processors from
// where they are kept.
//
// What is fetched lies in a cache that is addressed by content: a file is in it
// whole and checked, or not at all, and is fetched again only when the other
// side has another version. What is sent goes in parts, and an upload that was
// interrupted, whatever by, is gone on with. All that is difficult about this is
// written once, above the small interface Store; an implementation of it makes
// requests, one at a time, and tells what came of them.
package store
