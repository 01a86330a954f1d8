package lttng

/*
#cgo pkg-config: lttng-ctl
#include <stdlib.h>
#include <string.h>
#include <lttng/lttng.h>

static void copy_name(char *to, size_t room, const char *from) {
	strncpy(to, from, room - 1);
	to[room - 1] = '\0';
}

static struct lttng_handle *ust_handle(const char *session) {
	struct lttng_domain domain;

	memset(&domain, 0, sizeof(domain));
	domain.type = LTTNG_DOMAIN_UST;
	domain.buf_type = LTTNG_BUFFER_PER_PID;
	return lttng_create_handle(session, &domain);
}

// Every function below returns 0, or a negative enum lttng_error_code.

static int vs_create(const char *name, const char *path) {
	struct lttng_session_descriptor *descriptor = lttng_session_descriptor_local_create(name, path);
	enum lttng_error_code code;

	if (!descriptor)
		return -LTTNG_ERR_INVALID;
	code = lttng_create_session_ext(descriptor);
	lttng_session_descriptor_destroy(descriptor);
	return code == LTTNG_OK ? 0 : -code;
}

static int vs_channel(const char *session, const char *name, uint64_t bytes, uint64_t count, unsigned int switch_us) {
	struct lttng_handle *handle = ust_handle(session);
	struct lttng_channel *channel;
	int ret = -LTTNG_ERR_NOMEM;

	if (!handle)
		return ret;
	channel = lttng_channel_create(&handle->domain);
	if (channel) {
		copy_name(channel->name, sizeof(channel->name), name);
		channel->enabled = 1;
		channel->attr.overwrite = 0;
		channel->attr.subbuf_size = bytes;
		channel->attr.num_subbuf = count;
		channel->attr.switch_timer_interval = switch_us;
		ret = lttng_enable_channel(handle, channel);
		lttng_channel_destroy(channel);
	}
	lttng_destroy_handle(handle);
	return ret < 0 ? ret : 0;
}

static int vs_event(const char *session, const char *channel, const char *name, int exclusions, char **exclude) {
	struct lttng_handle *handle = ust_handle(session);
	struct lttng_event *event;
	int ret = -LTTNG_ERR_NOMEM;

	if (!handle)
		return ret;
	event = lttng_event_create();
	if (event) {
		event->type = LTTNG_EVENT_TRACEPOINT;
		event->loglevel_type = LTTNG_EVENT_LOGLEVEL_ALL;
		event->loglevel = -1;
		copy_name(event->name, sizeof(event->name), name);
		ret = lttng_enable_event_with_exclusions(handle, event, channel, NULL, exclusions, exclude);
		lttng_event_destroy(event);
	}
	lttng_destroy_handle(handle);
	return ret < 0 ? ret : 0;
}

// The session daemon disables events of any type and log level by their name, or none.
static int vs_disable(const char *session, const char *channel, const char *name) {
	struct lttng_handle *handle = ust_handle(session);
	struct lttng_event *event;
	int ret = -LTTNG_ERR_NOMEM;

	if (!handle)
		return ret;
	event = lttng_event_create();
	if (event) {
		event->type = LTTNG_EVENT_ALL;
		event->loglevel = -1;
		copy_name(event->name, sizeof(event->name), name);
		ret = lttng_disable_event_ext(handle, event, channel, NULL);
		lttng_event_destroy(event);
	}
	lttng_destroy_handle(handle);
	return ret < 0 ? ret : 0;
}

static int vs_track(const char *session, pid_t vpid) {
	struct lttng_process_attr_tracker_handle *tracker = NULL;
	enum lttng_process_attr_tracker_handle_status status;
	enum lttng_error_code code = lttng_session_get_tracker_handle(
		session, LTTNG_DOMAIN_UST, LTTNG_PROCESS_ATTR_VIRTUAL_PROCESS_ID, &tracker);

	if (code != LTTNG_OK)
		return -code;
	status = lttng_process_attr_tracker_handle_set_tracking_policy(tracker, LTTNG_TRACKING_POLICY_INCLUDE_SET);
	if (status == LTTNG_PROCESS_ATTR_TRACKER_HANDLE_STATUS_OK)
		status = lttng_process_attr_virtual_process_id_tracker_handle_add_pid(tracker, vpid);
	lttng_process_attr_tracker_handle_destroy(tracker);
	switch (status) {
	case LTTNG_PROCESS_ATTR_TRACKER_HANDLE_STATUS_OK:
	case LTTNG_PROCESS_ATTR_TRACKER_HANDLE_STATUS_EXISTS:
		return 0;
	case LTTNG_PROCESS_ATTR_TRACKER_HANDLE_STATUS_SESSION_DOES_NOT_EXIST:
		return -LTTNG_ERR_SESS_NOT_FOUND;
	case LTTNG_PROCESS_ATTR_TRACKER_HANDLE_STATUS_COMMUNICATION_ERROR:
		return -LTTNG_ERR_NO_SESSIOND;
	default:
		return -LTTNG_ERR_INVALID;
	}
}

// vs_rotation says how far a rotation is (*state is an enum lttng_rotation_state) and copies the path of a finished one's chunk.
static int vs_rotation(struct lttng_rotation_handle *handle, int *state, char *path, size_t room) {
	const struct lttng_trace_archive_location *location = NULL;
	enum lttng_rotation_state now;
	const char *absolute = NULL;

	if (lttng_rotation_handle_get_state(handle, &now) != LTTNG_ROTATION_STATUS_OK)
		return -LTTNG_ERR_UNK;
	*state = now;
	if (now != LTTNG_ROTATION_STATE_COMPLETED)
		return 0;
	if (lttng_rotation_handle_get_archive_location(handle, &location) != LTTNG_ROTATION_STATUS_OK ||
	    lttng_trace_archive_location_local_get_absolute_path(location, &absolute) != LTTNG_TRACE_ARCHIVE_LOCATION_STATUS_OK)
		return -LTTNG_ERR_UNK;
	if (strlen(absolute) >= room)
		return -LTTNG_ERR_INVALID;
	strcpy(path, absolute);
	return 0;
}

// vs_destroy returns 0 or a positive enum lttng_error_code.
static int vs_destroy(const char *session, struct lttng_destruction_handle **handle) {
	enum lttng_error_code code = lttng_destroy_session_ext(session, handle);
	return code == LTTNG_OK ? 0 : code;
}

static const char *vs_session_name(struct lttng_session *sessions, int i) { return sessions[i].name; }
static const char *vs_session_path(struct lttng_session *sessions, int i) { return sessions[i].path; }
static int vs_session_active(struct lttng_session *sessions, int i) { return sessions[i].enabled != 0; }
*/
import "C"

