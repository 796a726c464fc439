package main

import (
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"

	"github.com/openeas/eascmd/pkg/config"
)

// Who gives out temporary keys is trusted as --ca-bundle says.
func TestIdentityTrustsTheBundle(t *testing.T) {
	emptyHome(t)
	before := http.DefaultTransport
	t.Cleanup(func() { http.DefaultTransport = before })
	server := httptest.NewTLSServer(http.NotFoundHandler())
	t.Cleanup(server.Close)
	bundle := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(bundle, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	settings, err := config.Load(config.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := (&app{caBundle: bundle}).identity(settings); err != nil {
		t.Fatal(err)
	}
	// The vendor's library makes a copy for each request.
	transport, ok := http.DefaultTransport.(*http.Transport)
	if !ok {
		t.Fatalf("the default transport is a %T, which the vendor's library cannot use", http.DefaultTransport)
	}
	transport = transport.Clone()
	defer transport.CloseIdleConnections()
	resp, err := (&http.Client{Transport: transport}).Get(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if _, err := (&app{caBundle: bundle + ".none"}).identity(settings); err == nil {
		t.Error("a bundle that is not there is no error")
	}
}
