package pysdk

import (
	"errors"
	"os"
)

// tryLock fails: no environments are made here.
func tryLock(*os.File) (bool, error) { return false, errors.ErrUnsupported }
