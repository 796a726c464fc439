// Package deploy brings services to a target and looks after them there: it
// says what a target is, and does what is the same for all of them, such as
// waiting until a service runs and saying why it does not.
//
// The targets themselves are the packages below it; each passes the suite in
// deploytest.
package deploy
