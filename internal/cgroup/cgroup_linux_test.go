package cgroup

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestCandidates(t *testing.T) {
	const v1mounts = `22 27 0:21 / /proc rw,relatime - proc proc rw
31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
32 31 0:29 / /sys/fs/cgroup/cpu rw,relatime - cgroup cgroup rw,cpu
35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory
41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw
`
	tests := []struct {
		name, self, mounts string
		want               []place
	}{
		{
			name:   "version 1 beside an empty version 2",
			self:   "4:memory:/a/b\n1:cpu:/x\n0::/\n",
			mounts: v1mounts,
			want:   []place{{"/sys/fs/cgroup/memory/a/b", 1, true}},
		},
		{
			name:   "version 2 in a user's session",
			self:   "0::/user.slice/user-1000.slice/user@1000.service/app.slice/term.scope\n",
			mounts: "30 24 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n",
			want: []place{
				{"/sys/fs/cgroup/user.slice/user-1000.slice/user@1000.service/app.slice/term.scope", 2, true},
				{"/sys/fs/cgroup/user.slice/user-1000.slice/user@1000.service/app.slice", 2, false},
				{"/sys/fs/cgroup/user.slice/user-1000.slice/user@1000.service", 2, false},
				{"/sys/fs/cgroup/user.slice/user-1000.slice", 2, false},
				{"/sys/fs/cgroup/user.slice", 2, false},
				{"/sys/fs/cgroup", 2, false},
			},
		},
		{
			name:   "a container sees its own subtree",
			self:   "4:memory:/docker/abc\n",
			mounts: "35 31 0:32 /docker/abc /sys/fs/cgroup/memory ro,relatime master:9 - cgroup cgroup rw,memory\n",
			want:   []place{{"/sys/fs/cgroup/memory", 1, true}},
		},
		{
			name:   "a mount point with a blank",
			self:   "0::/\n",
			mounts: `30 24 0:26 / /mnt/my\040groups rw - cgroup2 cgroup2 rw` + "\n",
			want:   []place{{"/mnt/my groups", 2, true}},
		},
		{
			name:   "a mount that shows another subtree",
			self:   "4:memory:/elsewhere\n",
			mounts: "35 31 0:32 /docker/abc /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory\n",
		},
		{name: "nothing mounted", self: "0::/\n", mounts: "22 27 0:21 / /proc rw - proc proc rw\n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := candidates([]byte(tt.self), []byte(tt.mounts))
			if (err != nil) != (tt.want == nil) || err != nil && !errors.Is(err, ErrUnsupported) {
				t.Fatalf("error %v with %v", err, got)
			}
			if d := cmp.Diff(tt.want, got, cmp.AllowUnexported(place{})); d != "" {
				t.Errorf("candidates (-want +got):\n%s", d)
			}
		})
	}
}

// group makes a real group or skips the test.
func group(t *testing.T, limit int64) string {
	t.Helper()
	var announced string
	dir, err := Create("eascmd-test-"+strconv.Itoa(os.Getpid()), limit, func(d string) error {
		announced = d
		return nil
	})
	if errors.Is(err, ErrUnsupported) {
		t.Skipf("missing: a memory control group (%v)", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { Remove(dir) })
	if dir != announced {
		t.Errorf("made %s but announced %s", dir, announced)
	}
	return dir
}

func TestLimitIsKept(t *testing.T) {
	dir := group(t, 32<<20)
	// The shell waits until it is in the group, then grows far beyond the limit.
	cmd := exec.Command("/bin/sh", "-c", `read go; x=$(head -c 200000000 /dev/zero | tr '\0' x); echo ${#x}`)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if err := Add(dir, cmd.Process.Pid); err != nil {
		t.Fatal(err)
	}
	if n, err := OOMKills(dir); n != 0 || err != nil {
		t.Errorf("before: %d kills, %v", n, err)
	}
	in.Close()
	if err := cmd.Wait(); err == nil {
		t.Error("200 MB fitted into 32 MB")
	}
	if n, err := OOMKills(dir); n < 1 || err != nil {
		t.Errorf("after: %d kills, %v; want at least 1", n, err)
	}
}

func TestJoin(t *testing.T) {
	dir := group(t, 32<<20)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		runtime.LockOSThread()
		cmd := exec.Command("/bin/sh", "-c", `cat /proc/self/cgroup; x=$(head -c 200000000 /dev/zero | tr '\0' x); echo ${#x}`)
		cmd.SysProcAttr = new(syscall.SysProcAttr)
		done, err := Join(dir, cmd.SysProcAttr)
		if err != nil {
			t.Error(err)
			return
		}
		defer done()
		out, err := cmd.Output()
		if !strings.Contains(string(out), "/"+filepath.Base(dir)+"\n") {
			t.Errorf("born outside of the group:\n%s", out)
		}
		if err == nil {
			t.Error("200 MB fitted into 32 MB")
		}
	}()
	<-ended
	if n, err := OOMKills(dir); n < 1 || err != nil {
		t.Errorf("%d kills, %v; want at least 1", n, err)
	}
}

