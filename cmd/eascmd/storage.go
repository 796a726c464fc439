package main

import (
	"context"

	"github.com/openeas/eascmd/internal/fault"
	"github.com/openeas/eascmd/pkg/config"
	"github.com/openeas/eascmd/pkg/store"
)

// storeOptions says how stores are reached, by the settings. Nothing is asked of
// anybody yet.
func (a *app) storeOptions(ctx context.Context) (store.Options, error) {
	settings, err := a.config(ctx)
	if err != nil {
		return store.Options{}, err
	}
	identity, err := a.identity(settings)
	if err != nil {
		return store.Options{}, err
	}
	return store.Options{
		Credentials: identity,
		OSSEndpoint: settings.OSSEndpoint(),
		Region:      settings.Region(),
		S3Endpoint:  settings.S3Endpoint(),
		S3Region:    settings.S3Region(),
		CABundle:    a.caBundle,
	}, nil
}

// uploadPrefix returns where uploads go: what --to says, else the profile. It is
// the zero value where neither says anything.
func (a *app) uploadPrefix(ctx context.Context, to string) (store.Address, error) {
	source := "--to"
	if to == "" {
		settings, err := a.config(ctx)
		if err != nil {
			return store.Address{}, err
		}
		to, source = settings.UploadPrefix(), settings.Source(config.UploadPrefix)
	}
	if to == "" {
		return store.Address{}, nil
	}
	addr, err := store.ParseAddress(to)
	if err != nil {
		return addr, fault.New(fault.KindOf(err), "%s: %w", source, err)
	}
	if !addr.IsPrefix() {
		addr.Key += "/"
	}
	return addr, nil
}
