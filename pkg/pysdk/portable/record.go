package portable

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/csv"
	"fmt"
	"io"
	"maps"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// editRecords brings the lists of packages' files up to date: what was left out
// is no longer in them, and what was changed has its new hash.
func (b *builder) editRecords() error {
	for _, name := range slices.Sorted(maps.Keys(b.items)) {
		if path.Base(name) != "RECORD" || path.Dir(path.Dir(name)) != b.packages() || !strings.HasSuffix(path.Dir(name), ".dist-info") {
			continue
		}
		it := b.items[name]
		text, err := it.content()
		if err != nil {
			return err
		}
		edited, err := b.editRecord(text)
		if err != nil {
			continue // as damaged as it was
		}
		if !bytes.Equal(edited, text) {
			if err := b.change(it, edited); err != nil {
				return err
			}
		}
	}
	return nil
}

func (b *builder) editRecord(text []byte) ([]byte, error) {
	r := csv.NewReader(bytes.NewReader(text))
	r.FieldsPerRecord = -1
	lines, err := r.ReadAll()
	if err != nil {
		return nil, err
	}
	changed := false
	kept := lines[:0]
	for _, line := range lines {
		if len(line) != 3 {
			kept = append(kept, line)
			continue
		}
		name := path.Join(b.packages(), line[0])
		if filepath.IsAbs(line[0]) {
			old, ok := b.oldName(line[0])
			if !ok {
				kept = append(kept, line)
				continue
			}
			name, line[0], changed = old, relative(b.packages(), old), true
		}
		it := b.items[name]
		if _, left := b.left[name]; it == nil && (left || strings.HasSuffix(name, ".pyc")) {
			changed = true
			continue
		}
		if it != nil && it.edited() && line[1] != "" && path.Base(name) != "RECORD" {
			hash, err := hashOf(it)
			if err != nil {
				return nil, err
			}
			if size := strconv.FormatInt(it.Size, 10); hash != line[1] || size != line[2] {
				line[1], line[2], changed = hash, size, true
			}
		}
		kept = append(kept, line)
	}
	if !changed {
		return text, nil
	}
	var out bytes.Buffer
	w := csv.NewWriter(&out)
	if err := w.WriteAll(kept); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

// hashOf returns the hash of a file as it is in the tree.
func hashOf(it *item) (string, error) {
	r, err := it.Open()
	if err != nil {
		return "", err
	}
	sum := sha256.New()
	if _, err := io.Copy(sum, r); err != nil {
		r.Close()
		return "", err
	}
	if err := r.Close(); err != nil {
		return "", fmt.Errorf("%s: %w", origin(it), err)
	}
	return "sha256=" + base64.RawURLEncoding.EncodeToString(sum.Sum(nil)), nil
}
