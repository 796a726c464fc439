package serving

import (
	"bufio"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
)

// listening returns the addresses at which a process and its descendants
// listen for TCP connections, as they are bound. known is false where this
// system does not tell.
func listening(pid int) (addresses []netip.AddrPort, known bool) {
	sockets := make(map[string]netip.AddrPort) // by inode
	for _, table := range [...]string{"tcp", "tcp6"} {
		err := listeners(fmt.Sprintf("/proc/%d/net/%s", pid, table), sockets)
		if err != nil && !(table == "tcp6" && errors.Is(err, fs.ErrNotExist)) {
			return nil, false
		}
	}
	if len(sockets) == 0 {
		return nil, true
	}
	for _, p := range family(pid) {
		dir := fmt.Sprintf("/proc/%d/fd", p)
		entries, err := os.ReadDir(dir)
		if err != nil {
			continue // it is gone, or somebody else's
		}
		for _, entry := range entries {
			link, _ := os.Readlink(dir + "/" + entry.Name())
			inode, ok := strings.CutPrefix(link, "socket:[")
			if !ok {
				continue
			}
			if at, ok := sockets[strings.TrimSuffix(inode, "]")]; ok && !slices.Contains(addresses, at) {
				addresses = append(addresses, at)
			}
		}
	}
	return addresses, true
}

// stateListen is the kernel's number of the state.
const stateListen = "0A"

// listeners adds the listening sockets of a table of the kernel's. They come
// first in it, so that one with many connections costs nothing more.
func listeners(path string, into map[string]netip.AddrPort) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	s := bufio.NewScanner(f)
	s.Scan() // the titles
	for s.Scan() {
		fields := strings.Fields(s.Text())
		if len(fields) < 10 {
			continue
		}
		if fields[3] != stateListen {
			return nil
		}
		if at, ok := socketAddress(fields[1]); ok {
			into[fields[9]] = at
		}
	}
	return s.Err()
}

// socketAddress reads an address as the kernel writes it: words of four bytes
// in the order of this machine, which is the little-endian one wherever
// processors run.
func socketAddress(text string) (netip.AddrPort, bool) {
	host, portText, _ := strings.Cut(text, ":")
	b, err := hex.DecodeString(host)
	port, portErr := strconv.ParseUint(portText, 16, 16)
	if err != nil || portErr != nil || len(b)%4 != 0 {
		return netip.AddrPort{}, false
	}
	for word := range slices.Chunk(b, 4) {
		slices.Reverse(word)
	}
	address, ok := netip.AddrFromSlice(b)
	return netip.AddrPortFrom(address.Unmap(), uint16(port)), ok
}

// family returns a process and all its descendants, those in sessions of their
// own included. Where the kernel does not list children, it is the process
// group.
func family(pid int) []int {
	all := []int{pid}
	for i := 0; i < len(all); i++ {
		dir := fmt.Sprintf("/proc/%d/task", all[i])
		tasks, err := os.ReadDir(dir)
		if err != nil {
			continue
		}
		for _, task := range tasks {
			text, err := os.ReadFile(dir + "/" + task.Name() + "/children")
			if err != nil && i == 0 {
				return group(pid)
			}
			for _, field := range strings.Fields(string(text)) {
				if child, err := strconv.Atoi(field); err == nil {
					all = append(all, child)
				}
			}
		}
	}
	return all
}

// group returns the processes of a process group.
func group(pgid int) []int {
	var all []int
	entries, _ := os.ReadDir("/proc")
	for _, entry := range entries {
		pid, err := strconv.Atoi(entry.Name())
		if err != nil {
			continue
		}
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil {
			continue
		}
		// The name, in brackets, may hold anything.
		_, rest, _ := strings.Cut(string(stat[strings.LastIndexByte(string(stat), ')')+1:]), " ")
		if fields := strings.Fields(rest); len(fields) > 2 && fields[2] == strconv.Itoa(pgid) {
			all = append(all, pid)
		}
	}
	return all
}
