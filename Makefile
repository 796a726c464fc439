# make demo     build eascmd, compile examples/echo, run it and post a request
# make build    bin/eascmd, and dist/ with the programs for every platform
# make test     everything that is checked before a change goes in
# make bench    the measurements of docs/performance.md
# make lint     gofmt, go vet for every platform, golangci-lint
# make docs     what is generated from the code in docs/
# make picture  the picture in README.md, from a real run
#
# Needs Go; demo and test also need a C++ compiler. Tests with containers need a
# Docker Engine; as root on Debian, make test installs what it takes to start one.

GO      ?= go
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo devel)
COMMIT  ?= $(shell git rev-parse HEAD 2>/dev/null)
DATE    ?= $(shell git log -1 --format=%cI 2>/dev/null)

# Release programs: static, without paths of the machine they were built on.
GOBUILD = CGO_ENABLED=0 $(GO) build -trimpath -buildvcs=false -ldflags "-s -w \
	-X main.buildVersion=$(VERSION) -X main.buildCommit=$(COMMIT) -X main.buildDate=$(DATE)"

# The released programs as name=os/arch. The names without an architecture are
# the original's; .goreleaser.yaml makes the same ones, kept by a test.
DIST := \
	eascmd64=linux/amd64 \
	eascmd-linux-arm64=linux/arm64 \
	eascmdmac64=darwin/amd64 \
	eascmd-mac-arm64=darwin/arm64 \
	eascmdwin64.exe=windows/amd64

# The largest that a program may be, in bytes.
MAX_SIZE := 31457280

GOLANGCI_LINT := github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0

.PHONY: all build dist demo test bench lint docs picture packaging clean FORCE
all: bin/eascmd

build: bin/eascmd dist

# Go knows better than make what has changed.
bin/eascmd: FORCE
	$(GOBUILD) -o $@ ./cmd/eascmd

dist:
	@mkdir -p dist
	@set -e; for pair in $(DIST); do \
		name=$${pair%%=*}; target=$${pair#*=}; \
		GOOS=$${target%/*} GOARCH=$${target#*/} $(GOBUILD) -o dist/$$name ./cmd/eascmd; \
		size=$$(wc -c < dist/$$name); \
		echo "dist/$$name  $$target  $$size bytes"; \
		if [ $$size -gt $(MAX_SIZE) ]; then \
			echo "dist/$$name is larger than $(MAX_SIZE) bytes" >&2; exit 1; \
		fi; \
	done

demo:
	@sh examples/demo.sh "$(MAKE)" "$(GO)"

# With a Docker Engine: the one that runs here, or one that is started for it.
test:
	@mkdir -p .cache/test
	$(GO) build -o .cache/test/ ./internal/testsummary ./internal/dockertest/withengine
	.cache/test/withengine .cache/test/testsummary -race -timeout 40m ./...

bench: bin/eascmd
	$(GO) run ./test/bench

lint:
	@out=$$(gofmt -l $$(git ls-files '*.go')); \
	if [ -n "$$out" ]; then echo "not gofmt-clean:"; echo "$$out"; exit 1; fi
	@set -e; for target in $(sort $(foreach d,$(DIST),$(lastword $(subst =, ,$(d))))); do \
		echo "go vet $$target"; \
		CGO_ENABLED=0 GOOS=$${target%/*} GOARCH=$${target#*/} $(GO) vet ./...; \
	done
	@if $(GO) run $(GOLANGCI_LINT) version >/dev/null 2>&1; then \
		$(GO) run $(GOLANGCI_LINT) run ./...; \
	else \
		echo "golangci-lint cannot be had here; left out"; \
	fi

docs:
	$(GO) generate ./...

picture: bin/eascmd
	$(GO) run ./docs/picture

# What the deb and rpm packages hold beside the program.
packaging: bin/eascmd
	@mkdir -p .cache/packaging
	bin/eascmd completion bash > .cache/packaging/eascmd.bash
	bin/eascmd completion zsh > .cache/packaging/_eascmd
	bin/eascmd completion fish > .cache/packaging/eascmd.fish
	bin/eascmd gen-docs --man .cache/packaging/man
	$(GO) run ./internal/releasehosts .cache/packaging/hosts

clean:
	rm -rf bin dist .cache
	$(MAKE) -C examples/echo clean
