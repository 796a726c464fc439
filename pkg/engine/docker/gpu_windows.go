package docker

import "github.com/openeas/eascmd/internal/nvidia"

// deviceGroups has nothing to list: there are no device nodes here.
func deviceGroups([]nvidia.Device) []string { return nil }
