package store

import (
	"context"
	"net/http"

	"github.com/openeas/eascmd/internal/fault"
	"github.com/openeas/eascmd/pkg/config"
)

// Credentials tells the credentials of the cloud; asked before each request, so
// that temporary ones may be replaced by new ones.
type Credentials interface {
	Credentials(ctx context.Context) (config.Credentials, error)
}

// Options say how stores are reached. What is not used by an address's scheme is
// ignored.
type Options struct {
	Credentials Credentials // of oss://

	OSSEndpoint string // host, host:port, or with http:// or https:// before it; default: that of the region
	Region      string // of the cloud, such as cn-shanghai; for oss://
	Inner       bool   // the endpoint inside of the cloud's own network, where none is given

	S3Endpoint string // as OSSEndpoint; default: that of AWS
	S3Region   string // default: what AWS's own variables and files say, else us-east-1

	Client   *http.Client // default: NewClient(CABundle)
	CABundle string       // PEM file with more certificate authorities; not used with Client
}

// Open returns the store that an address is in. Nothing is asked yet, so that a
// wrong key or a missing bucket shows with the first request.
func Open(ctx context.Context, addr Address, opts Options) (Store, error) {
	switch addr.Scheme {
	case File:
		return newFile(addr)
	case OSS:
		return newOSS(addr, opts)
	case S3:
		return newS3(addr, opts)
	default:
		return nil, fault.New(fault.Usage, "%s: this version has no store for %s://", addr, addr.Scheme)
	}
}
