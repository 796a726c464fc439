package main

import (
	"context"
	"strings"

	"github.com/openeas/eascmd/internal/fault"
	"github.com/openeas/eascmd/pkg/config"
	"github.com/openeas/eascmd/pkg/store"
	"github.com/openeas/eascmd/pkg/ui"
)

// trash is what was uploaded for a service.
type trash struct {
	store store.Store
	addr  store.Address // of all of it; ends in a slash
}

// findTrash opens the place of what was uploaded for a service.
func (a *app) findTrash(ctx context.Context, name string) (*trash, error) {
	prefix, err := a.uploadPrefix(ctx, "")
	if err != nil {
		return nil, err
	}
	if prefix == (store.Address{}) {
		return nil, fault.New(fault.Description, "--purge: the profile has no %s, so nothing was uploaded for service %s from here", config.UploadPrefix, name).
			WithHint("leave --purge out")
	}
	if strings.Contains(name, "/") {
		return nil, fault.New(fault.Usage, "--purge: %q is no name of a service", name)
	}
	addr, err := prefix.Join(name)
	if err != nil {
		return nil, err
	}
	addr.Key += "/"
	opts, err := a.storeOptions(ctx)
	if err != nil {
		return nil, err
	}
	s, err := store.Open(ctx, addr, opts)
	if err != nil {
		return nil, err
	}
	return &trash{store: s, addr: addr}, nil
}

// remove removes all of it, and returns the addresses of what it has removed.
func (t *trash) remove(ctx context.Context, a *app) ([]string, error) {
	var keys []string
	for object, err := range t.store.List(ctx, t.addr.Key) {
		if err != nil {
			return nil, fault.New(fault.KindOf(err), "the service is deleted, but what is below %s could not be listed: %w", t.addr, err)
		}
		// Nothing else is ever removed, whatever a store lists.
		if strings.HasPrefix(object.Key, t.addr.Key) {
			keys = append(keys, object.Key)
		}
	}
	var removed []string
	for _, key := range keys {
		addr := t.addr
		addr.Key = key
		if err := t.store.Delete(ctx, key); err != nil {
			return removed, fault.New(fault.KindOf(err), "the service is deleted, but %s could not be removed: %w", addr, err)
		}
		removed = append(removed, addr.String())
		a.term.OK("Removed [%s]", ui.Printable(addr.String()))
	}
	return removed, nil
}

// close lets go of the store. There is nothing to lose any more.
func (t *trash) close() { _ = t.store.Close() }
