package pack

import (
	"archive/zip"
	"path"
	"strings"
)

// SingleFile says what a zip archive is that its users mean to stay one file:
// a Java archive, a Python wheel, a PyTorch or Keras model, NumPy arrays. ok is
// false for any other file, also for one that cannot be read.
func SingleFile(file string) (kind string, ok bool) {
	if format, err := Detect(file); err != nil || format != Zip {
		return "", false
	}
	z, err := zip.OpenReader(file)
	if err != nil {
		return "", false
	}
	defer z.Close()
	arrays := len(z.File) > 0
	for _, f := range z.File {
		dir, base := path.Split(f.Name)
		switch {
		case f.Name == "META-INF/MANIFEST.MF":
			return "Java archive", true
		case base == "WHEEL" && strings.HasSuffix(dir, ".dist-info/") && strings.Count(f.Name, "/") == 1:
			return "Python wheel", true
		case base == "data.pkl" && strings.Count(f.Name, "/") == 1:
			return "PyTorch model", true
		case f.Name == "model.weights.h5":
			return "Keras model", true
		}
		arrays = arrays && strings.HasSuffix(f.Name, ".npy") && dir == ""
	}
	if arrays {
		return "NumPy archive", true
	}
	return "", false
}
