package hosttest

import (
	"testing"
)

func testNative(t *testing.T, host Host) {
}
