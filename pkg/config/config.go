// Package config holds the settings of eascmd: profiles with credentials and
// an endpoint, read from the command line, the environment and a file, in this
// order.
//
// Credentials are taken whole from one place: an access key id never meets the
// secret or the token of another place, because such a mixture is refused by
// the cloud with a message that leads nowhere.
package config

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"github.com/spf13/viper"

	"github.com/openeas/eascmd/internal/fault"
)

// The keys of settings, as the file spells them.
const (
	AccessKeyID     = "access_key_id"
	AccessKeySecret = "access_key_secret"
	STSToken        = "sts_token"
	Endpoint        = "endpoint"
	Region          = "region"
	RoleARN         = "role_arn"      // the role to take with the access key
	ECSRole         = "ecs_role"      // the role of this machine, or AutoRole
	UploadPrefix    = "upload_prefix" // where uploads go: oss://BUCKET/PREFIX and the like
	OSSEndpoint     = "oss_endpoint"
	S3Endpoint      = "s3_endpoint"
	S3Region        = "s3_region"
)

// DefaultEndpoint is the endpoint of the cloud API where none is given.
const DefaultEndpoint = "pai-eas.cn-shanghai.aliyuncs.com"

// maxFileSize bounds a configuration file; a larger one is some other file.
const maxFileSize = 1 << 20

// ErrNoAccessKey is the cause of the error of Credentials where no place has
// any part of them.
var ErrNoAccessKey = errors.New("no access key is given")

// Options says where settings come from beside the environment.
type Options struct {
	// Path is the configuration file; empty means DefaultPath, which need not
	// exist.
	Path string
	// Profile is the profile to use; empty means DefaultProfile, which need
	// not exist.
	Profile string
	// Flags are the settings given on the command line, by key.
	Flags map[string]string
}

// Settings are the settings of a run.
type Settings struct {
	Path    string // the configuration file, whether it exists or not
	Profile string // the profile in use, in lower case

	warnings    []Warning
	credentials Credentials
	credErr     error
	endpoint    string
	plainHTTP   bool // the endpoint is spoken to in http
	region      string
	single      map[string]string // the settings of singleKeys, by key
	source      map[string]string // by key
}

// Warning is something about the settings that its owner should know.
type Warning struct{ Text, Hint string }

// Credentials identify the caller of the cloud API.
type Credentials struct {
	AccessKeyID     string
	AccessKeySecret string
	STSToken        string // empty for a long-lived key
}

// String hides the secrets from whoever prints the value.
func (c Credentials) String() string { return Mask(c.AccessKeyID) }

// GoString is String for %#v.
func (c Credentials) GoString() string { return "Credentials(" + c.String() + ")" }

// DefaultPath returns the configuration file's usual place.
func DefaultPath() (string, error) {
	home, err := os.UserHomeDir()
	if err != nil {
		return "", fault.New(fault.Missing, "no home directory to look for .eas/config in: %w", err).
			WithHint("set HOME, or name the file with -c")
	}
	return filepath.Join(home, ".eas", "config"), nil
}

// EnvNames lists the environment variables of a setting, the strongest first.
func EnvNames(key string) []string {
	switch key {
	case AccessKeyID:
		return []string{"EASCMD_ACCESS_KEY_ID", "ALIBABA_CLOUD_ACCESS_KEY_ID"}
	case AccessKeySecret:
		return []string{"EASCMD_ACCESS_KEY_SECRET", "ALIBABA_CLOUD_ACCESS_KEY_SECRET"}
	case STSToken:
		return []string{"EASCMD_STS_TOKEN", "ALIBABA_CLOUD_SECURITY_TOKEN"}
	case Endpoint:
		return []string{"EASCMD_ENDPOINT"}
	case Region:
		return nil // the endpoint tells it
	case S3Endpoint:
		return []string{"EASCMD_S3_ENDPOINT", "AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"}
	case S3Region:
		return []string{"EASCMD_S3_REGION", "AWS_REGION", "AWS_DEFAULT_REGION"}
	}
	return []string{"EASCMD_" + strings.ToUpper(key)}
}

