package hosts

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"slices"
	"strings"
	"time"

	"github.com/openeas/eascmd/internal/fault"
	"github.com/openeas/eascmd/internal/jvm"
)

// Try finds out whether the host's Java takes the options of a service: those that
// not every Java has, by having a JVM start with them that runs nothing. What it
// says otherwise is in an error of kind Description. A worker would end
// with the same words, but with none of what to do.
func (h JavaHost) Try(ctx context.Context, options jvm.Options) error {
	if h.Java.Feature() < 9 {
		for _, word := range options {
			if strings.HasPrefix(word, "--") {
				return fault.New(fault.Description, "Java %s has no option %s", h.Java.Version, word).
					WithHint("leave it out, or run the processor with a newer Java: set JAVA_HOME")
			}
		}
	}
	words := trial(options)
	if len(words) == 0 {
		return nil
	}
	limited, cancel := context.WithTimeout(ctx, tryTime)
	defer cancel()
	cmd := exec.CommandContext(limited, h.Java.Program("java"), slices.Concat(javaFlags, words, jvm.Options{"-version"})...)
	cmd.WaitDelay = time.Second
	cmd.Env = withoutJavaOptions(os.Environ())
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	err := cmd.Run()
	if ctx.Err() != nil {
		return fault.New(fault.Interrupted, "trying the options of the JVM was interrupted: %w", context.Cause(ctx))
	}
	if _, ended := errors.AsType[*exec.ExitError](err); !ended || limited.Err() != nil {
		return nil // it takes them, or it is for the worker to say what is wrong
	}
	why := complaint(said.String())
	hint := "correct it, or run the processor with another Java: set JAVA_HOME"
	if strings.Contains(why, "Unrecognized VM option") {
		hint = "leave it out; -XX:+IgnoreUnrecognizedVMOptions has a JVM pass over what it does not know; or run the processor with another Java: set JAVA_HOME"
	}
	return fault.New(fault.Description, "Java %s does not take them: %s", h.Java.Version, why).WithHint("%s", hint)
}

// trial returns the options that a Java is tried with, none where there is nothing
// that one could lack: not what has an effect beside the JVM, such as an agent, a
// log, or a recording.
func trial(options jvm.Options) jvm.Options {
	var words jvm.Options
	special := false
	for i := 0; i < len(options); i++ {
		word := options[i]
		begins := func(name string) bool { return strings.HasPrefix(word, name) }
		switch {
		case slices.ContainsFunc(effects, begins), strings.HasPrefix(word, "@"):
			continue
		case strings.HasPrefix(word, "--"), word == "-p":
			if !strings.Contains(word, "=") && i+1 < len(options) && !strings.HasPrefix(options[i+1], "-") {
				i++ // its value
			}
			continue
		case slices.ContainsFunc(everywhere, begins):
			continue
		}
		words = append(words, word)
		isSize := slices.ContainsFunc([]string{"-Xmx", "-Xms", "-Xmn", "-Xss"}, begins)
		special = special || !isSize
	}
	largest, said := words.MaxHeap()
	small := said && largest < smallHeap || words.Stack() > 0 && words.Stack() < smallStack
	if !special && !small && words.InitialHeap() == 0 { // more than the largest size
		return nil
	}
	return words
}

// A JVM may refuse to start with less, in bytes.
const (
	smallHeap  = 16 << 20
	smallStack = 256 << 10
)

// everywhere begin the options that every Java has.
var everywhere = []string{"-D", "-ea", "-enableassertions", "-da", "-disableassertions", "-esa", "-dsa", "-enablesystemassertions", "-disablesystemassertions", "-verbose", "-server", "-client", "-showversion", "-splash:"}

// effects begin the options that do something beside the JVM.
var effects = []string{
	"-javaagent:", "-agentlib:", "-agentpath:",
	"-Xlog", "-Xrun", "-Xdebug", "-Xshare", "-Xbootclasspath",
	"-XX:StartFlightRecording", "-XX:FlightRecorder", "-XX:ArchiveClassesAtExit", "-XX:SharedArchiveFile", "-XX:AOT", "-XX:Flags=", "-XX:VMOptionsFile=",
	"-XX:OnError", "-XX:OnOutOfMemoryError", "-XX:LogFile", "-XX:+LogVMOutput", "-XX:CRaC",
}

// complaint finds what is wrong in what a JVM prints that does not start: not the
// sentences that are always there.
func complaint(text string) string {
	var lines []string
	for line := range strings.Lines(text) {
		line = strings.TrimPrefix(strings.TrimSpace(line), "Error: ")
		switch {
		case line == "", strings.HasPrefix(line, "Could not create the Java Virtual Machine"),
			strings.HasPrefix(line, "A fatal exception has occurred"), strings.HasPrefix(line, "Error occurred during initialization of VM"):
		case strings.Contains(line, " warning: "), strings.HasPrefix(line, "["):
		default:
			lines = append(lines, line)
		}
	}
	if len(lines) == 0 {
		return "it does not say why"
	}
	return strings.Join(lines[:min(len(lines), 3)], "; ")
}
