package lab

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"libvirt.org/go/libvirt"
)

// guestPath is the search path for commands in a guest: the agent's own
// environment may have none.
const guestPath = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// agentTimeout is what libvirtd waits for one answer of the guest's agent.
// Guests under TCG and under attack are slow.
const agentTimeout = libvirt.DomainQemuAgentCommandTimeout(20)

// ExecResult is what a command in a guest has left. Output comes whole, when
// the command has ended; the agent keeps at most 16 MiB of each.
type ExecResult struct {
	Code           int // exit code, or 128 + the signal that ended it
	Stdout, Stderr []byte
	Truncated      bool // the agent has dropped output
}

// Exec runs a command in a guest through the guest's agent, as root, and
// waits for its end. When ctx ends first the command is killed.
func (l *Lab) Exec(ctx context.Context, guest string, argv ...string) (ExecResult, error) {
	return l.execFor(ctx, guest, 0, argv)
}

// execFor runs a command that is expected to take d: but for one early look
// whether it has failed, the agent is left alone until then, because every
// question is traffic on a virtio device that a recording would show.
func (l *Lab) execFor(ctx context.Context, guest string, d time.Duration, argv []string) (ExecResult, error) {
	var res ExecResult
	if len(argv) == 0 {
		return res, errors.New("run in guest: no command")
	}
	err := l.withDomain(guest, func(dom *libvirt.Domain) error {
		pid, err := guestStart(ctx, dom, argv)
		if err != nil {
			return err
		}
		res, err = guestWait(ctx, dom, pid, d)
		if ctx.Err() != nil {
			killInGuest(ctx, dom, pid)
		}
		return err
	})
	if err != nil {
		return res, fmt.Errorf("run %s in guest %s: %w", argv[0], guest, err)
	}
	return res, nil
}

// guestStart starts the command. A guest that has just booted has no agent
// yet: it is waited for.
func guestStart(ctx context.Context, dom *libvirt.Domain, argv []string) (pid int, err error) {
	var reply struct {
		PID int `json:"pid"`
	}
	deadline := time.Now().Add(time.Minute)
	for {
		err = agentCall(dom, "guest-exec", map[string]any{
			"path": argv[0], "arg": argv[1:], "env": []string{guestPath, "HOME=/root", "LC_ALL=C.UTF-8"},
			"capture-output": true,
		}, &reply)
		if err == nil {
			return reply.PID, nil
		}
		if !errors.Is(err, libvirt.ERR_AGENT_UNRESPONSIVE) || time.Now().After(deadline) {
			return 0, err
		}
		if err := sleep(ctx, 500*time.Millisecond); err != nil {
			return 0, err
		}
	}
}

// execStatus is the reply to guest-exec-status.
type execStatus struct {
	Exited       bool   `json:"exited"`
	ExitCode     int    `json:"exitcode"`
	Signal       int    `json:"signal"`
	Out          []byte `json:"out-data"`
	Err          []byte `json:"err-data"`
	OutTruncated bool   `json:"out-truncated"`
	ErrTruncated bool   `json:"err-truncated"`
}

func (s execStatus) result() ExecResult {
	code := s.ExitCode
	if s.Signal != 0 {
		code = 128 + s.Signal
	}
	return ExecResult{Code: code, Stdout: s.Out, Stderr: s.Err, Truncated: s.OutTruncated || s.ErrTruncated}
}

// earlyLook is when a command that is to run long is looked at first: well
// before a recording begins.
const earlyLook = 2 * time.Second

// guestWait polls, since the agent has no other way.
func guestWait(ctx context.Context, dom *libvirt.Domain, pid int, expected time.Duration) (ExecResult, error) {
	began, pause, misses := time.Now(), 50*time.Millisecond, 0
	if expected > 2*earlyLook {
		pause = earlyLook
	}
	for {
		if err := sleep(ctx, pause); err != nil {
			return ExecResult{}, err
		}
		var st execStatus
		err := agentCall(dom, "guest-exec-status", map[string]any{"pid": pid}, &st)
		switch {
		case err == nil && st.Exited:
			return st.result(), nil
		case err == nil:
			misses = 0
		case errors.Is(err, libvirt.ERR_AGENT_UNRESPONSIVE) && misses < 3:
			misses++
		default:
			return ExecResult{}, err
		}
		pause = min(pause*3/2, 200*time.Millisecond)
		if left := expected - time.Since(began); left > 0 {
			pause = left
		}
	}
}

// killInGuest ends a command whose caller has gone: asked first, because
// timeout(1) passes that on to what it runs, then killed.
func killInGuest(ctx context.Context, dom *libvirt.Domain, pid int) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*killDelay)
	defer cancel()
	script := fmt.Sprintf("kill -TERM %[1]d; for i in 1 2 3 4 5 6 7 8 9 10; do kill -0 %[1]d 2>/dev/null || exit 0; sleep 0.2; done; kill -KILL -%[1]d %[1]d", pid)
	killer, err := guestStart(ctx, dom, []string{"/bin/sh", "-c", script})
	if err != nil {
		return // its own time limit in the guest ends it
	}
	_, _ = guestWait(ctx, dom, killer, 0)
	_, _ = guestWait(ctx, dom, pid, 0)
}

// agentCall sends one command to the guest's agent and decodes what it
// returns.
func agentCall(dom *libvirt.Domain, command string, args map[string]any, into any) error {
	req, err := json.Marshal(map[string]any{"execute": command, "arguments": args})
	if err != nil {
		return fmt.Errorf("ask guest agent: %w", err)
	}
	raw, err := dom.QemuAgentCommand(string(req), agentTimeout, 0)
	if err != nil {
		return fmt.Errorf("ask guest agent for %s: %w", command, err)
	}
	return decodeAgentReply([]byte(raw), into)
}

func decodeAgentReply(raw []byte, into any) error {
	reply := struct {
		Return any `json:"return"`
	}{into}
	if err := json.Unmarshal(raw, &reply); err != nil {
		return fmt.Errorf("parse guest agent's reply: %w", err)
	}
	return nil
}
