//go:build linux

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"time"

	"github.com/openeas/eascmd/pkg/engine/docker"
)

// containerStarts are times of containers that are started anew for each, in
// milliseconds.
type containerStarts struct {
	FirstAnswer []float64 `json:"firstAnswer"` // until the answer is on standard output
	DockerRun   []float64 `json:"dockerRun"`   // until a container of an empty program has ended
}

// inContainer is what was measured of the Docker engine.
type inContainer struct {
	containerStarts

	// The same processor on both engines: in a process, and in a container by the
	// port that it publishes and by its own address.
	Process   []turn `json:"process,omitempty"`
	Published []turn `json:"published,omitempty"`
	Address   []turn `json:"address,omitempty"`
}

// dockerEngine is what is missing where there is none, or one elsewhere, which
// would be measured together with the network to it.
const dockerEngine = "a Docker Engine on this machine"

// serviceImage is missing where it is to be built first, and cannot be.
const serviceImage = "the image that services run in"

// engineTime is for a call to the engine. It is only reached when it hangs.
const engineTime = time.Minute

// measureInContainer measures the Docker engine, if there is one.
func (b *bench) measureInContainer(ctx context.Context) error {
	c, err := b.findContainers(ctx, b.path("testdata", "service.json"), b.environment())
	if c == nil || err != nil {
		return err
	}
	defer c.Close()
	f := new(inContainer)
	if f.containerStarts, err = c.measureStarts(ctx); err != nil {
		return err
	}
	b.figures.InContainer = f
	if !b.has("wrk") {
		return nil
	}
	return c.measureThroughput(ctx)
}

// findContainers connects to the daemon of this machine, and runs a service there
// once: the image is built or pulled for neither side. It returns nil, and notes
// what is missing, where that cannot be.
func (b *bench) findContainers(ctx context.Context, description string, env []string) (*containers, error) {
	d, err := docker.Connect(ctx, docker.ConnectOptions{})
	if err == nil && !d.SameMachine() {
		d.Close()
		err = fmt.Errorf("the one at %s is elsewhere", d.Endpoint)
	}
	if err != nil {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		b.lack(dockerEngine, err)
		return nil, nil
	}
	b.figures.Machine.Versions["docker"] = d.Info.ServerVersion
	c := &containers{bench: b, Daemon: d, description: description, env: env}
	if _, err := output(ctx, b.dir, c.environment(), c.firstAnswer()...); err != nil {
		d.Close()
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		b.lack(serviceImage, err)
		return nil, nil
	}
	if c.image, err = c.serviceImage(ctx); err != nil {
		d.Close()
		return nil, err
	}
	return c, nil
}

// serviceImage returns the image that the service runs in.
func (c *containers) serviceImage(ctx context.Context) (image string, err error) {
	s, name, err := c.test(ctx, "image", c.description, c.environment())
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, s.end()) }()
	info, err := c.inspect(ctx, name)
	return info.Image, err
}

// lack notes that something is missing, and says why.
func (b *bench) lack(what string, why error) {
	b.say("missing: %s: %v", what, why)
	if !slices.Contains(b.figures.Missing, what) {
		b.figures.Missing = append(b.figures.Missing, what)
	}
}

// containers measures one daemon with one service.
type containers struct {
	*bench
	*docker.Daemon
	description string   // of the service
	env         []string // without what chooses an engine
	image       string   // that the service runs in
}

// environment leads to the daemon, which somebody's settings may have chosen.
func (c *containers) environment() []string {
	return append(slices.Clip(c.env), "DOCKER_HOST="+c.Endpoint, "EASCMD_TEST_ENGINE=docker")
}

// firstAnswer is the command whose answer is waited for.
func (c *containers) firstAnswer() []string {
	return []string{c.eascmd, "test", c.description, "--data", firstBody}
}

func (c *containers) measureStarts(ctx context.Context) (s containerStarts, err error) {
	c.say("first answer in a container, %d times", c.repeats)
	for range c.repeats {
		answer, _, err := c.timedIn(ctx, c.environment(), firstBody, c.firstAnswer()...)
		if err != nil {
			return s, err
		}
		empty, err := c.runEmpty(ctx)
		if err != nil {
			return s, err
		}
		s.FirstAnswer = append(s.FirstAnswer, milliseconds(answer))
		s.DockerRun = append(s.DockerRun, milliseconds(empty))
	}
	return s, nil
}

