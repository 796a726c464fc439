// Package hosttest is the one suite that every host passes. It acts as the
// gateway: it starts workers as the gateway would, talks to them over a real
// socket and looks at what their processes do.
//
// A host is tested together with a fixture processor in its language. The body of a
// request to it is a command:
//
//	(empty)             answers "empty"
//	echo <bytes>        answers the bytes
//	size <anything>     answers the length of the whole body in decimal
//	status <n> [<text>] returns n with text as the body
//	sleep <ms>          sleeps, then answers "slept"
//	spin <ms>           computes, then answers "spun"
//	meet <n>            waits until n calls have come to this command, answers "met"; status 500 after 30 s
//	peak                answers the largest number of calls at the same time so far
//	null                answers without a body
//	big <n>             answers n times the letter b
//	model               answers model_entry|model_config
//	print <text>        writes text and a line feed to standard output by the language's usual means, answers "printed"
//	env <name>          answers the variable's value, or status 404
//	pid, cwd            answer the process id, the working directory
//	child               starts a child process that lives on, answers its process id
//	exit <n>            ends the process by the language's usual means
//	(others)            status 400
//
// The model_config may hold a command for the time of loading: "state <n>" fails,
// "sleep <ms>", "hang", "exit <n>", "print <text>"; anything else is kept for "model".
//
// A fixture of native code knows more, "crash <how>" for example; see
// workers/cpp/testdata/fixture.cc. So does that of Java, workers/java/testdata.
package hosttest

import "testing"

// Host says how a host and its fixture processor are run.
type Host struct {
	Command   []string // the host and its arguments
	Dir       string   // working directory; the processor's directory
	Env       []string // added to the environment
	Entry     string   // the fixture processor
	MainClass string

	// Failures are the ways in which a processor of this language fails to load,
	// beside those that the fixture itself knows.
	Failures []Failure

	// Native: the host is for native code, writes crash records, and the fixture knows
	// how to crash.
	Native bool

	// VariablesOnStdin: the host reads how to reach the gateway from its standard
	// input.
	VariablesOnStdin bool

	// TCP: the host connects by TCP.
	TCP bool

	// NoState: loading fails with an exception in this language, which has no state.
	NoState bool

	// NoStatus: processors of this language return no status; where the fixture is to
	// return another one than 200 it throws an exception.
	NoStatus bool

	// Sanitized: the host is built with a sanitizer, which handles fatal signals itself and
	// slows everything down.
	Sanitized bool
}

// Failure is a processor that cannot be loaded.
type Failure struct {
	Name    string
	Options Options
	State   string // of FAILED
	Message string // is part of FAILED's message
	Hint    string // is part of FAILED's hint
}

// Run runs the suite.
func Run(t *testing.T, host Host) {
	t.Run("vectors", func(t *testing.T) { testVectors(t, host) })
	for _, test := range []struct {
		name string
		run  func(*testing.T, Host)
	}{
		{"hello", testHello},
		{"surroundings", testSurroundings},
		{"output line by line", testOutput},
		{"failures", testFailures},
		{"exit", testExit},
		{"concurrency", testConcurrency},
		{"ping while busy", testPing},
		{"slow and fast", testSlowAndFast},
		{"many small requests", testManySmall},
		{"large bodies", testLarge},
		{"small between large", testInterleaving},
		{"drain", testDrain},
		{"cancel", testCancel},
		{"end of file", testEndOfFile},
		{"garbage", testGarbage},
	} {
		t.Run(test.name, func(t *testing.T) { test.run(t, host) })
	}
	if host.Native {
		t.Run("native", func(t *testing.T) { testNative(t, host) })
	}
}
