package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// stage says in the environment how far into its own namespaces a process is.
const stage = "VIRTSENTRY_BENCH_STAGE"

const (
	stageInit = "init" // the first process of its namespaces
	stageWork = "work"
)

// Private runs f in namespaces of its own, in a process that is this program started again with the same arguments: with processes, /run and /dev/shm of
// its own, so that it meets no session daemon of the host's, and nothing that it starts or makes there outlives it, however it ends.
func Private(ctx context.Context, f func(context.Context) error) error {
	switch os.Getenv(stage) {
	case stageWork:
		return f(ctx)
	case stageInit:
		if err := enter(); err != nil {
			return fmt.Errorf("make namespaces: %w", err)
		}
		return reap(ctx, again(stageWork))
	}
	runtime.LockOSThread() // the signal at a parent's death is one at the death of its thread
	defer runtime.UnlockOSThread()
	cmd := again(stageInit)
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNS | unix.CLONE_NEWPID, Pdeathsig: syscall.SIGKILL, Setpgid: true}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("make namespaces (it needs root): %w", err)
	}
	stop := context.AfterFunc(ctx, func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		time.AfterFunc(time.Minute, func() { _ = cmd.Process.Kill() })
	})
	defer stop()
	if cmd.Wait() != nil {
		return errors.Join(ctx.Err(), errors.New("the measurement has failed")) // and has said why
	}
	return nil
}

// again is this program with the same arguments.
func again(next string) *exec.Cmd {
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Args[0] = os.Args[0]
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.Env = append(os.Environ(), stage+"="+next)
	return cmd
}

// reap runs a command, and waits for processes that have lost their parents, too: who ends a QEMU waits until its number is free.
func reap(ctx context.Context, cmd *exec.Cmd) error {
	if err := cmd.Start(); err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { _ = unix.Kill(cmd.Process.Pid, unix.SIGTERM) })
	defer stop()
	for {
		var status unix.WaitStatus
		switch pid, err := unix.Wait4(-1, &status, 0, nil); {
		case errors.Is(err, unix.EINTR):
		case err != nil:
			return fmt.Errorf("wait for the measurement: %w", err)
		case pid == cmd.Process.Pid && status.ExitStatus() == 0:
			return nil
		case pid == cmd.Process.Pid:
			return errors.New("the measurement has ended early")
		}
	}
}

// enter mounts what is the namespaces' own.
func enter() error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return err
	}
	for _, m := range []struct{ kind, dir string }{{"proc", "/proc"}, {"tmpfs", "/run"}, {"tmpfs", "/dev/shm"}} {
		if err := unix.Mount("virtsentry-bench", m.dir, m.kind, 0, ""); err != nil {
			return fmt.Errorf("mount %s: %w", m.dir, err)
		}
	}
	return errors.Join(os.Mkdir("/run/lock", 0o755), os.Mkdir("/run/netns", 0o755))
}