import (
	"errors"
	"sync"
	"time"
	"unsafe"
)

// control serialises calls: liblttng-ctl keeps its socket to the session daemon in global state.
var control sync.Mutex

func toError(code C.int) error {
	if code >= 0 {
		return nil
	}
	switch -code {
	case C.LTTNG_ERR_NO_SESSIOND, C.LTTNG_ERR_CONNECT_FAIL:
		return ErrNoSessionDaemon
	case C.LTTNG_ERR_EPERM:
		return ErrPermission
	case C.LTTNG_ERR_SESS_NOT_FOUND, C.LTTNG_ERR_NO_SESSION, C.LTTNG_ERR_SESSION_NOT_EXIST:
		return ErrNoSession
	case C.LTTNG_ERR_EXIST_SESS:
		return ErrSessionExists
	}
	return errors.New(C.GoString(C.lttng_strerror(code)))
}

// cStrings gives C copies of strings; free releases them all.
func cStrings(s ...string) (c []*C.char, free func()) {
	for _, v := range s {
		c = append(c, C.CString(v))
	}
	return c, func() {
		for _, p := range c {
			C.free(unsafe.Pointer(p))
		}
	}
}

// call runs f with C copies of names under the lock and wraps what it returns.
func call(op, session string, f func(c []*C.char) C.int, names ...string) error {
	c, free := cStrings(names...)
	defer free()
	control.Lock()
	defer control.Unlock()
	if err := spareFiles(); err != nil {
		return &OpError{Op: op, Session: session, Err: err}
	}
	if err := toError(f(c)); err != nil {
		return &OpError{Op: op, Session: session, Err: err}
	}
	return nil
}

func createSession(name, path string) error {
	return call("create", name, func(c []*C.char) C.int { return C.vs_create(c[0], c[1]) }, name, path)
}

func enableChannel(session, channel string, bytes, count uint64, switchTimer time.Duration) error {
	return call("make a channel in", session, func(c []*C.char) C.int {
		return C.vs_channel(c[0], c[1], C.uint64_t(bytes), C.uint64_t(count), C.uint(switchTimer.Microseconds()))
	}, session, channel)
}

func enableEvent(session, channel, event string, exclude []string) error {
	names := append([]string{session, channel, event}, exclude...)
	return call("enable "+event+" in", session, func(c []*C.char) C.int {
		if len(exclude) == 0 {
			return C.vs_event(c[0], c[1], c[2], 0, nil)
		}
		// The array of pointers is C memory too: cgo forbids to pass Go memory that holds pointers it does not know.
		array := C.malloc(C.size_t(len(exclude)) * C.size_t(unsafe.Sizeof(uintptr(0))))
		defer C.free(array)
		copy(unsafe.Slice((**C.char)(array), len(exclude)), c[3:])
		return C.vs_event(c[0], c[1], c[2], C.int(len(exclude)), (**C.char)(array))
	}, names...)
}

