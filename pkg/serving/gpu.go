package serving

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"github.com/openeas/eascmd/internal/fault"
	"github.com/openeas/eascmd/internal/nvidia"
	"github.com/openeas/eascmd/pkg/runplan"
)

// gpuPlace is where GPUs are looked for.
type gpuPlace struct {
	dev string // the directory of device nodes
	smi string // path of nvidia-smi; empty: there is none
}

func thisPlace() *gpuPlace { return &gpuPlace{dev: "/dev", smi: nvidia.FindSMI()} }

// gpuNodes are the device nodes by which there is a GPU of NVIDIA's: the usual
// one, that of Linux in Windows, and that of the Jetson boards.
var gpuNodes = []string{nvidia.ControlNode, "dxg", "nvhost-ctrl-gpu", "nvmap"}

// gpus are the GPUs of the place that the workers run in.
type gpus struct {
	place   *gpuPlace
	times   *timings
	watched bool // they were promised, and have to stay

	ctx    context.Context // ends the question to nvidia-smi
	cancel context.CancelFunc

	mu     sync.Mutex
	last   []nvidia.GPU
	err    error
	at     time.Time     // of last and err
	rest   time.Duration // before the next question
	asking chan struct{} // closed when the question under way is answered; nil: there is none
}

// findGPUs returns the GPUs, nil where there are none. A plan that promises
// some where there are none, or none that may be used, is refused: the processor
// would run on the CPU, and nobody would know.
func findGPUs(plan *runplan.Plan, place *gpuPlace, times *timings) (*gpus, error) {
	var err error
	if plan.Worker.GPUs {
		err = usableGPU(place.dev)
	} else {
		_, err = os.Stat(filepath.Join(place.dev, nvidia.ControlNode))
	}
	switch {
	case err == nil:
		g := &gpus{place: place, times: times, watched: plan.Worker.GPUs}
		g.ctx, g.cancel = context.WithCancel(context.Background())
		return g, nil
	case !plan.Worker.GPUs:
		return nil, nil
	case errors.Is(err, fs.ErrNotExist):
		return nil, fault.New(fault.Missing, "a GPU was asked for, and there is none where the processor runs: %s has no %s", place.dev, nvidia.ControlNode).
			WithHint("`eascmd doctor` shows what is missing; --gpus none runs the service without")
	}
	return nil, fault.New(fault.Missing, "a GPU was asked for, and it may not be used where the processor runs: %w", err).
		WithHint("its device nodes have to be readable and writable for this user, and permitted in this control group; --gpus none runs the service without")
}

// usableGPU returns nil where one of gpuNodes can be used, and otherwise why
// not.
func usableGPU(dev string) error {
	err := fs.ErrNotExist
	for _, name := range gpuNodes {
		switch nodeErr := nvidia.Usable(filepath.Join(dev, name)); {
		case nodeErr == nil:
			return nil
		case !errors.Is(nodeErr, fs.ErrNotExist):
			err = nodeErr
		}
	}
	return err
}

// close ends a question to nvidia-smi that is under way.
func (g *gpus) close() {
	if g == nil {
		return
	}
	g.cancel()
	g.mu.Lock()
	asking := g.asking
	g.mu.Unlock()
	if asking != nil {
		<-asking // it returns at once, also where the program does not
	}
}

// errNoSMI says that the use of the GPUs cannot be known.
var errNoSMI = errors.New("nvidia-smi is missing")

// sample returns what the GPUs are used for. nvidia-smi is asked at most once
// in times.gpuSample, by one caller for all, and none waits for it longer than
// times.gpuWait: then it gets the error errAsking.
func (g *gpus) sample() ([]nvidia.GPU, error) {
	if g.place.smi == "" {
		return nil, errNoSMI
	}
	g.mu.Lock()
	if g.asking == nil {
		if !g.at.IsZero() && time.Since(g.at) < max(g.rest, g.times.gpuSample) {
			defer g.mu.Unlock()
			return g.last, g.err
		}
		g.asking = make(chan struct{})
		go g.ask(g.asking)
	}
	asking := g.asking
	g.mu.Unlock()

	limit := time.NewTimer(g.times.gpuWait)
	defer limit.Stop()
	select {
	case <-asking:
		g.mu.Lock()
		defer g.mu.Unlock()
		return g.last, g.err
	case <-limit.C:
		return nil, errAsking
	}
}

// errAsking says that nvidia-smi has not answered yet.
var errAsking = errors.New("nvidia-smi does not answer")

// restAfterHang is how long nvidia-smi is left alone after it had to be given
// up: each one that hangs in the driver stays there.
const restAfterHang = time.Minute

// ask asks nvidia-smi.
func (g *gpus) ask(answered chan struct{}) {
	ctx, cancel := context.WithTimeout(g.ctx, g.times.gpuAnswer)
	defer cancel()
	list, err := nvidia.Sample(ctx, g.place.smi)
	g.mu.Lock()
	g.last, g.err, g.at, g.rest = list, err, time.Now(), 0
	if _, hangs := errors.AsType[*nvidia.HangError](err); hangs {
		g.rest = restAfterHang
	}
	g.asking = nil
	g.mu.Unlock()
	close(answered)
}

// expose adds the metrics of the GPUs, but for what is not known.
func (g *gpus) expose(e *exposition) {
	list, err := g.sample()
	if err != nil {
		return
	}
	for _, gpu := range list {
		gauge := func(name, help string, value float64) {
			if value >= 0 {
				e.gauge(name, help, value, label{"index", strconv.Itoa(gpu.Index)}, label{"name", gpu.Name}, label{"uuid", gpu.UUID})
			}
		}
		gauge("eascmd_gpu_utilization_ratio", "Share of the last moment in which the GPU computed, by anybody.", gpu.Use)
		gauge("eascmd_gpu_memory_used_bytes", "Bytes of the GPU's memory that are in use, by anybody.", float64(gpu.Used))
		gauge("eascmd_gpu_memory_total_bytes", "Bytes of the GPU's memory.", float64(gpu.Memory))
	}
}

// gpuUse is a GPU in the answer of /api/builtin/monitor. What is not known is
// left out.
type gpuUse struct {
	Index       int      `json:"index"`
	UUID        string   `json:"uuid"`
	Name        string   `json:"name"`
	Utilization *float64 `json:"utilization_ratio,omitempty"`
	MemoryUsed  *int64   `json:"memory_used_bytes,omitempty"`
	MemoryTotal *int64   `json:"memory_total_bytes,omitempty"`
}

// use lists the GPUs for the monitor, nil where nothing is known.
func (g *gpus) use() []gpuUse {
	if g == nil {
		return nil
	}
	list, err := g.sample()
	if err != nil {
		return nil
	}
	var uses []gpuUse
	for _, gpu := range list {
		u := gpuUse{Index: gpu.Index, UUID: gpu.UUID, Name: gpu.Name}
		if gpu.Use >= 0 {
			u.Utilization = &gpu.Use
		}
		if gpu.Used >= 0 {
			u.MemoryUsed = &gpu.Used
		}
		if gpu.Memory >= 0 {
			u.MemoryTotal = &gpu.Memory
		}
		uses = append(uses, u)
	}
	return uses
}
