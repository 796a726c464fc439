// Package test checks eascmd from outside: the program as users run it, and
// the rules that hold across packages. It has no code of its own but tests.
package test