// Load finds the settings. Missing credentials are no error before somebody
// asks for them.
func Load(opts Options) (*Settings, error) {
	s := &Settings{Path: opts.Path, Profile: strings.ToLower(cmp.Or(opts.Profile, DefaultProfile)), source: map[string]string{}}
	f := &file{}
	if s.Path == "" {
		var err error
		if s.Path, err = DefaultPath(); err != nil && !(s.Profile == DefaultProfile && givesKey(opts.Flags)) {
			return nil, err
		}
	}
	if s.Path != "" {
		var err error
		if f, err = s.read(opts.Path != ""); err != nil {
			return nil, err
		}
	}
	if opts.Profile != "" && s.Profile != DefaultProfile && !slices.Contains(f.profiles(), s.Profile) {
		return nil, unknownProfile(s.Path, s.Profile, f.profiles())
	}
	stored := f.values(s.Profile)
	s.resolveCredentials(opts.Flags, stored)
	if opts.Profile != "" && s.source[AccessKeyID] == EnvNames(AccessKeyID)[1] {
		s.warnOfHidden(stored)
	}
	if err := s.resolveEndpoint(opts.Flags, stored); err != nil {
		return nil, err
	}
	if err := s.resolveSingle(opts.Flags, stored); err != nil {
		return nil, err
	}
	return s, nil
}

// givesKey reports whether an access key is given outside the file, so that
// nobody misses the file where there is no home for it, as in a container.
func givesKey(flags map[string]string) bool {
	return flags[AccessKeyID] != "" || slices.ContainsFunc(EnvNames(AccessKeyID), func(name string) bool { return os.Getenv(name) != "" })
}

// warnOfHidden warns of a profile that was asked for by its name and whose
// identity the environment hides.
func (s *Settings) warnOfHidden(stored map[string]string) {
	what := "access key"
	switch {
	case stored[AccessKeyID] != "":
	case stored[ECSRole] != "":
		what = "role of this machine"
	default:
		return
	}
	s.warnings = append(s.warnings, Warning{
		Text: fmt.Sprintf("the %s of profile %q is not used: %s comes before it", what, s.Profile, s.source[AccessKeyID]),
		Hint: "unset the ALIBABA_CLOUD_* variables to use the profile's",
	})
}

// Profiles lists the profiles of a file with their settings.
func Profiles(path string) ([]*Settings, error) {
	base := &Settings{Path: path}
	if path == "" {
		var err error
		if base.Path, err = DefaultPath(); err != nil {
			return nil, err
		}
	}
	f, err := base.read(path != "")
	if err != nil {
		return nil, err
	}
	var all []*Settings
	for _, name := range f.profiles() {
		s := &Settings{Path: base.Path, Profile: name, source: map[string]string{}}
		stored := f.values(name)
		s.credentials = Credentials{stored[AccessKeyID], stored[AccessKeySecret], stored[STSToken]}
		endpoint, source := DefaultEndpoint, "default"
		if value := storedEndpoint(stored); value != "" {
			endpoint, source = value, s.fileSource()
		}
		if err := s.takeEndpoint(endpoint, source, stored[Region]); err != nil {
			return nil, err
		}
		if err := s.takeSingle(stored); err != nil {
			return nil, err
		}
		all = append(all, s)
	}
	return all, nil
}

// Stored lists the keys that a profile of a file sets, in the order of Keys. An
// empty path means DefaultPath; a file that does not exist sets none.
func Stored(path, profile string) ([]string, error) {
	if path == "" {
		var err error
		if path, err = DefaultPath(); err != nil {
			return nil, err
		}
	}
	f, _, err := readFile(path, false)
	if err != nil {
		return nil, err
	}
	values := f.values(strings.ToLower(profile))
	return slices.DeleteFunc(Keys(), func(key string) bool { return values[key] == "" }), nil
}

// read reads the file and notes what is odd about it. A file that must not be
// missing is one that was asked for.
func (s *Settings) read(must bool) (*file, error) {
	f, warnings, err := readFile(s.Path, must)
	s.warnings = append(s.warnings, warnings...)
	return f, err
}

