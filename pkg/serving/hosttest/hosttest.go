// Package hosttest is the one suite that every host passes. It acts as the
// gateway: it starts workers as the gateway would, talks to them over a real
// socket and looks at what their processes do.
//
// A host is tested together with a fixture processor in its language. The body of a
// request to it is a command:
//
//	(empty)             answers "empty"
//	echo <text>         answers text, whatever bytes it is made of
//	size <anything>     answers the length of the whole body in decimal
//	status <n> [<text>] returns n with text as the body
//	sleep <ms>          sleeps, then answers "slept"
//	spin <ms>           computes, then answers "spun"
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
// A fixture of native code also knows the commands "crash <how>", "thread-crash <how>"
// and the like; see workers/cpp/testdata/fixture.cc.
package hosttest

// Host says how a host and its fixture processor are run.
type Host struct {
	Command   []string // the host and its arguments
	Dir       string   // working directory; the processor's directory
	Env       []string // added to the environment
	Entry     string   // the fixture processor
	MainClass string

	// CrashRecord: the host writes crash records, and the fixture knows how to crash.
	CrashRecord bool
}
