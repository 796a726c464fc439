package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"slices"

	"github.com/spf13/cobra"

	"github.com/openeas/eascmd/pkg/config"
	"github.com/openeas/eascmd/pkg/ui"
)

// app is what all commands share: the terminal, the global flags and the
// settings.
type app struct {
	term *ui.Terminal

	output   ui.Format // -o
	verbose  bool      // -v
	yes      bool      // -y
	noColour bool      // --no-color
	caBundle string    // --ca-bundle: a PEM file, or empty

	configFile      string // -c
	profile         string // --profile
	accessKeyID     string // -i
	accessKeySecret string // -k; "-" stands for a line of standard input
	stsToken        string // -t; "-" stands for a line of standard input
	endpoint        string // -e

	fromVariable map[string]string // flags that a variable set, and its name

	settings   *config.Settings // see config
	openTarget targetOpener     // see target
	running    bool             // the command's own code has begun; see exit
}

// Groups of commands in the help.
const (
	groupDevelop  = "develop"
	groupDeploy   = "deploy"
	groupSettings = "settings"
)

// commands lists all commands. The help sorts them by group and name.
func commands() []func(*app) *cobra.Command {
	return []func(*app) *cobra.Command{
		newInitCommand,
		newTestCommand,
		newServeCommand,
		newPysdkCommand,
		newImageCommand,
		newUploadCommand,
		newCreateCommand,
		newModifyCommand,
		newApplyCommand,
		newDiffCommand,
		newStartCommand,
		newStopCommand,
		newRestartCommand,
		newDeleteCommand,
		newListCommand,
		newDescCommand,
		newVersionsCommand,
		newShowWorkersCommand,
		newDeleteWorkersCommand,
		newLogCommand,
		newEventsCommand,
		newScaleCommand,
		newReleaseCommand,
		newAutoscaleCommand,
		newInvokeCommand,
		newDevCommand,
		newSchemaCommand,
		newConfigCommand,
		newDoctorCommand,
		newVersionCommand,
		newCompletionCommand,
		newGenDocsCommand,
	}
}

// Main runs the program and returns its exit status.
func Main(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	a := newApp(stdin, stdout, stderr)
	root := newRootCommand(a)
	root.SetArgs(append([]string{}, args...)) // nil would be those of the process
	cmd, err := root.ExecuteContextC(ctx)
	if err != nil && !a.running {
		a.output = formatOf(args) // a wrong flag before -o leaves it unread
		err = usageError(cmd, err)
	}
	return a.exit(ctx, err)
}

func newApp(stdin io.Reader, stdout, stderr io.Writer) *app {
	return &app{
		term:         ui.New(stdin, stdout, stderr, os.LookupEnv),
		output:       ui.Table,
		fromVariable: map[string]string{},
		openTarget:   openEAS,
	}
}

func newRootCommand(a *app) *cobra.Command {
	var version bool
	root := &cobra.Command{
		Use:   "eascmd [flags] command",
		Short: "Run, check, pack and deploy processors of PAI-EAS",
		Long: `Eascmd is for people who write processors: prediction logic in C/C++, Java or
Python for Alibaba Cloud PAI-EAS. It runs a processor on this machine as EAS
would, and looks after what belongs to it.

Results go to standard output, everything else to standard error. Flags come
before environment variables, and these before the configuration file. A flag
that takes several values has one a line in its variable. NO_COLOR, TERM=dumb
and CI switch colours off, the latter two progress bars too.

When nobody reads its output any more (eascmd test service.json 2>&1 | head -1)
it cleans up and ends with status 141.

With -o json a failure is an object on the last line of standard error:
{"error":{"kind":"usage","exit":2,"message":"...","hint":"..."}}.`,
		Example: `  eascmd init cpp ./demo && cd demo && make   # a new processor in C++
  eascmd test service.json                    # run it here
  eascmd config -i LTAI... -k -               # store an access key`,
		Annotations:   exits(allKinds()...),
		Args:          noArgs,
		SilenceErrors: true,
		SilenceUsage:  true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if version {
				_, err := fmt.Fprintln(a.term.Out, "eascmd", versionOf(buildInfo()).Version)
				return err
			}
			return cmd.Help()
		},
		PersistentPreRunE: func(cmd *cobra.Command, args []string) error {
			return a.prepare(cmd)
		},
		CompletionOptions: cobra.CompletionOptions{DisableDefaultCmd: true},
	}
	root.SetIn(a.term.In)
	root.SetOut(a.term.Out)
	root.SetErr(a.term.Err)
	// Cobra's own flag would say it in words of its own, or by a template, for
	// which the linker has to keep every method of the program.
	root.Flags().BoolVar(&version, "version", false, "print the version of eascmd")
	root.SetHelpFunc(a.help)
	root.SetFlagErrorFunc(flagError)
	root.AddGroup(
		&cobra.Group{ID: groupDevelop, Title: "Write and run a processor:"},
		&cobra.Group{ID: groupDeploy, Title: "Deploy and look after services:"},
		&cobra.Group{ID: groupSettings, Title: "Settings and help:"},
	)
	a.addGlobalFlags(root)
	for _, newCommand := range commands() {
		root.AddCommand(newCommand(a))
	}
	help := newHelpCommand(a)
	root.SetHelpCommand(help)
	root.AddCommand(help)
	a.finish(root)
	return root
}