func readFile(path string, must bool) (*file, []Warning, error) {
	opened, err := os.Open(path)
	switch {
	case errors.Is(err, fs.ErrNotExist) && !must:
		return &file{newline: "\n"}, nil, nil
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil, fault.New(fault.Description, "configuration file: %w", err).
			WithHint("`eascmd -c %s config -i ID -k -` makes it", path)
	case err != nil:
		return nil, nil, fault.New(fault.Description, "configuration file: %w", err)
	}
	defer opened.Close()
	data, err := io.ReadAll(io.LimitReader(opened, maxFileSize+1))
	if err != nil {
		return nil, nil, fault.New(fault.Description, "configuration file: %w", err)
	}
	if len(data) > maxFileSize {
		return nil, nil, fault.New(fault.Description, "configuration file %s is larger than %d KiB, so it must be some other file", path, maxFileSize>>10)
	}
	f := parse(data)
	var warnings []Warning
	if info, err := opened.Stat(); err == nil && runtime.GOOS != "windows" && info.Mode().IsRegular() && info.Mode()&0o077 != 0 {
		warnings = append(warnings, Warning{
			Text: fmt.Sprintf("%s may be read by other users (mode %04o)", path, info.Mode().Perm()),
			Hint: "chmod 600 " + path,
		})
	}
	for _, p := range f.problems {
		warnings = append(warnings, Warning{Text: fmt.Sprintf("%s:%d: ignored: %s", path, p.line, p.what)})
	}
	return f, warnings, nil
}

func unknownProfile(path, profile string, have []string) error {
	err := fault.New(fault.Description, "there is no profile %q in %s", profile, path)
	if len(have) == 0 {
		return err.WithHint("`eascmd config --profile %s -i ID -k -` makes it", profile)
	}
	return err.WithHint("it has %s; `eascmd config --profile %s -i ID -k -` makes a new one", strings.Join(have, ", "), profile)
}

// given is a setting of one place.
type given struct{ value, source string }

// resolveCredentials takes the credentials from the first place that has an
// access key id and a secret. The EASCMD_* variables stand for flags and count
// as one place with them: a script may give the id as a flag and the secret as
// a variable.
func (s *Settings) resolveCredentials(flags, stored map[string]string) {
	keys := []string{AccessKeyID, AccessKeySecret, STSToken}
	places := []struct {
		name string
		find func(key string) given
	}{
		{"the command line", func(key string) given {
			if value := flags[key]; value != "" {
				return given{value, flagSource(key)}
			}
			return fromEnv(EnvNames(key)[0])
		}},
		{"the environment", func(key string) given { return fromEnv(EnvNames(key)[1]) }},
		{s.Path, func(key string) given { return given{stored[key], s.fileSource()} }},
	}
	for i, place := range places {
		found := map[string]given{}
		var have, lack []string
		for _, key := range keys {
			if g := place.find(key); g.value != "" {
				found[key] = g
				have = append(have, g.source)
			} else if key != STSToken {
				lack = append(lack, key)
			}
		}
		switch {
		case len(found) == 0:
			continue
		case len(lack) == 0:
			s.credentials = Credentials{found[AccessKeyID].value, found[AccessKeySecret].value, found[STSToken].value}
			for key, g := range found {
				s.source[key] = g.source
			}
			return
		case i == 0:
			s.credErr = fault.New(fault.Usage, "%s is given without %s: credentials are taken whole from one place",
				strings.Join(have, " and "), strings.Join(lack, " and ")).WithHint("give them together, or none of them")
			return
		case i == 1:
			s.warnings = append(s.warnings, Warning{
				Text: fmt.Sprintf("%s is set without %s and is ignored: credentials are taken whole from one place", strings.Join(have, " and "), strings.Join(lack, " and ")),
			})
		default:
			s.credErr = fault.New(fault.Description, "profile %q in %s has no %s", s.Profile, place.name, strings.Join(lack, " and ")).
				WithHint("`eascmd config --profile %s -i ID -k -` stores both", s.Profile)
			return
		}
	}
	s.credErr = fault.New(fault.Description, "%w, neither on the command line nor in the environment nor in profile %q of %s", ErrNoAccessKey, s.Profile, s.Path).
		WithHint("store one with `eascmd config -i ID -k -`, or set ALIBABA_CLOUD_ACCESS_KEY_ID and ALIBABA_CLOUD_ACCESS_KEY_SECRET")
}

// resolveEndpoint finds the endpoint by the usual order and derives the region.
func (s *Settings) resolveEndpoint(flags, stored map[string]string) error {
	v := viper.New()
	source := "default"
	v.SetDefault(Endpoint, DefaultEndpoint)
	if value := storedEndpoint(stored); value != "" {
		source = s.fileSource()
		if err := v.MergeConfigMap(map[string]any{Endpoint: value}); err != nil {
			return fault.New(fault.Description, "%s: %w", source, err)
		}
	}
	name := EnvNames(Endpoint)[0]
	if err := v.BindEnv(Endpoint, name); err != nil {
		return fault.New(fault.Failed, "%s: %w", name, err)
	}
	if g := fromEnv(name); g.value != "" {
		source = g.source
	}
	if value := flags[Endpoint]; value != "" {
		source = flagSource(Endpoint)
		v.Set(Endpoint, value)
	}
	return s.takeEndpoint(v.GetString(Endpoint), source, stored[Region])
}

