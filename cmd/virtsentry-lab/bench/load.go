package bench

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// loadWeb is the load of the generator, testdata/ustload, by which bars are told.
const loadWeb = "web"

// emulator is the name under which the generator runs: LTTng names traces after it.
const emulator = "qemu-system-x86_64"

// buildGenerator compiles testdata/ustload of the project's checkout into dir and returns the path of the program.
func buildGenerator(ctx context.Context, checkout, dir string) (string, error) {
	source, binary := filepath.Join(checkout, "testdata", "ustload"), filepath.Join(dir, emulator)
	cmd := exec.CommandContext(ctx, "gcc", "-O2", "-pthread", "-Wl,--build-id", "-I", source, "-o", binary, filepath.Join(source, "ustload.c"), "-llttng-ust", "-ldl", "-lm")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build %s (run it at the top of the project's checkout, after make deps): %w: %s", source, err, strings.TrimSpace(string(out)))
	}
	return binary, nil
}

// player is one process of the generator, which plays one domain's QEMU.
type player struct {
	number     int
	name, uuid string
	pid        int
	cmd        *exec.Cmd
	in         io.WriteCloser
	out        *bufio.Reader
}

// generator runs players. One goroutine uses it. They end with this process at the latest, as their standard input does.
type generator struct {
	binary  string
	runDir  string // PID files are written into runDir/qemu, as libvirt does; empty: nowhere
	players []*player
	next    int
	past    uint64 // hits of players that have ended
}

// resize has so many players with a load; the youngest end when there are too many.
func (g *generator) resize(n int, load string) error {
	for len(g.players) > n {
		if err := g.remove(len(g.players) - 1); err != nil {
			return err
		}
	}
	for _, p := range g.players {
		if err := p.tell("load " + load); err != nil {
			return err
		}
	}
	for len(g.players) < n {
		if _, err := g.add(load); err != nil {
			return err
		}
	}
	return nil
}

// add starts a player. Its seed is its number, so that a run can be had again.
func (g *generator) add(load string) (*player, error) {
	n := g.next
	g.next++
	p := &player{number: n, name: fmt.Sprintf("bench-%d", n), uuid: fmt.Sprintf("%08x-5ca1-4ab1-8e00-000000000001", n)}
	// What identifies a domain's QEMU is as libvirt has it: its UUID among the arguments, and a thread of a virtual CPU's name.
	p.cmd = exec.Command(g.binary, "-name", "guest="+p.name, "-uuid", p.uuid, "-load", load, "-seed", fmt.Sprint(n+1))
	p.cmd.Stderr = os.Stderr
	var err error
	if p.in, err = p.cmd.StdinPipe(); err != nil {
		return nil, fmt.Errorf("start a player: %w", err)
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("start a player: %w", err)
	}
	p.out = bufio.NewReader(out)
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start a player: %w", err)
	}
	p.pid = p.cmd.Process.Pid
	g.players = append(g.players, p)
	if g.runDir == "" {
		return p, nil
	}
	return p, os.WriteFile(g.pidFile(p), fmt.Appendln(nil, p.pid), 0o600)
}

func (g *generator) pidFile(p *player) string { return filepath.Join(g.runDir, "qemu", p.name+".pid") }

// remove ends a player, by its place among them.
func (g *generator) remove(i int) error {
	p := g.players[i]
	g.players = append(g.players[:i:i], g.players[i+1:]...)
	hits, err := p.end()
	g.past += hits
	if g.runDir != "" {
		err = errors.Join(err, os.Remove(g.pidFile(p)))
	}
	return err
}

// end ends all players.
func (g *generator) end() error {
	var err error
	for len(g.players) > 0 {
		err = errors.Join(err, g.remove(len(g.players)-1))
	}
	return err
}

// hits is how often all players so far have hit trace points of the default feature set.
func (g *generator) hits() (uint64, error) {
	total := g.past
	for _, p := range g.players {
		if err := p.tell("count"); err != nil {
			return 0, err
		}
	}
	for _, p := range g.players {
		n, err := p.count()
		if err != nil {
			return 0, err
		}
		total += n
	}
	return total, nil
}

func (p *player) tell(line string) error {
	if _, err := io.WriteString(p.in, line+"\n"); err != nil {
		return fmt.Errorf("player %s (process %d): %w", p.name, p.pid, err)
	}
	return nil
}

// count reads how often it has hit trace points of the default feature set.
func (p *player) count() (uint64, error) {
	var all, counted uint64
	line, err := p.out.ReadString('\n')
	if err == nil {
		_, err = fmt.Sscanf(line, "events %d default %d", &all, &counted)
	}
	if err != nil {
		return 0, fmt.Errorf("player %s (process %d): count: %w", p.name, p.pid, err)
	}
	return counted, nil
}

// playerPatience bounds how long a player may take to end.
const playerPatience = 10 * time.Second

// end ends the player and returns its hits.
func (p *player) end() (uint64, error) {
	kill := time.AfterFunc(playerPatience, func() { _ = p.cmd.Process.Kill() })
	defer kill.Stop()
	_ = p.in.Close() // it ends by that
	hits, err := p.count()
	_, _ = io.Copy(io.Discard, p.out)
	if waitErr := p.cmd.Wait(); waitErr != nil {
		err = errors.Join(err, fmt.Errorf("player %s (process %d): %w", p.name, p.pid, waitErr))
	}
	return hits, err
}