// BenchmarkMember measures what it takes to start a process in a group.
func BenchmarkMember(b *testing.B) {
	dir, err := Create("eascmd-bench-"+strconv.Itoa(os.Getpid()), 64<<20, nil)
	if err != nil {
		b.Skip(err)
	}
	defer Remove(dir)
	b.Run("Join", func(b *testing.B) {
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			runtime.LockOSThread()
			for b.Loop() {
				cmd := exec.Command("/bin/true")
				cmd.SysProcAttr = new(syscall.SysProcAttr)
				done, err := Join(dir, cmd.SysProcAttr)
				if err != nil {
					b.Error(err)
					return
				}
				cmd.Run()
				done()
			}
		}()
		<-ended
	})
	b.Run("Add", func(b *testing.B) {
		for b.Loop() {
			cmd := exec.Command("/bin/sleep", "10")
			cmd.Start()
			if err := Add(dir, cmd.Process.Pid); err != nil {
				b.Error(err)
			}
			cmd.Process.Kill()
			cmd.Wait()
		}
	})
}

func TestWithoutLimit(t *testing.T) {
	dir := group(t, 0)
	for _, file := range []string{"memory.max", "memory.limit_in_bytes"} {
		got, err := os.ReadFile(filepath.Join(dir, file))
		if err != nil {
			continue // the other version's, or no memory controller
		}
		above, err := os.ReadFile(filepath.Join(filepath.Dir(dir), file))
		if err == nil && len(got) < len(above) {
			t.Errorf("%s is %s, above it %s", file, got, above)
		}
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		runtime.LockOSThread()
		cmd := exec.Command("cat", "/proc/self/cgroup")
		cmd.SysProcAttr = new(syscall.SysProcAttr)
		done, err := Join(dir, cmd.SysProcAttr)
		if err != nil {
			t.Error(err)
			return
		}
		defer done()
		if out, err := cmd.Output(); err != nil || !strings.Contains(string(out), "/"+filepath.Base(dir)+"\n") {
			t.Errorf("born outside of the group: %v\n%s", err, out)
		}
	}()
	<-ended
}

func TestRemoveEndsWhatRuns(t *testing.T) {
	dir := group(t, 0)
	cmd := exec.Command("/bin/sleep", "600")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if err := Add(dir, cmd.Process.Pid); err != nil {
		t.Fatal(err)
	}
	if err := Remove(dir); err != nil {
		t.Error(err)
	}
	if err := cmd.Wait(); err == nil {
		t.Error("the process ended by itself")
	}
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%s is still there: %v", dir, err)
	}
	if err := Remove(dir); err != nil {
		t.Errorf("removed twice: %v", err)
	}
}

func TestRemoveRefusesOtherDirectories(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "d")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := Remove(dir); err == nil {
		t.Error("removed a directory that is no control group")
	}
	if _, err := os.Stat(dir); err != nil {
		t.Error(err)
	}
}

func TestDelegation(t *testing.T) {
	// A directory with the files of a group stands in for one that was handed
	// to this user; only the decision is tried, not the kernel.
	off := map[string]string{"cgroup.procs": "", "cgroup.subtree_control": ""}
	on := map[string]string{"cgroup.procs": "", "cgroup.subtree_control": "cpu memory\n"}
	tests := []struct {
		name    string
		files   map[string]string
		own     bool
		missing bool
	}{
		{"handed on", on, false, false},
		{"can be handed on", off, true, false},
		{"somebody else's to hand on", off, false, true},
		{"no group", nil, true, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			for name, text := range tt.files {
				if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			if err := (place{dir, 2, tt.own}).allows(1 << 20); (err != nil) != tt.missing {
				t.Errorf("allows a limit: %v", err)
			}
			if err := (place{dir, 2, tt.own}).allows(0); (err != nil) != (tt.files == nil) {
				t.Errorf("allows a group without a limit: %v", err)
			}
		})
	}
}
