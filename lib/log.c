/* Structured log lines. The one context: where lines go, and the thread's request id. */
#include "lib/log.h"

#include <fcntl.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "lib/buf.h"
#include "lib/clock.h"

#define LINE_MAX_BYTES 8192

static struct {
    const char *service;
    atomic_int fd;
    atomic_int min; /* enum log_level */
} ctx = {.service = "vexa", .fd = 2, .min = LOG_INFO_};
static _Thread_local const char *request_id;

int log_open(const char *service, const char *path, enum log_level min)
{
    ctx.service = service;
    atomic_store(&ctx.min, (int)min);
    if (!path)
        return 0;
    int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return -1;
    int old = atomic_exchange(&ctx.fd, fd);
    if (old > 2)
        close(old);
    return 0;
}

void log_set_level(enum log_level min)
{
    atomic_store(&ctx.min, (int)min);
}

void log_set_request_id(const char *id)
{
    request_id = id;
}

static void field(struct buf *b, const char *name, const char *value)
{
    buf_append_char(b, ',');
    buf_append_json_str(b, name, strlen(name));
    buf_append_char(b, ':');
    if (!value)
        buf_append_str(b, "null");
    else
        buf_append_json_str(b, value, strnlen(value, 2000));
}

static void begin(struct buf *b, enum log_level level, const char *event)
{
    static const char *const names[] = {"debug", "info", "warning", "error"};
    char ts[CLOCK_TEXT_MAX];
    buf_init(b, LINE_MAX_BYTES);
    buf_printf(b, "{\"ts\":\"%s\",\"level\":\"%s\",\"service\":\"%s\",\"pid\":%d",
               clock_format(clock_now_ms(), ts), names[level], ctx.service, (int)getpid());
    field(b, "event", event);
    if (request_id)
        field(b, "request_id", request_id);
}

/* One write a line, so lines of several processes do not mix; a full disk loses the line only. */
static void end(struct buf *b)
{
    buf_append_str(b, "}\n");
    if (!b->failed) {
        ssize_t n = write(atomic_load(&ctx.fd), b->data, b->len);
        (void)n;
    }
    buf_free(b);
}

void log_event(enum log_level level, const char *event, ...)
{
    if ((int)level < atomic_load(&ctx.min))
        return;
    struct buf b;
    begin(&b, level, event);
    va_list ap;
    va_start(ap, event);
    const char *name;
    while ((name = va_arg(ap, const char *)))
        field(&b, name, va_arg(ap, const char *));
    va_end(ap);
    end(&b);
}

void log_msg(enum log_level level, const char *event, const char *fmt, ...)
{
    if ((int)level < atomic_load(&ctx.min))
        return;
    char text[2048];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    struct buf b;
    begin(&b, level, event);
    field(&b, "message", text);
    end(&b);
}
