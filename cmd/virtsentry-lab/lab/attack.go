package lab

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"time"
)

// Side says where an attack comes from, seen from the watched guest.
type Side string

const (
	// Target means that the guest is attacked, from the bridge's host.
	Target Side = "target"
	// Source means that the guest attacks the bridge's host.
	Source Side = "source"
)

// Attack is one bounded attack of the paper's set.
type Attack struct {
	Name  string // synflood, bruteforce, slowhttp or portscan
	Side  Side
	For   time.Duration
	Rate  int        // see AttackRates; 0 means the default
	Guest string     // DefaultGuest if empty
	Addr  netip.Addr // attacked address; by the side if not valid
}

// AttackRate says what an attack's rate counts and its bounds.
type AttackRate struct {
	Unit           string
	Target, Source int // defaults by side
	Max            int
}

type attackKind struct {
	AttackRate
	// argv is the tool's bounded command line.
	argv func(to netip.Addr, rate int, d time.Duration) []string
}

var attackKinds = map[string]attackKind{
	"synflood":   {AttackRate{"packets/s", 1000, 500, 5000}, synflood},
	"bruteforce": {AttackRate{"connections", 2, 2, 8}, bruteforce},
	"slowhttp":   {AttackRate{"connections", 60, 60, 400}, slowhttp},
	"portscan":   {AttackRate{"packets/s", 150, 150, 2000}, portscan},
}

// AttackNames lists the attacks.
func AttackNames() []string {
	var names []string
	for name := range attackKinds {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// RateOf returns what the rate of an attack means; the zero value if there
// is no such attack.
func RateOf(name string) AttackRate { return attackKinds[name].AttackRate }

// resolve checks the attack and fills in what was left out, for a guest at
// the given address.
func (a Attack) resolve(guest netip.Addr) (Attack, attackKind, error) {
	kind, ok := attackKinds[a.Name]
	if !ok {
		return a, kind, fmt.Errorf("attack %q: want one of %v", a.Name, AttackNames())
	}
	def := kind.Target
	own := guest
	switch a.Side {
	case Target:
	case Source:
		def, own = kind.Source, HostAddr
	default:
		return a, kind, fmt.Errorf("attack side %q: want source or target", a.Side)
	}
	if a.Rate == 0 {
		a.Rate = def
	}
	if a.Rate < 1 || a.Rate > kind.Max {
		return a, kind, fmt.Errorf("rate %d of %s: want 1 to %d %s", a.Rate, a.Name, kind.Max, kind.Unit)
	}
	if !a.Addr.IsValid() {
		a.Addr = own
	}
	return a, kind, errors.Join(checkTarget(a.Addr), checkFor(a.For))
}

// Attack runs the attack and returns when its time is over, or when ctx ends,
// which is an error. The lab serves what a guest attacks as long as it does.
func (l *Lab) Attack(ctx context.Context, a Attack) error {
	if a.Guest == "" {
		a.Guest = DefaultGuest
	}
	g, err := l.Guest(a.Guest)
	if err != nil {
		return err
	}
	a, kind, err := a.resolve(g.Addr)
	if err != nil {
		return err
	}
	what := fmt.Sprintf("attack %s, side %s", a.Name, a.Side)
	l.log.Infof("%s: %s, %d %s, for %v", what, a.Addr, a.Rate, kind.Unit, a.For)
	argv := kind.argv(a.Addr, a.Rate, a.For)
	var res ExecResult
	if a.Side == Target {
		res, err = l.runInside(ctx, argv)
	} else {
		res, err = l.attackFromGuest(ctx, a, argv)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	l.log.Debugf("%s: %s", what, tail(append(res.Stdout, res.Stderr...)))
	return judgeRun(what, res)
}

func (l *Lab) attackFromGuest(ctx context.Context, a Attack, argv []string) (ExecResult, error) {
	stop, err := l.serveSink(ctx)
	if err != nil {
		return ExecResult{}, err
	}
	defer stop()
	return l.execFor(ctx, a.Guest, a.For, argv)
}

// synflood sends SYN to the web port, the interval in microseconds.
func synflood(to netip.Addr, rate int, d time.Duration) []string {
	interval := "u" + strconv.Itoa(max(1, 1_000_000/rate))
	count := strconv.Itoa(int(float64(rate)*d.Seconds()*1.2) + 1)
	return bounded(d, "INT", "hping3", "-q", "-n", "-S", "-p", "80", "-i", interval, "-c", count, to.String())
}

// portscan scans all TCP ports, again and again. Without a lower bound nmap would slow down as soon as an answer is late.
func portscan(to netip.Addr, rate int, d time.Duration) []string {
	perSecond := strconv.Itoa(rate)
	scan := []string{"nmap", "-n", "-Pn", "-sS", "-p-", "--min-rate", perSecond, "--max-rate", perSecond, to.String()}
	return bounded(d, "TERM", append(again("nmap"), scan...)...)
}

// slowhttp opens connections that send a POST's body drop by drop: at most
// 10 bytes each 5 seconds.
func slowhttp(to netip.Addr, rate int, d time.Duration) []string {
	conns := strconv.Itoa(rate)
	secs := strconv.Itoa(int(d.Seconds()) + 1)
	test := []string{"slowhttptest", "-B", "-c", conns, "-r", strconv.Itoa(max(1, rate/5)), "-i", "5", "-x", "10",
		"-s", "8192", "-p", "5", "-l", secs, "-u", "http://" + to.String() + "/"}
	return bounded(d, "TERM", append(again("slowhttptest"), test...)...)
}

// bruteforceScript is killed rather than asked to end, in a session of its
// own: when asked, ncrack writes a file for going on later into the user's
// home directory.
const bruteforceScript = `d=$(mktemp -d) || exit 1
p=
trap 'test -z "$p" || kill -KILL "$p"; rm -rf "$d"; exit 143' INT TERM
echo admin >"$d/users"
seq -f 'guess%04.0f' 400 >"$d/words"
while :; do
	setsid ncrack -U "$d/users" -P "$d/words" "http://$1:80,path=/private/,cl=1,CL=$2,to=10m" &
	p=$!
	wait "$p" || { c=$?; rm -rf "$d"; exit "$c"; }
done`

// bruteforce tries passwords on the area that HTTP basic authentication
// protects, with lists of 400 words that do not hold the right one.
func bruteforce(to netip.Addr, rate int, d time.Duration) []string {
	return bounded(d, "TERM", "/bin/sh", "-c", bruteforceScript, "bruteforce", to.String(), strconv.Itoa(rate))
}
