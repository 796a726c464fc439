package eas

import (
	"context"
	"maps"
	"strconv"

	"github.com/openeas/eascmd/internal/fault"
	"github.com/openeas/eascmd/pkg/deploy"
)

const (
	pageSize = 100  // what the API has by default
	maxPages = 1000 // of one list; a longer one is too long, or does not end
)

// paging is what answers with pages have.
type paging struct {
	reply
	TotalCount   integer
	TotalPageNum integer // of events and logs only
}

// page is one page of a list.
type page[E any] struct {
	paging
	entries []E
}

// isLast reports whether no page follows the page n, with which read entries
// have been read.
func (p page[E]) isLast(n, read, size int) bool {
	switch {
	case len(p.entries) == 0:
		return true
	case p.TotalPageNum > 0:
		return n >= int(p.TotalPageNum)
	case p.TotalCount > 0:
		return read >= int(p.TotalCount)
	}
	return len(p.entries) < size
}

// lister reads a list of E, the pages of which are answers of P.
type lister[P, E any] struct {
	size         int
	number, many string // the parameters
	open         func(*P) page[E]
	key          func(E) string // what two entries of are one; nil: nothing is
}

// one asks for one page.
func (l lister[P, E]) one(ctx context.Context, t *Target, r request, n int) (page[E], error) {
	query := maps.Clone(r.query)
	if query == nil {
		query = map[string]string{}
	}
	query[l.number], query[l.many] = strconv.Itoa(n), strconv.Itoa(l.size)
	r.query = query
	got := new(P)
	err := t.call(ctx, r, got)
	return l.open(got), err
}

// all asks for all pages. What moves from one page to the next while they are
// read comes once.
func (l lister[P, E]) all(ctx context.Context, t *Target, r request) ([]E, deploy.Reply, error) {
	var all []E
	var first deploy.Reply
	seen := map[string]bool{}
	for n, read := 1, 0; n <= maxPages; n++ {
		p, err := l.one(ctx, t, r, n)
		if err != nil {
			return nil, first, err
		}
		if n == 1 {
			first = p.deploy()
		}
		for _, e := range p.entries {
			if l.key != nil {
				if seen[l.key(e)] {
					continue
				}
				seen[l.key(e)] = true
			}
			all = append(all, e)
		}
		read += len(p.entries)
		if p.isLast(n, read, l.size) {
			return all, first, nil
		}
	}
	return nil, first, fault.New(fault.Remote, "%s: it does not end after %d pages of %d", t.nameOf(r), maxPages, l.size).
		WithHint("ask for less of it")
}
