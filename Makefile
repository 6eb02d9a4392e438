# nobox: `make help` lists the targets.

GO      ?= go
BIN     ?= nobox
PREFIX  ?= /usr/local
ARGS    ?=
COMMIT  ?= $(shell git rev-parse HEAD 2>/dev/null)
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)

# -E: nobox's own entry point, which keeps what the caller handed over before
# the Go runtime changes it; see package caller.
LDFLAGS = -s -w -E nobox/caller.Entry -X runtime.godebugDefault=disablethp=1 -X nobox/cli.version=$(VERSION) -X nobox/cli.commit=$(COMMIT)
BUILD   = CGO_ENABLED=0 $(GO) build -trimpath -tags osusergo,netgo,companion -ldflags '$(LDFLAGS)'

# The network's process, which nobox carries; see package companion. Its file is
# replaced at one stroke: two builds at a time must not see half of it.
COMPANION = companion/nobox-net

# A peer of make bench-net. Debian's is older, and has no such network.
ROOTLESSKIT = github.com/rootless-containers/rootlesskit/v3/cmd/rootlesskit@v3.3.0

.DEFAULT_GOAL := build

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1|/p' Makefile | awk -F'|' '{printf "  make %-12s %s\n", $$1, $$2}'

# What the linker writes lies in single pages of the page cache, a copy in larger
# pieces, of which fewer have to be mapped: a start takes 0.1 ms less.
build: companion ## build ./nobox
	$(BUILD) -o $(BIN).linked .
	@cp $(BIN).linked $(BIN).copy && mv -f $(BIN).copy $(BIN) && rm -f $(BIN).linked

companion:
	CGO_ENABLED=0 $(GO) build -trimpath -tags osusergo,netgo -ldflags '-s -w' -o $(COMPANION).$$$$ ./nobox-net && mv -f $(COMPANION).$$$$ $(COMPANION)

run: setup-run build ## build and open a box; ARGS='-- id' for something else than a shell
	@sh tests/as-user "$(CURDIR)/$(BIN)" $(ARGS)

test: setup-test ## install what the tests need and run them all
	@sh tests/run

test-vm: setup-vm ## the tests that need systemd and cgroup v2, in a virtual machine; ARGS=-v shows all
	cd tests/vm && $(GO) test -count=1 -timeout=30m $(ARGS) . -boot

unit: ## the tests that need no kernel feature
	$(GO) test $$($(GO) list ./... | grep -v /tests)

bench: setup-test ## measure against the peers; docs/benchmarks.md says how
	@sh tests/bench/run

bench-net: setup-test build ## measure the network; writes its table into docs/benchmarks.md
	@sh tests/as-user "$(CURDIR)/$(BIN)" version >/dev/null
	@dir=$$(mktemp -d) && chmod 755 "$$dir" && GOBIN="$$dir" $(GO) install $(ROOTLESSKIT) && sh tests/as-user "$$dir/rootlesskit" --version && rm -r "$$dir"
	@NOBOX="$(CURDIR)/$(BIN)" sh tests/as-user "$(CURDIR)/tests/bench/net" >docs/benchmarks.net.new
	@cat docs/benchmarks.net.new
	@awk '/^<!-- bench-net -->/ {print; print ""; while ((getline l < "docs/benchmarks.net.new") > 0) print l; print ""; skip = 1} /^<!-- end -->/ {skip = 0} !skip || /^<!-- end/' docs/benchmarks.md >docs/benchmarks.md.new
	@mv docs/benchmarks.md.new docs/benchmarks.md && rm docs/benchmarks.net.new

golden: ## rewrite the golden files; read the diff as a security review
	$(GO) test ./sandbox ./plan -update

fuzz: ## fuzz each parser, and Options → Compile → Check, for 10 s each
	@sh tests/fuzz

lint: ## gofmt, vet, staticcheck
	@test -z "$$(gofmt -l .)" || { gofmt -l .; echo 'gofmt -w . mends these'; exit 1; }
	$(GO) vet ./...
	$(GO) tool staticcheck ./...

docs: build ## generate docs/nobox.1 and the completions
	./$(BIN) man > docs/nobox.1
	mkdir -p completions
	./$(BIN) completion bash > completions/nobox.bash
	./$(BIN) completion zsh > completions/_nobox
	./$(BIN) completion fish > completions/nobox.fish

picture: build ## draw docs/picture.svg from a session in a terminal, with tmux
	PATH="$(CURDIR):$$PATH" sh docs/picture.sh >docs/picture.svg.new && mv docs/picture.svg.new docs/picture.svg

check: lint docs ## lint, and whether what is generated is current
	$(GO) generate ./seccomp
	@git diff --exit-code --stat -- docs/nobox.1 completions seccomp || { echo 'make docs, and commit what it changed'; exit 1; }

# No shell puts the home in the place of a "~" behind the "=" everywhere.
PREFIX_DIR = $(DESTDIR)$(patsubst ~/%,$(HOME)/%,$(PREFIX))

install: build ## install into PREFIX (/usr/local); PREFIX=~/.local needs no root
	install -Dm755 $(BIN) $(PREFIX_DIR)/bin/nobox
	install -Dm644 docs/nobox.1 $(PREFIX_DIR)/share/man/man1/nobox.1
	install -Dm644 completions/nobox.bash $(PREFIX_DIR)/share/bash-completion/completions/nobox
	install -Dm644 completions/_nobox $(PREFIX_DIR)/share/zsh/site-functions/_nobox
	install -Dm644 completions/nobox.fish $(PREFIX_DIR)/share/fish/vendor_completions.d/nobox.fish

uninstall: ## remove what install put there; with the same PREFIX
	rm -f $(PREFIX_DIR)/bin/nobox $(PREFIX_DIR)/share/man/man1/nobox.1 \
		$(PREFIX_DIR)/share/bash-completion/completions/nobox \
		$(PREFIX_DIR)/share/zsh/site-functions/_nobox $(PREFIX_DIR)/share/fish/vendor_completions.d/nobox.fish

try-packages: ## install what dist made and remove it, in boxes, with a Debian tree from a mirror
	@sh packaging/try

dist: ## binaries, .deb, .rpm and checksums for amd64 and arm64, in dist/
	@GO='$(GO)' VERSION='$(VERSION)' sh packaging/dist

clean: ## remove what was built
	rm -f $(BIN) $(COMPANION)
	rm -rf dist

setup-run:
	@sh tests/setup run

setup-vm:
	@sh tests/setup vm

setup-test:
	@sh tests/setup test

.PHONY: bench-net help build companion run test test-vm unit bench golden fuzz lint docs picture check install uninstall dist try-packages clean setup-run setup-vm setup-test
