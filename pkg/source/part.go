package source

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/openeas/eascmd/internal/fault"
	"github.com/openeas/eascmd/pkg/pack"
	"github.com/openeas/eascmd/pkg/store"
)

// The fields of a description that name files.
const (
	processorPath = "processor_path"
	modelPath     = "model_path"
	warmUpPath    = "warm_up_data_path"
)

// part is what one field of the description names on this machine.
type part struct {
	*publisher
	field string
	path  string // absolute
	dir   bool

	place  *place      // in the cache
	format pack.Format // of a file that is an archive to be unpacked, else pack.None
}

// publish checks and packs the part, and plans what is uploaded of it.
func (p *part) publish(ctx context.Context) error {
	if err := p.detect(); err != nil {
		return err
	}
	var err error
	if p.place, err = openPlace(ctx, p.CacheDir, p.field, p.path, func() {
		p.warn("another eascmd is publishing "+p.path+"; waiting for it", "")
	}); err != nil {
		return err
	}
	p.locks = append(p.locks, p.place.unlock)
	switch {
	case p.field == warmUpPath && p.dir:
		return p.publishFiles(ctx)
	case p.dir:
		return p.publishDirectory(ctx)
	default:
		return p.publishFile(ctx)
	}
}

// detect finds out whether a file is an archive, which is unpacked where the
// service runs.
func (p *part) detect() error {
	p.format = pack.None
	if p.dir || !p.Description.Uncompress || p.field == warmUpPath {
		return nil
	}
	if ext := strings.ToLower(filepath.Ext(p.path)); ext == ".jar" || ext == ".whl" {
		return nil
	}
	format, err := pack.Detect(p.path)
	if err != nil {
		return fault.New(fault.KindOf(err), "%s: %w", p.field, err)
	}
	if _, single := pack.SingleFile(p.path); !single {
		p.format = format
	}
	if format == pack.None {
		return p.checkNamedArchive()
	}
	return nil
}

// checkNamedArchive looks at a file that is no archive. What EAS unpacks goes by
// the name.
func (p *part) checkNamedArchive() error {
	if !isNamedArchive(filepath.Base(p.path)) {
		return nil
	}
	info, err := os.Stat(p.path)
	if err != nil {
		return fault.New(fault.Failed, "%s: %w", p.field, err)
	}
	if info.Size() == 0 {
		return fault.New(fault.Description, "%s: %s is empty, and EAS would fail to unpack it", p.field, p.path).
			WithHint("make the archive again")
	}
	p.warn(p.field+": by its name "+p.path+" is an archive, by its content it is not: EAS may fail to unpack it", "make the archive again, or give the file another name")
	return nil
}

// publishFile publishes a file as it is.
func (p *part) publishFile(ctx context.Context) error {
	sum, err := p.place.sumFile(ctx, p.path)
	if err != nil {
		return err
	}
	if err := p.checkFile(ctx, sum); err != nil {
		return err
	}
	info, err := os.Stat(p.path)
	if err != nil {
		return fault.New(fault.Failed, "%s: %w", p.field, err)
	}
	name := filepath.Base(p.path)
	stem, ext := splitName(name)
	if want := extensionOf(p.format); want != "" && !isArchive(name, p.format) {
		stem, ext = name, want // what unpacks it goes by the name
	}
	key := stemOf(stem) + "-" + sum[:digits] + ext
	if p.field == modelPath && p.format == pack.None {
		// A processor may open the file by its name.
		key = stemOf(stem) + "-" + sum[:digits] + "/" + name
	}
	addr, err := p.plan(key, Upload{Package: p.path, Size: info.Size(), SHA256: sum})
	if err != nil {
		return err
	}
	if p.field == processorPath && p.format == pack.None && p.Description.ProcessorEntry != "" {
		// The file arrives under the name of its object.
		p.rewrite["processor_entry"] = path.Base(addr.Key)
	}
	p.rewrite[p.field] = addr.String()
	return p.place.save()
}

// publishFiles publishes the files of a directory of requests, which is nothing
// that is unpacked.
func (p *part) publishFiles(ctx context.Context) error {
	entries, err := os.ReadDir(p.path) // sorted by name
	if err != nil {
		return fault.New(fault.Description, "%s: %w", p.field, err)
	}
	all := sha256.New()
	var files []Upload
	for _, e := range entries {
		file := filepath.Join(p.path, e.Name())
		info, err := os.Stat(file)
		if errors.Is(err, fs.ErrNotExist) || err == nil && !info.Mode().IsRegular() || strings.HasPrefix(e.Name(), ".") {
			continue
		}
		if err != nil {
			return fault.New(fault.Description, "%s: %w", p.field, err)
		}
		sum, err := p.place.sumFile(ctx, file)
		if err != nil {
			return err
		}
		fmt.Fprintf(all, "%q %s\n", e.Name(), sum)
		files = append(files, Upload{Package: file, Size: info.Size(), SHA256: sum})
	}
	if len(files) == 0 {
		return fault.New(fault.Description, "%s: %s holds no files", p.field, p.path)
	}
	dir := stemOf(filepath.Base(p.path)) + "-" + hex.EncodeToString(all.Sum(nil))[:digits]
	for _, f := range files {
		addr, err := p.plan(dir+"/"+filepath.Base(f.Package), f)
		if err != nil {
			return err
		}
		addr.Key = addr.Key[:strings.LastIndexByte(addr.Key, '/')+1]
		p.rewrite[p.field] = addr.String()
	}
	return p.place.save()
}

// publishDirectory publishes a directory as a package.
func (p *part) publishDirectory(ctx context.Context) error {
	made, cached, err := p.pack(ctx)
	if err != nil {
		return err
	}
	key := stemOf(filepath.Base(p.path)) + "-" + made.SHA256[:digits] + packageExt
	addr, err := p.plan(key, Upload{Package: filepath.Join(p.place.dir, made.File), Size: made.Size, SHA256: made.SHA256, Cached: cached})
	if err != nil {
		return err
	}
	p.rewrite[p.field] = addr.String()
	if p.field == processorPath && p.Description.ProcessorEntry != "" {
		p.rewrite["processor_entry"] = path.Clean(filepath.ToSlash(p.Description.ProcessorEntry))
	}
	return nil
}

// plan notes an object, and returns its address.
func (p *part) plan(name string, u Upload) (store.Address, error) {
	addr, err := p.Prefix.Join(p.Description.Name + "/" + name)
	if err != nil {
		return addr, fault.New(fault.Description, "%s: %w", p.field, err)
	}
	u.Field, u.Source, u.to, u.Address = p.field, p.path, addr, addr.String()
	p.uploads = append(p.uploads, u)
	return addr, nil
}
