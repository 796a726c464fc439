package nvidia

import (
	"slices"
	"strings"

	"tags.cncf.io/container-device-interface/pkg/cdi"
)

// CDIKind is the kind of device that NVIDIA's specifications name.
const CDIKind = "nvidia.com/gpu"

// CDIDirs are the directories that specifications are in unless a daemon is
// told otherwise.
func CDIDirs() []string { return []string{"/etc/cdi", "/var/run/cdi"} }

// cdi lists the GPUs that CDI specifications name.
func (p place) cdi() []string {
	var dirs []string
	for _, dir := range CDIDirs() {
		dirs = append(dirs, p.at(dir))
	}
	return CDIDevices(dirs...)
}

// CDIDevices lists the GPUs, such as "nvidia.com/gpu=0", that the CDI
// specifications in directories name. Directories that are not there and
// specifications that are no good have none.
func CDIDevices(dirs ...string) []string {
	cache, err := cdi.NewCache(cdi.WithSpecDirs(dirs...), cdi.WithAutoRefresh(false))
	if err != nil {
		return nil
	}
	return slices.DeleteFunc(cache.ListDevices(), func(name string) bool {
		return !strings.HasPrefix(name, CDIKind+"=")
	})
}
