package cgroup

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Create makes a group called name whose processes together may use limit
// bytes of memory, swap included; a limit of 0 is none, and the group only
// holds its processes together. The group is a child of this process's own
// group where the kernel allows that, so that limits which hold for this
// process hold for it too. The error wraps ErrUnsupported where the system or
// its administrator does not let this user make one; its text says why.
//
// announce, when not nil, is called with the path before the group is made, so
// that a caller can leave a note for whoever cleans up after it.
func Create(name string, limit int64, announce func(dir string) error) (string, error) {
	places, err := places()
	if err != nil {
		return "", err
	}
	var reasons []string
	for _, p := range places {
		dir := filepath.Join(p.parent, name)
		err := p.allows(limit)
		if err == nil && announce != nil {
			err = announce(dir)
		}
		if err == nil {
			err = p.create(dir, limit)
		}
		if err == nil {
			return dir, nil
		}
		reasons = append(reasons, err.Error())
	}
	return "", fmt.Errorf("%w: %s", ErrUnsupported, strings.Join(reasons, "; "))
}

// Own returns the directory of the group that this process is in and that
// limits its memory.
func Own() (string, error) {
	places, err := places()
	if err != nil {
		return "", err
	}
	return places[0].parent, nil
}

// place is a directory in which a group may be made.
type place struct {
	parent  string
	version int
	own     bool // it is this process's own group
}

// places finds where this process could make a group, best first.
func places() ([]place, error) {
	self, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnsupported, err)
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnsupported, err)
	}
	return candidates(self, mounts)
}

// candidates finds, from the texts of /proc/self/cgroup and
// /proc/self/mountinfo, where a group could be made, best first.
func candidates(self, mountinfo []byte) ([]place, error) {
	var places []place
	v1path, v2path := "", ""
	for line := range strings.Lines(string(self)) {
		// hierarchy:controllers:path
		parts := strings.SplitN(strings.TrimSuffix(line, "\n"), ":", 3)
		if len(parts) != 3 {
			continue
		}
		if parts[0] == "0" && parts[1] == "" {
			v2path = parts[2]
		}
		for c := range strings.SplitSeq(parts[1], ",") {
			if c == "memory" {
				v1path = parts[2]
			}
		}
	}
	for _, m := range parseMounts(mountinfo) {
		switch {
		case m.fstype == "cgroup" && v1path != "" && m.hasOption("memory"):
			if dir, ok := m.locate(v1path); ok {
				places = append(places, place{dir, 1, true})
			}
		case m.fstype == "cgroup2" && v2path != "" && v1path == "":
			// A group that holds processes cannot hand controllers to its
			// children, so the own group seldom serves; one above it, which
			// systemd gave to the user, does.
			dir, ok := m.locate(v2path)
			for own := true; ok; own = false {
				places = append(places, place{dir, 2, own})
				if dir == m.point {
					break
				}
				dir = filepath.Dir(dir)
			}
		}
	}
	if len(places) == 0 {
		return nil, fmt.Errorf("%w: no memory controller is mounted", ErrUnsupported)
	}
	return places, nil
}

type mount struct {
	root, point, fstype, options string
}

func (m mount) hasOption(want string) bool {
	for o := range strings.SplitSeq(m.options, ",") {
		if o == want {
			return true
		}
	}
	return false
}

// locate returns where the group of that path in its hierarchy is visible
// through m. In a container the mount shows a subtree only.
func (m mount) locate(path string) (string, bool) {
	rel, err := filepath.Rel(m.root, path)
	if err != nil || rel == ".." || strings.HasPrefix(rel, "../") {
		return "", false
	}
	return filepath.Join(m.point, rel), true
}

