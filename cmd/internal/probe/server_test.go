package probe

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/virtsentry/virtsentry/libvirt/qemu"
	"github.com/virtsentry/virtsentry/lttng/unit"
)

// helper is a server of made-up domains, whose clients are root.
type helper struct {
	*listener
	domains  *domains
	counters *counters
	served   chan error
	stop     func()
}

// inHelper runs f with a server, where time is made up.
func inHelper(t *testing.T, change func(*Server), f func(*testing.T, *helper)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		h := &helper{listener: newListener(), domains: someDomains(), counters: newCounters(), served: make(chan error, 1)}
		s := &Server{Domains: h.domains, Attach: h.counters.Attach, Log: silent(), peer: func(net.Conn) (Peer, error) { return Peer{PID: 1}, nil }}
		if change != nil {
			change(s)
		}
		ctx, stop := context.WithCancel(t.Context())
		h.stop = stop
		go func() { h.served <- s.Serve(ctx, h.listener) }()
		f(t, h)
		stop()
		if err := <-h.served; err != nil {
			t.Errorf("Serve = %v", err)
		}
		if n := h.counters.count(); n != 0 {
			t.Errorf("%d counters are open at the end", n)
		}
	})
}

func attach(t *testing.T, h *helper, uuid string, sources ...Source) *Client {
	t.Helper()
	c := h.client()
	if _, err := c.Attach(t.Context(), Attach{UUID: uuid, Sources: sources}); err != nil {
		t.Fatal(err)
	}
	return c
}

func TestObserve(t *testing.T) {
	inHelper(t, nil, func(t *testing.T, h *helper) {
		h.counters.refuse[KVM] = errors.New("no KVM here")
		c := h.client()
		if err := c.Ping(t.Context()); err != nil {
			t.Fatal(err)
		}
		got, err := c.Attach(t.Context(), Attach{UUID: webUUID, Sources: []Source{Syscalls, Tap, KVM}, Offset: -5})
		want := Attached{PID: 4711, Start: 99, Sources: []Observed{
			{Source: Syscalls, Detail: "[{vnet0 7}]"}, {Source: Tap, Detail: "[{vnet0 7}]"}, {Source: KVM, Error: "no KVM here"},
		}}
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Fatalf("Attach: %v (-want +got):\n%s", err, diff)
		}
		for i, last := range []bool{false, false, true} {
			got, err := c.Collect(t.Context(), last)
			if err != nil || len(got.Sources) != 3 || got.Changed {
				t.Fatalf("Collect = %+v, %v", got, err)
			}
			u := got.Sources[1]
			if len(u.Units) != 1+i/2 || u.Units[0].Counts[0] != 4711 || u.Units[0].Start != int64(i)*int64(unit.Width) || u.Hits != 3 || u.Time != 900 {
				t.Errorf("Collect %d: %d units of %s", i, len(u.Units), u.Source)
			}
			if k := got.Sources[2]; len(k.Units) != 0 || k.Error != "no KVM here" {
				t.Errorf("Collect %d: %+v", i, k)
			}
		}
		if _, err := c.Collect(t.Context(), false); !errors.Is(err, ErrNoHelper) {
			t.Errorf("Collect after the last one: %v", err)
		}
	})
}

func TestRefused(t *testing.T) {
	taps := Target{UUID: dbUUID, Process: qemu.Process{PID: 4712, Start: 99}, NoProgram: errors.New("not root's"), Others: []string{"eth0: is no tap device"}}
	inHelper(t, nil, func(t *testing.T, h *helper) {
		h.domains.list[dbUUID] = taps
		for name, test := range map[string]struct {
			request Attach
			want    string
		}{
			"unknown domain":   {Attach{UUID: "22222222-cdaf-9455-926a-d65c16db1809", Sources: []Source{Tap}}, "no such domain"},
			"no source":        {Attach{UUID: webUUID}, "no source"},
			"unknown source":   {Attach{UUID: webUUID, Sources: []Source{"disk"}}, "unknown"},
			"source twice":     {Attach{UUID: webUUID, Sources: []Source{Tap, Tap}}, "twice"},
			"offset":           {Attach{UUID: webUUID, Sources: []Source{Tap}, Offset: -1 << 63}, "out of range"},
			"sources, no UUID": {Attach{Sources: []Source{Tap}}, "no such domain"},
		} {
			if _, err := h.client().Attach(t.Context(), test.request); !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), test.want) {
				t.Errorf("%s: %v; want %q", name, err, test.want)
			}
		}
		c := h.client()
		got, err := c.Attach(t.Context(), Attach{UUID: dbUUID, Sources: []Source{Tap, Functions}})
		if err != nil || !strings.Contains(got.Sources[0].Error, "eth0: is no tap") || got.Sources[1].Error != "not root's" || h.counters.made != 0 {
			t.Errorf("what a domain has not: %+v, %v", got, err)
		}
		_ = c.Close()
	})
}

