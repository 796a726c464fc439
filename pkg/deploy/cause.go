package deploy

import (
	"cmp"
	"fmt"
	"regexp"
	"strings"

	"github.com/openeas/eascmd/internal/fault"
)

// Cause is a known reason why a service does not run.
type Cause struct {
	Name string // such as oom; a section of the troubleshooting guide has it
	Text string // in words
	Kind fault.Kind
	Hint string // what to do

	whole bool // Text says all that the platform says, or more
}

// causeOf recognises the cause of a failure. The more certain signs are looked
// for first: what the system says of an instance, then what a program wrote,
// then the words of the platform, which has many for one thing.
func causeOf(f *Failure) *Cause {
	if c := memoryCause(f); c != nil {
		c.whole = true
		return c
	}
	log := strings.Join(f.Log, "\n")
	if f.Instance != nil && f.Instance.Last != nil {
		log += "\n" + f.Instance.Last.Message
	}
	for _, s := range logSigns() {
		if c := s.in(f, log); c != nil {
			c.whole = true
			return c
		}
	}
	// A processor that ends by itself also fails every check of its health.
	if i := f.Instance; i != nil && i.Last != nil && !wasEnded(i.Last) && i.ReadyProcesses < max(i.TotalProcesses, 1) && !strings.Contains(i.Reason, "Image") {
		return crashCause(f)
	}
	platform := platformText(f)
	for _, s := range platformSigns() {
		if c := s.in(f, platform); c != nil {
			return c
		}
	}
	if c := crashCause(f); c != nil {
		return c
	}
	if s := f.Service; s != nil && s.Status == Waiting && s.PendingInstances > 0 && f.Instance == nil {
		c := noResources(f, nil)
		return &c
	}
	return nil
}

// platformText is what the platform says of a failed service.
func platformText(f *Failure) string {
	var b strings.Builder
	if f.Service != nil {
		fmt.Fprintf(&b, "%s\n%s\n", f.Service.Reason, f.Service.Message)
	}
	for _, e := range f.Events {
		if strings.EqualFold(e.Type, "Warning") {
			fmt.Fprintf(&b, "%s: %s\n", e.Reason, e.Message)
		}
	}
	if f.Instance != nil {
		b.WriteString(f.Instance.Reason + "\n")
	}
	return b.String()
}

// memoryCause recognises that an instance was killed for want of memory.
func memoryCause(f *Failure) *Cause {
	if f.Instance == nil || !isOOM(f.Instance.Last) {
		return nil
	}
	c := &Cause{Name: "oom", Kind: fault.Processor, Text: "it needs more memory than it has (OOMKilled)",
		Hint: fmt.Sprintf("give it more memory, in MB: `eascmd modify %s -Dmetadata.memory=NUMBER`", f.Name)}
	if f.Service != nil && f.Service.MemoryMB > 0 {
		c.Text = fmt.Sprintf("it needs more memory than its %d MB (OOMKilled)", f.Service.MemoryMB)
		c.Hint = fmt.Sprintf("give it more, in MB: `eascmd modify %s -Dmetadata.memory=%d`", f.Name, 2*f.Service.MemoryMB)
	}
	return c
}

// crashCause recognises that an instance does not stay up.
func crashCause(f *Failure) *Cause {
	if f.Instance == nil || f.Instance.Last == nil {
		return nil
	}
	return &Cause{Name: "crash", Kind: fault.Processor, Text: "its processor does not stay up: " + f.Instance.Last.Words(),
		Hint: "`eascmd test` with the same description runs it here, where more can be seen", whole: true}
}

// wasEnded reports whether a process may have been ended by the platform.
func wasEnded(l *LastState) bool {
	switch l.ExitCode {
	case 128 + 9, 128 + 15, 256 - 9, 256 - 15:
		return true
	}
	return false
}

// sign is a text by which a cause is known.
type sign struct {
	pattern string
	cause   func(f *Failure, match []string) Cause
}

