package config

import (
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/openeas/eascmd/internal/fault"
)

func TestSaveAndLoad(t *testing.T) {
	path := home(t, "")
	change := Change{Set: map[string]string{AccessKeyID: "id", AccessKeySecret: "sec #'x", STSToken: "tok", Endpoint: "pai-eas.cn-beijing.aliyuncs.com"}}
	if err := Save("", "BJ", change); err != nil {
		t.Fatal(err)
	}
	if err := Save("", DefaultProfile, Change{Set: map[string]string{AccessKeyID: "id2", AccessKeySecret: "sec2"}}); err != nil {
		t.Fatal(err)
	}
	if err := Save("", "bj", Change{Unset: []string{STSToken}}); err != nil {
		t.Fatal(err)
	}
	s, err := Load(Options{Profile: "bj"})
	if err != nil {
		t.Fatal(err)
	}
	credentials, err := s.Credentials()
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(Credentials{"id", "sec #'x", ""}, credentials); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	profiles, err := Profiles("")
	if err != nil {
		t.Fatal(err)
	}
	var list []string
	for _, p := range profiles {
		list = append(list, p.Profile+" "+p.MaskedID()+" "+p.Region())
	}
	if diff := cmp.Diff([]string{"default **** cn-shanghai", "bj **** cn-beijing"}, list); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if runtime.GOOS == "windows" {
		return
	}
	for name, want := range map[string]os.FileMode{path: 0o600, filepath.Dir(path): os.ModeDir | 0o700} {
		info, err := os.Stat(name)
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode() != want {
			t.Errorf("%s has mode %v, want %v", name, info.Mode(), want)
		}
	}
}

func TestSaveTightensModes(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("Windows has no modes")
	}
	path := home(t, "access_id=a\n")
	for name, mode := range map[string]os.FileMode{path: 0o666, filepath.Dir(path): 0o755} {
		if err := os.Chmod(name, mode); err != nil {
			t.Fatal(err)
		}
	}
	if err := Save("", DefaultProfile, Change{Set: map[string]string{AccessKeySecret: "b"}}); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]os.FileMode{path: 0o600, filepath.Dir(path): 0o700} {
		info, err := os.Stat(name)
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm() != want {
			t.Errorf("%s has mode %v, want %v", name, info.Mode().Perm(), want)
		}
	}
}

func TestSaveLeavesOtherDirectoriesAlone(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("Windows has no modes")
	}
	home(t, "")
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := Save(filepath.Join(dir, "own.conf"), DefaultProfile, Change{Set: map[string]string{AccessKeyID: "a"}}); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(dir)
	if err != nil {
		t.Fatal(err)
	}
	if got := info.Mode().Perm(); got != 0o755 {
		t.Errorf("mode became %v", got)
	}
}

func TestSaveThroughLinks(t *testing.T) {
	home(t, "")
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "dotfiles"), 0o755); err != nil {
		t.Fatal(err)
	}
	link, middle, target := filepath.Join(dir, "link"), filepath.Join(dir, "middle"), filepath.Join(dir, "dotfiles", "eas")
	for name, to := range map[string]string{link: middle, middle: filepath.Join("dotfiles", "eas")} {
		if err := os.Symlink(to, name); err != nil {
			t.Skip("no symbolic links: ", err)
		}
	}
	for _, id := range []string{"first", "second"} { // the first makes the target
		if err := Save(link, DefaultProfile, Change{Set: map[string]string{AccessKeyID: id}}); err != nil {
			t.Fatal(err)
		}
		data, err := os.ReadFile(target)
		if err != nil {
			t.Fatal(err)
		}
		if got, want := string(data), "access_key_id = "+id+"\n"; got != want {
			t.Errorf("the target has %q, want %q", got, want)
		}
	}
	for _, name := range []string{link, middle} {
		if info, err := os.Lstat(name); err != nil || info.Mode()&os.ModeSymlink == 0 {
			t.Errorf("%s is no link any more: %v, %v", name, info.Mode(), err)
		}
	}
}

