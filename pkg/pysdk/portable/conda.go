package portable

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/openeas/eascmd/internal/fault"
)

// recorded is what conda noted of a file that names the environment's
// directory: as what it was written.
type recorded string

// The modes, in conda's words.
const (
	asText   recorded = "text"
	asBinary recorded = "binary"
)

// condaPackage is what is read of a package's file in conda-meta.
type condaPackage struct {
	PathsData struct {
		Paths []condaPath `json:"paths"`
	} `json:"paths_data"`
}

type condaPath struct {
	Path        string   `json:"_path"`
	Placeholder string   `json:"prefix_placeholder"`
	Mode        recorded `json:"file_mode"`
}

// readConda reads what conda noted of its packages' files. What it noted says
// as what a file is rewritten; which files name the environment's directory is
// seen by looking at them, since pip may have put others in their place.
func (b *builder) readConda() error {
	b.recorded = map[string]recorded{}
	for _, name := range slices.Sorted(maps.Keys(b.items)) {
		if path.Dir(name) != "conda-meta" || !strings.HasSuffix(name, ".json") {
			continue
		}
		it := b.items[name]
		text, err := it.content()
		if err != nil {
			return err
		}
		var p condaPackage
		if err := json.Unmarshal(text, &p); err != nil {
			return fault.New(fault.Failed, "read %s: %w", origin(it), err).WithHint("install the package again, or remove the file")
		}
		for _, f := range p.PathsData.Paths {
			if f.Mode == "" && f.Placeholder != "" {
				f.Mode = asText
			}
			if f.Mode != "" {
				b.recorded[b.installed(path.Clean(f.Path))] = f.Mode
			}
		}
	}
	return nil
}

// installed returns where a file of a package for any Python is installed;
// others have the same name in the package.
func (b *builder) installed(name string) string {
	if rest, ok := strings.CutPrefix(name, "site-packages/"); ok {
		return b.packages() + "/" + rest
	}
	if rest, ok := strings.CutPrefix(name, "python-scripts/"); ok {
		return "bin/" + rest
	}
	return name
}

// editRecorded replaces the old directory in a file that conda wrote it into.
func (b *builder) editRecorded(it *item) error {
	if b.kind != Conda || total(it.seen.hits) == 0 || b.items[it.Name] != it {
		return nil
	}
	if path.Dir(it.Name) == "conda-meta" {
		return b.placeText(it)
	}
	switch b.recorded[it.Name] {
	case asText:
		return b.placeText(it)
	case asBinary:
		b.placeBinary(it)
		return b.recount(it)
	}
	return nil
}

// placeText replaces the old directory in a text.
func (b *builder) placeText(it *item) error {
	text, err := it.content()
	if err != nil {
		return err
	}
	for _, old := range b.old {
		text = replacePath(text, old, b.newPrefix())
	}
	return b.change(it, text)
}

// newPrefix is the directory that takes the old one's place where nothing can
// be computed.
func (b *builder) newPrefix() string {
	if b.opts.Prefix != "" {
		return b.opts.Prefix
	}
	return nowhere
}

// placeBinary replaces the old directory in a program or library by one of the
// same length. Slashes fill up what a shorter one leaves: they mean nothing
// inside of a path, and nothing that follows has to move.
func (b *builder) placeBinary(it *item) {
	var pairs [][2]string
	for _, old := range b.old {
		with := b.newPrefix()
		if len(with) > len(old) {
			with = nowhere[:min(len(nowhere), len(old))]
		}
		pairs = append(pairs, [2]string{old, with + strings.Repeat("/", len(old)-len(with))})
	}
	open := it.Open
	it.Same, it.redone = "", true
	it.Open = func() (io.ReadCloser, error) {
		f, err := open()
		if err != nil {
			return nil, err
		}
		return &reader{newReplacer(f, pairs), f}, nil
	}
}

// replacer replaces, in what is read, strings by others of the same length.
type replacer struct {
	from  io.Reader
	pairs [][2]string
	keep  int    // the longest string
	buf   []byte // read, and not given away
	ready int    // bytes of buf that are done
	err   error
}

func newReplacer(r io.Reader, pairs [][2]string) *replacer {
	keep := 0
	for _, p := range pairs {
		keep = max(keep, len(p[0]))
	}
	return &replacer{from: r, pairs: pairs, keep: keep}
}

func (r *replacer) Read(p []byte) (int, error) {
	for r.ready == 0 {
		if r.err != nil {
			return 0, r.err
		}
		r.fill()
	}
	n := copy(p, r.buf[:r.ready])
	r.buf, r.ready = r.buf[n:], r.ready-n
	return n, nil
}

// fill reads on. What may be the beginning of a string waits for its end.
func (r *replacer) fill() {
	have := len(r.buf)
	buf := make([]byte, have+chunk)
	copy(buf, r.buf)
	n, err := io.ReadFull(r.from, buf[have:])
	r.buf = buf[:have+n]
	last := err != nil
	if errors.Is(err, io.ErrUnexpectedEOF) {
		err = io.EOF
	}
	r.err = err
	r.ready = len(r.buf)
	if !last {
		r.ready -= r.keep
	}
	for _, p := range r.pairs {
		replaceSame(r.buf, r.ready, p[0], p[1])
	}
}

// replaceSame replaces a directory that begins before limit, where it is not
// the beginning of the name of another one, by a string of the same length.
func replaceSame(buf []byte, limit int, dir, with string) {
	for at := 0; at < limit; {
		next := bytes.Index(buf[at:], []byte(dir))
		if next < 0 || at+next >= limit {
			return
		}
		at += next
		end := at + len(dir)
		if end >= len(buf) || !isNameByte(buf[end]) {
			copy(buf[at:end], with)
		}
		at = end
	}
}
