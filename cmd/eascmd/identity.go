package main

import (
	"net/http"

	"github.com/openeas/eascmd/pkg/config"
	"github.com/openeas/eascmd/pkg/config/credentials"
	"github.com/openeas/eascmd/pkg/store"
)

// identity returns who asks the cloud, by the settings. Nothing is asked yet.
func (a *app) identity(settings *config.Settings) (*credentials.Identity, error) {
	if a.caBundle != "" {
		// Who gives out temporary keys is asked through the default transport and
		// through nothing else, so that this is the one way to tell it whom to
		// trust. It is the program's to set; all other parts have their own.
		client, err := store.NewClient(a.caBundle)
		if err != nil {
			return nil, err
		}
		http.DefaultTransport = client.Transport
	}
	return credentials.New(settings, credentials.Options{})
}
