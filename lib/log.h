/* Structured logs: one JSON object a line (ts, level, service, event, request_id?, fields…) to
 * standard error or the file log_open() named. Never pass a secret. Thread safe. */
#ifndef VX_LOG_H
#define VX_LOG_H

#include <stddef.h>

enum log_level { LOG_DEBUG_, LOG_INFO_, LOG_WARN_, LOG_ERROR_ };

/* service: "fcgi", "runner", "up", "bot". path NULL = standard error. 0 or -1 with errno. */
int log_open(const char *service, const char *path, enum log_level min);
/* While threads log. */
void log_set_level(enum log_level min);
/* The request id put on every line of this thread until it is set to NULL. Not copied. */
void log_set_request_id(const char *id);

/* log_event(LOG_INFO_, "request", "method", "GET", "status", "200", NULL): alternating names and
 * text values, ended by NULL. Values that look like integers are still written as strings. */
void log_event(enum log_level level, const char *event, ...) __attribute__((sentinel));
/* A line with a "message" field made by printf. */
void log_msg(enum log_level level, const char *event, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

#endif
