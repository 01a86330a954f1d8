package lab

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestAgentReplies(t *testing.T) {
	for _, tt := range []struct {
		raw  string
		want ExecResult
		ok   bool
	}{
		{`{"return":{"exited":true,"exitcode":3,"out-data":"b25l","err-data":"dHdv"}}`, ExecResult{Code: 3, Stdout: []byte("one"), Stderr: []byte("two")}, true},
		{`{"return":{"exited":true,"signal":9,"out-truncated":true}}`, ExecResult{Code: 137, Truncated: true}, true},
		{`{"return":{"exited":true,"out-data":"%%%"}}`, ExecResult{}, false},
		{`{"return":`, ExecResult{}, false},
	} {
		var st execStatus
		err := decodeAgentReply([]byte(tt.raw), &st)
		if (err == nil) != tt.ok {
			t.Errorf("%s: %v", tt.raw, err)
			continue
		}
		if diff := cmp.Diff(tt.want, st.result()); tt.ok && diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.raw, diff)
		}
	}
}

func FuzzAgentReply(f *testing.F) {
	f.Add([]byte(`{"return":{"exited":true,"exitcode":3,"out-data":"b25l","err-data":"dHdv"}}`))
	f.Add([]byte(`{"return":null}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		var st execStatus
		if decodeAgentReply(raw, &st) == nil {
			st.result()
		}
	})
}

func TestSinkLetsNobodyIn(t *testing.T) {
	h := sinkHandler()
	for path, want := range map[string]int{"/": http.StatusOK, "/private/": http.StatusUnauthorized} {
		req := httptest.NewRequest(http.MethodPost, path, strings.NewReader("x=y"))
		req.SetBasicAuth("admin", "guess0001")
		rec := httptest.NewRecorder()
		h.ServeHTTP(rec, req)
		if rec.Code != want {
			t.Errorf("%s: %d, want %d", path, rec.Code, want)
		}
		if want == http.StatusUnauthorized && rec.Header().Get("WWW-Authenticate") == "" {
			t.Errorf("%s asks for no password", path)
		}
	}
}
