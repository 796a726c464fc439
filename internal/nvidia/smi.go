package nvidia

import (
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strconv"
	"strings"
	"time"
)

// GPU is a GPU as nvidia-smi describes it.
type GPU struct {
	Index  int
	UUID   string // "GPU-…"
	Name   string // "NVIDIA H100 80GB HBM3"
	Minor  int    // the number of its device node; negative where it is not told
	MIG    []string
	Use    float64 // of the last moment, 0 to 1; negative where it is not told
	Used   int64   // bytes of its memory; negative where it is not told
	Memory int64   // bytes; negative where it is not told
}

// Answer is what `nvidia-smi -q -x` answers.
type Answer struct {
	Driver string
	CUDA   string
	GPUs   []GPU
}

// Describe asks nvidia-smi for all that it knows.
func Describe(ctx context.Context, smi string) (Answer, error) {
	out, err := run(ctx, smi, "-q", "-x")
	if err != nil {
		return Answer{}, err
	}
	return ParseXML(out)
}

// Sample asks nvidia-smi what the GPUs are used for now. It takes a fraction of
// the time of Describe, and tells no Minor and no MIG.
func Sample(ctx context.Context, smi string) ([]GPU, error) {
	out, err := run(ctx, smi, "--query-gpu=index,uuid,name,utilization.gpu,memory.used,memory.total", "--format=csv,noheader,nounits")
	if err != nil {
		return nil, err
	}
	return ParseCSV(out)
}

// maxOutput bounds what is read of nvidia-smi: 16 GPUs with all their
// properties and processes are below 1 MiB.
const maxOutput = 8 << 20

// run runs nvidia-smi. When ctx ends it returns at once, even where the
// program cannot be ended: one that hangs in the driver takes no signal.
func run(ctx context.Context, smi string, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, smi, args...)
	out, words := &limited{left: maxOutput}, &limited{left: 4 << 10}
	cmd.Stdout, cmd.Stderr = out, words
	cmd.WaitDelay = time.Second
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("nvidia-smi: %w", err)
	}
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	var err error
	select {
	case err = <-done:
	case <-ctx.Done():
		select { // most programs do end
		case <-done:
		case <-time.After(100 * time.Millisecond):
		}
		return nil, &HangError{Program: smi, Err: context.Cause(ctx)}
	}
	if ctx.Err() != nil {
		return nil, &HangError{Program: smi, Err: context.Cause(ctx)}
	}
	if err != nil {
		// It writes what is wrong to its standard output.
		if text := firstLine(out.Bytes()); text != "" {
			return nil, fmt.Errorf("nvidia-smi: %s (%w)", text, err)
		}
		if text := firstLine(words.Bytes()); text != "" {
			return nil, fmt.Errorf("nvidia-smi: %s (%w)", text, err)
		}
		return nil, fmt.Errorf("nvidia-smi: %w", err)
	}
	return out.Bytes(), nil
}

// HangError says that nvidia-smi did not answer in time.
type HangError struct {
	Program string
	Err     error
}

func (e *HangError) Error() string { return fmt.Sprintf("%s did not answer: %v", e.Program, e.Err) }

// Unwrap returns why it was not waited for any longer.
func (e *HangError) Unwrap() error { return e.Err }

// limited keeps the first bytes of what is written to it.
type limited struct {
	bytes.Buffer
	left int
}

func (l *limited) Write(p []byte) (int, error) {
	n := min(len(p), l.left)
	l.left -= n
	l.Buffer.Write(p[:n])
	return len(p), nil
}

// firstLine is the first line of a text that says something, without what no
// message should hold.
func firstLine(text []byte) string {
	for line := range strings.Lines(string(text)) {
		if line = strings.TrimSpace(line); line != "" {
			return strings.Map(func(r rune) rune {
				if r < ' ' || r == 0x7f {
					return -1
				}
				return r
			}, line[:min(len(line), 300)])
		}
	}
	return ""
}

