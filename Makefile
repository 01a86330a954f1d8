# make demo: a real guest is learnt, attacked and judged.   make test: all the tests.
# Both install what they need (Debian 12, root) and keep what is slow to make in ~/.cache/virtsentry.

GO      := packaging/go
BIN     := bin
DEPS    := packaging/deps
LABDEPS := packaging/lab/deps packaging/lab/image/deps packaging/qemu/run-deps
TESTS   ?= ./...

.PHONY: all build deps lab-deps qemu image demo test unit-test fuzz lint fresh compare evaluation clean

all: build

deps:
	@packaging/install $(DEPS)

lab-deps: deps
	@packaging/install $(LABDEPS)

# The operator's command and the privileged helper need no C library at all.
build: deps
	@mkdir -p $(BIN)
	@CGO_ENABLED=0 $(GO) build -o $(BIN)/ ./cmd/virtsentry ./cmd/virtsentry-probe
	@$(GO) build -o $(BIN)/ ./cmd/virtsentryd ./cmd/virtsentry-lab

# QEMU with the UST trace backend, and the lab's guest image: built once, then taken from the cache.
qemu: deps
	@packaging/qemu/build

image: deps
	@packaging/lab/image/build

demo: lab-deps build
	@packaging/qemu/build >/dev/null
	@packaging/lab/image/build >/dev/null
	@packaging/lab/demo $(BIN)

# With the real stack: libvirtd, QEMU with UST, LTTng and a guest, in a namespace of their own.
test: lab-deps build
	@packaging/qemu/build >/dev/null
	@packaging/lab/image/build >/dev/null
	@packaging/test $(TESTS)

# Without the real stack. As everywhere, root is needed when packages are missing, and only then.
unit-test: deps
	@$(GO) test -race $(TESTS)

FUZZTIME ?= 20s
fuzz: deps
	@packaging/fuzz $(FUZZTIME)

lint: deps
	@packaging/lint

# What is generated or derived must be as it would be made now.
fresh: deps
	@$(GO) mod tidy -diff
	@$(GO) mod verify >/dev/null
	@$(GO) generate ./cmd/virtsentry-lab/lab && git diff --exit-code -- cmd/virtsentry-lab/lab/syscalls_table.go
	@$(GO) generate ./cmd/internal/probe/kernel && git diff --exit-code --stat -- cmd/internal/probe/kernel

# Traces (directories) as virtsentry reads them and as babeltrace2 does, event for event.
TRACE ?= $(wildcard testdata/traces/*/)
compare: build
	@$(BIN)/virtsentry-lab compare $(TRACE)

# The tables and figures of model/EVALUATION.md, from the recordings in testdata/units: some minutes.
evaluation: build
	@results=$$(mktemp) && trap 'rm -f "$$results"' EXIT && \
		$(BIN)/virtsentry evaluation --page model/EVALUATION.md --results "$$results" testdata/units && \
		CGO_ENABLED=0 $(GO) run ./model/evaluation/plots "$$results" model/evaluation/figures

clean:
	rm -rf $(BIN)
