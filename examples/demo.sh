#!/bin/sh
# The demo: builds eascmd, compiles the echo example, runs it on this machine
# and posts a request. Run it as `make demo`.
set -eu
make=${1:-make} go=${2:-go}

need() { # program, what for
  command -v "$1" >/dev/null 2>&1 || { echo "make demo: needs $1 ($2), which is not on PATH" >&2; exit 6; }
}
need "$go" "to build eascmd; https://go.dev/dl"
need "${CXX:-g++}" "to compile the processor and its host; on Debian: apt install g++"

say() { printf '\n\033[1m# %s\033[0m\n' "$*"; }
[ -t 1 ] || say() { printf '\n# %s\n' "$*"; }
# Shows a command and runs it.
show() { printf '$ %s\n' "$1"; eval "$1"; }

say "Build eascmd"
show "$make --no-print-directory bin/eascmd"

say "Compile the processor: examples/echo/processor.cc -> build/libecho.so"
show "$make --no-print-directory -C examples/echo"

say "Load it and its model on this machine, post the request 'hello world', print the answer"
show "cd examples/echo"
show "../../bin/eascmd test --engine process service.json --data 'hello world'"
echo
echo "(This is what the echo demo of EAS itself answers, to the letter: the comma behind \"inputcontent\" belongs to it.)"

say "That was all. To keep it running and call it yourself:"
echo "cd examples/echo && ../../bin/eascmd test service.json"