// ParseXML reads what `nvidia-smi -q -x` writes. Elements that are missing or
// hold something else than was expected are left out.
func ParseXML(data []byte) (Answer, error) {
	var doc struct {
		XMLName xml.Name `xml:"nvidia_smi_log"`
		Driver  string   `xml:"driver_version"`
		CUDA    string   `xml:"cuda_version"`
		GPUs    []struct {
			Name   string `xml:"product_name"`
			UUID   string `xml:"uuid"`
			Minor  string `xml:"minor_number"`
			Memory struct {
				Total string `xml:"total"`
				Used  string `xml:"used"`
			} `xml:"fb_memory_usage"`
			Use string   `xml:"utilization>gpu_util"`
			MIG []string `xml:"mig_devices>mig_device>uuid"`
		} `xml:"gpu"`
	}
	d := xml.NewDecoder(bytes.NewReader(data))
	// It names a DTD and no encoding; a name of a GPU is ASCII.
	d.CharsetReader = func(_ string, in io.Reader) (io.Reader, error) { return in, nil }
	if err := d.Decode(&doc); err != nil {
		return Answer{}, fmt.Errorf("read the answer of nvidia-smi: %w", err)
	}
	a := Answer{Driver: version(doc.Driver), CUDA: version(doc.CUDA)}
	for i, g := range doc.GPUs {
		for j := range g.MIG {
			g.MIG[j] = printable(g.MIG[j])
		}
		a.GPUs = append(a.GPUs, GPU{
			Index: i, // they come in the order of their indexes
			UUID:  printable(g.UUID), Name: printable(g.Name), MIG: g.MIG,
			Minor: int(number(g.Minor, 1)),
			Use:   fraction(g.Use),
			Used:  number(g.Memory.Used, 1<<20), Memory: number(g.Memory.Total, 1<<20),
		})
	}
	return a, nil
}

// ParseCSV reads the lines of Sample.
func ParseCSV(data []byte) ([]GPU, error) {
	r := csv.NewReader(bytes.NewReader(data))
	r.FieldsPerRecord, r.TrimLeadingSpace, r.LazyQuotes = -1, true, true
	var gpus []GPU
	for {
		record, err := r.Read()
		if errors.Is(err, io.EOF) {
			return gpus, nil
		}
		if err != nil {
			return nil, fmt.Errorf("read the answer of nvidia-smi: %w", err)
		}
		if len(record) < 6 {
			// "No devices were found", or a GPU that is lost.
			return nil, fmt.Errorf("nvidia-smi: %s", firstLine([]byte(strings.Join(record, ", "))))
		}
		index, err := strconv.Atoi(strings.TrimSpace(record[0]))
		if err != nil || index < 0 {
			return nil, fmt.Errorf("nvidia-smi: %s", firstLine([]byte(strings.Join(record, ", "))))
		}
		gpus = append(gpus, GPU{
			Index: index, UUID: printable(record[1]), Name: printable(record[2]), Minor: -1,
			Use: fraction(record[3]), Used: number(record[4], 1<<20), Memory: number(record[5], 1<<20),
		})
	}
}

// number reads "80994 MiB" or "80994" as so many units; -1 where it is neither,
// as in "[N/A]".
func number(text string, unit int64) int64 {
	text, _, _ = strings.Cut(strings.TrimSpace(text), " ")
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 0 || n > (1<<62)/unit {
		return -1
	}
	return n * unit
}

// fraction reads "37 %" or "37" as 0.37; -1 where it is neither.
func fraction(text string) float64 {
	n := number(text, 1)
	if n < 0 || n > 100 {
		return -1
	}
	return float64(n) / 100
}

// version returns text where it is one: a driver in trouble says "N/A" or
// "ERR!" in its stead.
func version(text string) string {
	if text = strings.TrimSpace(text); isVersion(text) {
		return text
	}
	return ""
}

func printable(text string) string { return firstLine([]byte(text)) }

// jsonVersion reads the version.json of a CUDA directory.
func jsonVersion(data []byte) string {
	var doc struct {
		CUDA struct {
			Version string `json:"version"`
		} `json:"cuda"`
	}
	if json.Unmarshal(data, &doc) != nil {
		return ""
	}
	return doc.CUDA.Version
}
