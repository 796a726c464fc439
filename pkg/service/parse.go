package service

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"

	"github.com/openeas/eascmd/internal/fault"
	"github.com/tailscale/hujson"
)

// MaxSize is the size in bytes up to which a description is read. The platform
// keeps descriptions in objects that have to be smaller still.
const MaxSize = 1 << 20

// Options says which rules a description has to keep. The zero value holds the
// rules of a run on this machine.
type Options struct {
	// ForDeploy asks for what the platform asks for: paths that it can reach
	// and a number of instances.
	ForDeploy bool

	// Published, beside ForDeploy, says that what lies on this machine is put
	// into a store before the platform is asked.
	Published bool
	// AnyStore, beside ForDeploy, is for a platform of one's own, which may read
	// s3:// and file:// as well.
	AnyStore bool

	// Partial takes the text for a part of a description: a change of one, or
	// one that its platform has completed by rules of its own. Nothing is
	// missing in it.
	Partial bool
}

// Load reads a description from a file, by the rules of a run on this machine.
// A description that is wrong gives an *InvalidError.
func Load(path string) (*Description, error) { return Options{}.Load(path) }

// Parse reads a description from data, by the rules of a run on this machine.
// file is the name that problems are reported under. A description that is
// wrong gives an *InvalidError.
func Parse(file string, data []byte) (*Description, error) { return Options{}.Parse(file, data) }

// Load reads a description from a file.
func (o Options) Load(path string) (*Description, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, unreadable(path, err)
	}
	if info.IsDir() {
		return nil, fault.New(fault.Description, "read service description: %s is a directory", path).
			WithHint("name the file in it, such as %s", filepath.Join(path, "service.json"))
	}
	if !info.Mode().IsRegular() {
		// To open a FIFO would wait for its writer, for ever where there is none.
		return nil, fault.New(fault.Description, "read service description: %s is a pipe or a device", path).
			WithHint("write the description to a file: paths in it may start at its directory")
	}
	if info.Size() > MaxSize {
		return nil, tooLarge(path)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, unreadable(path, err)
	}
	defer f.Close()
	// The size of a file that is still written to is not known.
	data, err := io.ReadAll(io.LimitReader(f, MaxSize+1))
	if err != nil {
		return nil, unreadable(path, err)
	}
	return o.Parse(path, data)
}

func unreadable(path string, err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return &fault.Error{
			Kind: fault.Description, Err: fs.ErrNotExist,
			Text: fmt.Sprintf("read service description: %s does not exist", path),
			Hint: "`eascmd init` writes a project with a service.json",
		}
	}
	return fault.New(fault.Description, "read service description: %w", err)
}

func tooLarge(file string) error {
	e := &InvalidError{File: file, Problems: []Problem{{
		File: file,
		Text: fmt.Sprintf("the file is larger than %d MiB, the most that a service description may have", MaxSize>>20),
		Fix:  "check that it is the right file; models and data belong into files of their own",
	}}}
	return e
}

// Parse reads a description from data. file is the name that problems are
// reported under.
func (o Options) Parse(file string, data []byte) (*Description, error) {
	if len(data) > MaxSize {
		return nil, tooLarge(file)
	}
	p := &parser{problems: problems{file: file, data: data}, opts: o, fields: make(map[reflect.Type]map[string]reflect.StructField)}
	value, ok := p.syntax()
	if !ok {
		return nil, p.err()
	}
	d := &Description{GenerateToken: true, Uncompress: true}
	p.d = d
	d.root = p.normalize(p.build(value, ""), reflect.TypeFor[Description](), "")
	p.decode(d.root, reflect.ValueOf(d).Elem(), "")
	p.validate()
	if err := p.err(); err != nil {
		return nil, err
	}
	d.Warnings = p.list()
	return d, nil
}

// parser reads one description.
type parser struct {
	problems
	opts    Options
	d       *Description
	unknown []unknownField
	fields  map[reflect.Type]map[string]reflect.StructField // of the types seen so far
}

// field returns the field of struct type t with this JSON name.
func (p *parser) field(t reflect.Type, name string) (reflect.StructField, bool) {
	fields, ok := p.fields[t]
	if !ok {
		fields = fieldsOf(t)
		p.fields[t] = fields
	}
	f, ok := fields[name]
	return f, ok
}

// syntax parses the text up to the one object that it has to be.
func (p *parser) syntax() (v hujson.Value, ok bool) {
	text, unclosed, bad := scan(p.data)
	if bad != nil {
		p.add(Error, bad.off, "", bad.fix, "%s", bad.text)
		return v, false
	}
	// A // comment that ends the file has no line end, which hujson asks for.
	text = append(text, '\n')
	v, err := hujson.Parse(text)
	if err != nil {
		p.explain(err, text, unclosed)
		return v, false
	}
	if v.Value.Kind() != '{' {
		p.add(Error, v.StartOffset, "", "write one object: {\"name\": …}", "a service description is an object")
		return v, false
	}
	return v, true
}
