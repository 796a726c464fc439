package pysdk

import (
	"encoding/json"
	"os"
	"path/filepath"

	"github.com/openeas/eascmd/internal/fault"
)

// MarkerName is the file in an environment that says what has made it.
const MarkerName = "eascmd-env.json"

// Marker is what the file says. It has no paths and times: it is packed with
// the environment.
type Marker struct {
	Backend Backend `json:"backend"`
	Python  string  `json:"python"`           // version of the interpreter: 3.11.7
	SDK     string  `json:"sdk,omitempty"`    // version of allspark
	Creator string  `json:"eascmd,omitempty"` // version of eascmd
}

// ReadMarker returns what an environment's marker says; the error is
// fs.ErrNotExist where eascmd has not made it.
func ReadMarker(env string) (Marker, error) {
	var m Marker
	path := filepath.Join(env, MarkerName)
	data, err := os.ReadFile(path)
	if err != nil {
		return m, err
	}
	if err := json.Unmarshal(data, &m); err != nil {
		return m, fault.New(fault.Failed, "read %s: %w", path, err)
	}
	return m, nil
}

func (m Marker) write(env string) error {
	data, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(env, MarkerName), append(data, '\n'), 0o666)
}
