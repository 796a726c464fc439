package hosts_test

import (
	"testing"

	"github.com/openeas/eascmd/pkg/serving/hosttest"
)

func TestCPPHost(t *testing.T) {
	hosttest.Run(t, cppHost(t))
}
