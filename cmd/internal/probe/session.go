package probe

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/virtsentry/virtsentry/lttng/unit"
)

// session is one connection, and the observation of one domain.
type session struct {
	*Server
	wire *wire
	pace pace
	log  logrus.FieldLogger

	target   Target
	observed []observed
	looked   time.Time // at the domain's tap devices
	changed  bool      // they are others now
}

// observed is one source.
type observed struct {
	source  Source
	counter Counter // nil: it could not be attached, or has ended
	err     error   // why
	hits    uint64
	ns      uint64
}

// run answers requests until the connection ends.
func (n *session) run(ctx context.Context) {
	defer n.detach()
	if err := n.attach(ctx); err != nil {
		n.cutOff(ctx, err, Attached{Error: words(err)})
		return
	}
	for {
		var request Collect
		n.pace.wait(ctx)
		if err := n.wire.receive(time.Now().Add(silence), &request); err != nil {
			n.cutOff(ctx, err, Collected{Error: words(err)})
			return
		}
		answer := n.collect(request.Last)
		if err := n.send(answer); err != nil {
			n.cutOff(ctx, err, Collected{Error: words(err)})
			return
		}
		if request.Last || answer.Error != "" {
			return
		}
	}
}

// send sends an answer.
func (n *session) send(answer any) error {
	return n.wire.send(time.Now().Add(messageTime), maxAnswer, answer)
}

// cutOff tells the client, if it is still there, and the log why its connection ends.
func (n *session) cutOff(ctx context.Context, err error, answer any) {
	if err == nil || errors.Is(err, io.EOF) || errors.Is(err, net.ErrClosed) || ctx.Err() != nil {
		return // it has ended
	}
	n.log.WithError(err).Warn("probe: a client is cut off")
	_ = n.send(answer) // it may have gone
}

// refuse tells a client that it is not served.
func (n *session) refuse(err error) {
	n.log.WithError(err).Warn("probe: a client is refused")
	_ = n.send(Attached{Error: words(err)})
}

// words are an error's, as far as a client may need them.
func words(err error) string {
	const most = 2000
	if err == nil {
		return ""
	}
	text := err.Error()
	return text[:min(len(text), most)]
}

// attach waits for the request for a domain, and does what it asks for. Where nothing is attached, an error says why.
func (n *session) attach(ctx context.Context) error {
	until := time.Now().Add(attachTime)
	var request Attach
	for {
		request = Attach{}
		if err := n.wire.receive(until, &request); err != nil {
			return err
		}
		if request.UUID != "" || len(request.Sources) > 0 {
			break
		}
		if err := n.send(Attached{Sources: []Observed{}}); err != nil {
			return err
		}
		n.pace.wait(ctx)
	}
	if err := checkAttach(request); err != nil {
		return err
	}
	target, err := n.Domains.Find(request.UUID)
	if err != nil {
		return err
	}
	n.target, n.looked = target, time.Now()
	n.log = n.log.WithFields(logrus.Fields{"domain": target.UUID, "qemu": target.Process.PID})

	select {
	case n.attaching <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	answer := n.attachSources(request)
	<-n.attaching

	// Only now is it known that all of it is about one process.
	if !n.Domains.Alive(target) {
		return fmt.Errorf("domain %s: process %d has ended meanwhile", target.UUID, target.Process.PID)
	}
	n.log.WithField("sources", answer.Sources).Info("probe: attached")
	return n.send(answer)
}

func checkAttach(a Attach) error {
	const mostOffset = 1 << 62 // nanoseconds: a clock of 146 years
	switch {
	case a.Offset > mostOffset || a.Offset < -mostOffset:
		return fmt.Errorf("offset of %d ns is out of range", a.Offset)
	case len(a.Sources) == 0:
		return errors.New("no source is asked for")
	}
	seen := map[Source]bool{}
	for _, s := range a.Sources {
		if !s.Known() || seen[s] {
			return fmt.Errorf("source %.40q is unknown, or is there twice", s)
		}
		seen[s] = true
	}
	return nil
}

func (n *session) attachSources(request Attach) Attached {
	answer := Attached{PID: n.target.Process.PID, Start: n.target.Process.Start}
	for _, s := range request.Sources {
		o := observed{source: s}
		if o.err = missing(s, n.target); o.err == nil {
			o.counter, o.err = n.Attach(s, n.target, Options{Offset: request.Offset, Headers: request.Headers})
		}
		said := Observed{Source: s, Error: words(o.err)}
		if o.err == nil {
			said.Detail = o.counter.Detail()
		}
		answer.Sources = append(answer.Sources, said)
		n.observed = append(n.observed, o)
	}
	return answer
}

// missing says what a source needs and a domain has not.
func missing(s Source, t Target) error {
	switch {
	case s == Functions:
		return t.NoProgram
	case s == Tap && len(t.Taps) == 0 && len(t.Others) > 0:
		return fmt.Errorf("no interface has a tap device: %s", t.Others)
	case s == Tap && len(t.Taps) == 0:
		return errors.New("no interface has a tap device")
	}
	return nil
}

// collect reads all sources. Where the domain's process is not there any more, that is the last time.
func (n *session) collect(last bool) Collected {
	answer := Collected{Sources: []Units{}}
	if !n.Domains.Alive(n.target) {
		last = true
		answer.Error = fmt.Sprintf("domain %s: its process %d has ended", n.target.UUID, n.target.Process.PID)
	}
	for i := range n.observed {
		answer.Sources = append(answer.Sources, n.observed[i].collect(last))
	}
	if !last {
		n.look()
	}
	answer.Changed = n.changed
	return answer
}

func (o *observed) collect(last bool) Units {
	u := Units{Source: o.source, Units: []unit.Unit{}}
	if o.counter != nil {
		list, err := o.counter.Collect(last)
		o.hits, o.ns = o.counter.Stats()
		u.Units = append(u.Units, list...)
		if err != nil {
			o.err = errors.Join(err, o.counter.Close())
			o.counter = nil
		}
	}
	u.Hits, u.Time, u.Error = o.hits, o.ns, words(o.err)
	return u
}

// look looks now and then which tap devices the domain has.
func (n *session) look() {
	if n.changed || time.Since(n.looked) < recheck {
		return
	}
	n.looked = time.Now()
	now, err := n.Domains.Find(n.target.UUID)
	if err != nil { // libvirt may be about to write its file; whether the domain has ended is looked at each time
		n.log.WithError(err).Debug("probe: the domain was not looked at again")
		return
	}
	if n.changed = n.target.changed(now); n.changed {
		n.log.WithField("taps", now.Taps).Info("probe: the domain has other tap devices now")
	}
}

// detach ends the observation.
func (n *session) detach() {
	for i := range n.observed {
		o := &n.observed[i]
		if o.counter == nil {
			continue
		}
		if err := o.counter.Close(); err != nil {
			n.log.WithError(err).WithField("source", o.source).Error("probe: a source was not detached as it should")
		}
		o.counter = nil
	}
	if len(n.observed) > 0 {
		n.log.Info("probe: detached")
	}
}
