package config

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/openeas/eascmd/internal/fault"
)

// Change is what Save does to a profile.
type Change struct {
	Set   map[string]string // by key
	Unset []string          // keys

	// Remove takes the whole profile away before anything is set.
	Remove bool

	// Tidy removes the file where nothing is left in it, unless the path is a link.
	Tidy bool
}

// Save changes a profile in the file at path, which is made if it does not
// exist. The file is written whole or not at all, readable by its owner only.
// An empty path means DefaultPath.
func Save(path, profile string, change Change) error {
	usual, usualErr := DefaultPath()
	if path == "" {
		if usualErr != nil {
			return usualErr
		}
		path = usual
	}
	profile = strings.ToLower(profile)
	if err := checkProfile(profile); err != nil {
		return err
	}
	// The order of new lines is that of the keys, whatever the map's is.
	keys := Keys()
	for key, value := range change.Set {
		if !slices.Contains(keys, key) {
			return fault.New(fault.Failed, "configuration: unknown key %q", key)
		}
		if err := checkValue(value); err != nil {
			return fault.New(fault.Usage, "%s cannot be stored: %w", key, err)
		}
	}
	target, err := followLinks(path)
	if err != nil {
		return fault.New(fault.Description, "configuration file: %w", err)
	}
	f, _, err := readFile(target, false)
	if err != nil {
		return err
	}
	if info, err := os.Lstat(target); err == nil && !info.Mode().IsRegular() {
		return fault.New(fault.Description, "configuration file: %s is no regular file", target)
	}
	if change.Remove {
		f.remove(profile)
	}
	for _, key := range change.Unset {
		f.unset(profile, key)
	}
	for _, key := range keys {
		if value, ok := change.Set[key]; ok {
			f.set(profile, key, value)
		}
	}
	if change.Tidy && target == path && len(bytes.TrimSpace(f.bytes())) == 0 {
		if err := os.Remove(target); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fault.New(fault.Failed, "configuration file: %w", err)
		}
		return nil
	}
	directory := filepath.Dir(target)
	if err := os.MkdirAll(directory, 0o700); err != nil {
		return fault.New(fault.Failed, "configuration file: %w", err)
	}
	if path == usual {
		// The directory is ours, so what others may do there is ours to say.
		// Best effort: the file itself is 0600 whatever becomes of this.
		os.Chmod(filepath.Dir(usual), 0o700)
	}
	if err := replaceFile(target, f.bytes()); err != nil {
		return fault.New(fault.Failed, "configuration file: %w", err)
	}
	return nil
}

func checkProfile(name string) error {
	for _, c := range name {
		if !(c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || strings.ContainsRune("._-", c)) {
			return fault.New(fault.Usage, "profile %q: a name has letters, digits and the characters . _ - only", name)
		}
	}
	if name == "" || sectionProfile("profile "+name) != name || sectionProfile(name) != name {
		return fault.New(fault.Usage, "profile %q: this name cannot be used", name)
	}
	return nil
}

// followLinks returns the file that path leads to through symbolic links, so
// that replacing it leaves the links in place. It need not exist.
func followLinks(path string) (string, error) {
	for range 40 {
		info, err := os.Lstat(path)
		if errors.Is(err, fs.ErrNotExist) {
			return path, nil
		}
		if err != nil {
			return "", err
		}
		if info.Mode()&fs.ModeSymlink == 0 {
			return path, nil
		}
		next, err := os.Readlink(path)
		if err != nil {
			return "", err
		}
		if !filepath.IsAbs(next) {
			next = filepath.Join(filepath.Dir(path), next)
		}
		path = next
	}
	return "", fmt.Errorf("%s: too many symbolic links", path)
}
