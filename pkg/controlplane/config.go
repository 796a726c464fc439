package controlplane

import (
	"bytes"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strings"

	"github.com/openeas/eascmd/pkg/service"
)

// parseConfig reads a service description as the platform takes it, and returns
// it with its normal form on one line.
func parseConfig(data []byte) (*service.Description, json.RawMessage, *apiError) {
	d, err := service.Parse("service.json", data)
	if err != nil {
		if wrong, ok := errors.AsType[*service.InvalidError](err); ok {
			var texts []string
			for _, p := range wrong.Problems {
				if p.Severity == service.Error {
					texts = append(texts, strings.TrimPrefix(p.Field+": "+p.Text, ": "))
				}
			}
			return nil, nil, invalid("The service configuration is not valid: %s", strings.Join(texts, "; "))
		}
		return nil, nil, invalid("The service configuration is not valid: %s", err)
	}
	// The rules of the platform, but for stores: this one reads more of them.
	switch {
	case !d.Has("metadata.instance"):
		return nil, nil, invalid("The service configuration is not valid: metadata.instance: is missing")
	case *d.Metadata.Instance < 0:
		return nil, nil, invalid("The service configuration is not valid: metadata.instance: is negative")
	}
	for field, address := range map[string]string{
		"model_path": d.ModelPath, "processor_path": d.ProcessorPath, "warm_up_data_path": d.WarmUpDataPath,
	} {
		if address != "" && !strings.Contains(address, "://") {
			return nil, nil, invalid("The service configuration is not valid: %s: is a local path", field)
		}
	}
	var compact bytes.Buffer
	if err := json.Compact(&compact, d.Canonical()); err != nil {
		return nil, nil, invalid("The service configuration is not valid: %s", err)
	}
	return d, compact.Bytes(), nil
}

// tables are objects whose keys are names of their own: a dot in them means nothing.
var tables = []string{"features", "labels"}

// mergeConfig lays the fields of a change over a configuration in its normal
// form. Objects are merged, lists replaced, and null takes a field away.
func mergeConfig(config, change []byte) ([]byte, *apiError) {
	base, err := decodeObject(config)
	if err != nil {
		return nil, invalid("The service configuration is not valid: %s", err)
	}
	over, err := decodeObject(change)
	if err != nil {
		return nil, invalid("The service configuration is not valid: %s", err)
	}
	lay(base, over, "")
	out, err := json.Marshal(base)
	if err != nil {
		return nil, invalid("The service configuration is not valid: %s", err)
	}
	return out, nil
}

func decodeObject(data []byte) (map[string]any, error) {
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	var object map[string]any
	if err := d.Decode(&object); err != nil {
		return nil, err
	}
	return object, nil
}

// lay puts the fields of an object that stands at path into root.
func lay(root, fields map[string]any, path string) {
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		at := name
		if path != "" {
			at = path + "." + name
		}
		at = service.NormalPlace(at)
		value := fields[name]
		if object, ok := value.(map[string]any); ok {
			if slices.Contains(tables, at) {
				table, _ := find(root, at).(map[string]any)
				table = maps.Clone(table)
				if table == nil {
					table = map[string]any{}
				}
				maps.Copy(table, object)
				maps.DeleteFunc(table, func(_ string, v any) bool { return v == nil })
				put(root, at, table)
				continue
			}
			lay(root, object, at)
			continue
		}
		put(root, at, value)
	}
}

func find(root map[string]any, path string) any {
	name, rest, deeper := strings.Cut(path, ".")
	value := root[name]
	if !deeper {
		return value
	}
	object, _ := value.(map[string]any)
	return find(object, rest)
}

// put sets the value at a path, or takes it away where it is nil.
func put(root map[string]any, path string, value any) {
	name, rest, deeper := strings.Cut(path, ".")
	if !deeper {
		if value == nil {
			delete(root, name)
		} else {
			root[name] = value
		}
		return
	}
	object, ok := root[name].(map[string]any)
	if !ok {
		if value == nil {
			return
		}
		object = map[string]any{}
		root[name] = object
	}
	put(object, rest, value)
}

// notRun are the fields that say nothing about what an instance is: changing them
// makes no version.
var notRun = []string{"metadata.instance", "metadata.group", "metadata.rolling_strategy", "metadata.workspace_id", "labels", "autoscaler", "source"}

// runsAlike reports whether two configurations make the same instances.
func runsAlike(a, b []byte) bool {
	return bytes.Equal(whatRuns(a), whatRuns(b))
}

func whatRuns(config []byte) []byte {
	object, err := decodeObject(config)
	if err != nil {
		return config
	}
	for _, path := range notRun {
		put(object, path, nil)
	}
	out, err := json.Marshal(object) // sorted by name
	if err != nil {
		return config
	}
	return out
}

// withInstances returns a configuration with another number of instances.
func withInstances(config []byte, n int) []byte {
	object, err := decodeObject(config)
	if err != nil {
		return config
	}
	put(object, "metadata.instance", n)
	out, err := json.Marshal(object)
	if err != nil {
		return config
	}
	return out
}
