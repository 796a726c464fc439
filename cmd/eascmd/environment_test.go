package main

import (
	"bytes"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

func TestEveryFlagHasItsOwnVariable(t *testing.T) {
	root := newRootCommand(newApp(nil, &bytes.Buffer{}, &bytes.Buffer{}))
	owner := map[string]string{}
	for _, cmd := range documented(root) {
		cmd.LocalFlags().VisitAll(func(flag *pflag.Flag) {
			if flag.Name == "help" || flag.Name == "version" || flag.Hidden {
				return
			}
			id := cmd.CommandPath() + " --" + flag.Name
			name := environmentName(cmd, flag)
			if !strings.HasPrefix(name, "EASCMD_") || strings.ToUpper(name) != name {
				t.Errorf("%s has the variable %q", id, name)
			}
			if other, taken := owner[name]; taken {
				t.Errorf("%s and %s share %s", id, other, name)
			}
			owner[name] = id
			if !strings.Contains(flag.Usage, "$"+name) {
				t.Errorf("the help of %s does not name %s: %q", id, name, flag.Usage)
			}
		})
	}
	if got, want := owner["EASCMD_OUTPUT"], "eascmd --output"; got != want {
		t.Errorf("EASCMD_OUTPUT stands for %q, want %q", got, want)
	}
	if got, want := owner["EASCMD_CONFIG_SECRET_STDIN"], "eascmd config --secret-stdin"; got != want {
		t.Errorf("EASCMD_CONFIG_SECRET_STDIN stands for %q, want %q", got, want)
	}
}

func TestFlagBeforeEnvironmentBeforeDefault(t *testing.T) {
	tests := []struct {
		name string
		env  map[string]string
		args []string
		want string
		err  string
	}{
		{"default", nil, nil, "port 0, env [], global  keep false, changed []", ""},
		{"environment", map[string]string{"EASCMD_RUN_PORT": "7", "EASCMD_RUN_KEEP": "true", "EASCMD_RUN_ENV": "A=1,2\nB=x y\n", "EASCMD_GLOBAL": "g"}, nil,
			"port 7, env [A=1,2|B=x y], global g keep true, changed [env global keep port]", ""},
		{"flags", map[string]string{"EASCMD_RUN_PORT": "7", "EASCMD_RUN_KEEP": "true", "EASCMD_RUN_ENV": "A=1"}, []string{"--port", "8", "--keep=false", "--env", "C=3"},
			"port 8, env [C=3], global  keep false, changed [env keep port]", ""},
		{"an empty variable is none", map[string]string{"EASCMD_RUN_PORT": ""}, nil, "port 0, env [], global  keep false, changed []", ""},
		{"a wrong value", map[string]string{"EASCMD_RUN_PORT": "x"}, nil, "", `environment variable EASCMD_RUN_PORT="x": `},
		{"what is hidden has none", map[string]string{"EASCMD_RUN_FD": "7"}, nil, "port 0, env [], global  keep false, changed []", ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			emptyHome(t)
			for name, value := range test.env {
				t.Setenv(name, value)
			}
			a := newApp(nil, &bytes.Buffer{}, &bytes.Buffer{})
			var got string
			var global string
			root := &cobra.Command{Use: "eascmd", SilenceErrors: true, SilenceUsage: true,
				PersistentPreRunE: func(cmd *cobra.Command, _ []string) error { return a.applyEnvironment(cmd) }}
			root.PersistentFlags().StringVar(&global, "global", "", "")
			var port, fd int
			var keep bool
			var env []string
			run := &cobra.Command{Use: "run", Run: func(cmd *cobra.Command, _ []string) {
				var changed []string
				cmd.Flags().Visit(func(f *pflag.Flag) {})
				cmd.Flags().VisitAll(func(f *pflag.Flag) {
					if f.Changed {
						changed = append(changed, f.Name)
					}
				})
				got = strings.Join([]string{
					"port " + cmd.Flags().Lookup("port").Value.String(), "env [" + strings.Join(env, "|") + "]",
					"global " + global + " keep " + cmd.Flags().Lookup("keep").Value.String(), "changed [" + strings.Join(changed, " ") + "]",
				}, ", ")
			}}
			run.Flags().IntVar(&port, "port", 0, "")
			run.Flags().IntVar(&fd, "fd", 0, "")
			if err := run.Flags().MarkHidden("fd"); err != nil {
				t.Fatal(err)
			}
			run.Flags().BoolVar(&keep, "keep", false, "")
			run.Flags().StringArrayVar(&env, "env", nil, "")
			root.AddCommand(run)
			root.SetArgs(append([]string{"run"}, test.args...))
			err := root.Execute()
			if test.err != "" {
				if err == nil || !strings.HasPrefix(err.Error(), test.err) {
					t.Errorf("error %v, want %q", err, test.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
			if fd != 0 {
				t.Errorf("the hidden flag became %d", fd)
			}
		})
	}
}

func TestEnvironmentOfGlobalFlags(t *testing.T) {
	emptyHome(t)
	t.Setenv("EASCMD_OUTPUT", "yaml")
	if got := runMain(t, "", "config", "path"); !strings.HasPrefix(got.stdout, "path: ") {
		t.Errorf("yaml from the environment: %+v", got)
	}
	if got := runMain(t, "", "config", "path", "-o", "json"); !strings.HasPrefix(got.stdout, "{\n") {
		t.Errorf("json from the flag: %+v", got)
	}
	t.Setenv("EASCMD_OUTPUT", "xml")
	got := runMain(t, "", "config", "path")
	if got.status != 2 || !strings.Contains(got.stderr, `environment variable EASCMD_OUTPUT="xml"`) {
		t.Errorf("a wrong value: %+v", got)
	}
}
