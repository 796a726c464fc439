package doctor

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"

	"github.com/openeas/eascmd/internal/fault"
	"github.com/openeas/eascmd/pkg/config"
)

const groupConfig = "Configuration"

// configProbes look at the settings. Secrets are never shown.
func configProbes(opts Options) []probe {
	return []probe{{
		group: groupConfig, name: "file", fix: "name another file with -c",
		run: func(context.Context) []finding { return configuration(opts.Config) },
	}}
}

func configuration(opts config.Options) []finding {
	const file, credentials, endpoint = "file", "credentials", "endpoint"
	settings, err := config.Load(opts)
	if err != nil {
		fix := fault.HintOf(err)
		if fix == "" {
			fix = "correct what is named there"
		}
		return []finding{warning(file, fix, "%v", err)}
	}
	found := []finding{configFile(file, settings)}
	switch _, err := settings.Credentials(); {
	case errors.Is(err, config.ErrNoAccessKey):
		found = append(found, ok(credentials, "none; nothing on this machine needs any"))
	case err != nil:
		found = append(found, warning(credentials, fault.HintOf(err), "%v", err))
	default:
		found = append(found, ok(credentials, "%s (%s)", settings.MaskedID(), source(settings, config.AccessKeyID)))
	}
	return append(found, ok(endpoint, "%s (%s)", settings.Endpoint(), source(settings, config.Endpoint)))
}

// configFile says what is odd about the configuration file.
func configFile(name string, settings *config.Settings) finding {
	if warnings := settings.Warnings(); len(warnings) > 0 {
		var texts []string
		fix := "correct or remove what is ignored"
		for _, w := range warnings {
			texts = append(texts, w.Text)
			if w.Hint != "" {
				fix = w.Hint
			}
		}
		return warning(name, fix, "%s", strings.Join(texts, "; "))
	}
	info, err := os.Stat(settings.Path)
	switch {
	case err != nil:
		return ok(name, "%s is not there, and need not be", settings.Path)
	case runtime.GOOS == "windows":
		return ok(name, "%s, profile %q", settings.Path, settings.Profile)
	}
	return ok(name, "%s (mode %04o), profile %q", settings.Path, info.Mode().Perm(), settings.Profile)
}

// source says where a setting comes from.
func source(settings *config.Settings, key string) string {
	for _, v := range settings.Values() {
		if v.Name == key {
			return v.Source
		}
	}
	return fmt.Sprintf("nowhere (%s)", key)
}
