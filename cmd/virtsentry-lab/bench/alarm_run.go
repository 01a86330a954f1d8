package bench

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"time"

	"github.com/virtsentry/virtsentry/cmd/virtsentry-lab/lab"
	"github.com/virtsentry/virtsentry/libvirt"
	"github.com/virtsentry/virtsentry/model"
)

// States as the state element has them.
const (
	stateNormal    = "normal"
	stateAnomalous = "anomalous"
)

const (
	alarmWindow = 30 * time.Second // in which an alarm must come
	alarmBegin  = 10 * time.Second // in which the first packet of an attack must
	alarmSettle = 15 * time.Second // of load before the guest is learnt
	alarmEarly  = 10               // that many alarms before an attack are too many
	// alarmPatience is how long a guest may take until it is normal again.
	alarmPatience = 5 * time.Minute
)

// alarmAttacks are the attacks, each at the lab's own rate.
var alarmAttacks = []string{"portscan", "synflood"}

// AlarmRun is one run of the benchmark.
type AlarmRun struct {
	Lab      *lab.Lab // that is up, with a guest that serves
	Guest    string
	Daemon   string        // path of virtsentryd
	Profiles string        // directory; where it holds a profile of the guest, the guest is not learnt
	Times    int           // of each attack
	Within   time.Duration // no more attacks begin that may end later; 0: all of them
	Units    int           // to learn from
	Report   func(string)  // hears of what goes on

	dir string // of what lasts no longer than the run
}

// Measure attacks the guest again and again, under normal load, and takes the time until a libvirt client of its own hears of it. All that it starts has ended
// when it returns.
func (r AlarmRun) Measure(ctx context.Context) (found Alarms, err error) {
	began := time.Now()
	dir, err := os.MkdirTemp(r.Lab.Dir(), "bench-alarm-")
	if err != nil {
		return found, fmt.Errorf("measure alarms: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	if r.Profiles == "" {
		r.Profiles = filepath.Join(dir, "profiles")
	}
	client, err := connectAlarmClient(r.Lab.URI(), r.Guest)
	if err != nil {
		return found, err
	}
	defer func() { err = errors.Join(err, client.conn.Close()) }()

	ctx, cancel := context.WithCancelCause(ctx)
	loaded := make(chan struct{})
	go func() {
		defer close(loaded)
		if _, err := r.Lab.Load(ctx, lab.Load{Guest: r.Guest}); err != nil {
			cancel(err) // without the load no figure counts
		}
	}()
	defer func() { cancel(nil); <-loaded }()
	r.Report("normal load begins")
	if err := client.watch(ctx, alarmSettle); err != nil {
		return found, err
	}

	r.dir = dir
	err = r.watched(func(d *alarmDaemon) (err error) {
		found.Units, err = d.learn(ctx, r.Guest, r.Units, r.Report)
		return err
	})
	if err != nil {
		return found, err
	}
	found.Window = alarmWindow.Seconds()
	for _, name := range alarmAttacks {
		rate := lab.RateOf(name)
		found.Attacks = append(found.Attacks, AlarmAttack{Name: name, Rate: rate.Target, Unit: rate.Unit})
	}
	return found, r.rounds(ctx, client, began, &found)
}

// rounds makes each attack once a round, so that whatever changes meanwhile is in all alike.
func (r AlarmRun) rounds(ctx context.Context, client *alarmClient, began time.Time, found *Alarms) error {
	longest := time.Duration(0)
	for n := 0; n < r.Times; n++ {
		round := time.Now()
		if r.Within > 0 && n > 0 && round.Add(longest).After(began.Add(r.Within)) {
			return nil
		}
		for i := range found.Attacks {
			a := &found.Attacks[i]
			r.Report(fmt.Sprintf("%s, %d of %d", a.Name, n+1, r.Times))
			if err := r.sample(ctx, client, a, &found.Early); err != nil {
				return fmt.Errorf("%s, %d of %d: %w", a.Name, n+1, r.Times, err)
			}
		}
		longest = max(longest, time.Since(round))
	}
	return nil
}

// watched calls f while a daemon watches the guest.
func (r AlarmRun) watched(f func(*alarmDaemon) error) (err error) {
	d, err := startAlarmDaemon(r.Lab, r.Daemon, r.dir, r.Profiles, r.Units)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.end()) }()
	return f(d)
}

