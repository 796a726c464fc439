package store

import (
	"cmp"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"net/http"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/openeas/eascmd/internal/fault"
)

func (s *fileStore) CreateMultipart(ctx context.Context, key string, metadata Metadata) (Multipart, error) {
	root, name, err := s.at(key, true)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	b, err := json.Marshal(fileUpload{Key: key, Metadata: metadata})
	if err != nil {
		return nil, err
	}
	u := &fileMultipart{store: s, key: key, id: randomName()}
	dir := u.dir(name)
	if err := root.MkdirAll(dir, 0o777); err != nil {
		return nil, fileError(err)
	}
	if err := root.WriteFile(path.Join(dir, "upload.json"), b, 0o666); err != nil {
		return nil, fileError(err)
	}
	return u, nil
}

func (s *fileStore) ResumeMultipart(key, id string) Multipart {
	return &fileMultipart{store: s, key: key, id: id}
}

func (s *fileStore) Uploads(ctx context.Context, key string) ([]string, error) {
	root, name, err := s.at(key, false)
	if errors.Is(err, ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer root.Close()
	entries, err := fs.ReadDir(root.FS(), path.Join(path.Dir(name), hiddenDir))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fileError(err)
	}
	var ids []string
	for _, e := range entries {
		id, ok := strings.CutPrefix(e.Name(), uploadPrefix)
		if !ok {
			continue
		}
		if begun, _, _, _, err := (&fileMultipart{store: s, key: key, id: id}).begun(); err == nil {
			begun.Close()
			ids = append(ids, id)
		}
	}
	return ids, nil
}

func (s *fileStore) UploadsBelow(ctx context.Context, prefix string) iter.Seq2[Begun, error] {
	return func(yield func(Begun, error) bool) {
		below, ok := strings.CutPrefix(prefix, s.base)
		if !ok {
			yield(Begun{}, fault.New(fault.Usage, "%q is not in %s", prefix, s.dir))
			return
		}
		root, err := s.open(false)
		if errors.Is(err, ErrNotExist) {
			return
		}
		if err != nil {
			yield(Begun{}, err)
			return
		}
		defer root.Close()
		begun, err := s.begunBelow(ctx, root, below)
		if err != nil {
			yield(Begun{}, fileError(err))
			return
		}
		for _, b := range begun {
			if strings.HasPrefix(b.Key, prefix) && !yield(b, nil) {
				return
			}
		}
	}
}

// begunBelow finds the uploads in the directories where the names that begin
// with prefix are, and perhaps others beside them.
func (s *fileStore) begunBelow(ctx context.Context, root *os.Root, prefix string) ([]Begun, error) {
	var all []Begun
	dir := path.Dir(prefix + "x") // prefix may end in a slash
	err := fs.WalkDir(root.FS(), dir, func(name string, e fs.DirEntry, err error) error {
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.Is(err, fs.ErrNotExist):
			return nil
		case err != nil:
			return err
		case !e.IsDir() || path.Base(path.Dir(name)) != hiddenDir:
			return nil
		}
		id, ok := strings.CutPrefix(e.Name(), uploadPrefix)
		var upload fileUpload
		b, err := root.ReadFile(path.Join(name, "upload.json"))
		if ok && err == nil && json.Unmarshal(b, &upload) == nil {
			all = append(all, Begun{upload.Key, id})
		}
		return fs.SkipDir
	})
	return all, err
}

// uploadPrefix begins the name of the directory of an upload.
const uploadPrefix = "upload-"

// fileMultipart is an upload in parts to a directory.
type fileMultipart struct {
	store   *fileStore
	key, id string
}

func (u *fileMultipart) ID() string { return u.id }

func (u *fileMultipart) dir(name string) string {
	return path.Join(path.Dir(name), hiddenDir, uploadPrefix+u.id)
}

// begun opens the directory of the store and returns that of the upload in it.
func (u *fileMultipart) begun() (root *os.Root, dir, name string, upload fileUpload, err error) {
	if _, err := hex.DecodeString(u.id); err != nil || u.id == "" {
		return nil, "", "", upload, fileRefusal("NoSuchUpload")
	}
	root, name, err = u.store.at(u.key, false)
	if err != nil {
		if errors.Is(err, ErrNotExist) {
			err = fileRefusal("NoSuchUpload")
		}
		return nil, "", "", upload, err
	}
	dir = u.dir(name)
	b, err := root.ReadFile(path.Join(dir, "upload.json"))
	if err == nil {
		err = json.Unmarshal(b, &upload)
	}
	if err != nil || upload.Key != u.key {
		root.Close()
		return nil, "", "", upload, fileRefusal("NoSuchUpload")
	}
	return root, dir, name, upload, nil
}