func disableEvent(session, channel, event string) error {
	return call("disable "+event+" in", session, func(c []*C.char) C.int { return C.vs_disable(c[0], c[1], c[2]) }, session, channel, event)
}

func trackProcess(session string, pid int) error {
	return call("track a process in", session, func(c []*C.char) C.int { return C.vs_track(c[0], C.pid_t(pid)) }, session)
}

func startTracing(session string) error {
	return call("start", session, func(c []*C.char) C.int { return C.lttng_start_tracing(c[0]) }, session)
}

func stopTracing(session string) error {
	return call("stop", session, func(c []*C.char) C.int {
		ret := C.lttng_stop_tracing_no_wait(c[0])
		if ret == -C.LTTNG_ERR_TRACE_ALREADY_STOPPED {
			return 0
		}
		return ret
	}, session)
}

// destroySession destroys a session and waits until the session daemon has let go of its output, but not longer than patience.
func destroySession(session string, patience time.Duration) error {
	var handle *C.struct_lttng_destruction_handle
	err := call("destroy", session, func(c []*C.char) C.int {
		return -C.vs_destroy(c[0], &handle)
	}, session)
	if err != nil {
		return err
	}
	defer C.lttng_destruction_handle_destroy(handle)
	// The handle has a connection of its own, so the lock is free meanwhile.
	switch C.lttng_destruction_handle_wait_for_completion(handle, C.int(patience.Milliseconds())) {
	case C.LTTNG_DESTRUCTION_HANDLE_STATUS_COMPLETED:
		return nil
	case C.LTTNG_DESTRUCTION_HANDLE_STATUS_TIMEOUT:
		return &OpError{Op: "destroy", Session: session, Err: errors.New("the session daemon has not finished in " + patience.String())}
	}
	return &OpError{Op: "destroy", Session: session, Err: ErrNoSessionDaemon}
}

// dataPending says whether the consumer still has to write data of a stopped session.
func dataPending(session string) (bool, error) {
	pending := false
	err := call("wait for", session, func(c []*C.char) C.int {
		ret := C.lttng_data_pending(c[0])
		pending = ret == 1
		return ret
	}, session)
	return pending, err
}

// rotation is one rotation under way. Its owner calls close once.
type rotation struct {
	session string
	handle  *C.struct_lttng_rotation_handle
}

func startRotation(session string) (*rotation, error) {
	r := &rotation{session: session}
	err := call("rotate", session, func(c []*C.char) C.int {
		return C.lttng_rotate_session(c[0], nil, &r.handle)
	}, session)
	if err != nil {
		return nil, err
	}
	return r, nil
}

// poll says whether the rotation has ended, and then where its chunk is.
func (r *rotation) poll() (done bool, chunk string, err error) {
	const room = 4096 + 1 // PATH_MAX
	path := (*C.char)(C.malloc(room))
	defer C.free(unsafe.Pointer(path))
	var state C.int
	err = call("rotate", r.session, func([]*C.char) C.int { return C.vs_rotation(r.handle, &state, path, room) })
	switch {
	case err != nil:
		return true, "", err
	case state == C.LTTNG_ROTATION_STATE_ONGOING:
		return false, "", nil
	case state == C.LTTNG_ROTATION_STATE_COMPLETED:
		return true, C.GoString(path), nil
	}
	return true, "", &OpError{Op: "rotate", Session: r.session, Err: errors.New("the session daemon could not complete the rotation")}
}

func (r *rotation) close() {
	control.Lock()
	defer control.Unlock()
	C.lttng_rotation_handle_destroy(r.handle)
}

// SessionInfo names one recording session of the session daemon.
type SessionInfo struct {
	Name   string
	Path   string // output directory
	Active bool   // it records; otherwise it was not started, or was stopped
}

// Sessions lists the recording sessions that the caller may see, those of other programs included.
func Sessions() ([]SessionInfo, error) {
	var found []SessionInfo
	err := call("list sessions", "", func([]*C.char) C.int {
		var array *C.struct_lttng_session
		n := C.lttng_list_sessions(&array)
		for i := C.int(0); i < n; i++ {
			found = append(found, SessionInfo{
				Name:   C.GoString(C.vs_session_name(array, i)),
				Path:   C.GoString(C.vs_session_path(array, i)),
				Active: C.vs_session_active(array, i) == 1,
			})
		}
		C.free(unsafe.Pointer(array))
		return n
	})
	return found, err
}

// Alive says whether a session daemon answers this user.
func Alive() bool {
	control.Lock()
	defer control.Unlock()
	return spareFiles() == nil && C.lttng_session_daemon_alive() == 1
}
