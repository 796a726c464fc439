package pack

import (
	"io/fs"
	"os"
)

// readable tells why a file cannot be read.
func readable(name string) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	return f.Close()
}

// sameFile is empty: links between files are not looked for here.
func sameFile(fs.FileInfo) string { return "" }
