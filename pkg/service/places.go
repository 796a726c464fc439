package service

import (
	"net/url"
	"path"
	"strings"
)

// checkPlaces checks the addresses that files are fetched from.
func (p *parser) checkPlaces() {
	for _, place := range [...]struct{ field, value string }{
		{"model_path", p.d.ModelPath},
		{"processor_path", p.d.ProcessorPath},
		{"warm_up_data_path", p.d.WarmUpDataPath},
	} {
		if place.value != "" {
			p.checkPlace(place.field, place.value)
		}
	}
}

func (p *parser) checkPlace(field, value string) {
	scheme, rest, remote := strings.Cut(value, "://")
	if !remote {
		if p.opts.ForDeploy && !p.opts.Published {
			p.fail(field, "upload it first and write its oss:// address", "%q is a local path, which only eascmd test can read", clip(value))
		}
		return
	}
	switch scheme {
	case "http", "https":
		u, err := url.Parse(value)
		if err != nil || u.Hostname() == "" {
			p.fail(field, "write it as https://host/path", "%q is not a web address", clip(redact(value)))
			return
		}
		if field == "model_path" && !isArchiveName(u.Path) {
			p.warn(field, "pack the model as .tar.gz, .tar, .tar.bz2 or .zip", "%q does not look like an archive, which a model from a web address has to be", clip(path.Base(u.Path)))
		}
	case "oss":
		if bucket, _, _ := strings.Cut(rest, "/"); bucket == "" {
			p.fail(field, "write it as oss://bucket/path", "%q names no bucket", clip(value))
		}
	case "file":
		if p.opts.ForDeploy && !p.opts.Published && !p.opts.AnyStore {
			p.fail(field, "upload it first and write its oss:// address", "%q is a local path, which only eascmd test can read", clip(value))
		}
	case "s3":
		if p.opts.ForDeploy && !p.opts.AnyStore {
			p.fail(field, "upload it first and write its oss:// address", "%q is not a place that the platform can read", clip(value))
		}
	default:
		p.fail(field, "use oss://, http://, https:// or, with eascmd test, a local path", "%q has the unknown scheme %q", clip(redact(value)), clip(scheme))
	}
}

// redact removes a user's password and a query, which may hold a signature,
// from an address.
func redact(address string) string {
	address, _, _ = strings.Cut(address, "?")
	if scheme, rest, ok := strings.Cut(address, "://"); ok {
		if i := strings.LastIndexByte(rest, '@'); i >= 0 {
			return scheme + "://****@" + rest[i+1:]
		}
	}
	return address
}

// isArchiveName reports whether a file of this name is usually an archive.
func isArchiveName(name string) bool {
	name = strings.ToLower(name)
	for _, ext := range [...]string{".tar.gz", ".tgz", ".tar", ".tar.bz2", ".tbz2", ".tbz", ".bz2", ".zip", ".gz"} {
		if strings.HasSuffix(name, ext) {
			return true
		}
	}
	return false
}
