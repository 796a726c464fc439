package process

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/openeas/eascmd/internal/fault"
)

// The absolute paths that the workspace has on EAS: the newer and the classic
// one. In a private root they lead to the plan's workspace.
var workspacePaths = [...]string{"/eas/workspace", "/home/admin/docker_ml/workspace"}

// startPrivate starts the program in a mount namespace of its own, in which it
// builds a root with these paths before it does anything else; see
// EnterPrivateRoot.
//
// Root needs nothing more for it. Everybody else needs a user namespace too, in
// which all that matters stays as it is: the user and the group are mapped to
// themselves, and the program gives the one capability back before it begins.
func (c *command) startPrivate(ctx context.Context, workspace string) error {
	if c.opened != nil {
		return c.opened
	}
	status, theirStatus, err := os.Pipe()
	if err != nil {
		return err
	}
	defer status.Close()
	defer theirStatus.Close()

	const firstExtra = 3 // ExtraFiles begin after standard error
	statusFD := firstExtra + len(c.ExtraFiles)
	c.ExtraFiles = append(c.ExtraFiles, theirStatus)
	c.Args = append(c.Args, privateRootFlag, fmt.Sprintf("%d:%s", statusFD, workspace))
	c.SysProcAttr.Cloneflags = unix.CLONE_NEWNS
	if uid, gid := os.Getuid(), os.Getgid(); uid != 0 {
		c.SysProcAttr.Cloneflags |= unix.CLONE_NEWUSER
		c.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: uid, HostID: uid, Size: 1}}
		c.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: gid, HostID: gid, Size: 1}}
		// A user other than root would lose it when the program is executed.
		c.SysProcAttr.AmbientCaps = []uintptr{unix.CAP_SYS_ADMIN}
	}
	if err := c.start(); err != nil {
		return fmt.Errorf("make a mount namespace: %w", err)
	}
	theirStatus.Close()
	// The pipe ends without a word when the root is there.
	stop := context.AfterFunc(ctx, func() { status.SetReadDeadline(time.Now()) })
	defer stop()
	reason, err := io.ReadAll(io.LimitReader(status, 4<<10))
	switch {
	case err != nil:
		return err
	case len(reason) > 0:
		return errors.New(string(reason))
	}
	return nil
}

// EnterPrivateRoot is the first thing that the program of an engine does in
// its fresh mount namespace: it gives itself a root in which the absolute
// workspace paths of EAS lead to the workspace. spec is the value of the flag
// that the engine passed; runtimeDir is the run's own directory, in which the
// new root gets its mount point.
//
// The real root is not touched: the new one is a file system in memory on
// which every entry of the old one is mounted again.
//
// A user other than root has a capability for it. It is given up by executing
// the program once more, without the flag: then the call does not return.
func EnterPrivateRoot(spec, runtimeDir string) error {
	fd, workspace, _ := strings.Cut(spec, ":")
	statusFD, err := strconv.Atoi(fd)
	if err != nil || workspace == "" || runtimeDir == "" {
		return fault.New(fault.Usage, "%s %s is for engines only", privateRootFlag, spec)
	}
	// Capabilities belong to threads, and the one that executes the program
	// hands its own on.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	unix.CloseOnExec(statusFD)
	defer unix.Close(statusFD)
	err = buildRoot(workspace, filepath.Join(runtimeDir, "root"))
	if err == nil && os.Getuid() != 0 {
		if err = dropCapability(); err == nil {
			err = executeAgain()
		}
	}
	if err != nil {
		unix.Write(statusFD, []byte(err.Error()))
	}
	return err
}

// executeAgain executes this program with all its arguments but privateRootFlag.
func executeAgain() error {
	executable, err := os.Executable()
	if err != nil {
		return err
	}
	args := slices.Clone(os.Args)
	if i := slices.Index(args, privateRootFlag); i >= 0 && i+1 < len(args) {
		args = slices.Delete(args, i, i+2)
	} else {
		return fmt.Errorf("%s is not among the arguments", privateRootFlag)
	}
	err = unix.Exec(executable, args, os.Environ())
	return fmt.Errorf("execute %s: %w", executable, err)
}

// dropCapability takes back what startPrivate had to give.
func dropCapability() error {
	if err := unix.Prctl(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0); err != nil {
		return fmt.Errorf("drop capabilities: %w", err)
	}
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var none [2]unix.CapUserData
	if err := unix.Capset(&header, &none[0]); err != nil {
		return fmt.Errorf("drop capabilities: %w", err)
	}
	return nil
}

