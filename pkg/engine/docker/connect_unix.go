//go:build unix

package docker

import (
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
)

// deniedWhy says whom a socket belongs to that this user may not use, and what
// gives the right.
func (m *machine) deniedWhy(path string) (words, hint string) {
	info, err := os.Stat(path)
	if err != nil {
		return ": the directory " + filepath.Dir(path) + " is closed to this user", ""
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return "", ""
	}
	uid, gid := strconv.Itoa(int(stat.Uid)), strconv.Itoa(int(stat.Gid))
	owner, group := uid, gid
	if u, err := user.LookupId(uid); err == nil {
		owner = u.Username
	}
	if g, err := user.LookupGroupId(gid); err == nil {
		group = g.Name
	}
	words = fmt.Sprintf(": the socket belongs to user %s and group %s (mode %#o)", owner, group, info.Mode().Perm())
	switch {
	case m.admin:
		hint = "root may use any socket, so a security module forbids it: look at `ausearch -m avc` (SELinux) or `dmesg` (AppArmor)"
	case stat.Gid == 0 || info.Mode().Perm()&0o060 != 0o060:
		hint = "the socket is for root alone: `sudo groupadd -f docker && sudo usermod -aG docker $USER && sudo systemctl restart docker`, then log in again"
	case memberSinceLogin(gid, int(stat.Gid)):
		hint = fmt.Sprintf("you are in group %s, but not since this login: log in again, or run `newgrp %s`", group, group)
	default:
		hint = fmt.Sprintf("`sudo usermod -aG %s $USER`, then log in again", group)
	}
	return words, hint
}

// memberSinceLogin says whether the user is in a group that this process is
// not in, as processes keep the groups of their login.
func memberSinceLogin(gid string, id int) bool {
	u, err := user.Current()
	if err != nil {
		return false
	}
	member, err := u.GroupIds()
	if err != nil || !slices.Contains(member, gid) {
		return false
	}
	has, err := os.Getgroups()
	return err == nil && !slices.Contains(has, id)
}