func (u *fileMultipart) PutPart(ctx context.Context, number int, body *Body) (Part, error) {
	if number < 1 || number > u.store.Traits().MaxParts {
		return Part{}, NewRefusal(File, http.StatusBadRequest, "InvalidArgument", fmt.Sprintf("%d is no number of a part", number), "", nil).Err()
	}
	root, dir, _, _, err := u.begun()
	if err != nil {
		return Part{}, err
	}
	defer root.Close()
	f, err := createIn(root, dir)
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) { // given up meanwhile
			err = fileRefusal("NoSuchUpload")
		}
		return Part{}, fileError(err)
	}
	defer f.discard()
	if err := f.copy(body.Reader(ctx)); err != nil {
		return Part{}, err
	}
	info, err := f.complete()
	if err != nil {
		return Part{}, err
	}
	if err := f.rename(path.Join(dir, fmt.Sprintf("%05d", number))); err != nil {
		return Part{}, err
	}
	return partOf(number, info), nil
}

func partOf(number int, info fs.FileInfo) Part {
	return Part{Number: number, Size: info.Size(), ETag: fmt.Sprintf(`"%x-%x"`, info.ModTime().UnixNano(), info.Size())}
}

func (u *fileMultipart) Parts(ctx context.Context) ([]Part, error) {
	root, dir, _, _, err := u.begun()
	if err != nil {
		return nil, err
	}
	defer root.Close()
	return partsIn(root, dir)
}

func partsIn(root *os.Root, dir string) ([]Part, error) {
	entries, err := fs.ReadDir(root.FS(), dir) // sorted by name
	if err != nil {
		return nil, fileError(err)
	}
	var parts []Part
	for _, e := range entries {
		number, err := strconv.Atoi(e.Name())
		if err != nil || e.Name() != fmt.Sprintf("%05d", number) {
			continue
		}
		if info, err := e.Info(); err == nil && info.Mode().IsRegular() {
			parts = append(parts, partOf(number, info))
		}
	}
	return parts, nil
}

func (u *fileMultipart) Complete(ctx context.Context, parts []Part) (*Object, error) {
	root, dir, name, upload, err := u.begun()
	if err != nil {
		return nil, err
	}
	defer root.Close()
	if err := u.check(root, dir, parts); err != nil {
		return nil, err
	}
	f, err := newIn(root, path.Dir(name))
	if err != nil {
		return nil, err
	}
	defer f.discard()
	for _, p := range parts {
		part, err := root.Open(path.Join(dir, fmt.Sprintf("%05d", p.Number)))
		if err != nil {
			return nil, fileError(err)
		}
		err = f.copy(&contextFile{File: part, ctx: ctx})
		part.Close()
		if err != nil {
			return nil, err
		}
	}
	o, err := u.store.finish(root, f, name, upload.Metadata)
	if err != nil {
		return nil, err
	}
	return o, fileError(root.RemoveAll(dir))
}

// check holds the parts that an object is to be made of against those there are.
func (u *fileMultipart) check(root *os.Root, dir string, parts []Part) error {
	have, err := partsIn(root, dir)
	if err != nil {
		return err
	}
	byNumber := map[int]Part{}
	for _, p := range have {
		byNumber[p.Number] = p
	}
	if len(parts) == 0 || !slices.IsSortedFunc(parts, func(a, b Part) int { return cmp.Compare(a.Number, b.Number) }) {
		return fileRefusal("InvalidPartOrder")
	}
	for i, p := range parts {
		there := byNumber[p.Number]
		switch {
		case there.ETag != p.ETag:
			return fileRefusal("InvalidPart")
		case i < len(parts)-1 && there.Size < u.store.Traits().MinPart:
			return fileRefusal("EntityTooSmall")
		}
		delete(byNumber, p.Number) // a number may be there once
	}
	return nil
}

func (u *fileMultipart) Abort(ctx context.Context) error {
	root, dir, name, _, err := u.begun()
	if errors.Is(err, ErrNoUpload) {
		return nil
	}
	if err != nil {
		return err
	}
	defer root.Close()
	if err := root.RemoveAll(dir); err != nil {
		return fileError(err)
	}
	prune(root, path.Dir(name))
	return nil
}
