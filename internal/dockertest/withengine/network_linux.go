package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"time"
)

// bridge is the network device that a daemon makes and does not remove.
const bridge = "docker0"

// forwarding says whether the machine passes packets on, which a daemon
// switches on.
const forwarding = "/proc/sys/net/ipv4/ip_forward"

// network is what a daemon changes of the machine's network, as it was before.
type network struct {
	bridge     bool   // there was one, of a daemon that no longer runs
	forwarding []byte // content of the file
	policy     string // of packets that are passed on: ACCEPT or DROP; "" is unknown
}

func inspectNetwork(ctx context.Context) network {
	var n network
	_, err := net.InterfaceByName(bridge)
	n.bridge = err == nil
	n.forwarding, _ = os.ReadFile(forwarding) // without the file nothing is put back
	rules, _ := exec.CommandContext(ctx, "iptables-save", "-t", "filter").Output()
	if found := forwardPolicy.FindSubmatch(rules); found != nil {
		n.policy = string(found[1])
	} else {
		n.policy = "ACCEPT" // the kernel's own, as long as nobody touched it
	}
	return n
}

var (
	forwardPolicy = regexp.MustCompile(`(?m)^:FORWARD (\w+)`)
	daemonsRule   = regexp.MustCompile(`DOCKER|\bdocker0\b`)
)

// restore puts the network back. It leaves alone what was there before.
func (n network) restore() error {
	if n.bridge {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	var errs []error
	if _, err := net.InterfaceByName(bridge); err == nil {
		errs = append(errs, pipe(ctx, nil, "ip", "link", "delete", bridge))
	}
	if rules, err := exec.CommandContext(ctx, "iptables-save").Output(); err == nil {
		errs = append(errs, pipe(ctx, withoutDaemon(rules, n.policy), "iptables-restore"))
	}
	if len(n.forwarding) > 0 {
		errs = append(errs, os.WriteFile(forwarding, n.forwarding, 0o644))
	}
	return errors.Join(errs...)
}

// withoutDaemon takes the rules of a daemon out of the output of iptables-save.
func withoutDaemon(rules []byte, policy string) []byte {
	var kept bytes.Buffer
	for line := range bytes.Lines(rules) {
		if daemonsRule.Match(line) {
			continue
		}
		kept.Write(forwardPolicy.ReplaceAll(line, []byte(":FORWARD "+policy)))
	}
	return kept.Bytes()
}

// pipe runs a program on some input.
func pipe(ctx context.Context, input []byte, name string, args ...string) error {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Stdin = bytes.NewReader(input)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, bytes.TrimSpace(out))
	}
	return nil
}
