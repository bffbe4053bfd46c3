/* Serving one request: see serve.h. */
#include "fcgi/serve.h"

#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "fcgi/response.h"
#include "handlers/stream_spec.h"
#include "lib/log.h"

#define HEAD_MAX 65536
/* Room for the texts of the largest answer (a transcript of a long day); blocks come as needed. */
#define ARENA_MAX ((size_t)128 * 1024 * 1024)

enum vx_err server_init(struct server *s, struct service *service)
{
    *s = (struct server){.service = service, .fx = fcgx_new(), .arena = arena_new(ARENA_MAX)};
    buf_init(&s->head, HEAD_MAX);
    if (s->fx && s->arena)
        return VX_OK;
    server_free(s);
    return VX_ERR_NO_MEMORY;
}

void server_free(struct server *s)
{
    if (s->db)
        store_reader_close(s->db);
    s->db = NULL;
    buf_free(&s->head);
    arena_free(s->arena);
    s->arena = NULL;
    fcgx_free(s->fx);
    s->fx = NULL;
    settings_unref(s->settings);
    s->settings = NULL;
}

static double now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

/* Why the instance cannot answer, VX_OK when it can: this worker's own connection counts too. */
static enum vx_err fault_of(struct server *s)
{
    enum vx_err fault = (enum vx_err)atomic_load(&s->service->fault);
    if (fault || s->db)
        return fault;
    return store_reader_open(s->service->app->store, &s->db);
}

void server_warm(struct server *s)
{
    int64_t version;
    if (!fault_of(s))
        (void)store_data_version(s->db, &version); /* opens the WAL as well */
}

static void log_request(const struct web_request *w, int status, double started)
{
    char code[16], ms[32];
    snprintf(code, sizeof code, "%d", status);
    snprintf(ms, sizeof ms, "%.3f", now_ms() - started);
    log_event(status >= 500 && status != 501 ? LOG_WARN_ : LOG_INFO_, "request", "method",
              w->rq.method, "route", w->rq.route ? w->rq.route->pattern : "-", "status", code, "ms",
              ms, NULL);
}

/* A place in the hub for the stream a handler decided on, or the refusal. True when one is held. */
static bool reserve_stream(const struct service *sv, struct response *rs)
{
    if (rs->err || !rs->stream || rs->status == 204)
        return false;
    int64_t user_id = rs->stream->user_id;
    enum vx_err err = atomic_load(&sv->draining) ? VX_ERR_DRAINING : hub_reserve(sv->hub, user_id);
    if (err)
        response_fail(rs, err); /* forgets the stream */
    unsigned limit, in_use;
    if (err == VX_ERR_RATE_LIMITED) {
        hub_usage(sv->hub, user_id, &limit, &in_use);
        response_fail_text(rs, err, "Too many event streams (max %u)", limit);
        response_extra(rs, "limit", json_object_new_int64(limit));
        response_extra(rs, "in_use", json_object_new_int64(in_use));
    }
    return err == VX_OK;
}

/* Sends the opening of a stream (of a long poll nothing) and gives its connection to the hub. */
static enum served hand_over(struct server *s, const struct stream_spec *wanted,
                             void (*before)(int fd, void *ctx), void *ctx)
{
    const struct service *sv = s->service;
    struct stream_spec own = *wanted;
    const struct stream_spec *spec = &own;
    unsigned request_id = 0;
    own.poll_head = s->head.data; /* without the line break that ends it */
    own.poll_head_len = s->head.len - 2;
    const char *opening =
        spec->poll ? "" : response_stream_opening(s->arena, store_epoch(sv->app->store), spec);
    if (!opening ||
        (*opening && (!fcgx_write(s->fx, opening, strlen(opening)) || !fcgx_flush(s->fx)))) {
        hub_unreserve(sv->hub, spec->user_id);
        return fcgx_finish(s->fx) < 0 ? SERVED_CLOSED : SERVED_KEEP;
    }
    bool keep = false;
    int fd = fcgx_detach(s->fx, &request_id, &keep);
    before(fd, ctx);
    enum vx_err err =
        keep ? hub_add_kept(sv->hub, fd, request_id, spec) : hub_add(sv->hub, fd, request_id, spec);
    if (err) {
        hub_unreserve(sv->hub, spec->user_id);
        log_event(LOG_WARN_, "stream_lost", "code", vx_err_info(err)->code, NULL);
        close(fd); /* the client comes back with the cursor it was given */
        return SERVED_CLOSED;
    }
    return SERVED_STREAM;
}

/* Nothing more is read of this request. */
static void arrived(struct server *s)
{
    if (s->arrived)
        s->arrived(s->arrived_ctx);
}

enum served serve_one(struct server *s, int fd, void (*before)(int fd, void *ctx), void *ctx)
{
    if (!fcgx_begin(s->fx, fd)) {
        arrived(s);
        return SERVED_CLOSED;
    }
    const struct service *sv = s->service;
    if (sv->settings)
        settings_follow(sv->settings, &s->settings, &s->settings_version);
    struct web_request w = {.fx = s->fx, .app_fault = fault_of(s)};
    struct response rs = {.arena = s->arena, .status = 200};
    struct rendered out;
    const char *detail;
    double started = now_ms();

    const char *base_path = s->settings ? s->settings->base_path : sv->base_path;
    w.base_path = w.app_fault == VX_ERR_BAD_CONFIG ? "" : base_path;
    w.rq.app = s->settings ? &s->settings->app : sv->app;
    w.rq.arena = s->arena;
    w.rq.db = s->db;
    enum vx_err err = request_read(&w, &detail);
    log_set_request_id(w.rq.request_id);
    if (err && detail)
        response_fail_text(&rs, err, "%s", detail);
    else if (err)
        response_fail(&rs, err);
    else
        router_dispatch(sv->router, &w, &rs);

    bool stream = reserve_stream(sv, &rs);
    response_render(&w.rq, &rs, &s->head, &out);
    fcgx_drain(s->fx); /* before the answer: a web server may still be sending */
    arrived(s);
    if (stream && (s->head.failed || strcmp(w.rq.method, "HEAD") == 0)) {
        hub_unreserve(sv->hub, rs.stream->user_id);
        stream = false;
    }
    if (s->head.failed) {
        buf_free(&s->head);
        buf_append_str(&s->head, "Status: 503 Service Unavailable\r\n\r\n");
        out.body = NULL;
    }
    if (!stream || !rs.stream->poll)
        fcgx_write(s->fx, s->head.data ? s->head.data : "", s->head.len);
    if (out.body)
        fcgx_write(s->fx, out.body, out.body_len);
    log_request(&w, out.status, started);

    enum served result;
    if (stream)
        result = hand_over(s, rs.stream, before, ctx);
    else
        result = fcgx_finish(s->fx) < 0 ? SERVED_CLOSED : SERVED_KEEP;
    log_set_request_id(NULL);
    arena_reset(s->arena);
    return result;
}