// TestNonsense: whoever sends what is no request is told so and cut off, whatever is attached.
func TestNonsense(t *testing.T) {
	const good = `{"uuid":"` + webUUID + `","sources":["tap"],"offset":0}` + "\n"
	for name, test := range map[string]struct{ before, send, want string }{
		"no JSON":              {"", "GET / HTTP/1.1\n", "no JSON object"},
		"empty line":           {"", "\n", "no JSON object"},
		"array":                {"", "[]\n", "no JSON object"},
		"null":                 {"", "null\n", "no JSON object"},
		"unknown field":        {"", `{"uuid":"x","pid":1}` + "\n", "unknown field"},
		"path":                 {"", `{"uuid":"x","path":"/etc/shadow"}` + "\n", "unknown field"},
		"two":                  {"", "{}{}\n", "behind it"},
		"wrong type":           {"", `{"uuid":7}` + "\n", "cannot unmarshal"},
		"too long":             {"", strings.Repeat(" ", maxRequest+1), "too long"},
		"attach twice":         {good, good, "unknown field"},
		"garbage, attached":    {good, "\x00\xff\x80\n", "no JSON object"},
		"too long, attached":   {good, `{"last":` + strings.Repeat("[", maxRequest), "too long"},
		"deep":                 {"", `{"sources":` + strings.Repeat("[", maxRequest/2) + "\n", "not understood"},
		"number out of bounds": {"", `{"uuid":"x","offset":1e99}` + "\n", "cannot unmarshal"},
	} {
		t.Run(name, func(t *testing.T) {
			inHelper(t, nil, func(t *testing.T, h *helper) {
				conn := h.connect()
				answers := bufio.NewReader(conn)
				say := func(text string) string {
					go func() { _, _ = io.WriteString(conn, text) }() // the server may not read all of it
					line, err := answers.ReadString('\n')
					if err != nil {
						t.Fatal(err)
					}
					return line
				}
				if test.before != "" {
					if line := say(test.before); !strings.Contains(line, `"pid":4711`) {
						t.Fatalf("answer: %s", line)
					}
				}
				if line := say(test.send); !strings.Contains(line, test.want) || !strings.Contains(line, `"error":`) {
					t.Errorf("answer: %s; want %q", line, test.want)
				}
				if _, err := answers.ReadByte(); !errors.Is(err, io.EOF) {
					t.Errorf("after it: %v; want the end", err)
				}
			})
		})
	}
}

// TestSlow: a message that has begun is waited for, but not for ever; and so is the first one.
func TestSlow(t *testing.T) {
	for name, test := range map[string]struct {
		send string
		want time.Duration
	}{
		"message without an end": {`{"uuid":`, messageTime},
		"no message":             {"", attachTime},
	} {
		t.Run(name, func(t *testing.T) {
			inHelper(t, nil, func(t *testing.T, h *helper) {
				conn := h.connect()
				begin := time.Now()
				if _, err := io.WriteString(conn, test.send); err != nil {
					t.Fatal(err)
				}
				text, err := io.ReadAll(conn)
				if took := time.Since(begin); err != nil || !strings.Contains(string(text), "timeout") || took != test.want {
					t.Errorf("%s, %v after %v; want %v", text, err, took, test.want)
				}
			})
		})
	}
	t.Run("client that does not read", func(t *testing.T) {
		inHelper(t, nil, func(t *testing.T, h *helper) {
			conn := h.connect()
			if _, err := io.WriteString(conn, `{"uuid":"`+webUUID+`","sources":["tap"],"offset":0}`+"\n"); err != nil {
				t.Fatal(err)
			}
			<-h.counters.changed
			_ = conn.Close()
		})
	})
	t.Run("waiting between requests, up to a limit", func(t *testing.T) {
		inHelper(t, nil, func(t *testing.T, h *helper) {
			c := attach(t, h, webUUID, Tap)
			time.Sleep(silence - time.Second)
			if _, err := c.Collect(t.Context(), false); err != nil {
				t.Error(err)
			}
			time.Sleep(silence + time.Second)
			if _, err := c.Collect(t.Context(), true); err == nil {
				t.Error("a client that was silent for longer is still served")
			}
		})
	})
}

