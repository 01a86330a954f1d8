package lab

import (
	"context"
	"errors"
	"math/rand/v2"
	"net"
	"testing"
)

func TestDatabaseClientAsksAllKinds(t *testing.T) {
	l := testLab(t)
	cfg := l.databaseConfig(GuestDef{Name: "db", Addr: WebAddr})
	dialled := ""
	cfg.DialFunc = func(_ context.Context, _, addr string) (net.Conn, error) {
		dialled = addr
		return nil, errors.New("refused")
	}
	c := &databaseClient{cfg: cfg, rng: rand.New(rand.NewPCG(1, 1))}
	defer c.Leave()
	asked := make(map[string]int)
	for range 1000 {
		kind, err := c.Request(t.Context())
		if err == nil {
			t.Fatalf("%s was answered by nobody", kind)
		}
		asked[kind]++
	}
	for _, r := range databaseRequests {
		if n := asked[r.kind]; n < r.weight*5 || n > r.weight*20 {
			t.Errorf("%s was asked %d times in 1000, its share is %d %%", r.kind, n, r.weight)
		}
	}
	if dialled != "10.77.0.10:3306" {
		t.Errorf("the client went to %q", dialled)
	}
}