// parseMounts reads the control-group mounts out of mountinfo.
func parseMounts(mountinfo []byte) []mount {
	var mounts []mount
	for line := range strings.Lines(string(mountinfo)) {
		before, after, ok := strings.Cut(strings.TrimSuffix(line, "\n"), " - ")
		if !ok {
			continue
		}
		head, tail := strings.Fields(before), strings.Fields(after)
		if len(head) < 6 || len(tail) < 3 || !strings.HasPrefix(tail[0], "cgroup") {
			continue
		}
		mounts = append(mounts, mount{unescape(head[3]), unescape(head[4]), tail[0], tail[2]})
	}
	return mounts
}

// unescape undoes the octal escapes of mountinfo (a blank is \040).
func unescape(s string) string {
	if !strings.Contains(s, `\`) {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+3 < len(s) {
			if n, err := strconv.ParseUint(s[i+1:i+4], 8, 8); err == nil {
				b.WriteByte(byte(n))
				i += 3
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// allows says whether this user may make a group in p, with a limit or without
// one (0), and move processes of its own into it.
func (p place) allows(limit int64) error {
	if err := unix.Access(p.parent, unix.W_OK); err != nil {
		return fmt.Errorf("%s: %w", p.parent, err)
	}
	if p.version == 1 {
		return nil
	}
	// Moving a process needs the right to write to the common ancestor.
	if err := unix.Access(filepath.Join(p.parent, "cgroup.procs"), unix.W_OK); err != nil {
		return fmt.Errorf("%s/cgroup.procs: %w", p.parent, err)
	}
	if limit <= 0 {
		return nil // no controller is needed
	}
	control := filepath.Join(p.parent, "cgroup.subtree_control")
	enabled, err := os.ReadFile(control)
	if err != nil {
		return err
	}
	if hasWord(enabled, "memory") {
		return nil
	}
	if !p.own {
		return fmt.Errorf("%s does not hand on the memory controller", p.parent)
	}
	if err := os.WriteFile(control, []byte("+memory"), 0); err != nil {
		return fmt.Errorf("hand on the memory controller: %w", err)
	}
	return nil
}

func hasWord(text []byte, word string) bool {
	for _, w := range bytes.Fields(text) {
		if string(w) == word {
			return true
		}
	}
	return false
}

// create makes the group. A group that cannot be limited is removed again.
func (p place) create(dir string, limit int64) (err error) {
	if err := os.Mkdir(dir, 0o755); err != nil {
		return err
	}
	if limit <= 0 {
		return nil
	}
	defer func() {
		if err != nil {
			os.Remove(dir)
		}
	}()
	if p.version == 2 {
		if err := write(dir, "memory.max", limit); err != nil {
			return err
		}
		return ignoreMissing(write(dir, "memory.swap.max", 0))
	}
	// In this order: the limit with swap may never be the lower one.
	if err := write(dir, "memory.limit_in_bytes", limit); err != nil {
		return err
	}
	return ignoreMissing(write(dir, "memory.memsw.limit_in_bytes", limit))
}

func write(dir, file string, value int64) error {
	return os.WriteFile(filepath.Join(dir, file), strconv.AppendInt(nil, value, 10), 0)
}

// ignoreMissing forgives a file that kernels without swap accounting lack.
func ignoreMissing(err error) error {
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) {
		return nil
	}
	return err
}

// Add puts a process into the group. Its children to come are in it too.
func Add(dir string, pid int) error {
	if err := os.WriteFile(filepath.Join(dir, "cgroup.procs"), strconv.AppendInt(nil, int64(pid), 10), 0); err != nil {
		return fmt.Errorf("put process %d into control group %s: %w", pid, dir, err)
	}
	return nil
}

// Join makes a process that the calling thread starts with attr a member of
// the group from its birth. That is not only without a gap: moving a process
// that runs makes the kernel wait for all CPUs, some 10 ms.
//
// The caller keeps its goroutine on its thread from before the call until the
// process has been started, and calls done then. Where Join fails, Add does.
func Join(dir string, attr *syscall.SysProcAttr) (done func(), err error) {
	var stat unix.Statfs_t
	if err := unix.Statfs(dir, &stat); err != nil {
		return nil, fmt.Errorf("join control group %s: %w", dir, err)
	}
	if stat.Type == unix.CGROUP2_SUPER_MAGIC {
		if !clonesIntoGroups() {
			return nil, fmt.Errorf("%w: Linux 5.7 is needed to start a process in a group", ErrUnsupported)
		}
		fd, err := unix.Open(dir, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		if err != nil {
			return nil, fmt.Errorf("open control group %s: %w", dir, err)
		}
		attr.UseCgroupFD, attr.CgroupFD = true, fd
		return func() { unix.Close(fd) }, nil
	}
	// Version 1 groups threads, and a process begins in the group of the thread
	// that starts it. For memory the thread itself stays where its process is.
	// The group was made below the process's own one, to which it goes back.
	if err := joinThread(dir); err != nil {
		return nil, err
	}
	return func() { joinThread(filepath.Dir(dir)) }, nil
}

// clonesIntoGroups reports whether the kernel is at least 5.7.
func clonesIntoGroups() bool {
	var name unix.Utsname
	if err := unix.Uname(&name); err != nil {
		return false
	}
	var major, minor int
	n, _ := fmt.Sscanf(unix.ByteSliceToString(name.Release[:]), "%d.%d", &major, &minor)
	return n == 2 && (major > 5 || major == 5 && minor >= 7)
}

func joinThread(dir string) error {
	const self = "0"
	if err := os.WriteFile(filepath.Join(dir, "tasks"), []byte(self), 0); err != nil {
		return fmt.Errorf("join control group %s: %w", dir, err)
	}
	return nil
}

// OOMKills returns how many processes of the group the kernel has killed
// because the group had used up its memory.
func OOMKills(dir string) (int, error) {
	var first error
	for _, file := range [...]string{"memory.events", "memory.oom_control"} {
		text, err := os.ReadFile(filepath.Join(dir, file))
		if err != nil {
			if first == nil || errors.Is(first, fs.ErrNotExist) {
				first = err
			}
			continue
		}
		sc := bufio.NewScanner(bytes.NewReader(text))
		for sc.Scan() {
			if value, ok := strings.CutPrefix(sc.Text(), "oom_kill "); ok {
				return strconv.Atoi(strings.TrimSpace(value))
			}
		}
		return 0, fmt.Errorf("%s counts no kills", filepath.Join(dir, file))
	}
	return 0, first
}

// Remove ends what still runs in the group and removes it. A group that does
// not exist is fine.
func Remove(dir string) error {
	// The path may come from a note that a dead run left: make sure that it
	// names a control group before anything in it is killed.
	var stat unix.Statfs_t
	if err := unix.Statfs(dir, &stat); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return fmt.Errorf("remove control group %s: %w", dir, err)
	}
	if stat.Type != unix.CGROUP_SUPER_MAGIC && stat.Type != unix.CGROUP2_SUPER_MAGIC {
		return fmt.Errorf("remove control group %s: it is none", dir)
	}
	// A process that was killed leaves its group only when it is gone, which
	// the kernel announces in version 2 alone: ask again, soon at first.
	deadline := time.Now().Add(2 * time.Second)
	for pause := 100 * time.Microsecond; ; pause = min(2*pause, 50*time.Millisecond) {
		err := os.Remove(dir)
		if err == nil || errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if !errors.Is(err, unix.EBUSY) || time.Now().After(deadline) {
			return fmt.Errorf("remove control group %s: %w", dir, err)
		}
		killAll(dir)
		time.Sleep(pause)
	}
}

func killAll(dir string) {
	if os.WriteFile(filepath.Join(dir, "cgroup.kill"), []byte("1"), 0) == nil {
		return
	}
	procs, err := os.ReadFile(filepath.Join(dir, "cgroup.procs"))
	if err != nil {
		return
	}
	for _, word := range bytes.Fields(procs) {
		// 0 stands for a process outside of this one's view.
		if pid, err := strconv.Atoi(string(word)); err == nil && pid > 0 && pid != os.Getpid() {
			unix.Kill(pid, unix.SIGKILL)
		}
	}
}
