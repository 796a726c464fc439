package hosts

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/openeas/eascmd/internal/jvm"
)

const (
	classDataSuffix = ".jsa"

	// classDataTime bounds how long the making of an archive may take.
	classDataTime = time.Minute

	// classDataAge is the age at which an archive is made again, so that those of
	// Javas and hosts that are gone do not stay for ever.
	classDataAge = 60 * 24 * time.Hour
)

// ArchivesClasses reports whether a Java can write what it has loaded at its end,
// beside the archive that it came with: from version 13 on.
func ArchivesClasses(java jvm.Runtime) bool { return java.Feature() >= 13 }

// classData returns the archive of classes for a Java and a jar: one that lies
// beside the jar, as in an image, where there is but one Java; or one in the cache,
// where it is made at first use. It is "" where there is none: a start then takes
// longer, and that is all.
func classData(ctx context.Context, java jvm.Runtime, jar string, opts Options) string {
	if !ArchivesClasses(java) {
		return ""
	}
	if beside := strings.TrimSuffix(jar, ".jar") + classDataSuffix; isFile(beside) {
		return beside
	}
	dir, err := opts.dir()
	if err != nil || opts.Fleeting {
		return ""
	}
	name := classDataName(java, jar)
	path, known := keptClassData(dir, name)
	if !known {
		path = makeClassData(ctx, java, jar, dir, name, opts.Log)
	}
	return path
}

// keptClassData returns the archive in dir whose name begins with name and ends with
// how long it is: a JVM that is given one that was cut off crashes. One of length 0
// says that there is none to be had; path is then "".
func keptClassData(dir, name string) (path string, known bool) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return "", false
	}
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), name+"-") {
			continue
		}
		path := filepath.Join(dir, e.Name())
		info, err := e.Info()
		switch {
		case err != nil || e.Name() != lengthName(name, info.Size()):
			os.Remove(path)
		case info.Size() == 0:
			return "", true
		default:
			return path, true
		}
	}
	return "", false
}

func lengthName(name string, length int64) string {
	return fmt.Sprintf("%s-%d%s", name, length, classDataSuffix)
}

// makeClassData has a Java write the archive, by loading what a start loads, and
// returns its path, or "". Where the Java cannot, for it lacks the archive that
// another is based on, an empty file keeps that in mind.
func makeClassData(ctx context.Context, java jvm.Runtime, jar, dir, name string, log func(string)) string {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return ""
	}
	removeAbandoned(dir, time.Now().Add(-time.Hour))
	removeOldClassData(dir, time.Now().Add(-classDataAge))
	temp, err := os.MkdirTemp(dir, buildPrefix)
	if err != nil {
		return ""
	}
	defer os.RemoveAll(temp)
	if log != nil {
		log("preparing the start of Java " + java.Version + ", once")
	}
	made := filepath.Join(temp, "classes"+classDataSuffix)
	args := append(append([]string{"-XX:ArchiveClassesAtExit=" + made, "-Xlog:cds*=off"}, javaFlags...), "-cp", jar, javaMain, "--warm")
	ctx, cancel := context.WithTimeout(ctx, classDataTime)
	defer cancel()
	cmd := exec.CommandContext(ctx, java.Program("java"), args...)
	cmd.WaitDelay = time.Second
	cmd.Env = withoutJavaOptions(os.Environ())
	err = cmd.Run()
	if ctx.Err() != nil {
		return ""
	}
	info, statErr := os.Stat(made)
	if err != nil || statErr != nil || info.Size() == 0 {
		if none := filepath.Join(temp, "none"); os.WriteFile(none, nil, 0o644) == nil {
			_ = os.Rename(none, filepath.Join(dir, lengthName(name, 0)))
		}
		return ""
	}
	path := filepath.Join(dir, lengthName(name, info.Size()))
	if os.Chmod(made, 0o644) != nil || os.Rename(made, path) != nil {
		return ""
	}
	return path
}

// removeOldClassData removes the archives in dir that were made before a time. One
// that is in use stays in the memory of who uses it.
func removeOldClassData(dir string, before time.Time) {
	names, err := filepath.Glob(filepath.Join(dir, "eashost-java-*"+classDataSuffix))
	if err != nil {
		return
	}
	for _, name := range names {
		if info, err := os.Stat(name); err == nil && info.ModTime().Before(before) {
			os.Remove(name)
		}
	}
}

// classDataName begins the file name of the archive of classes that a Java makes of
// a jar, whose name stands for its content. It carries all that the archive depends
// on: a JVM passes over one that is of another Java.
func classDataName(java jvm.Runtime, jar string) string {
	h := sha256.New()
	fmt.Fprintf(h, "%s\x00%s\x00%s\x00", jar, java.Version, runtime.GOARCH)
	for _, name := range [...]string{"lib/modules", "lib/server/libjvm.so", "lib/server/libjvm.dylib", "lib/server/classes.jsa"} {
		path := filepath.Join(java.Home, filepath.FromSlash(name))
		if real, err := filepath.EvalSymlinks(path); err == nil {
			path = real
		}
		if info, err := os.Stat(path); err == nil {
			fmt.Fprintf(h, "%d %d ", info.Size(), info.ModTime().UnixNano())
		}
		io.WriteString(h, path+"\x00")
	}
	return strings.TrimSuffix(filepath.Base(jar), ".jar") + "-" + hex.EncodeToString(h.Sum(nil))[:12]
}
