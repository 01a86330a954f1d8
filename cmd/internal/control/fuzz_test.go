package control

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"
)

// FuzzServer takes any bytes for a request: it is answered, and with what a client understands.
func FuzzServer(f *testing.F) {
	for _, seed := range []string{
		"GET /v1/domains HTTP/1.1\r\nHost: x\r\n\r\n",
		"GET /v1/domains/a%20web%2Fserver HTTP/1.1\r\nHost: x\r\n\r\n",
		"POST /v1/domains/web/learn HTTP/1.1\r\nHost: x\r\nContent-Length: 12\r\n\r\n{\"units\":90}",
		"POST /v1/domains/web/relearn HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n16\r\n{\"incident\":\"last\"}\r\n0\r\n\r\n",
		"POST /v1/domains/web/record HTTP/1.1\r\nHost: x\r\nContent-Length: 15\r\n\r\n{\"seconds\":1e9}",
		"PUT /v1/profiles/%00/file HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc",
		"POST /v1/profiles/web/clone HTTP/1.1\r\nHost: x\r\nContent-Length: 14\r\n\r\n{\"from\":\"db\"}\n",
		"DELETE /v1/profiles/web HTTP/1.0\r\n\r\n",
		"POST /v1/domains/web/actions HTTP/1.1\r\nHost: x\r\nContent-Length: 41\r\n\r\n{\"actions\":[\"syscalls\"],\"seconds\":1e309}\n",
		"GET /v1/domains/web/actions HTTP/1.1\r\nHost: x\r\n\r\n",
		"DELETE /v1/actions/q HTTP/1.1\r\nHost: x\r\n\r\n",
		"GET /v1/actions/q3x7m2kd/units HTTP/1.1\r\nHost: x\r\n\r\n",
		"GET /v1/units HTTP/1.1\r\nHost: x\r\n\r\n",
		"CONNECT ../..//v1/units:0 HTTP/1.1\r\nHost: x\r\n\r\n",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(data)))
		if err != nil {
			return
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		b := &backend{units: make(chan UnitReport)}
		b.tape = func(_ context.Context, w io.Writer) error {
			_, err := w.Write([]byte("tape"))
			return err
		}
		w := httptest.NewRecorder()
		routes(b).ServeHTTP(w, r.WithContext(ctx))
		switch w.Code {
		case http.StatusOK, http.StatusConflict, http.StatusNotFound, http.StatusGone, http.StatusMethodNotAllowed,
			http.StatusPreconditionFailed, http.StatusUnprocessableEntity,
			http.StatusMovedPermanently, http.StatusTemporaryRedirect, http.StatusPermanentRedirect, http.StatusBadRequest:
		default:
			t.Errorf("status %d", w.Code)
		}
		if w.Header().Get("Content-Type") == "application/json" && !json.Valid(w.Body.Bytes()) {
			t.Errorf("answer %q", w.Body)
		}
		if len(b.file) > MaxProfileBytes {
			t.Errorf("a profile of %d bytes", len(b.file))
		}
	})
}

// answered is a connection on which each request gets the same bytes.
type answered []byte

func (a answered) RoundTrip(r *http.Request) (*http.Response, error) {
	return http.ReadResponse(bufio.NewReader(bytes.NewReader(a)), r)
}

// FuzzClient takes any bytes for the daemon's answer: a client ends, with what was said or an error.
func FuzzClient(f *testing.F) {
	for _, seed := range []string{
		"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]",
		"HTTP/1.1 200 OK\r\n\r\n[{\"uuid\":\"u\",\"since\":\"2026-11-21T11:00:00Z\",\"ledger\":{\"reasons_seconds\":{\"booting\":1}}}]",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n12\r\n{\"lost\":7}\n{\"lost\"\r\n",
		"HTTP/1.1 404 Not Found\r\n\r\n{\"error\":\"no such\"}",
		"HTTP/1.1 403 Forbidden\r\n\r\nnonsense",
		"HTTP/1.1 200 OK\r\n\r\n{\"id\":\"q\",\"state\":\"running\",\"until\":\"2026-11-21T11:00:00Z\",\"line\":[{\"start\":\"2026-11-21T11:00:00Z\",\"counts\":{\"a\":1}}]}",
		"HTTP/1.1 412 Precondition Failed\r\n\r\n{\"error\":\"no action\"}",
		"HTTP/1.1 503 \r\n\r\n",
		"HTTP/1.1 200 OK\r\nTrailer: Virtsentry-Error\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nVirtsentry-Error: too slow\r\n\r\n",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		c := &Client{socket: "none", http: http.Client{Transport: answered(data)}}
		ctx := t.Context()
		_, _ = c.Domains(ctx)
		_, _ = c.Domain(ctx, "web")
		_, _ = c.Profiles(ctx)
		_, _ = c.ActionOptions(ctx, "web")
		_, _ = c.StartAction(ctx, "web", ActionRequest{})
		_, _ = c.ListActions(ctx)
		_, _ = c.Action(ctx, "q")
		_, _ = c.ActionUnits(ctx, "q")
		_, _ = c.StopAction(ctx, "q")
		_, _ = c.Relearn(ctx, "web", RelearnRequest{})
		if file, err := c.ExportProfile(ctx, "web"); err == nil && len(file) > MaxProfileBytes {
			t.Errorf("a profile of %d bytes", len(file))
		}
		units := 0
		if err := c.Units(ctx, func(UnitReport) error { units++; return nil }); err == nil {
			t.Error("units end, and nothing says why")
		}
		if units > len(data) {
			t.Errorf("%d units of %d bytes", units, len(data))
		}
		_ = c.Record(ctx, "web", time.Second, func(r io.Reader) error {
			_, err := io.Copy(io.Discard, r)
			return err
		})
	})
}