// storedEndpoint returns the endpoint that a profile names, by itself or by
// its region; it is empty where it names none.
func storedEndpoint(stored map[string]string) string {
	if stored[Endpoint] == "" && stored[Region] != "" {
		return "pai-eas." + stored[Region] + ".aliyuncs.com"
	}
	return stored[Endpoint]
}

func (s *Settings) takeEndpoint(value, source, storedRegion string) error {
	scheme, endpoint, err := splitEndpoint(value)
	if err != nil {
		return s.wrongValue(source, err)
	}
	s.source[Endpoint] = source
	s.plainHTTP = scheme == "http"
	if s.plainHTTP && !isPrivate(endpoint) {
		s.warnings = append(s.warnings, plainHTTPWarning(source, endpoint))
	}
	s.setEndpoint(endpoint, storedRegion)
	return nil
}

// wrongValue is the error of a value that cannot be what it should be.
func (s *Settings) wrongValue(source string, err error) error {
	kind := fault.Usage
	if source == s.fileSource() {
		kind = fault.Description
	}
	return fault.New(kind, "%s: %w", source, err)
}

func (s *Settings) setEndpoint(endpoint, storedRegion string) {
	s.endpoint = endpoint
	switch region := RegionOf(endpoint); {
	case region != "":
		s.region, s.source[Region] = region, "derived from the endpoint"
	case storedRegion != "":
		s.region, s.source[Region] = storedRegion, s.fileSource()
	default:
		s.region, s.source[Region] = "", ""
	}
}

func (s *Settings) fileSource() string { return fmt.Sprintf("%s [%s]", s.Path, s.Profile) }

func flagSource(key string) string { return "--" + strings.ReplaceAll(key, "_", "-") }

func fromEnv(name string) given { return given{os.Getenv(name), name} }

// Credentials returns the credentials, or an error that says how to give them.
func (s *Settings) Credentials() (Credentials, error) { return s.credentials, s.credErr }

// Endpoint returns the host, and port if there is one, of the cloud API.
func (s *Settings) Endpoint() string { return s.endpoint }

// Scheme returns how the endpoint is spoken to: "https", or "http" where the
// endpoint was given so.
func (s *Settings) Scheme() string {
	if s.plainHTTP {
		return "http"
	}
	return "https"
}

// Region returns the region that the endpoint belongs to, or the profile's
// where the endpoint's name does not tell; it is empty where neither does.
func (s *Settings) Region() string { return s.region }

// Warnings lists what is odd about the file and the environment.
func (s *Settings) Warnings() []Warning { return s.warnings }

// Value is a setting as it may be shown: secrets are masked.
type Value struct {
	Name   string `json:"name"`
	Value  string `json:"value"`
	Source string `json:"source"` // empty for what is not set
}

// Values lists all settings.
func (s *Settings) Values() []Value {
	secret := func(value string) string {
		if value == "" {
			return ""
		}
		return "****"
	}
	values := []Value{
		{AccessKeyID, Mask(s.credentials.AccessKeyID), s.source[AccessKeyID]},
		{AccessKeySecret, secret(s.credentials.AccessKeySecret), s.source[AccessKeySecret]},
		{STSToken, secret(s.credentials.STSToken), s.source[STSToken]},
		{Endpoint, s.GivenEndpoint(), s.source[Endpoint]},
		{Region, s.region, s.source[Region]},
	}
	for _, key := range singleKeys() {
		values = append(values, Value{key, s.single[key], s.source[key]})
	}
	return values
}

// GivenEndpoint returns the endpoint as it would be given: behind http:// where
// it is spoken to so.
func (s *Settings) GivenEndpoint() string {
	if s.plainHTTP {
		return "http://" + s.endpoint
	}
	return s.endpoint
}

// Mask shortens an access key id so that its owner recognises it and nobody
// else can use it.
func Mask(id string) string {
	switch {
	case id == "":
		return ""
	case len(id) < 12:
		return "****"
	default:
		return id[:4] + "****" + id[len(id)-4:]
	}
}

// MaskedID returns the access key id as it may be shown.
func (s *Settings) MaskedID() string { return Mask(s.credentials.AccessKeyID) }