func TestSaveRefuses(t *testing.T) {
	path := home(t, "")
	loop := filepath.Join(t.TempDir(), "loop")
	if err := os.Symlink("loop", loop); err != nil {
		t.Skip("no symbolic links: ", err)
	}
	id := Change{Set: map[string]string{AccessKeyID: "a"}}
	tests := []struct {
		name, path, profile string
		change              Change
		kind                fault.Kind
	}{
		{"a newline in a value", "", "default", Change{Set: map[string]string{AccessKeyID: "a\nendpoint=evil"}}, fault.Usage},
		{"both quotes in a value", "", "default", Change{Set: map[string]string{AccessKeyID: `a"b'c`}}, fault.Usage},
		{"a name of a profile that cannot be written", "", "a]b", id, fault.Usage},
		{"no name of a profile", "", "", id, fault.Usage},
		{"a name with another meaning", "", "credentials", id, fault.Usage},
		{"links in a circle", loop, "default", id, fault.Description},
		{"no regular file", os.DevNull, "default", id, fault.Description},
		{"a directory", filepath.Dir(loop), "default", id, fault.Description},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			err := Save(test.path, test.profile, test.change)
			if err == nil || fault.KindOf(err) != test.kind {
				t.Errorf("error %v of kind %d, want kind %d", err, fault.KindOf(err), test.kind)
			}
			if strings.Contains(err.Error(), "evil") {
				t.Errorf("the error quotes the value: %v", err)
			}
		})
	}
	if _, err := os.Stat(path); err == nil {
		t.Error("a file was written")
	}
}

func TestFailedSaveChangesNothing(t *testing.T) {
	if runtime.GOOS == "windows" || os.Geteuid() == 0 {
		t.Skip("a directory that cannot be written needs an ordinary user on Unix")
	}
	home(t, "")
	dir := t.TempDir()
	path := filepath.Join(dir, "config")
	if err := os.WriteFile(path, []byte("access_id=a\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o500); err != nil {
		t.Fatal(err)
	}
	if err := Save(path, DefaultProfile, Change{Set: map[string]string{AccessKeyID: "b"}}); err == nil {
		t.Error("no error")
	}
	if data, err := os.ReadFile(path); err != nil || string(data) != "access_id=a\n" {
		t.Errorf("the file has %q, %v", data, err)
	}
}

func TestSaveRemovesAProfile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "config")
	const before = "# mine\naccess_key_id = a\naccess_key_secret = b\n\n[profile other]\nregion = cn-beijing\n"
	if err := os.WriteFile(path, []byte(before), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := Save(path, "local", Change{Set: map[string]string{Region: "cn-shanghai", Endpoint: "http://127.0.0.1:1"}}); err != nil {
		t.Fatal(err)
	}
	if err := Save(path, "Local", Change{Remove: true}); err != nil {
		t.Fatal(err)
	}
	after, err := os.ReadFile(path)
	if err != nil || string(after) != before {
		t.Errorf("after making and removing a profile, %v: %q, want %q", err, after, before)
	}
}

func TestSaveTidies(t *testing.T) {
	path := filepath.Join(t.TempDir(), "config")
	local := Change{Set: map[string]string{Region: "cn-shanghai"}}
	for _, tt := range []struct {
		others string // what is in the file besides
		left   bool
	}{{"", false}, {"# mine\n", true}, {"[profile other]\nregion = cn-beijing\n", true}} {
		if err := os.WriteFile(path, []byte(tt.others), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := Save(path, "local", local); err != nil {
			t.Fatal(err)
		}
		if err := Save(path, "local", Change{Remove: true, Tidy: true}); err != nil {
			t.Fatal(err)
		}
		text, err := os.ReadFile(path)
		if (err == nil) != tt.left || string(text) != tt.others {
			t.Errorf("%q: left %q, %v", tt.others, text, err)
		}
	}
}
