package hosts

import (
	"archive/zip"
	"bytes"
	"context"
	"errors"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/openeas/eascmd/internal/fault"
	"github.com/openeas/eascmd/internal/jvm"
)

// javacFlags compile the host, besides what says that it is for Java 8 and newer.
// The lines of its source are kept, for its own stack traces.
var javacFlags = []string{"-encoding", "UTF-8", "-g:source,lines", "-proc:none", "-implicit:none", "-Xlint:-options"}

// quickly has a compiler that runs for a second not prepare for hours.
var quickly = []string{"-J-XX:TieredStopAtLevel=1", "-J-XX:+UseSerialGC", "-J-XX:-UsePerfData"}

// buildJava compiles the host to a jar at path, a file in dir. The file appears
// whole: a build that breaks off leaves nothing under that name, and of two at the same
// time the later wins with the same content.
func buildJava(ctx context.Context, java jvm.Runtime, sources map[string][]byte, dir, path string, opts Options) error {
	compiler, err := JavaCompiler(ctx, java)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return cannotKeep("the host for Java processors", err)
	}
	removeAbandoned(dir, time.Now().Add(-time.Hour))
	temp, err := os.MkdirTemp(dir, buildPrefix)
	if err != nil {
		return cannotKeep("the host for Java processors", err)
	}
	defer os.RemoveAll(temp)
	if opts.Log != nil {
		opts.Log("building the host for Java processors with " + compiler.Program("javac") + ", once")
	}
	jar := filepath.Join(temp, "host.jar")
	if err := compileJava(ctx, compiler, sources, temp, jar); err != nil {
		return err
	}
	if err := os.Rename(jar, path); err != nil {
		return cannotKeep("the host for Java processors", err)
	}
	return nil
}

// ReleaseJava compiles the host for a release to a jar at path, which is named by
// JavaName. It needs a JDK on this machine.
func ReleaseJava(ctx context.Context, path string) error {
	java, _, err := jvm.Choose(ctx)
	if err != nil {
		return err
	}
	compiler, err := JavaCompiler(ctx, java)
	if err != nil {
		return err
	}
	sources, _, err := javaSources()
	if err != nil {
		return fault.New(fault.Failed, "read the host for Java processors: %w", err)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fault.New(fault.Failed, "make room for the host: %w", err)
	}
	temp, err := os.MkdirTemp("", "eashost-java-")
	if err != nil {
		return fault.New(fault.Failed, "make room for the host: %w", err)
	}
	defer os.RemoveAll(temp)
	return compileJava(ctx, compiler, sources, temp, path)
}

// JavaCompiler returns the Java whose compiler makes the host: the one that is to run
// it, or else any of this machine that has one. That there is none is an error of
// kind Missing.
func JavaCompiler(ctx context.Context, java jvm.Runtime) (jvm.Runtime, error) {
	machine := jvm.This()
	machine.Run = nil // what only a program that chooses knows is found elsewhere, or not at all
	return javaCompiler(java, func() ([]jvm.Runtime, error) { return machine.Find(ctx) })
}

func javaCompiler(java jvm.Runtime, find func() ([]jvm.Runtime, error)) (jvm.Runtime, error) {
	if java.Compiler {
		return java, nil
	}
	all, err := find()
	if err != nil {
		return jvm.Runtime{}, err
	}
	for _, other := range all {
		if other.Compiler {
			return other, nil
		}
	}
	what := "there is no JDK here"
	if java.Home != "" {
		what = "the Java in " + java.Home + " is a JRE, and there is no JDK here"
	}
	return jvm.Runtime{}, fault.New(fault.Missing, "no Java compiler (javac), which the host of Java processors is built with: %s", what).
		WithHint("install a JDK (apt-get install default-jdk-headless, dnf install java-latest-openjdk-devel, apk add openjdk17-jdk, brew install openjdk), or set JAVA_HOME to one")
}

// compileJava compiles sources, which it writes to a directory of its own, to a jar.
func compileJava(ctx context.Context, compiler jvm.Runtime, sources map[string][]byte, dir, jar string) error {
	classes := filepath.Join(dir, "classes")
	args := append(slices.Clone(quickly), javacFlags...)
	if compiler.Feature() == 8 {
		args = append(args, "-source", "8", "-target", "8")
	} else {
		args = append(args, "--release", "8")
	}
	args = append(args, "-d", classes)
	err := os.Mkdir(classes, 0o755)
	for _, name := range slices.Sorted(maps.Keys(sources)) {
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, name), sources[name], 0o644)
		}
		args = append(args, filepath.Join(dir, name))
	}
	if err != nil {
		return fault.New(fault.Failed, "make room for the host: %w", err)
	}
	program := compiler.Program("javac")
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.WaitDelay = time.Second // for programs that the compiler has started
	cmd.Env = withoutJavaOptions(os.Environ())
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	err = cmd.Run()
	switch {
	case ctx.Err() != nil:
		return fault.New(fault.Interrupted, "building the host was interrupted: %w", context.Cause(ctx))
	case errors.Is(err, fs.ErrPermission), errors.Is(err, fs.ErrNotExist):
		return fault.New(fault.Missing, "the Java compiler %s cannot be run: %w", program, err).WithHint("set JAVA_HOME to another JDK")
	case err != nil:
		return fault.New(fault.Failed, "the host for Java processors does not build with %s: %w\n%s", program, err, strings.TrimSpace(said.String())).
			WithHint("set JAVA_HOME to a JDK of version 8 to 25")
	}
	if err := writeJar(jar, classes); err != nil {
		return fault.New(fault.Failed, "write the host for Java processors: %w", err)
	}
	return nil
}

// withoutJavaOptions returns an environment without the variables that Javas take
// options from.
func withoutJavaOptions(env []string) []string {
	return slices.DeleteFunc(slices.Clone(env), func(v string) bool {
		name, _, _ := strings.Cut(v, "=")
		return slices.Contains(jvm.Variables, name) || name == "JDK_JAVAC_OPTIONS"
	})
}

// jarTime is the time of the jar and of everything in it: the first that the format
// has. The same classes make the same jar.
var jarTime = time.Date(1980, 1, 1, 0, 0, 0, 0, time.UTC)

// writeJar makes a jar of a directory of classes. They are not compressed: what is
// read at every start is small, and needs no unpacking then.
func writeJar(jar, classes string) error {
	var content bytes.Buffer
	w := zip.NewWriter(&content)
	add := func(name string, data []byte) error {
		f, err := w.CreateHeader(&zip.FileHeader{Name: name, Method: zip.Store, Modified: jarTime})
		if err != nil {
			return err
		}
		_, err = f.Write(data)
		return err
	}
	if err := add("META-INF/MANIFEST.MF", []byte("Manifest-Version: 1.0\r\nMain-Class: "+javaMain+"\r\n\r\n")); err != nil {
		return err
	}
	found := false
	err := filepath.WalkDir(classes, func(path string, d fs.DirEntry, err error) error { // sorted by name
		if err != nil || d.IsDir() {
			return err
		}
		name, err := filepath.Rel(classes, path)
		if err != nil {
			return err
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		found = true
		return add(filepath.ToSlash(name), data)
	})
	if err == nil && !found {
		err = errors.New("the compiler has written no classes")
	}
	if err != nil {
		return err
	}
	if err := w.Close(); err != nil {
		return err
	}
	if err := os.WriteFile(jar, content.Bytes(), 0o644); err != nil {
		return err
	}
	// An archive of its classes is good for a jar of this time.
	return os.Chtimes(jar, time.Time{}, jarTime)
}
