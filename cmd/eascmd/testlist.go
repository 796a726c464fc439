package main

import (
	"context"
	"time"

	"github.com/openeas/eascmd/pkg/engine/docker"
	"github.com/openeas/eascmd/pkg/ui"
)

// listServices prints the services that run on the Docker engine.
func listServices(ctx context.Context, a *app) error {
	daemon, err := docker.Connect(ctx, docker.ConnectOptions{})
	if err != nil {
		return err
	}
	defer daemon.Close()
	services, err := docker.List(ctx, daemon)
	if err != nil {
		return err
	}
	if len(services) == 0 {
		a.term.Info("no service runs on the Docker engine (%s)", daemon.Endpoint)
	}
	result := containerServices{}
	for _, s := range services {
		result = append(result, containerService{
			Service: s.Service, Container: s.Container, Endpoint: s.Endpoint, State: s.State, Since: s.Since, Detached: s.Kept, Ours: s.Ours,
		})
	}
	return a.print(result)
}

// containerServices is the result of test --list.
type containerServices []containerService

type containerService struct {
	Service   string    `json:"service"`
	Container string    `json:"container"`
	Endpoint  string    `json:"endpoint"` // empty: not published
	State     string    `json:"state"`
	Since     time.Time `json:"since"`
	Detached  bool      `json:"detached"` // it goes on by itself
	Ours      bool      `json:"ours"`     // this user of this machine started it
}

func (list containerServices) View() ui.View {
	v := ui.List{Header: []string{"Service", "Container", "Endpoint", "State", "Since"}}
	for _, s := range list {
		state := s.State
		if s.Detached {
			state += ", detached"
		}
		if !s.Ours {
			state += ", somebody else's"
		}
		v.Rows = append(v.Rows, []any{s.Service, s.Container, s.Endpoint, state, s.Since.Local().Format(time.DateTime)})
	}
	return v
}

// stopService ends a service that runs on the Docker engine.
func stopService(ctx context.Context, a *app, name string) error {
	daemon, err := docker.Connect(ctx, docker.ConnectOptions{})
	if err != nil {
		return err
	}
	defer daemon.Close()
	stopped, err := docker.Stop(ctx, daemon, name)
	if err != nil {
		return err
	}
	a.term.OK("Stopped [%s]", stopped.Container)
	return nil
}

// runningNames lists services for a completion, which must be quick and must
// not fail.
func runningNames(ctx context.Context) []string {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	daemon, err := docker.Connect(ctx, docker.ConnectOptions{})
	if err != nil {
		return nil
	}
	defer daemon.Close()
	services, err := docker.List(ctx, daemon)
	if err != nil {
		return nil
	}
	var names []string
	for _, s := range services {
		names = append(names, s.Service)
	}
	return names
}
