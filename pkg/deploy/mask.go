package deploy

import (
	"bytes"
	"encoding/json"
	"strings"

	"github.com/openeas/eascmd/pkg/store"
)

// masked stands for a value that is not shown.
const masked = "****"

// Masked returns a description as it may be shown: sorted by name, with the
// values of secrets replaced. What is no JSON is not shown at all.
func Masked(description json.RawMessage) json.RawMessage {
	if len(bytes.TrimSpace(description)) == 0 {
		return nil
	}
	value, err := decode(description)
	if err != nil {
		return json.RawMessage(`"` + masked + `"`)
	}
	return encode(mask(value))
}

// mask replaces the secrets below value, in place where it can.
func mask(value any) any {
	switch value := value.(type) {
	case map[string]any:
		name, named := value["name"].(string)
		for key, member := range value {
			switch {
			case isSecretField(key), named && key == "value" && isSecretVariable(name):
				value[key] = maskSecret(member)
			default:
				value[key] = mask(member)
			}
		}
	case []any:
		for i := range value {
			value[i] = mask(value[i])
		}
	case string:
		return store.Mask(value)
	}
	return value
}

// maskSecret leaves what says nothing: whether there is a value can be seen.
func maskSecret(value any) any {
	if value == nil || value == "" {
		return value
	}
	return masked
}

// isSecretField reports whether a field of a description holds a secret, be it
// nested or written with dots.
func isSecretField(name string) bool {
	if i := strings.LastIndexByte(name, '.'); i >= 0 {
		name = name[i+1:]
	}
	switch strings.ToLower(name) {
	case "token", "dockerauth", "docker_auth", "decryption_key", "password", "passwd", "secret", "accesstoken", "access_token",
		"access_key_secret", "accesskeysecret", "secret_key", "security_token", "sts_token":
		return true
	}
	return false
}

// isSecretVariable reports whether an environment variable looks like one that
// holds a secret.
func isSecretVariable(name string) bool {
	name = strings.ToUpper(name)
	for _, word := range [...]string{"SECRET", "PASSW", "TOKEN", "CREDENTIAL", "PRIVATE", "API_KEY", "APIKEY", "ACCESS_KEY", "ACCESSKEY", "AUTH"} {
		if strings.Contains(name, word) {
			return true
		}
	}
	return name == "KEY" || strings.HasSuffix(name, "_KEY") || strings.HasSuffix(name, "_PWD")
}

// decode reads JSON and keeps its numbers as they are written.
func decode(data []byte) (any, error) {
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	var value any
	if err := d.Decode(&value); err != nil {
		return nil, err
	}
	return value, nil
}

// encode writes what decode read, objects sorted by name.
func encode(value any) json.RawMessage {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	// What was decoded can be encoded.
	_ = e.Encode(value)
	return bytes.TrimSpace(b.Bytes())
}
