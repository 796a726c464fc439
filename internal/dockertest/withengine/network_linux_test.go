package main

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestWithoutDaemon(t *testing.T) {
	const rules = `*filter
:INPUT ACCEPT [1:2]
:FORWARD DROP [0:0]
:DOCKER - [0:0]
:DOCKER-USER - [0:0]
:MINE - [0:0]
-A FORWARD -j DOCKER-USER
-A FORWARD -o docker0 -j DOCKER
-A FORWARD -i docker0 ! -o docker0 -j ACCEPT
-A MINE -i docker01 -j DROP
-A DOCKER-USER -j RETURN
COMMIT
`
	const want = `*filter
:INPUT ACCEPT [1:2]
:FORWARD ACCEPT [0:0]
:MINE - [0:0]
-A MINE -i docker01 -j DROP
COMMIT
`
	if diff := cmp.Diff(want, string(withoutDaemon([]byte(rules), "ACCEPT"))); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