// TestRate: a client that asks all the time has to wait.
func TestRate(t *testing.T) {
	inHelper(t, nil, func(t *testing.T, h *helper) {
		c := attach(t, h, webUUID, Tap)
		begin := time.Now()
		for range 5 * requestRate {
			if _, err := c.Collect(t.Context(), false); err != nil {
				t.Fatal(err)
			}
		}
		if took := time.Since(begin); took < 3*time.Second || took > 6*time.Second {
			t.Errorf("%d requests took %v", 5*requestRate, took)
		}
		_ = c.Close()
	})
	inHelper(t, nil, func(t *testing.T, h *helper) {
		begin := time.Now()
		for range 5 * connectionRate {
			_ = h.connect().Close()
		}
		if took := time.Since(begin); took < 3*time.Second || took > 6*time.Second {
			t.Errorf("%d connections took %v", 5*connectionRate, took)
		}
	})
}

func TestTooManyConnections(t *testing.T) {
	inHelper(t, nil, func(t *testing.T, h *helper) {
		var conns []net.Conn
		for range maxConnections {
			c := h.client()
			if err := c.Ping(t.Context()); err != nil && len(conns) < maxConnections/2 {
				t.Fatal(err)
			}
			_, err := c.Attach(t.Context(), Attach{UUID: webUUID, Sources: []Source{Tap}})
			if err != nil {
				t.Fatal(err)
			}
			conns = append(conns, c.wire.conn)
		}
		more := h.connect()
		if text, err := io.ReadAll(more); err != nil || !strings.Contains(string(text), "connections") {
			t.Errorf("one more: %s, %v", text, err)
		}
		for _, c := range conns {
			_ = c.Close()
		}
		synctest.Wait()
		if err := h.client().Ping(t.Context()); err != nil {
			t.Errorf("after all have gone: %v", err)
		}
	})
}

// TestTwoClients of one domain do not disturb each other.
func TestTwoClients(t *testing.T) {
	inHelper(t, nil, func(t *testing.T, h *helper) {
		a, b := attach(t, h, webUUID, Tap, Syscalls), attach(t, h, webUUID, Tap)
		if h.counters.count() != 3 {
			t.Errorf("%d counters", h.counters.count())
		}
		_ = a.Close()
		<-h.counters.changed
		<-h.counters.changed
		if got, err := b.Collect(t.Context(), false); err != nil || len(got.Sources[0].Units) != 1 || h.counters.count() != 1 {
			t.Errorf("Collect = %+v, %v; %d counters", got, err, h.counters.count())
		}
	})
}

// TestDomainEnds: its last units are delivered, then all ends.
func TestDomainEnds(t *testing.T) {
	inHelper(t, nil, func(t *testing.T, h *helper) {
		c, other := attach(t, h, webUUID, Tap), attach(t, h, dbUUID, Syscalls)
		h.domains.end(webUUID)
		got, err := c.Collect(t.Context(), false)
		if !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), "4711 has ended") || len(got.Sources) != 1 || len(got.Sources[0].Units) != 2 {
			t.Errorf("Collect = %+v, %v", got, err)
		}
		<-h.counters.changed
		if _, err := other.Collect(t.Context(), false); err != nil {
			t.Errorf("the other domain: %v", err)
		}
	})
	inHelper(t, nil, func(t *testing.T, h *helper) {
		h.counters.attach = func() { h.domains.end(webUUID) }
		if _, err := h.client().Attach(t.Context(), Attach{UUID: webUUID, Sources: []Source{Tap, KVM}}); !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), "meanwhile") {
			t.Errorf("domain that ends while it is attached: %v", err)
		}
		<-h.counters.changed
		<-h.counters.changed
	})
}

