package localtest

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"strings"

	"github.com/openeas/eascmd/internal/fault"
	"github.com/openeas/eascmd/internal/jvm"
	"github.com/openeas/eascmd/pkg/engine/hosts"
	"github.com/openeas/eascmd/pkg/localtest/check"
	"github.com/openeas/eascmd/pkg/runplan"
)

// Java is the Java that runs a Java processor.
type Java struct {
	jvm.Runtime
	Others []jvm.Runtime // that are here

	// Notes are what is worth a warning of how it will run.
	Notes []Note
}

// Note is something that the user should know although it goes on.
type Note struct{ Text, Hint string }

// FindJava returns the Java that Java processors are run with here: that of
// JAVA_HOME, else that of PATH, else the newest that is found.
func FindJava(ctx context.Context) (Java, error) {
	chosen, others, err := jvm.Choose(ctx)
	return Java{Runtime: chosen, Others: others}, err
}

// UseJava has a plan run its processor with a Java and the host that is found or
// made for it. What the user should know of it is then among the Java's notes.
func UseJava(ctx context.Context, plan *runplan.Plan, java *Java, opts hosts.Options) error {
	options, err := jvm.ParseOptions(plan.Processor.JVMOptions)
	if err != nil {
		return fault.New(fault.Description, "processor_jvm_options: %w", err)
	}
	host, err := hosts.Java(ctx, java.Runtime, opts)
	if err != nil {
		return err
	}
	if err := host.Try(ctx, options); err != nil {
		return fault.New(fault.KindOf(err), "processor_jvm_options: %w", err)
	}
	memory := heapMemory(plan)
	plan.Worker.Command = host.Command(hosts.JVM{Options: options, Heap: heap(plan, memory)})
	plan.Worker.TCP = java.Feature() < unixSockets
	plan.Worker.Env = append(localeEnvironment(plan), plan.Worker.Env...)
	if largest, _ := options.MaxHeap(); memory > 0 && largest > memory {
		java.Notes = append(java.Notes, Note{
			fmt.Sprintf("processor_jvm_options lets the heap grow to %d MB, and a worker has %d MB (metadata.memory): it would be killed before that", largest>>20, memory>>20),
			"lower -Xmx to three quarters of the memory, or leave it out, which is the same"})
	}
	return nil
}

// unixSockets is the version that a Java has Unix sockets from.
const unixSockets = 16

// heapMemory returns how much memory a JVM of a plan may take in bytes, 0 where
// there is no limit: its share of the service's.
func heapMemory(plan *runplan.Plan) int64 {
	memory := plan.Worker.MemoryMB << 20
	if plan.Worker.Cgroup == runplan.OwnCgroup {
		memory -= min(gatewayMemory, memory/8) // the gateway is in there too
	}
	return memory / int64(max(plan.Worker.Count, 1))
}

// What is left of the memory of a service beside the heaps of its workers.
const (
	gatewayMemory = 64 << 20 // for the gateway, in a container

	// outsideMemory is for what a JVM has outside of the heap: classes, compiled code,
	// threads, what the garbage collector notes.
	outsideMemory = 128 << 20
)

// heap returns how large the heap of a JVM may become that has so much memory, in
// bytes: three quarters, and of little memory less. It is 0 where there is no limit,
// and where a variable that the description gives says it.
func heap(plan *runplan.Plan, memory int64) int64 {
	for _, v := range plan.Worker.Env {
		if !slices.Contains(jvm.Variables, v.Name) {
			continue
		}
		if _, said := jvm.Options(strings.Fields(v.Value)).MaxHeap(); said {
			return 0
		}
	}
	return max(min(memory/4*3, memory-outsideMemory), memory/2)
}

// localeEnvironment has a JVM take the names of files for UTF-8 where nothing says
// what they are: it goes by the locale, and cannot open others. The locale C, which
// is what many a program's surroundings are, says nothing unless the description does.
func localeEnvironment(plan *runplan.Plan) []runplan.Env {
	if runtime.GOOS != "linux" {
		return nil
	}
	name := "LC_CTYPE"
	for _, v := range [...]string{"LC_ALL", "LC_CTYPE", "LANG"} { // the first that is set counts
		value, _ := Variable(plan, v)
		if value == "" {
			continue
		}
		described := slices.ContainsFunc(plan.Worker.Env, func(e runplan.Env) bool { return e.Name == v })
		if described || value != "C" && value != "POSIX" {
			return nil
		}
		if v == "LC_ALL" {
			name = v
		}
		break
	}
	return []runplan.Env{{Name: name, Value: "C.UTF-8"}}
}

// checkJava examines a Java processor for the Java that is to run it, and notes
// where its classes are looked for.
func checkJava(ctx context.Context, plan *runplan.Plan, place string) (check.Report, error) {
	java, err := FindJava(ctx)
	if err != nil {
		return check.Report{}, err
	}
	opts := check.JavaOptions{Feature: java.Feature(), Version: java.Version, Place: place}
	for _, other := range java.Others {
		opts.Others = append(opts.Others, other.Version+" in "+other.Home)
	}
	report, classPath, err := check.Java(javaProcessor(plan.Processor), opts)
	if err != nil {
		return report, err
	}
	plan.Processor.ClassPath = classPath
	return report, report.Err()
}

func javaProcessor(p runplan.Processor) check.JavaProcessor {
	return check.JavaProcessor{Dir: p.Dir, Entry: p.Entry, MainClass: p.MainClass}
}
