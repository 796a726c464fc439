package nvidia

import "os"

// Usable returns why a file cannot be looked at: there are no device nodes here.
func Usable(path string) error {
	_, err := os.Stat(path)
	return err
}
