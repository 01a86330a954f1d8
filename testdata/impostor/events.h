/*
 * One trace point with the name of one of QEMU's.
 */
#undef LTTNG_UST_TRACEPOINT_PROVIDER
#define LTTNG_UST_TRACEPOINT_PROVIDER qemu

#undef LTTNG_UST_TRACEPOINT_INCLUDE
#define LTTNG_UST_TRACEPOINT_INCLUDE "./events.h"

#if !defined(IMPOSTOR_EVENTS_H) || defined(LTTNG_UST_TRACEPOINT_HEADER_MULTI_READ)
#define IMPOSTOR_EVENTS_H

#include <lttng/tracepoint.h>

LTTNG_UST_TRACEPOINT_EVENT(qemu, virtqueue_fill,
	LTTNG_UST_TP_ARGS(unsigned int, len),
	LTTNG_UST_TP_FIELDS(lttng_ust_field_integer(unsigned int, len, len))
)

#endif /* IMPOSTOR_EVENTS_H */

#include <lttng/tracepoint-event.h>
