package controlplane

import (
	"encoding/json"
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"github.com/openeas/eascmd/internal/fault"
)

// stateFile is the file of StateDir that services are kept in, tokens included.
const stateFile = "services.json"

type state struct {
	Services []kept   `json:"services"`
	Groups   []*group `json:"groups,omitempty"`
}

// save writes down what is to outlive the control plane. That it cannot be
// written must not end what runs. The caller holds the lock.
func (s *Server) save() {
	if s.opts.StateDir == "" || s.closed {
		return
	}
	var all state
	for _, name := range slices.Sorted(maps.Keys(s.services)) {
		all.Services = append(all.Services, s.services[name].kept)
	}
	for _, name := range slices.Sorted(maps.Keys(s.groups)) {
		all.Groups = append(all.Groups, s.groups[name])
	}
	if err := writeState(s.opts.StateDir, all); err != nil {
		s.notice("", "the services could not be written down: "+err.Error(), true)
	}
}

func writeState(dir string, all state) error {
	data, err := json.MarshalIndent(all, "", "  ")
	if err != nil {
		return err
	}
	f, err := os.CreateTemp(dir, "."+stateFile+"-*") // mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.Write(data)
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), filepath.Join(dir, stateFile))
}

// restore reads what was kept.
func (s *Server) restore() error {
	if s.opts.StateDir == "" {
		return nil
	}
	if err := os.MkdirAll(s.opts.StateDir, 0o700); err != nil {
		return fault.New(fault.Failed, "keep services: %w", err)
	}
	path := filepath.Join(s.opts.StateDir, stateFile)
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fault.New(fault.Failed, "read the services that were kept: %w", err)
	}
	var all state
	if err := json.Unmarshal(data, &all); err != nil {
		return fault.New(fault.Failed, "read the services that were kept: %s: %w", path, err).WithHint("remove the file to begin without services")
	}
	for _, g := range all.Groups {
		g.turn = map[string]int{}
		s.groups[g.Name] = g
	}
	for _, k := range all.Services {
		if k.Current < 1 || k.Current > len(k.Versions) {
			return fault.New(fault.Failed, "read the services that were kept: %s: service %s has no version %d", path, k.Name, k.Current)
		}
		d := &deployed{kept: k, changed: make(chan struct{})}
		var refused *apiError
		if d.description, _, refused = parseConfig(d.version().Config); refused != nil {
			return fault.New(fault.Failed, "read the services that were kept: %s: service %s: %w", path, k.Name, refused)
		}
		d.setStatus(stopped, upper(stopped), "Service is stopped")
		s.services[k.Name] = d
	}
	return nil
}

// resume starts again what ran when its control plane ended.
func (s *Server) resume() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, name := range slices.Sorted(maps.Keys(s.services)) {
		switch d := s.services[name]; {
		case d.Deleting:
			s.operate(d, deleting)
		case d.wanted() > 0:
			s.operate(d, starting)
		}
	}
}