// runEmpty does what `docker run --rm` does with a program that does nothing and
// is mounted into the image that services run in, and returns the time until the
// program has ended.
func (c *containers) runEmpty(ctx context.Context) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, engineTime)
	defer cancel()
	begin := time.Now()
	var made struct{ ID string }
	err := c.call(ctx, http.MethodPost, "/containers/create", map[string]any{
		"Image": c.image, "Entrypoint": []string{"/empty"},
		"HostConfig": map[string]any{
			"AutoRemove": true,
			"Mounts": []map[string]any{{
				"Type": "bind", "Source": c.path("testdata", "empty-static"), "Target": "/empty", "ReadOnly": true,
			}},
		},
	}, &made)
	if err != nil {
		return 0, err
	}
	// Asked before it starts, so that no end is missed.
	ended, err := c.request(ctx, http.MethodPost, "/containers/"+made.ID+"/wait?condition=next-exit", nil)
	if err != nil {
		return 0, errors.Join(err, c.call(ctx, http.MethodDelete, "/containers/"+made.ID, nil, nil))
	}
	defer ended.Body.Close()
	removed, err := c.request(ctx, http.MethodPost, "/containers/"+made.ID+"/wait?condition=removed", nil)
	if err != nil {
		return 0, errors.Join(err, c.call(ctx, http.MethodDelete, "/containers/"+made.ID, nil, nil))
	}
	defer removed.Body.Close()
	if err := c.call(ctx, http.MethodPost, "/containers/"+made.ID+"/start", nil, nil); err != nil {
		return 0, errors.Join(err, c.call(ctx, http.MethodDelete, "/containers/"+made.ID, nil, nil))
	}
	var result struct{ StatusCode int }
	err = json.NewDecoder(ended.Body).Decode(&result)
	took := time.Since(begin)
	if err == nil && result.StatusCode != 0 {
		err = fmt.Errorf("the empty program ended with status %d", result.StatusCode)
	}
	_, removeErr := io.Copy(io.Discard, removed.Body) // what comes next is not to be disturbed
	return took, errors.Join(err, removeErr)
}

// request makes a request to the engine's API.
func (c *containers) request(ctx context.Context, method, path string, body any) (*http.Response, error) {
	text, err := json.Marshal(body)
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://docker/v"+c.ClientVersion()+path, bytes.NewReader(text))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := c.HTTPClient().Do(req)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode >= http.StatusBadRequest {
		defer resp.Body.Close()
		said, _ := io.ReadAll(io.LimitReader(resp.Body, 1<<10))
		return nil, fmt.Errorf("%s %s: %s: %s", method, path, resp.Status, bytes.TrimSpace(said))
	}
	return resp, nil
}

// call makes a request and decodes the answer where somebody wants it.
func (c *containers) call(ctx context.Context, method, path string, body, answer any) error {
	resp, err := c.request(ctx, method, path, body)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if answer == nil {
		_, err = io.Copy(io.Discard, resp.Body)
		return err
	}
	return json.NewDecoder(resp.Body).Decode(answer)
}

// measureThroughput compares a service in a container with one in a process,
// both as `eascmd test` starts them.
func (c *containers) measureThroughput(ctx context.Context) (err error) {
	end := func(s *server) { err = errors.Join(err, s.end()) }
	description := c.path("testdata", "unlimited.json")
	process, _, err := c.test(ctx, "in-process", description, append(slices.Clip(c.env), "EASCMD_TEST_ENGINE=process"))
	if err != nil {
		return err
	}
	defer end(process)
	published, name, err := c.test(ctx, "in-container", description, c.environment())
	if err != nil {
		return err
	}
	defer end(published)
	direct := *published
	info, err := c.inspect(ctx, name)
	if err != nil {
		return err
	}
	if direct.address, err = info.address(); err != nil {
		return err
	}
	if err := direct.check(ctx); err != nil {
		return err
	}
	f := c.figures.InContainer
	entries := []contender{{process, &f.Process}, {published, &f.Published}, {&direct, &f.Address}}
	for _, e := range entries {
		if _, err := c.wrk(ctx, e.server, usualLoad, time.Second); err != nil {
			return err
		}
	}
	for round := range c.rounds {
		c.say("throughput of a container: round %d of %d", round+1, c.rounds)
		for i := range entries {
			e := entries[(round+i)%len(entries)]
			result, err := c.wrk(ctx, e.server, usualLoad, c.duration)
			if err != nil {
				return err
			}
			*e.turns = append(*e.turns, turn{RequestsPerSecond: float64(result.Requests) / result.seconds()})
		}
	}
	return nil
}

// containerInfo is what is asked of a container.
type containerInfo struct {
	Image           string
	NetworkSettings struct {
		Networks map[string]struct{ IPAddress string }
	}
}

func (c *containers) inspect(ctx context.Context, container string) (info containerInfo, err error) {
	ctx, cancel := context.WithTimeout(ctx, engineTime)
	defer cancel()
	return info, c.call(ctx, http.MethodGet, "/containers/"+container+"/json", nil, &info)
}

// address is where a container's gateway listens, without the port that is
// published.
func (info *containerInfo) address() (string, error) {
	for _, n := range info.NetworkSettings.Networks {
		if n.IPAddress != "" {
			return net.JoinHostPort(n.IPAddress, "8080"), nil
		}
	}
	return "", errors.New("the container has no address")
}
