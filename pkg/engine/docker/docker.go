// Package docker is the engine that runs a plan in a container of a Docker
// Engine, or of what speaks its API: `eascmd serve` is the container's command,
// as it is the process engine's program, and model and processor are mounted
// where EAS has them.
//
// The daemon may be anywhere. It is never assumed that it sees this machine's
// files, has its CPU, or publishes ports on it; each is found out, and where it
// is not so the files are copied, another program is taken, and the service is
// reached through the daemon.
//
// This is the only package that imports Docker's client.
package docker

// Workspace is where a service's workspace is in a container: the plan of a
// run in one is made for it. EASWorkspace is the other path that EAS has for it.
const (
	Workspace    = "/home/admin/docker_ml/workspace"
	EASWorkspace = "/eas/workspace"
)
