package hosts

import (
	"archive/zip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"

	"github.com/openeas/eascmd/internal/fault"
	"github.com/openeas/eascmd/internal/jvm"
	"github.com/openeas/eascmd/workers"
)

// The class that is run of the host for Java processors.
const (
	javaMain     = "eashost.Main"
	javaMainFile = "eashost/Main.class"
)

// JavaHost is the host for Java processors and the Java that runs it.
type JavaHost struct {
	Java jvm.Runtime
	Jar  string // absolute

	// ClassData is an archive of the classes that a start needs, as this Java has
	// them in memory, so that it need not make them again; or "".
	ClassData string
}

// JVM says how the JVM of a worker is to be.
type JVM struct {
	Options jvm.Options // of the service
	Heap    int64       // bytes that the heap may grow to where Options do not say it; 0: the JVM decides
}

// Java returns the host for Java processors, to be run by a Java of this machine.
// The jar, which is the same everywhere, is compiled at first use, and then an
// archive of classes is made for the Java, where it makes them. Several programs
// may do so at the same time. That there is no compiler is an error of kind Missing.
func Java(ctx context.Context, java jvm.Runtime, opts Options) (JavaHost, error) {
	jar, err := JavaJar(ctx, java, opts)
	if err != nil {
		return JavaHost{}, err
	}
	return JavaHost{Java: java, Jar: jar, ClassData: classData(ctx, java, jar, opts)}, nil
}

// Command is what makes a worker.
func (h JavaHost) Command(v JVM) []string {
	command := append([]string{h.Java.Program("java")}, javaFlags...)
	if v.Heap > 0 {
		if _, said := v.Options.MaxHeap(); !said {
			command = append(command, "-Xmx"+strconv.FormatInt(max(v.Heap, v.Options.InitialHeap())>>10, 10)+"k")
		}
	}
	if h.ClassData != "" && !v.Options.ClassData() {
		// One that does not fit is passed over in silence.
		command = append(command, "-XX:SharedArchiveFile="+h.ClassData, "-Xlog:cds*=off")
	}
	command = append(command, v.Options...) // the last of a kind counts
	return append(command, "-cp", h.Jar, javaMain)
}

// javaFlags are what every JVM is started with: what it says of itself goes to
// standard error, text is UTF-8 whatever the locale, no file in the temporary
// directory tells others about it.
var javaFlags = []string{
	"-XX:-UsePerfData",
	"-XX:+DisplayVMOutputToStderr",
	"-Dfile.encoding=UTF-8",
	"-Dstdout.encoding=UTF-8", "-Dstderr.encoding=UTF-8", // from 19 on
	"-Dsun.stdout.encoding=UTF-8", "-Dsun.stderr.encoding=UTF-8", // before
	"-Djava.awt.headless=true",
}

// JavaName is the file name of the host for Java processors, a jar that is the
// same on every platform. A release keeps it in the directory hosts/java beside
// eascmd.
func JavaName() string {
	_, name, _ := javaSources() // what is embedded can be read
	return name
}

// JavaJar returns the path of the host's jar, which it compiles at first use: with
// the compiler of a Java, where it has one, else with any of this machine.
func JavaJar(ctx context.Context, java jvm.Runtime, opts Options) (string, error) {
	path, err := KeptJavaJar(opts)
	if path != "" || err != nil {
		return path, err
	}
	sources, name, err := javaSources()
	if err != nil {
		return "", fault.New(fault.Failed, "read the host for Java processors: %w", err)
	}
	dir, err := opts.dir()
	if err != nil {
		return "", err
	}
	path = filepath.Join(dir, name)
	if err := buildJava(ctx, java, sources, dir, path, opts); err != nil {
		return "", err
	}
	return path, nil
}

// KeptJavaJar returns the path of the host's jar, where it came along or was compiled
// before, and else "".
func KeptJavaJar(opts Options) (string, error) {
	name := JavaName()
	for _, dir := range opts.Dirs {
		if path := filepath.Join(dir, name); isJar(path) {
			return path, nil
		}
	}
	if path := prebuilt("java", name, isJar); path != "" {
		return path, nil
	}
	dir, err := opts.dir()
	if err != nil {
		return "", err
	}
	if path := filepath.Join(dir, name); isJar(path) {
		return path, nil
	}
	return "", nil
}

// javaSources returns the host's sources by file name, and the name of the jar
// that is made of them.
func javaSources() (sources map[string][]byte, name string, err error) {
	const dir = "java/eashost"
	entries, err := fs.ReadDir(workers.Java, dir) // sorted by name
	if err != nil {
		return nil, "", err
	}
	sources = make(map[string][]byte)
	h := sha256.New()
	for _, flag := range javacFlags {
		fmt.Fprintf(h, "%s\x00", flag)
	}
	for _, e := range entries {
		data, err := fs.ReadFile(workers.Java, dir+"/"+e.Name())
		if err != nil {
			return nil, "", err
		}
		sources[e.Name()] = data
		fmt.Fprintf(h, "%s\x00%d\x00", e.Name(), len(data))
		h.Write(data)
	}
	return sources, "eashost-java-" + hex.EncodeToString(h.Sum(nil))[:12] + ".jar", nil
}

// isJar reports whether a file is a jar with the host in it. What a full disk has cut
// off is none.
func isJar(path string) bool {
	r, err := zip.OpenReader(path)
	if err != nil {
		return false
	}
	defer r.Close()
	return slices.ContainsFunc(r.File, func(f *zip.File) bool { return f.Name == javaMainFile })
}

func isFile(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular() && info.Size() > 0
}