func buildRoot(workspace, mountPoint string) error {
	// Mounts that come and go outside are seen inside, never the other way
	// round.
	if err := mount("", "/", "", unix.MS_REC|unix.MS_SLAVE, ""); err != nil {
		return err
	}
	if err := os.Mkdir(mountPoint, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	if err := mount("eascmd", mountPoint, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "mode=0755"); err != nil {
		return err
	}
	// The new root must not show up in itself.
	if err := mount("", mountPoint, "", unix.MS_UNBINDABLE, ""); err != nil {
		return err
	}
	b := rootBuilder{workspace: workspace}
	var refused error
	for _, path := range workspacePaths {
		if target, err := graftable(path); err == nil {
			b.targets = append(b.targets, target)
		} else {
			refused = errors.Join(refused, err)
		}
	}
	if len(b.targets) == 0 {
		return refused
	}
	if err := b.mirror("/", mountPoint, b.targets); err != nil {
		return err
	}
	if err := os.Chdir(mountPoint); err != nil {
		return err
	}
	if err := unix.PivotRoot(".", "."); err != nil {
		return fmt.Errorf("change the root: %w", err)
	}
	// Old and new root are stacked on one place now; the old one is on top.
	if err := unix.Unmount(".", unix.MNT_DETACH); err != nil {
		return fmt.Errorf("leave the old root: %w", err)
	}
	return os.Chdir("/")
}

func mount(source, target, fstype string, flags uintptr, data string) error {
	if err := unix.Mount(source, target, fstype, flags, data); err != nil {
		return fmt.Errorf("mount %s: %w", target, err)
	}
	return nil
}

// rootBuilder builds the new root.
type rootBuilder struct {
	workspace string
	targets   []string // resolved absolute paths that are to lead to workspace
}

// maxSiblings is how many entries a directory on the way to a workspace path
// may have: each costs a mount.
const maxSiblings = 256

// graftable says where a workspace path really lies, following symbolic links
// on its way, and refuses it where the directories on the way cannot be shown
// in full beside it.
func graftable(path string) (string, error) {
	existing, rest := path, ""
	for {
		resolved, err := filepath.EvalSymlinks(existing)
		if err == nil {
			existing = resolved
			break
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return "", err
		}
		rest = filepath.Join(filepath.Base(existing), rest)
		existing = filepath.Dir(existing)
	}
	target := filepath.Join(existing, rest)
	on := existing
	if rest == "" {
		on = filepath.Dir(existing)
	}
	for ; on != "/"; on = filepath.Dir(on) {
		var stat unix.Statfs_t
		if err := unix.Statfs(on, &stat); err != nil {
			return "", err
		}
		// What an automounter has not mounted yet cannot be listed.
		if stat.Type == unix.AUTOFS_SUPER_MAGIC {
			return "", fmt.Errorf("%s is automounted", on)
		}
		entries, err := os.ReadDir(on)
		if err != nil {
			return "", err
		}
		if len(entries) > maxSiblings {
			return "", fmt.Errorf("%s has %d entries", on, len(entries))
		}
	}
	return target, nil
}

// mirror shows all entries of the directory from, of the old root, in the
// directory to, of the new one. Directories on the way to a target are made
// anew and mirrored in turn; the targets become the workspace.
func (b *rootBuilder) mirror(from, to string, targets []string) error {
	entries, err := os.ReadDir(from)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	onTheWay := make(map[string]bool) // whether the entry is itself a target
	for _, target := range targets {
		rel, err := filepath.Rel(from, target)
		if err != nil || rel == "." || strings.HasPrefix(rel, "..") {
			continue
		}
		first, _, deeper := strings.Cut(rel, "/")
		onTheWay[first] = onTheWay[first] || !deeper
	}
	for _, entry := range entries {
		name := entry.Name()
		if _, special := onTheWay[name]; special {
			continue
		}
		if err := show(entry, filepath.Join(from, name), filepath.Join(to, name)); err != nil {
			return err
		}
	}
	for name, isTarget := range onTheWay {
		old, fresh := filepath.Join(from, name), filepath.Join(to, name)
		if err := makeLike(old, fresh); err != nil {
			return err
		}
		if isTarget {
			if err := mount(b.workspace, fresh, "", unix.MS_BIND|unix.MS_REC, ""); err != nil {
				return err
			}
			continue
		}
		if err := b.mirror(old, fresh, targets); err != nil {
			return err
		}
	}
	return nil
}

// show makes one entry of the old root visible in the new one.
func show(entry fs.DirEntry, old, fresh string) error {
	var err error
	switch {
	case entry.Type()&fs.ModeSymlink != 0:
		var destination string
		if destination, err = os.Readlink(old); err == nil {
			return os.Symlink(destination, fresh)
		}
	case entry.IsDir():
		err = os.Mkdir(fresh, 0o755)
	default:
		var f *os.File
		if f, err = os.OpenFile(fresh, os.O_CREATE|os.O_EXCL, 0o644); err == nil {
			f.Close()
		}
	}
	if err == nil {
		err = mount(old, fresh, "", unix.MS_BIND|unix.MS_REC, "")
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil // it is gone since the directory was read
	}
	return err
}

// makeLike makes a directory with the owner and mode of an old one, if there
// is such a one.
func makeLike(old, fresh string) error {
	info, err := os.Stat(old)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return os.Mkdir(fresh, 0o755)
	case err != nil:
		return err
	case !info.IsDir():
		return fmt.Errorf("%s is not a directory", old)
	}
	if err := os.Mkdir(fresh, 0o755); err != nil {
		return err
	}
	if stat, ok := info.Sys().(*syscall.Stat_t); ok && os.Getuid() == 0 {
		if err := os.Chown(fresh, int(stat.Uid), int(stat.Gid)); err != nil {
			return err
		}
	}
	return os.Chmod(fresh, info.Mode())
}
