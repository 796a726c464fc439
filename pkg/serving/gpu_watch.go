package serving

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/openeas/eascmd/internal/nvidia"
	"github.com/openeas/eascmd/pkg/serving/event"
)

// watch tells when the GPUs disappear that the workers were promised, and when
// they are back, until ctx ends. A processor in this state answers errors, or
// hangs, and does not know why; the gateway can see it from outside.
func (g *gpus) watch(ctx context.Context, emit func(event.Event)) {
	w := gpuWatch{gpus: g, nodes: g.nodes()}
	tick := time.NewTicker(g.times.gpuProbe)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		switch loss := w.look(); {
		case ctx.Err() != nil:
			return
		case loss != nil && w.lost == nil:
			emit(event.Event{Type: event.Warning, Message: loss.message, Hint: loss.hint})
			w.lost = loss
		case loss == nil && w.lost != nil:
			emit(event.Event{Type: event.Warning, Message: "the GPU is there again", Hint: "a processor that has met its absence may have to be restarted"})
			w.lost = nil
		}
	}
}

// nodes lists the device nodes that are there.
func (g *gpus) nodes() []string {
	var list []string
	for _, name := range gpuNodes {
		if path := filepath.Join(g.place.dev, name); nvidia.Usable(path) == nil {
			list = append(list, path)
		}
	}
	for _, path := range nvidia.Nodes(g.place.dev) {
		// Without the right to it there is nothing to lose: a container may have
		// all nodes and be permitted one.
		if nvidia.Usable(path) == nil {
			list = append(list, path)
		}
	}
	return list
}

// gpuWatch is the state of a watch.
type gpuWatch struct {
	*gpus
	nodes   []string
	uuids   []string  // of the GPUs that nvidia-smi has listed
	queried time.Time // when it was asked last
	lost    *gpuLoss  // what has been told; nil: all is well
}

// gpuLoss is a GPU that has disappeared.
type gpuLoss struct{ message, hint string }

// look returns what is wrong, nil where nothing is.
func (w *gpuWatch) look() *gpuLoss {
	for i, path := range w.nodes {
		if err := probeNode(path, i == 0); err != nil {
			return nodeLoss(path, err)
		}
	}
	// To start nvidia-smi costs more than to look at a node, so this is rare
	// while all is well.
	if w.place.smi == "" || w.lost == nil && time.Since(w.queried) < w.times.gpuQuery {
		return nil
	}
	list, err := w.sample()
	if errors.Is(err, errAsking) {
		return w.lost // it will be known at the next look
	}
	w.queried = time.Now()
	if err != nil {
		return driverLoss(err)
	}
	var uuids []string
	for _, gpu := range list {
		uuids = append(uuids, gpu.UUID)
	}
	for _, uuid := range w.uuids {
		if !slices.Contains(uuids, uuid) {
			return &gpuLoss{"the GPU " + uuid + " has disappeared: nvidia-smi does not list it any more", hardwareHint}
		}
	}
	w.uuids = uuids
	return nil
}

// probeNode returns why a device node cannot be used any more. Only the control
// node is opened: to open the node of a GPU that is idle starts the GPU.
func probeNode(path string, open bool) error {
	if !open {
		return nvidia.Usable(path)
	}
	f, err := os.OpenFile(path, os.O_RDWR|syscall.O_NONBLOCK, 0)
	if err != nil {
		return err
	}
	return f.Close()
}

const (
	hardwareHint = "`dmesg | grep -i -e nvrm -e xid` on the machine of the GPU tells why; most often it has to be restarted"
	accessHint   = "start the service again; to keep it from happening, give containers their GPUs by CDI: `sudo nvidia-ctk cdi generate --output=/etc/cdi/nvidia.yaml`, Docker Engine 25 or newer"
	accessCause  = "the container lost access to the GPU: the rules of its control group were written anew without it, as `systemctl daemon-reload` on the host does where Docker does not know of the GPU"
)

// nodeLoss says what an error of a device node means.
func nodeLoss(path string, err error) *gpuLoss {
	if p, ok := errors.AsType[*fs.PathError](err); ok {
		err = p.Err
	}
	switch {
	case errors.Is(err, syscall.EPERM):
		return &gpuLoss{fmt.Sprintf("%s (%s: %v)", accessCause, path, err), accessHint}
	case errors.Is(err, fs.ErrNotExist):
		return &gpuLoss{fmt.Sprintf("the GPU has disappeared: %s is not there any more", path),
			"the device was taken away, or the driver was removed; `nvidia-smi` on the machine of the GPU shows what there is"}
	case errors.Is(err, syscall.ENODEV), errors.Is(err, syscall.ENXIO), errors.Is(err, syscall.EIO):
		return &gpuLoss{fmt.Sprintf("the GPU has disappeared: the driver does not serve %s any more: %v", path, err), hardwareHint}
	}
	return &gpuLoss{fmt.Sprintf("the GPU cannot be used any more: %s: %v", path, err), hardwareHint}
}

// driverLoss says what an error of nvidia-smi means, which asks the driver
// through NVML.
func driverLoss(err error) *gpuLoss {
	message := "the GPU cannot be used any more: " + err.Error()
	switch text := err.Error(); {
	case strings.Contains(text, "Unknown Error"):
		// What NVML says where the control group forbids the devices.
		return &gpuLoss{accessCause + " (" + text + ")", accessHint}
	case strings.Contains(text, "mismatch"):
		return &gpuLoss{message, "the driver was updated while it was in use: restart the machine of the GPU"}
	}
	return &gpuLoss{message, hardwareHint}
}