func (s sign) in(f *Failure, text string) *Cause {
	match := regexp.MustCompile(s.pattern).FindStringSubmatch(text)
	if match == nil {
		return nil
	}
	c := s.cause(f, match)
	return &c
}

// logSigns are what programs write when they cannot be loaded.
func logSigns() []sign {
	return []sign{
		{"version [`'\"]?(GLIBC(?:XX)?_[0-9.]+)['\"]? not found", func(_ *Failure, m []string) Cause {
			return Cause{Name: "glibc", Text: "the processor was built for a newer system than the one it runs on: it asks for " + m[1], Kind: fault.Processor,
				Hint: "build it on an older system or against an older image; `eascmd test --engine docker` finds this before deploying"}
		}},
		{`(?i)(?:exec format error|wrong ELF class|cannot open shared object file.*ELF)`, func(_ *Failure, _ []string) Cause {
			return Cause{Name: "cpu", Text: "the processor was built for another CPU", Kind: fault.Processor, Hint: "build it for linux/amd64"}
		}},
		{`(?:error while loading shared libraries: )?(\S+\.so[0-9.]*): cannot open shared object file`, func(_ *Failure, m []string) Cause {
			return Cause{Name: "library", Text: "the library " + m[1] + " is not where the processor runs", Kind: fault.Processor,
				Hint: "put it beside the processor in its package and link with -Wl,-rpath,'$ORIGIN'"}
		}},
		{`(?:undefined symbol: )(\S+)`, func(_ *Failure, m []string) Cause {
			return Cause{Name: "symbol", Text: "the processor needs the symbol " + m[1] + ", which no library has", Kind: fault.Processor,
				Hint: "link the library that has it, or one of the version that the processor was built with"}
		}},
		{`ModuleNotFoundError: No module named '([^']+)'`, func(_ *Failure, m []string) Cause {
			return Cause{Name: "module", Text: "the Python module " + m[1] + " is not in the package's ENV", Kind: fault.Processor,
				Hint: "add it to requirements.txt and pack again; `eascmd test` finds this before deploying"}
		}},
		{`(?:FileNotFoundError|No such file or directory)[^\n]*(/[^\s'":]*model[^\s'":]*)`, func(_ *Failure, m []string) Cause {
			return Cause{Name: "model", Text: "the processor does not find " + m[1], Kind: fault.Processor,
				Hint: "check model_path and model_entry of the description; the model is in ../../model and in the directory that EAS_MODEL_DIR names"}
		}},
		{`CUDA out of memory|CUDA_ERROR_OUT_OF_MEMORY`, func(f *Failure, _ []string) Cause {
			return Cause{Name: "gpu-memory", Text: "the GPU has too little memory", Kind: fault.Processor,
				Hint: fmt.Sprintf("ask for more with `eascmd modify %s -Dmetadata.gpu_memory=GB`, or choose another type of machine", f.Name)}
		}},
		{`Address already in use|EADDRINUSE`, portTaken},
	}
}

func portTaken(*Failure, []string) Cause {
	return Cause{Name: "port", Text: "the program's port is taken", Kind: fault.Processor,
		Hint: "ports 8080 and 9090 are the platform's: let the program listen on another one and name it in containers[0].port"}
}