// TestSourceEnds: one that ends by an error is closed, and the others go on.
func TestSourceEnds(t *testing.T) {
	inHelper(t, nil, func(t *testing.T, h *helper) {
		c := attach(t, h, webUUID, Tap, Syscalls)
		h.counters.each(func(n *counter) {
			if n.source == Tap {
				n.broken = errors.New("vnet0 is gone")
			}
		})
		for i, units := range []int{1, 0} {
			got, err := c.Collect(t.Context(), false)
			if err != nil || len(got.Sources[0].Units) != units || got.Sources[0].Error != "vnet0 is gone" || len(got.Sources[1].Units) != 1 || h.counters.count() != 1 {
				t.Errorf("Collect %d = %+v, %v", i, got, err)
			}
		}
	})
}

func TestChanged(t *testing.T) {
	inHelper(t, nil, func(t *testing.T, h *helper) {
		c := attach(t, h, webUUID, Tap)
		collect := func(want bool) {
			t.Helper()
			if got, err := c.Collect(t.Context(), false); err != nil || got.Changed != want {
				t.Errorf("Collect: changed %v, %v; want %v", got.Changed, err, want)
			}
		}
		h.domains.replug(webUUID, Device{"vnet0", 7}, Device{"vnet1", 8})
		collect(false)
		time.Sleep(recheck)
		collect(true)
		h.domains.replug(webUUID, Device{"vnet0", 7})
		time.Sleep(recheck)
		collect(true) // until the client has attached anew
	})
}

// TestIdle: a helper that nobody needs ends; one that somebody uses does not.
func TestIdle(t *testing.T) {
	inHelper(t, func(s *Server) { s.Idle = 30 * time.Second }, func(t *testing.T, h *helper) {
		c := attach(t, h, webUUID, Tap)
		time.Sleep(silence - time.Second)
		if _, err := c.Collect(t.Context(), false); err != nil {
			t.Fatal(err)
		}
		begin := time.Now()
		_ = c.Close()
		err := <-h.served
		h.served <- err
		if took := time.Since(begin); took < 30*time.Second || took > time.Minute {
			t.Errorf("ended after %v", took)
		}
	})
}

// TestEnd: when the server is told to end, clients see it.
func TestEnd(t *testing.T) {
	inHelper(t, nil, func(t *testing.T, h *helper) {
		c, half := attach(t, h, webUUID, Tap), h.connect()
		h.stop()
		if err := <-h.served; err != nil {
			t.Error(err)
		}
		h.served <- nil
		if _, err := c.Collect(t.Context(), false); err == nil {
			t.Error("Collect: no error")
		}
		_ = half.Close()
	})
}

// TestSocket is about the real thing: who connects is asked of the kernel, and the socket goes with the server.
func TestSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "probe.sock")
	if _, err := Dial(t.Context(), path); !errors.Is(err, ErrNoHelper) {
		t.Errorf("Dial of no socket: %v", err)
	}
	l, err := Listen(path, -1)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Listen(path, -1); err == nil || !strings.Contains(err.Error(), "another virtsentry-probe") {
		t.Errorf("Listen again: %v", err)
	}
	made := newCounters()
	s := &Server{Domains: someDomains(), Attach: made.Attach, Log: silent()}
	ctx, stop := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- s.Serve(ctx, l) }()

	c, err := Dial(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	if p, err := peerOf(c.wire.conn); err != nil || p.PID <= 0 {
		t.Errorf("peerOf = %+v, %v", p, err)
	}
	_, attachErr := c.Attach(t.Context(), Attach{UUID: webUUID, Sources: []Source{Tap}})
	if root := isRoot(); root != (attachErr == nil) || !root && !errors.Is(attachErr, ErrRefused) {
		t.Errorf("Attach: %v", attachErr)
	}
	if attachErr == nil {
		done, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := c.Collect(done, false); !errors.Is(err, context.Canceled) {
			t.Errorf("Collect with a context that has ended: %v", err)
		}
		<-made.changed // its connection is of no use any more
	}
	stop()
	if err := errors.Join(<-served, c.Close()); err != nil {
		t.Error(err)
	}
	if _, err := Dial(t.Context(), path); !errors.Is(err, ErrNoHelper) {
		t.Errorf("Dial after the end: %v", err)
	}
}
