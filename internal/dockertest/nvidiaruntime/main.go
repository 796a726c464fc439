// Command nvidiaruntime stands in for the NVIDIA Container Toolkit where there
// is no GPU. It takes its part by the name under which it is called:
//
// nvidia-container-runtime is what is registered with a daemon as the runtime
// nvidia. It keeps the configuration of every container that it creates, gives
// it stand-ins for what the toolkit would give it, and executes runc.
//
// nvidia-container-runtime-hook is what a daemon adds to a container for a
// device request. It keeps the configuration and gives nothing.
//
// What they keep is in /var/log/nvidia, the last of each kind. While there is a
// file /etc/nvidia-stand-in/gives-nothing, containers get no stand-ins.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// logDir is where configurations are kept: runtime.json and hook.json.
const logDir = "/var/log/nvidia"

// givesNothing is the file that keeps containers from getting anything.
const givesNothing = "/etc/nvidia-stand-in/gives-nothing"

// smi is a stand-in for nvidia-smi beside the daemon, where there is one.
const smi = "/opt/nvidia/nvidia-smi"

func main() {
	var err error
	switch filepath.Base(os.Args[0]) {
	case "nvidia-container-runtime":
		err = runtime(os.Args[1:])
	case "nvidia-container-runtime-hook":
		err = hook(os.Stdin)
	default:
		err = errors.New("it is called by another name than one of the toolkit's")
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// runtime is runc, but that containers get what they ask for.
func runtime(args []string) error {
	if bundle := value(args, "--bundle"); bundle != "" && slices.Contains(args, "create") {
		if err := prepare(bundle); err != nil {
			// The daemon reads what a runtime says in its log.
			line, _ := json.Marshal(map[string]string{"level": "error", "msg": err.Error(), "time": time.Now().Format(time.RFC3339)})
			if path := value(args, "--log"); path != "" {
				err = errors.Join(err, os.WriteFile(path, append(line, '\n'), 0o600))
			}
			return err
		}
	}
	runc, err := exec.LookPath("runc")
	if err != nil {
		return err
	}
	return syscall.Exec(runc, append([]string{"runc"}, args...), os.Environ())
}

// value returns the value of a flag.
func value(args []string, flag string) string {
	for i, arg := range args {
		if v, ok := strings.CutPrefix(arg, flag+"="); ok {
			return v
		}
		if arg == flag && i+1 < len(args) {
			return args[i+1]
		}
	}
	return ""
}

// prepare keeps a container's configuration and adds the stand-ins.
func prepare(bundle string) error {
	path := filepath.Join(bundle, "config.json")
	config, err := keep(path, "runtime.json")
	if err != nil {
		return err
	}
	if _, err := os.Stat(givesNothing); err == nil {
		return nil
	}
	visible := ""
	process, _ := config["process"].(map[string]any)
	env, _ := process["env"].([]any)
	for _, v := range env {
		if s, ok := strings.CutPrefix(fmt.Sprint(v), "NVIDIA_VISIBLE_DEVICES="); ok {
			visible = s
		}
	}
	switch visible {
	case "", "void", "none":
		return nil
	case "all":
		visible = "0"
	}
	linux, _ := config["linux"].(map[string]any)
	if linux == nil {
		return errors.New("the container has no part for Linux")
	}
	// Devices that every container may use: zero and full.
	devices, _ := linux["devices"].([]any)
	devices = append(devices, device("/dev/nvidiactl", 5))
	for id := range strings.SplitSeq(visible, ",") {
		if strings.HasPrefix(id, "GPU-") {
			id = "0"
		}
		if id != "0" && id != "1" {
			return fmt.Errorf("nvidia-container-cli: device error: %s: unknown device: unknown", id)
		}
		devices = append(devices, device("/dev/nvidia"+id, 7))
	}
	linux["devices"] = devices
	if _, err := os.Stat(smi); err == nil {
		mounts, _ := config["mounts"].([]any)
		config["mounts"] = append(mounts, map[string]any{
			"destination": "/usr/bin/nvidia-smi", "source": smi, "type": "bind", "options": []string{"bind", "ro"},
		})
	}
	changed, err := json.Marshal(config)
	if err != nil {
		return err
	}
	return os.WriteFile(path, changed, 0o600)
}

func device(path string, minor int) map[string]any {
	return map[string]any{"path": path, "type": "c", "major": 1, "minor": minor, "fileMode": 0o666, "uid": 0, "gid": 0}
}

// keep copies a configuration to logDir, and reads it.
func keep(path, name string) (map[string]any, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(logDir, 0o700); err != nil {
		return nil, err
	}
	if err := os.WriteFile(filepath.Join(logDir, name), data, 0o600); err != nil {
		return nil, err
	}
	var config map[string]any
	return config, json.Unmarshal(data, &config)
}

// hook keeps the configuration of the container whose state it is given.
func hook(state io.Reader) error {
	var container struct {
		Bundle string `json:"bundle"`
	}
	if err := json.NewDecoder(state).Decode(&container); err != nil {
		return err
	}
	_, err := keep(filepath.Join(container.Bundle, "config.json"), "hook.json")
	return err
}
