package store

import (
	"errors"
	"fmt"
	"path"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/openeas/eascmd/internal/fault"
)

// The schemes of addresses of object stores.
const (
	OSS  = "oss"
	S3   = "s3"
	File = "file"
)

// Address is where an object lies, or the beginning of where several do. A
// file:// address has no bucket, and its key is an absolute path without the
// slash before it.
type Address struct {
	Scheme string // OSS, S3 or File
	Bucket string
	Key    string // without a slash before it; a prefix of several ends in one
}

// IsAddress reports whether text is meant to be the address of an object store.
func IsAddress(text string) bool {
	scheme, _, ok := strings.Cut(text, "://")
	return ok && (scheme == OSS || scheme == S3 || scheme == File)
}

// ParseAddress reads oss://bucket/key, s3://bucket/key or file:///path.
func ParseAddress(text string) (Address, error) {
	wrong := func(why string) (Address, error) {
		return Address{}, fault.New(fault.Usage, "%q is no address of an object store: %s", Mask(text), why).
			WithHint("write oss://BUCKET/KEY, s3://BUCKET/KEY or file:///PATH")
	}
	scheme, rest, ok := strings.Cut(text, "://")
	if !ok {
		return wrong("there is no :// in it")
	}
	if strings.ContainsAny(rest, "\x00\n\r") {
		return wrong("it has a control character")
	}
	switch scheme {
	case File:
		if !strings.HasPrefix(rest, "/") {
			return wrong("the path is not absolute")
		}
		key := strings.TrimPrefix(path.Clean(rest), "/")
		if strings.HasSuffix(rest, "/") && key != "" {
			key += "/"
		}
		return Address{Scheme: File, Key: key}, nil
	case OSS, S3:
	default:
		return wrong("the stores are oss, s3 and file")
	}
	bucket, key, _ := strings.Cut(rest, "/")
	if !isBucket(bucket) {
		return wrong("a bucket's name is 3 to 63 lower-case letters, digits, dots and hyphens")
	}
	if err := checkKey(key); err != nil {
		return wrong(err.Error())
	}
	return Address{Scheme: scheme, Bucket: bucket, Key: key}, nil
}

// String writes the address as ParseAddress reads it.
func (a Address) String() string {
	if a.Scheme == File {
		return "file:///" + a.Key
	}
	return a.Scheme + "://" + a.Bucket + "/" + a.Key
}

// IsPrefix reports whether the address is the beginning of several.
func (a Address) IsPrefix() bool { return a.Key == "" || strings.HasSuffix(a.Key, "/") }

// Join returns the address of what is called name below a. name has slashes
// between its parts and must stay below a.
func (a Address) Join(name string) (Address, error) {
	err := checkKey(name)
	if name == "" {
		err = errEmptyName
	}
	if a.Key != "" && !strings.HasSuffix(a.Key, "/") {
		a.Key += "/"
	}
	a.Key += name
	if err == nil && a.Scheme != File {
		err = checkKey(a.Key) // it may be too long by now
	}
	if err != nil {
		return Address{}, fault.New(fault.Usage, "%q cannot be the name of an object: %w", name, err)
	}
	return a, nil
}

var errEmptyName = errors.New("it is empty")

// checkKey refuses what would not stay below its prefix, or not be the same
// everywhere: stores keep keys as they are, but files and URLs do not.
func checkKey(key string) error {
	switch {
	case len(key) > 1023:
		return errors.New("it is longer than 1023 bytes")
	case !utf8.ValidString(key):
		return errors.New("it is not UTF-8")
	case strings.HasPrefix(key, "/"), strings.HasPrefix(key, `\`):
		return errors.New("it begins with a slash")
	case strings.ContainsFunc(key, unicode.IsControl):
		return errors.New("it has a control character")
	}
	for part := range strings.SplitSeq(strings.TrimSuffix(key, "/"), "/") {
		if part == "." || part == ".." || part == "" && key != "" {
			return fmt.Errorf("%q cannot be a part of it", part)
		}
	}
	return nil
}

// isBucket keeps the rule that OSS and S3 have in common.
func isBucket(name string) bool {
	if len(name) < 3 || len(name) > 63 {
		return false
	}
	for i, c := range []byte(name) {
		switch {
		case c >= 'a' && c <= 'z', c >= '0' && c <= '9':
		case (c == '-' || c == '.') && i > 0 && i < len(name)-1:
		default:
			return false
		}
	}
	return true
}