// platformSigns are the platform's words.
func platformSigns() []sign {
	return []sign{
		{`(?i)OOM\s?Killed|out of memory`, func(f *Failure, _ []string) Cause {
			return Cause{Name: "oom", Text: "it needs more memory than it has", Kind: fault.Processor,
				Hint: fmt.Sprintf("give it more, in MB: `eascmd modify %s -Dmetadata.memory=NUMBER`", f.Name)}
		}},
		{`(?i)ImagePullBackOff|ErrImagePull|InvalidImageName|(?:pull(?:ing)?|fetch(?:ing)?)(?: the)? image\b[^\n]*(?:fail|error|denied|not found|unauthorized)|fail[^\n]*pull[^\n]*image|manifest unknown`, func(*Failure, []string) Cause {
			return Cause{Name: "image", Text: "its image cannot be pulled", Kind: fault.Remote,
				Hint: "check the image's name and that the registry lets the platform in (dockerAuth, or a registry of the same account and region)"}
		}},
		{`(?i)NoSuchKey|NoSuchBucket|(?:model|processor|oss://\S+|object)[^\n]*(?:does not exist|not exist|not found|404)|(?:fetch|download)\w*[^\n]*(?:fail|error|404)`, func(f *Failure, _ []string) Cause {
			return Cause{Name: "files", Text: "its model or processor cannot be fetched", Kind: fault.Remote,
				Hint: fmt.Sprintf("`eascmd desc %s` shows model_path and processor_path; check that the objects are there, in the same region, and readable", f.Name)}
		}},
		{`(?i)AccessDenied|access denied|NoPermission|not authorized|Forbidden`, func(*Failure, []string) Cause {
			return Cause{Name: "access", Text: "the platform may not read what the service needs", Kind: fault.Remote,
				Hint: "let the account's role for PAI-EAS read the bucket, or use a bucket of the same account"}
		}},
		{`(?i)QuotaExceed|exceed\w*[^\n]*quota|arrears|insufficient balance|overdue`, func(*Failure, []string) Cause {
			return Cause{Name: "quota", Text: "the account may not have more: a quota is used up or a bill is open", Kind: fault.Remote,
				Hint: "ask for a higher quota, or stop a service: `eascmd list` shows them"}
		}},
		{`(?i)Insufficient\w*[^\n]*(?:cpu|memory|gpu|resource|nodes)|FailedScheduling|Unschedulable|nodes are available|no (?:available |enough |sufficient )?resources?|(?:resource|instance)s? (?:is |are )?(?:not enough|insufficient|sold out)|OutOfStock|NotEnough`, noResources},
		{`(?i)(?:readiness|liveness|startup|health)[^\n]*(?:probe|check)[^\n]*(?:fail|unhealthy|refused|timeout)|connect: connection refused`, func(*Failure, []string) Cause {
			return Cause{Name: "health", Text: "it runs, but does not answer the platform's health check", Kind: fault.Processor,
				Hint: "let it listen on 0.0.0.0 and on the port of containers[0].port; a processor that loads for long may need a higher start-up time"}
		}},
		{`(?i)PROCESSOR_INVALID|processor_entry|processor_mainclass|(?:fail|error)\w*[^\n]*(?:load|initiali[sz])\w*[^\n]*(?:processor|model)|(?:load|initiali[sz])\w*[^\n]*(?:processor|model)[^\n]*(?:fail|error)`, func(*Failure, []string) Cause {
			return Cause{Name: "load", Text: "its processor cannot be loaded", Kind: fault.Processor,
				Hint: "`eascmd test` with the same description finds this here; processor_entry and processor_type have to fit the package"}
		}},
		{`(?i)CrashLoopBackOff|back-?off restarting`, func(f *Failure, _ []string) Cause {
			if c := crashCause(f); c != nil {
				return *c
			}
			return Cause{Name: "crash", Text: "its processor does not stay up", Kind: fault.Processor,
				Hint: "`eascmd test` with the same description runs it here, where more can be seen"}
		}},
	}
}

func noResources(f *Failure, _ []string) Cause {
	where := ""
	if f.Service != nil {
		where = cmp.Or(f.Service.Resource, "")
	}
	if where != "" {
		return Cause{Name: "resources", Text: "resource group " + where + " has no room for it", Kind: fault.Remote,
			Hint: fmt.Sprintf("make the group larger, stop another service of it, or ask for less: `eascmd modify %s -Dmetadata.cpu=N -Dmetadata.memory=MB`", f.Name)}
	}
	return Cause{Name: "resources", Text: "there are no machines for it at the moment", Kind: fault.Remote,
		Hint: fmt.Sprintf("ask for less (`eascmd modify %s -Dmetadata.cpu=N -Dmetadata.memory=MB`), for another type of machine, or wait: it starts when there is room", f.Name)}
}