// sample attacks once, and again where the guest was anomalous before. A daemon of its own, with the profile that was learnt, watches each attack: an anomaly's end would
// take longer to come, and leave no more behind.
func (r AlarmRun) sample(ctx context.Context, client *alarmClient, a *AlarmAttack, early *int) error {
	for {
		var alarm Alarm
		var ok bool
		client.state = libvirt.State{} // it is another daemon's
		err := r.watched(func(d *alarmDaemon) (err error) {
			alarm, ok, err = r.once(ctx, d, client, a.Name)
			return err
		})
		if err != nil {
			return err
		}
		if ok {
			a.Samples = append(a.Samples, alarm)
			return nil
		}
		if *early++; *early == alarmEarly {
			return fmt.Errorf("the guest was anomalous %d times before its attack: learn from more units", alarmEarly)
		}
	}
}

// once waits until the guest is normal, attacks it at a random time within a unit, and ends the attack with the alarm. ok is false where the alarm was there before
// the attack.
func (r AlarmRun) once(ctx context.Context, d *alarmDaemon, client *alarmClient, name string) (alarm Alarm, ok bool, err error) {
	for client.state.Value != stateNormal {
		if calm, err := d.calm(ctx, r.Guest); err != nil || !calm {
			return alarm, false, err
		}
		if err := client.watch(ctx, rand.N(model.Width)); err != nil {
			return alarm, false, err
		}
	}
	s, err := r.Lab.Sight(r.Guest)
	if err != nil {
		return alarm, false, err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	attack, cancel := context.WithCancelCause(ctx)
	seen, attacked := make(chan time.Time, 1), make(chan struct{})
	go func() {
		defer close(seen)
		if at, err := s.First(attack); err == nil {
			seen <- at
		}
	}()
	go func() {
		defer close(attacked)
		err := r.Lab.Attack(attack, lab.Attack{Name: name, Side: lab.Target, For: alarmBegin + alarmWindow, Guest: r.Guest})
		if attack.Err() == nil && err != nil {
			cancel(err)
		}
	}()
	err = client.await(attack, stateAnomalous, alarmBegin+alarmWindow)
	cancel(nil)
	<-attacked
	packet, sent := <-seen
	switch {
	case errors.Is(err, errQuiet) && sent:
		return Alarm{Phase: packet.Sub(packet.Truncate(model.Width)).Seconds(), Missed: true}, true, nil
	case errors.Is(err, errQuiet):
		return alarm, false, errors.New("no packet of the attack came to the guest's tap device")
	case err != nil:
		return alarm, false, err
	case !sent || client.heard.Before(packet):
		return alarm, false, nil
	case client.state.Unit == nil:
		return alarm, false, errors.New("the state names no unit")
	}
	return alarmOf(packet, client.state.Unit.Start, client.state.Updated, client.heard), true, nil
}

// alarmClient is a libvirt client that follows one guest's state. One goroutine uses it.
type alarmClient struct {
	conn  *libvirt.Connection
	uuid  string
	heard time.Time     // when the last event came
	state libvirt.State // as it was then
}

func connectAlarmClient(uri, guest string) (*alarmClient, error) {
	conn, err := libvirt.Connect(uri)
	if err != nil {
		return nil, err
	}
	domains, err := conn.Running()
	if err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	for _, d := range domains {
		if d.Name == guest {
			return &alarmClient{conn: conn, uuid: d.UUID}, nil
		}
	}
	return nil, errors.Join(fmt.Errorf("guest %s does not run", guest), conn.Close())
}

// errQuiet says that no event came in time.
var errQuiet = errors.New("no change of the state was heard of")

// next waits for one event of the guest's state.
func (c *alarmClient) next(ctx context.Context, wait <-chan time.Time) error {
	for {
		select {
		case e := <-c.conn.Events():
			if e.Kind != libvirt.MetadataChanged || e.Domain.UUID != c.uuid {
				continue
			}
			c.heard = time.Now()
		case <-c.conn.Lost():
			return errors.New("events of libvirt were lost: the machine is too busy to measure on")
		case <-c.conn.Closed():
			return errors.New("the connection to libvirt has broken")
		case <-wait:
			return errQuiet
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		s, err := c.conn.State(c.uuid)
		if err != nil {
			return err
		}
		if s != nil {
			c.state = *s
		}
		return nil
	}
}

// watch follows the state for a time.
func (c *alarmClient) watch(ctx context.Context, d time.Duration) error {
	over := time.After(d)
	for {
		if err := c.next(ctx, over); errors.Is(err, errQuiet) {
			return nil
		} else if err != nil {
			return err
		}
	}
}

// await follows the state until it has a value.
func (c *alarmClient) await(ctx context.Context, value string, limit time.Duration) error {
	over := time.After(limit)
	for c.state.Value != value {
		if err := c.next(ctx, over); err != nil {
			return fmt.Errorf("the guest is %q, not %q: %w", c.state.Value, value, err)
		}
	}
	return nil
}