func (a *app) addGlobalFlags(root *cobra.Command) {
	flags := root.PersistentFlags()
	flags.SortFlags = false
	flags.StringVarP(&a.configFile, "config", "c", "", "configuration `file` (default ~/.eas/config)")
	flags.StringVar(&a.profile, "profile", "", "`name` of the profile in the configuration file (default \"default\")")
	flags.StringVarP(&a.accessKeyID, "access-key-id", "i", "", "access key `id`")
	flags.StringVarP(&a.accessKeySecret, "access-key-secret", "k", "", "`secret` of the access key; - reads a line of standard input")
	flags.StringVarP(&a.stsToken, "sts-token", "t", "", "security `token` of a temporary access key; - reads a line of standard input")
	flags.StringVarP(&a.endpoint, "endpoint", "e", "", "`host` of the cloud API, which chooses the region (default "+config.DefaultEndpoint+")")
	flags.VarP(&a.output, "output", "o", "how results are printed: table, json or yaml")
	flags.BoolVarP(&a.yes, "yes", "y", false, "answer yes to every question")
	flags.BoolVarP(&a.verbose, "verbose", "v", false, "say more")
	flags.BoolVar(&a.noColour, "no-color", false, "print without colours")
	flags.StringVar(&a.caBundle, "ca-bundle", "", "trust the certificates of this PEM `file` too")

	complete := func(flag string, values func() []string) {
		// It fails only for a flag that does not exist.
		_ = root.RegisterFlagCompletionFunc(flag, completeWords(values))
	}
	complete("output", ui.Formats)
	complete("profile", a.profileNames)
	for _, flag := range []string{"access-key-id", "access-key-secret", "sts-token", "endpoint"} {
		complete(flag, func() []string { return nil }) // and no names of files either
	}
}

// prepare is run before every command: it reads the environment's share of the
// flags and lets the terminal know what was asked for.
func (a *app) prepare(cmd *cobra.Command) error {
	if cmd.Flags().Changed("access-key-secret") && a.accessKeySecret != "-" && a.accessKeySecret != "" {
		a.term.Warn("a secret on the command line is visible in the list of processes and in the shell's history; -k - reads it from standard input")
	}
	if err := a.applyEnvironment(cmd); err != nil {
		return err
	}
	a.term.Verbose = a.verbose
	if a.noColour {
		a.term.Colour = false
	}
	return nil
}

// print writes a result to standard output in the format asked for.
func (a *app) print(result ui.Result) error { return a.term.Print(a.output, result) }

// config returns the settings. They are read when a command asks for them
// first, so that commands without need for them never fail for their sake.
func (a *app) config(ctx context.Context) (*config.Settings, error) {
	if a.settings != nil {
		return a.settings, nil
	}
	if err := a.readSecrets(ctx); err != nil {
		return nil, err
	}
	settings, err := config.Load(a.configOptions())
	if err != nil {
		return nil, err
	}
	a.warn(settings.Warnings())
	a.settings = settings
	return settings, nil
}

// configOptions says where the settings come from.
func (a *app) configOptions() config.Options {
	return config.Options{
		Path:    a.configFile,
		Profile: a.profile,
		Flags: map[string]string{
			config.AccessKeyID:     a.accessKeyID,
			config.AccessKeySecret: a.accessKeySecret,
			config.STSToken:        a.stsToken,
			config.Endpoint:        a.endpoint,
		},
	}
}

// readSecrets replaces "-" by a line of standard input: the secret first, then
// the token.
func (a *app) readSecrets(ctx context.Context) error {
	for _, secret := range []struct {
		value *string
		name  string
	}{{&a.accessKeySecret, "Access key secret"}, {&a.stsToken, "Security token"}} {
		if *secret.value != "-" {
			continue
		}
		line, err := a.term.ReadSecret(ctx, secret.name)
		if err != nil {
			return err
		}
		*secret.value = line
	}
	return nil
}

func (a *app) warn(warnings []config.Warning) {
	for _, w := range warnings {
		a.term.Warn("%s", ui.Printable(w.Text))
		if w.Hint != "" {
			a.term.Hint("%s", ui.Printable(w.Hint))
		}
	}
}

// profileNames lists the profiles for a completion, which must not fail.
func (a *app) profileNames() []string {
	path := a.configFile
	if path == "" {
		path = os.Getenv("EASCMD_CONFIG")
	}
	profiles, err := config.Profiles(path)
	if err != nil {
		return nil
	}
	var names []string
	for _, p := range profiles {
		names = append(names, p.Profile)
	}
	slices.Sort(names)
	return names
}
