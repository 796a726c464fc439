package localtest

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

// addressInUse is another name of EADDRINUSE; Linux has none.
var addressInUse error = syscall.EADDRINUSE

// portHolder names the program that listens on a TCP port. Other users'
// programs are only known as such.
func portHolder(port int) (string, bool) {
	sockets := make(map[string]bool)
	uid := ""
	for _, table := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		text, err := os.ReadFile(table)
		if err != nil {
			continue
		}
		for _, l := range listeners(text, port) {
			sockets["socket:["+l.inode+"]"] = true
			uid = l.uid
		}
	}
	if len(sockets) == 0 {
		return "", false
	}
	links, err := filepath.Glob("/proc/[0-9]*/fd/*")
	if err != nil {
		return "", false
	}
	for _, link := range links {
		if target, err := os.Readlink(link); err == nil && sockets[target] {
			process := filepath.Dir(filepath.Dir(link))
			name, _ := os.ReadFile(filepath.Join(process, "comm"))
			return fmt.Sprintf("process %s (%s)", filepath.Base(process), bytes.TrimSpace(name)), true
		}
	}
	if uid != strconv.Itoa(os.Getuid()) {
		return "a program of user " + uid, true
	}
	return "", false
}

type listener struct{ uid, inode string }

// listeners finds, in the text of /proc/net/tcp or tcp6, who listens on port.
func listeners(table []byte, port int) []listener {
	const stateListen = "0A"
	wanted := fmt.Sprintf(":%04X", port)
	var found []listener
	sc := bufio.NewScanner(bytes.NewReader(table))
	for sc.Scan() {
		// sl local_address rem_address st tx:rx tr:when retrnsmt uid timeout inode
		f := strings.Fields(sc.Text())
		if len(f) >= 10 && f[3] == stateListen && strings.HasSuffix(f[1], wanted) {
			if l := (listener{f[7], f[9]}); !slices.Contains(found, l) {
				found = append(found, l)
			}
		}
	}
	return found
}
