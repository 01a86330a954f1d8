# make demo: a real guest is learnt, attacked and judged.   make test: all the tests.
# Both install what they need (Debian 12, root) and keep what is slow to make in ~/.cache/virtsentry.

GO      := packaging/go
BIN     := bin
DEPS    := packaging/deps
LABDEPS := packaging/lab/deps packaging/lab/image/deps packaging/qemu/run-deps
TESTS   ?= ./...

.PHONY: all build deps deb rpm package-test lab-deps qemu image demo test unit-test fuzz lint fresh compare evaluation bench-alarm bench-cost bench-decode bench-impact bench-units bench-train bench-score bench-scale bench-transport closer-look faults soak clean

all: build

deps:
	@packaging/install $(DEPS)

lab-deps: deps
	@packaging/install $(LABDEPS)

# The operator's command and the privileged helper need no C library at all.
build: deps
	@mkdir -p $(BIN)
	@CGO_ENABLED=0 $(GO) build -o $(BIN)/ ./cmd/virtsentry ./cmd/virtsentry-probe
	@$(GO) build -o $(BIN)/ ./cmd/virtsentryd ./cmd/virtsentry-keeper ./cmd/virtsentry-lab

# bin/virtsentry_VERSION-1_ARCH.deb and bin/virtsentry-VERSION-1.ARCH.rpm, of one description: packaging/nfpm.yaml.
VERSION ?= 0.7.0
deb rpm: deps
	@packaging/package $(VERSION) $@

# In a clean Debian tree: installed, started as its units say, watching a guest, upgraded, removed, purged.
package-test: deps
	@packaging/test-package

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
	@$(GO) generate ./cmd/internal/syscallname && git diff --exit-code -- cmd/internal/syscallname
	@$(GO) generate ./cmd/internal/probe/kernel && git diff --exit-code --stat -- cmd/internal/probe/kernel
	@$(GO) generate ./cmd/internal/dashboard && git diff --exit-code --stat -- cmd/internal/dashboard/web/dist
	@$(GO) run ./cmd/virtsentry-lab bench page --check
	@$(GO) run ./cmd/virtsentry-lab cost page --check
	@$(GO) run ./cmd/internal/metrics/reference --check packaging/METRICS.md
	@$(GO) run ./cmd/virtsentry-lab reliability page --check

# Traces (directories) as virtsentry reads them and as babeltrace2 does, event for event.
TRACE ?= $(wildcard testdata/traces/*/)
compare: build
	@$(BIN)/virtsentry-lab compare $(TRACE)

# The tables and figures of model/EVALUATION.md, from the recordings in testdata/units: some minutes.
evaluation: build
	@results=$$(mktemp) && trap 'rm -f "$$results"' EXIT && \
		$(BIN)/virtsentry evaluation --page model/EVALUATION.md --results "$$results" testdata/units && \
		CGO_ENABLED=0 $(GO) run ./model/evaluation/plots "$$results" model/evaluation/figures

# How fast traces are read, compared with babeltrace2: some minutes.
bench-decode: lab-deps build
	@$(BIN)/virtsentry-lab bench decode
	@$(BIN)/virtsentry-lab bench page

# How soon a libvirt client hears of an attack: a quarter of an hour.
bench-alarm: lab-deps build
	@packaging/qemu/build >/dev/null
	@packaging/lab/image/build >/dev/null
	@$(BIN)/virtsentry-lab bench alarm
	@$(BIN)/virtsentry-lab bench page

# What observing costs a guest, and what a unit takes to obtain: both add rounds to their results. See lttng/BENCHMARKS.md.
bench-impact bench-units: lab-deps build
	@packaging/qemu/build >/dev/null
	@packaging/lab/image/build >/dev/null
	@$(BIN)/virtsentry-lab bench $(@:bench-%=%)
	@$(BIN)/virtsentry-lab bench page

# What the daemons take with more and more domains (20 minutes), and what ways from QEMU to the daemon take (a quarter of an hour).
bench-scale bench-transport: lab-deps build
	@packaging/qemu/build >/dev/null
	@packaging/lab/image/build >/dev/null
	@$(BIN)/virtsentry-lab bench $(@:bench-%=%)
	@$(BIN)/virtsentry-lab bench page

# What combinations of sources cost a guest, to fit prices to, and model/COST.md: 70 minutes, on a quiet machine. Interrupted and called again, it goes on;
# where the lab fails, it goes on with another one.
bench-cost: lab-deps build
	@packaging/qemu/build >/dev/null
	@packaging/lab/image/build >/dev/null
	@for attempt in 1 2 3 4 5; do $(BIN)/virtsentry-lab cost calibrate --output testdata/cost/lab.jsonl.new && exit 0; done; exit 1
	@mv testdata/cost/lab.jsonl.new testdata/cost/lab.jsonl
	@$(BIN)/virtsentry-lab cost page

# What learning a day costs, and judging a unit: five minutes, and two.
bench-train bench-score: build
	@$(BIN)/virtsentry-lab bench $(@:bench-%=%)
	@$(BIN)/virtsentry-lab bench page

# Every fault of packaging/RELIABILITY.md, on the real stack: an hour. FAULTS_STARTS=300 FAULTS_PLAYERS=5000 have as many guests come and go. CASES="kill-qemu
# metadata" runs some, and keeps no results. Root only.
faults: lab-deps build
	@packaging/qemu/build >/dev/null
	@packaging/lab/image/build >/dev/null
	@packaging/faults $(CASES)
	@$(GO) run ./cmd/virtsentry-lab reliability page

# What an operator does: an attack raises an incident, and a closer look is begun from its page in a real Chromium; then the daemon is killed during each action. Ten minutes. SHOTS=DIR keeps pictures.
closer-look: lab-deps build
	@packaging/qemu/build >/dev/null
	@packaging/lab/image/build >/dev/null
	@VIRTSENTRY_CLOSER_LOOK=1 VIRTSENTRY_SHOTS=$(abspath $(SHOTS)) unshare --mount $(GO) test -count=1 -tags integration -v -run '^TestCloserLook' -timeout 30m ./cmd/virtsentryd

# Guests that come and go, load, attacks and faults for a long time, such as SOAK=8h: memory and descriptors stay as they are. SEED= has the same order again.
SOAK ?= 30m
soak: lab-deps build
	@packaging/qemu/build >/dev/null
	@packaging/lab/image/build >/dev/null
	@SEED=$(SEED) packaging/faults --soak $(SOAK)
	@$(GO) run ./cmd/virtsentry-lab reliability page

clean:
	rm -rf $(BIN)
