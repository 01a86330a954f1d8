package monitor

import (
	"context"
	"time"

	"github.com/virtsentry/virtsentry/libvirt"
)

// turnEvery is how often the goroutine that handles libvirt's events says that it gets on, when nothing else happens.
const turnEvery = 5 * time.Second

// OnTurn has f called by the very goroutine that handles libvirt's events, each time it has got on with something: it began, it handled an event, went on
// to the next of many domains, or waited for some seconds. One that hangs calls nothing. OnTurn is to be called before Run, and f must not block.
func (m *Monitor) OnTurn(f func()) { m.turned = f }

func (m *Monitor) gotOn() {
	if m.turned != nil {
		m.turned()
	}
}

// connect opens a connection to libvirt, until ctx ends. A libvirt daemon that takes connections and never answers holds whoever opens one: so that is
// left to another goroutine, and this one gets on. A connection that comes too late is closed.
func (m *Monitor) connect(ctx context.Context) (*libvirt.Connection, error) {
	type result struct {
		conn *libvirt.Connection
		err  error
	}
	opened := make(chan result, 1)
	go func() {
		conn, err := libvirt.Connect(m.cfg.Libvirt.URI)
		opened <- result{conn, err}
	}()
	tick := time.NewTicker(turnEvery)
	defer tick.Stop()
	for {
		select {
		case r := <-opened:
			return r.conn, r.err
		case <-tick.C:
			m.gotOn()
		case <-ctx.Done():
			go func() {
				if r := <-opened; r.err == nil {
					m.closeConnection(r.conn)
				}
			}()
			return nil, ctx.Err()
		}
	}
}
