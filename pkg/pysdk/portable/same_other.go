//go:build !unix

package portable

import "io/fs"

// sameFile names a file that has several names. No environment of such a
// system can be copied, so that it is not asked.
func sameFile(fs.FileInfo) string { return "" }
