//go:build unix

package docker

import (
	"os"
	"slices"
	"strconv"
	"syscall"

	"github.com/openeas/eascmd/internal/nvidia"
)

// deviceGroups lists the groups of device nodes that only their group may use
// and that this user is in: the container's user must be in them too.
func deviceGroups(devices []nvidia.Device) []string {
	own, err := os.Getgroups()
	if err != nil {
		return nil
	}
	var groups []string
	for _, d := range devices {
		info, err := os.Stat(d.Path)
		if err != nil || info.Mode()&0o006 == 0o006 {
			continue
		}
		stat, ok := info.Sys().(*syscall.Stat_t)
		if !ok || info.Mode()&0o060 != 0o060 || !slices.Contains(own, int(stat.Gid)) {
			continue
		}
		if gid := strconv.Itoa(int(stat.Gid)); !slices.Contains(groups, gid) {
			groups = append(groups, gid)
		}
	}
	return groups
}
