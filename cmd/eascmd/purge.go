package main

import (
	"cmp"
	"context"
	"fmt"
	"strings"

	"github.com/openeas/eascmd/internal/fault"
	"github.com/openeas/eascmd/pkg/config"
	"github.com/openeas/eascmd/pkg/deploy"
	"github.com/openeas/eascmd/pkg/store"
	"github.com/openeas/eascmd/pkg/ui"
)

// trash is what was uploaded for a service, or was begun to be.
type trash struct {
	store store.Store
	addr  store.Address // of all of it; ends in a slash
}

// trashList is what there is to remove. Nothing else is ever removed, whatever a
// store lists.
type trashList struct {
	keys  []string
	begun []store.Begun // uploads that came to no end
}

func (l trashList) isEmpty() bool { return len(l.keys)+len(l.begun) == 0 }

// String says how much there is.
func (l trashList) String() string {
	var parts []string
	if n := len(l.keys); n > 0 {
		parts = append(parts, plural(n, "object"))
	}
	if n := len(l.begun); n > 0 {
		parts = append(parts, plural(n, "unfinished upload"))
	}
	return strings.Join(parts, " and ")
}

func plural(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
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
	s, err := store.Open(ctx, prefix, opts)
	if err != nil {
		return nil, err
	}
	return &trash{store: s, addr: addr}, nil
}

// list finds what there is. With an error it is not all: somebody may be allowed
// to list objects, and no uploads.
func (t *trash) list(ctx context.Context) (trashList, error) {
	var l trashList
	failed := func(err error) (trashList, error) {
		return l, fault.New(fault.KindOf(err), "what is below %s could not be listed: %w", t.addr, err)
	}
	for object, err := range t.store.List(ctx, t.addr.Key) {
		if err != nil {
			return failed(err)
		}
		if strings.HasPrefix(object.Key, t.addr.Key) {
			l.keys = append(l.keys, object.Key)
		}
	}
	for begun, err := range t.store.UploadsBelow(ctx, t.addr.Key) {
		if err != nil {
			return failed(err)
		}
		if strings.HasPrefix(begun.Key, t.addr.Key) {
			l.begun = append(l.begun, begun)
		}
	}
	return l, nil
}

// remove removes it, and notes in the result the addresses of what it has
// removed.
func (t *trash) remove(ctx context.Context, a *app, l trashList, result *actedOn) error {
	addr := t.addr
	for _, addr.Key = range l.keys {
		if err := t.store.Delete(ctx, addr.Key); err != nil {
			return t.left(addr, err)
		}
		result.Purged = append(result.Purged, addr.String())
		a.term.OK("Removed [%s]", ui.Printable(addr.String()))
	}
	for _, begun := range l.begun {
		addr.Key = begun.Key
		if err := t.store.ResumeMultipart(begun.Key, begun.ID).Abort(ctx); err != nil {
			return t.left(addr, err)
		}
		result.GivenUp = append(result.GivenUp, addr.String())
		a.term.OK("Removed an unfinished upload of [%s]", ui.Printable(addr.String()))
	}
	return nil
}

func (t *trash) left(addr store.Address, err error) error {
	return fault.New(fault.KindOf(err), "%s could not be removed: %w", addr, err).
		WithHint("the same command removes what is left")
}

// close lets go of the store. There is nothing to lose any more.
func (t *trash) close() { _ = t.store.Close() }

// purge removes what was uploaded for a service that has been deleted.
func (a *app) purge(ctx context.Context, t *trash, result *actedOn) error {
	l, err := t.list(ctx)
	if err = cmp.Or(t.remove(ctx, a, l, result), err); err != nil {
		return fault.New(fault.KindOf(err), "the service is deleted, but %w", err).WithHint("%s", fault.HintOf(err))
	}
	return nil
}

// purgeOnly removes what was uploaded for a service that does not exist, which
// is what missing says: an upload was interrupted before it was created, or it
// was deleted without --purge.
func (a *app) purgeOnly(ctx context.Context, w deploy.Where, name string, t *trash, missing error) error {
	l, unlisted := t.list(ctx)
	switch {
	case l.isEmpty() && unlisted != nil:
		return fault.New(fault.KindOf(unlisted), "service %s does not exist in %s, and %w", name, place(w), unlisted)
	case l.isEmpty():
		return missing
	}
	a.term.Info("service [%s] does not exist in [%s], but %s below %s", ui.Printable(name), ui.Printable(place(w)), thereIs(l), ui.Printable(t.addr.String()))
	yes, err := a.term.Confirm(ctx, "Are you sure to remove what is below "+t.addr.String(), a.yes)
	if err != nil {
		return err
	}
	if !yes {
		a.term.Info("it is left as it is")
		return nil
	}
	result := actedOn{Reply: deploy.Reply{RequestID: deploy.RequestIDOf(missing)}, Service: name, Region: w.Region}
	err = cmp.Or(t.remove(ctx, a, l, &result), unlisted)
	if a.output != ui.Table {
		if err := a.print(result); err != nil {
			return err
		}
	}
	return err
}

// thereIs is a sentence.
func thereIs(l trashList) string {
	verb := "there are "
	if len(l.keys) == 1 || len(l.keys) == 0 && len(l.begun) == 1 {
		verb = "there is "
	}
	return verb + l.String()
}
