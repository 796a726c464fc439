//go:build linux

package main

import (
	"context"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/openeas/eascmd/internal/jvm"
	"github.com/openeas/eascmd/pkg/runplan"
)

// What is missing without a JDK, and without Maven Central.
const (
	javaProgram = "a JDK"
	javaPeers   = "Undertow and Spring Boot of Maven Central"
)

// javaPeer is a program of testdata/java that does what the service does.
type javaPeer struct {
	name     string // in the table
	class    string
	args     []string // after the port
	artifact string   // of Maven Central, as group:artifact:version; empty: it needs nothing but Java
}

// The JDK's HttpServer with a thread of its own for requests or as many as the
// service has, what is usual without a framework, and with one.
var (
	httpServerPool = javaPeer{name: "HttpServer, 5 threads", class: "PlatformEcho", args: []string{strconv.Itoa(runplan.DefaultThreads)}}
	httpServerOwn  = javaPeer{name: "HttpServer, 1 thread", class: "PlatformEcho", args: []string{"0"}}
	undertow       = javaPeer{name: "Undertow", class: "UndertowEcho", artifact: "io.undertow:undertow-core:2.4.4.Final"}
	springBoot     = javaPeer{name: "Spring Boot", class: "SpringEcho", artifact: "org.springframework.boot:spring-boot-starter-webmvc:4.1.2"}
)

var allJavaPeers = []javaPeer{httpServerPool, httpServerOwn, undertow, springBoot}

// version is that of what is got from Maven Central.
func (p javaPeer) version() string { return p.artifact[strings.LastIndexByte(p.artifact, ':')+1:] }

// findJava finds the Java of all Java services, as eascmd does.
func (b *bench) findJava(ctx context.Context) error {
	java, _, err := jvm.Choose(ctx)
	if err == nil && !java.Compiler {
		err = errors.New(java.Home + " has no javac")
	}
	if err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		b.lack(javaProgram, err)
		return nil
	}
	b.java = &java
	return nil
}

// javaEnvironment is that of everything that runs Java: with that one Java.
func (b *bench) javaEnvironment(extra ...string) []string {
	path := "PATH=" + filepath.Dir(b.java.Program("java")) + ":" + os.Getenv("PATH")
	return b.environment(append([]string{"JAVA_HOME=" + b.java.Home, path}, extra...)...)
}

// buildJava compiles the processor, a program that does nothing, and the peers
// that can be had.
func (b *bench) buildJava(ctx context.Context) error {
	if b.java == nil {
		return nil
	}
	for _, class := range [...]string{"Echo", "Nothing"} {
		if err := b.compileJava(ctx, class, ""); err != nil {
			return err
		}
	}
	processor := b.path("testdata", "java", "processor")
	if err := os.Mkdir(processor, 0o700); err != nil {
		return err
	}
	_, err := output(ctx, b.dir, b.javaEnvironment(), b.java.Program("jar"), "cf", filepath.Join(processor, "echo.jar"), "-C", b.classes("Echo"), ".")
	if err != nil {
		return err
	}
	for _, p := range allJavaPeers {
		var libraries string
		if p.artifact != "" {
			libraries, err = b.getArtifact(ctx, p.artifact)
			if ctx.Err() != nil {
				return ctx.Err()
			}
			if err != nil {
				b.lack(javaPeers, err)
				continue
			}
		}
		if err := b.compileJava(ctx, p.class, libraries); err != nil {
			return err
		}
		b.javaPeers = append(b.javaPeers, p)
	}
	return nil
}

// classes is the directory of a compiled program of testdata/java.
func (b *bench) classes(class string) string { return b.path("testdata", "java", "classes", class) }

// libraries is the directory, in the cache, of an artifact and of all that it
// needs.
func (b *bench) libraries(artifact string) string {
	return filepath.Join(b.cache, "java-"+strings.ReplaceAll(artifact, ":", "-"))
}

func (b *bench) compileJava(ctx context.Context, class, libraries string) error {
	argv := []string{b.java.Program("javac"), "-d", b.classes(class)}
	if libraries != "" {
		argv = append(argv, "-cp", filepath.Join(libraries, "*"))
	}
	_, err := output(ctx, b.path("testdata", "java"), b.javaEnvironment(), append(argv, class+".java")...)
	return err
}

// getArtifact gets an artifact, and all that it needs, from Maven Central into
// the cache, once. It runs with the user's own environment and settings: what
// leads to Maven Central here is in them.
func (b *bench) getArtifact(ctx context.Context, artifact string) (string, error) {
	dir := b.libraries(artifact)
	whole := filepath.Join(dir, "whole")
	if _, err := os.Stat(whole); err == nil {
		return dir, nil
	}
	maven, err := exec.LookPath("mvn")
	if err != nil {
		return "", err
	}
	b.say("getting %s", artifact)
	name := strings.Split(artifact, ":")
	_, err = output(ctx, b.path("testdata", "java"), nil, maven, "--batch-mode", "--quiet",
		"org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies", "-DincludeScope=runtime", "-DoutputDirectory="+dir,
		"-Dpeer.group="+name[0], "-Dpeer.artifact="+name[1], "-Dpeer.version="+name[2])
	if err != nil {
		return "", errors.Join(err, os.RemoveAll(dir))
	}
	return dir, os.WriteFile(whole, nil, 0o600)
}

// peerCommand runs a peer on an address, in a JVM with options.
func (b *bench) peerCommand(p javaPeer, options []string, address string) []string {
	_, port, _ := net.SplitHostPort(address)
	classPath := b.classes(p.class)
	if p.artifact != "" {
		classPath += ":" + filepath.Join(b.libraries(p.artifact), "*")
	}
	argv := append([]string{b.java.Program("java")}, options...)
	return append(append(argv, "-Dsun.net.httpserver.nodelay=true", "-cp", classPath, p.class, port), p.args...)
}

// A JVM that is asked to end has an exit status of its own; it is killed.
const endOfPeer = syscall.SIGKILL

// startJavaPeer starts a peer and waits until it is ready.
func (b *bench) startJavaPeer(ctx context.Context, p javaPeer, options []string) (*server, error) {
	return b.startPeer(ctx, p.name, b.javaEnvironment(), endOfPeer, func(address string) []string {
		return b.peerCommand(p, options, address)
	})
}

// jvmOptions asks a running JVM for its heap and its collector, and returns the
// options by which its peers have the same.
func (b *bench) jvmOptions(ctx context.Context, pid int) ([]string, error) {
	text, err := output(ctx, b.dir, b.javaEnvironment(), b.java.Program("jcmd"), strconv.Itoa(pid), "VM.flags")
	if err != nil {
		return nil, err
	}
	return heapOptions(string(text)), nil
}

// heapOptions picks the options for the heap and the collector out of all that a
// JVM has chosen or was given.
func heapOptions(text string) []string {
	return slices.DeleteFunc(strings.Fields(text), func(option string) bool {
		collector := strings.HasPrefix(option, "-XX:+Use") && strings.HasSuffix(option, "GC")
		return !collector && !strings.HasPrefix(option, "-XX:InitialHeapSize=") && !strings.HasPrefix(option, "-XX:MaxHeapSize=")
	})
}
