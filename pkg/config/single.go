package config

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode"
)

// AutoRole is the value of ECSRole that stands for whichever role this machine
// has.
const AutoRole = "auto"

// Keys lists all keys, in the order in which they are shown and stored.
func Keys() []string {
	return append([]string{AccessKeyID, AccessKeySecret, STSToken, Endpoint, Region}, singleKeys()...)
}

// singleKeys lists the keys whose settings depend on no other: each comes from
// the strongest place that has it.
func singleKeys() []string {
	return []string{RoleARN, ECSRole, UploadPrefix, OSSEndpoint, S3Endpoint, S3Region}
}

// IsSecret reports whether what a key sets must not be shown or be given on a
// command line.
func IsSecret(key string) bool { return key == AccessKeySecret || key == STSToken }

// CanonicalKey returns a key as the file spells it, from any spelling that is
// read in one, and whether there is such a key.
func CanonicalKey(name string) (key string, known bool) {
	key = canonicalKey(name)
	return key, slices.Contains(Keys(), key)
}

// Normalise returns the form in which the value of a key is stored, or an
// error that says what is wrong with it. Keys without a form of their own take
// any value.
func Normalise(key, value string) (string, error) {
	value = strings.TrimSpace(value)
	switch key {
	case Endpoint:
		return normalEndpoint(value)
	case OSSEndpoint, S3Endpoint:
		host, err := normalEndpoint(value)
		if err != nil {
			return "", fmt.Errorf("%s: %w", key, err)
		}
		return host, nil
	case Region, S3Region:
		if !isLabel(value) {
			return "", fmt.Errorf("%s %q: a region is a name such as cn-shanghai", key, value)
		}
	case RoleARN:
		if !roleARN.MatchString(value) {
			return "", fmt.Errorf("role_arn %q: it must be of the form acs:ram::ACCOUNT:role/NAME", value)
		}
	case ECSRole:
		if !roleName.MatchString(value) {
			return "", fmt.Errorf("ecs_role %q: it must be the name of a role, or %s for the one that this machine has", value, AutoRole)
		}
	case UploadPrefix:
		if err := checkPrefix(value); err != nil {
			return "", fmt.Errorf("upload_prefix %q: %w", value, err)
		}
	}
	return value, nil
}

var (
	roleARN  = regexp.MustCompile(`^acs:ram::[0-9]+:role/[A-Za-z0-9._/-]+$`)
	roleName = regexp.MustCompile(`^[A-Za-z0-9._-]{1,64}$`)
)

// checkPrefix refuses what cannot be an address. What a store makes of it is
// the store's to say.
func checkPrefix(value string) error {
	scheme, rest, ok := strings.Cut(value, "://")
	switch {
	case !ok, scheme != "oss" && scheme != "s3" && scheme != "file":
		return errors.New("it must be of the form oss://BUCKET/PREFIX, s3://BUCKET/PREFIX or file:///DIRECTORY")
	case strings.ContainsFunc(rest, unicode.IsControl):
		return errors.New("it has a control character")
	case scheme == "file" && !strings.HasPrefix(rest, "/"):
		return errors.New("the directory must be an absolute path: file:///DIRECTORY")
	case scheme != "file" && (rest == "" || rest[0] == '/'):
		return errors.New("there is no bucket in it")
	}
	return nil
}

// resolveSingle finds the settings that depend on no other.
func (s *Settings) resolveSingle(flags, stored map[string]string) error {
	s.single = map[string]string{}
	for _, key := range singleKeys() {
		found := given{flags[key], flagSource(key)}
		for _, name := range EnvNames(key) {
			if found.value == "" {
				found = fromEnv(name)
			}
		}
		if found.value == "" {
			found = given{stored[key], s.fileSource()}
		}
		if err := s.takeOne(key, found); err != nil {
			return err
		}
	}
	return nil
}

// takeSingle takes them from the file alone.
func (s *Settings) takeSingle(stored map[string]string) error {
	s.single = map[string]string{}
	for _, key := range singleKeys() {
		if err := s.takeOne(key, given{stored[key], s.fileSource()}); err != nil {
			return err
		}
	}
	return nil
}

func (s *Settings) takeOne(key string, found given) error {
	if found.value == "" {
		return nil
	}
	value, err := Normalise(key, found.value)
	if err != nil && strings.HasPrefix(found.source, "AWS_") {
		// It is meant for other programs too, and most commands need no S3.
		s.warnings = append(s.warnings, Warning{Text: fmt.Sprintf("%s is ignored: %v", found.source, err)})
		return nil
	}
	if err != nil {
		return s.wrongValue(found.source, err)
	}
	s.single[key], s.source[key] = value, found.source
	return nil
}

// UploadPrefix returns where uploads go, such as oss://bucket/prefix; it is
// empty where nothing says so.
func (s *Settings) UploadPrefix() string { return s.single[UploadPrefix] }

// OSSEndpoint returns the endpoint of OSS, behind http:// where it is spoken to
// so; it is empty where the region's own is meant.
func (s *Settings) OSSEndpoint() string { return s.single[OSSEndpoint] }

// S3Endpoint is OSSEndpoint for S3; it is empty where Amazon's is meant.
func (s *Settings) S3Endpoint() string { return s.single[S3Endpoint] }

// S3Region returns the region of S3; it is empty where the endpoint tells it.
func (s *Settings) S3Region() string { return s.single[S3Region] }

// RoleARN returns the role that is taken with the access key; empty for none.
func (s *Settings) RoleARN() string { return s.single[RoleARN] }

// ECSRole returns the role of this machine that stands in for an access key:
// its name, or AutoRole for whichever it has; empty for none.
func (s *Settings) ECSRole() string { return s.single[ECSRole] }

// Source says where the setting of a key comes from; it is empty for what is
// not set.
func (s *Settings) Source(key string) string { return s.source[key] }
