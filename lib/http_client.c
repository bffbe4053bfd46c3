/* The one place that knows libcurl. A call owns its easy handle, its header list and its copies of
 * body and answer; the client owns the multi handle and the list of calls. */
#include "lib/http_client.h"

#include <curl/curl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "lib/buf.h"
#include "lib/log.h"

#define CONNECT_MS 5000L
#define BODY_MAX   ((size_t)64 * 1024)
#define FDS_MAX    16

struct http_call {
    struct http_call *next, **link; /* link points at whatever points at us */
    CURL *easy;
    struct curl_slist *headers;
    char *body;
    struct buf answer;
    char error[CURL_ERROR_SIZE];
    bool too_big, stopped;
    bool (*on_data)(void *ctx, int status, const char *p, size_t n);
    void (*on_done)(void *ctx, const struct http_result *result);
    void *ctx;
};

struct http_client {
    CURLM *multi;
    char *agent;
    struct http_call *calls;
    size_t n_calls;
};

static pthread_once_t curl_once = PTHREAD_ONCE_INIT;
static CURLcode curl_started = CURLE_FAILED_INIT;

static void start_curl(void)
{
    curl_started = curl_global_init(CURL_GLOBAL_DEFAULT);
}

struct http_client *http_client_new(const char *agent)
{
    if (pthread_once(&curl_once, start_curl) != 0 || curl_started != CURLE_OK)
        return NULL;
    struct http_client *c = calloc(1, sizeof *c);
    if (c == NULL)
        return NULL;
    c->multi = curl_multi_init();
    c->agent = strdup(agent);
    if (c->multi == NULL || c->agent == NULL) {
        http_client_free(c);
        return NULL;
    }
    return c;
}

static void call_free(struct http_call *call)
{
    if (call->easy != NULL)
        curl_easy_cleanup(call->easy);
    curl_slist_free_all(call->headers);
    free(call->body);
    buf_free(&call->answer);
    free(call);
}

/* Takes the call off the multi handle and the list; it can then be freed, or reported. */
static void call_unlink(struct http_client *c, struct http_call *call)
{
    curl_multi_remove_handle(c->multi, call->easy);
    *call->link = call->next;
    if (call->next != NULL)
        call->next->link = call->link;
    c->n_calls--;
}

void http_client_cancel(struct http_client *c, struct http_call *call)
{
    if (call == NULL)
        return;
    call_unlink(c, call);
    call_free(call);
}

void http_client_free(struct http_client *c)
{
    if (c == NULL)
        return;
    while (c->calls != NULL)
        http_client_cancel(c, c->calls);
    if (c->multi != NULL)
        curl_multi_cleanup(c->multi);
    free(c->agent);
    free(c);
}

static int call_status(const struct http_call *call)
{
    long status = 0;
    if (curl_easy_getinfo(call->easy, CURLINFO_RESPONSE_CODE, &status) != CURLE_OK)
        return 0;
    return (int)status;
}

/* curl's write callback: anything but n ends the transfer. */
static size_t take_data(char *p, size_t size, size_t n, void *userdata)
{
    struct http_call *call = userdata;
    size_t len = size * n;
    if (call->on_data != NULL) {
        if (call->on_data(call->ctx, call_status(call), p, len))
            return len;
        call->stopped = true;
        return len == 0 ? 1 : 0;
    }
    size_t room = call->answer.max - call->answer.len;
    size_t keep = len < room ? len : room;
    if (buf_append(&call->answer, p, keep) != 0)
        return len == 0 ? 1 : 0;
    if (keep < len) {
        call->too_big = true;
        return 0;
    }
    return len;
}

static enum vx_err add_header(struct http_call *call, const char *line)
{
    if (strpbrk(line, "\r\n") != NULL)
        return VX_ERR_VALIDATION;
    struct curl_slist *longer = curl_slist_append(call->headers, line);
    if (longer == NULL)
        return VX_ERR_NO_MEMORY;
    call->headers = longer;
    return VX_OK;
}

static enum vx_err set_headers(struct http_call *call, const char *const *headers)
{
    enum vx_err err = add_header(call, "Expect:"); /* no 100-continue round trip */
    for (size_t i = 0; err == VX_OK && headers != NULL && headers[i] != NULL; i++)
        err = add_header(call, headers[i]);
    return err;
}

/* Method and body; curl keeps pointing at our copy of the body. */
static CURLcode set_method(struct http_call *call, const struct http_request *rq)
{
    CURL *e = call->easy;
    CURLcode rc = CURLE_OK;
    if (strcmp(rq->method, "HEAD") == 0)
        rc = curl_easy_setopt(e, CURLOPT_NOBODY, 1L);
    else if (rq->body != NULL || strcmp(rq->method, "POST") == 0)
        rc = curl_easy_setopt(e, CURLOPT_POST, 1L);
    if (rc == CURLE_OK && (rq->body != NULL || strcmp(rq->method, "POST") == 0)) {
        size_t len = rq->body == NULL ? 0 : rq->body_len;
        rc = curl_easy_setopt(e, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)len);
        if (rc == CURLE_OK)
            rc = curl_easy_setopt(e, CURLOPT_POSTFIELDS, call->body);
    }
    if (rc == CURLE_OK && strcmp(rq->method, "GET") != 0 && strcmp(rq->method, "POST") != 0 &&
        strcmp(rq->method, "HEAD") != 0)
        rc = curl_easy_setopt(e, CURLOPT_CUSTOMREQUEST, rq->method);
    return rc;
}

static CURLcode set_limits(struct http_call *call, const struct http_limits *l)
{
    CURL *e = call->easy;
    CURLcode rc = curl_easy_setopt(e, CURLOPT_CONNECTTIMEOUT_MS,
                                   l->connect_ms > 0 ? l->connect_ms : CONNECT_MS);
    if (rc == CURLE_OK && l->total_ms > 0)
        rc = curl_easy_setopt(e, CURLOPT_TIMEOUT_MS, l->total_ms);
    if (rc == CURLE_OK && l->idle_seconds > 0) {
        rc = curl_easy_setopt(e, CURLOPT_LOW_SPEED_LIMIT, 1L);
        if (rc == CURLE_OK)
            rc = curl_easy_setopt(e, CURLOPT_LOW_SPEED_TIME, l->idle_seconds);
    }
    return rc;
}

static CURLcode set_rest(const struct http_client *c, struct http_call *call,
                         const struct http_request *rq)
{
    CURL *e = call->easy;
    CURLcode rc;
    if ((rc = curl_easy_setopt(e, CURLOPT_URL, rq->url)) != CURLE_OK ||
        (rc = curl_easy_setopt(e, CURLOPT_PROTOCOLS_STR, "http,https")) != CURLE_OK ||
        (rc = curl_easy_setopt(e, CURLOPT_FOLLOWLOCATION, 0L)) != CURLE_OK ||
        (rc = curl_easy_setopt(e, CURLOPT_NOSIGNAL, 1L)) != CURLE_OK ||
        (rc = curl_easy_setopt(e, CURLOPT_NOPROGRESS, 1L)) != CURLE_OK ||
        (rc = curl_easy_setopt(e, CURLOPT_USERAGENT, c->agent)) != CURLE_OK ||
        (rc = curl_easy_setopt(e, CURLOPT_HTTPHEADER, call->headers)) != CURLE_OK ||
        (rc = curl_easy_setopt(e, CURLOPT_ERRORBUFFER, call->error)) != CURLE_OK ||
        (rc = curl_easy_setopt(e, CURLOPT_WRITEFUNCTION, take_data)) != CURLE_OK ||
        (rc = curl_easy_setopt(e, CURLOPT_WRITEDATA, call)) != CURLE_OK ||
        (rc = curl_easy_setopt(e, CURLOPT_PRIVATE, call)) != CURLE_OK)
        return rc;
    return rq->direct ? curl_easy_setopt(e, CURLOPT_PROXY, "") : CURLE_OK;
}

enum vx_err http_client_start(struct http_client *c, const struct http_request *rq,
                              struct http_call **out)
{
    if (out != NULL)
        *out = NULL;
    struct http_call *call = calloc(1, sizeof *call);
    if (call == NULL)
        return VX_ERR_NO_MEMORY;
    buf_init(&call->answer, rq->limits.body_max > 0 ? rq->limits.body_max : BODY_MAX);
    call->on_data = rq->on_data;
    call->on_done = rq->on_done;
    call->ctx = rq->ctx;

    enum vx_err err = set_headers(call, rq->headers);
    if (err != VX_OK)
        goto fail;
    err = VX_ERR_NO_MEMORY;
    call->easy = curl_easy_init();
    call->body = malloc(rq->body != NULL && rq->body_len > 0 ? rq->body_len : 1);
    if (call->easy == NULL || call->body == NULL)
        goto fail;
    if (rq->body != NULL && rq->body_len > 0)
        memcpy(call->body, rq->body, rq->body_len);
    if (set_rest(c, call, rq) != CURLE_OK || set_method(call, rq) != CURLE_OK ||
        set_limits(call, &rq->limits) != CURLE_OK ||
        curl_multi_add_handle(c->multi, call->easy) != CURLM_OK)
        goto fail;

    call->next = c->calls;
    call->link = &c->calls;
    if (call->next != NULL)
        call->next->link = &call->next;
    c->calls = call;
    c->n_calls++;
    if (out != NULL)
        *out = call;
    return VX_OK;
fail:
    call_free(call);
    return err;
}

static enum http_fault fault_of(const struct http_call *call, CURLcode code)
{
    if (call->too_big)
        return HTTP_TOO_BIG;
    if (call->stopped)
        return HTTP_STOPPED;
    switch (code) {
    case CURLE_OK:
        return HTTP_FINE;
    case CURLE_URL_MALFORMAT:
    case CURLE_UNSUPPORTED_PROTOCOL:
        return HTTP_BAD_URL;
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_RESOLVE_PROXY:
    case CURLE_COULDNT_CONNECT:
        return HTTP_NO_CONNECT;
    case CURLE_OPERATION_TIMEDOUT:
        return HTTP_TIMEOUT;
    default:
        return HTTP_BROKEN;
    }
}

/* The headers callers ask about; the text is curl's and lives as long as the call. */
static void add_headers_of(const struct http_call *call, struct http_result *r)
{
    char *type = NULL;
    curl_off_t wait = 0;
    if (curl_easy_getinfo(call->easy, CURLINFO_CONTENT_TYPE, &type) != CURLE_OK)
        type = NULL;
    if (curl_easy_getinfo(call->easy, CURLINFO_RETRY_AFTER, &wait) != CURLE_OK)
        wait = 0;
    r->content_type = type != NULL ? type : "";
    r->retry_after = (int64_t)wait;
}

/* Reports the calls curl is done with. */
static int finish_calls(struct http_client *c)
{
    int ended = 0, left;
    CURLMsg *m;
    while ((m = curl_multi_info_read(c->multi, &left)) != NULL) {
        if (m->msg != CURLMSG_DONE)
            continue;
        struct http_call *call = NULL;
        CURLcode code = m->data.result; /* m is gone once the handle is removed */
        if (curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, (char **)&call) != CURLE_OK ||
            call == NULL)
            continue;
        struct http_result r = {.status = call_status(call), .fault = fault_of(call, code)};
        if (r.fault == HTTP_TOO_BIG)
            r.error = "the response is too big";
        else if (r.fault == HTTP_FINE || r.fault == HTTP_STOPPED)
            r.error = "";
        else
            r.error = call->error[0] != '\0' ? call->error : curl_easy_strerror(code);
        r.body = call->answer.data != NULL ? call->answer.data : "";
        r.body_len = call->answer.len;
        add_headers_of(call, &r);
        call_unlink(c, call);
        ended++;
        if (call->on_done != NULL)
            call->on_done(call->ctx, &r);
        call_free(call);
    }
    return ended;
}

static int work(struct http_client *c)
{
    int running;
    CURLMcode rc = curl_multi_perform(c->multi, &running);
    if (rc != CURLM_OK) {
        log_msg(LOG_ERROR_, "http_client", "curl: %s", curl_multi_strerror(rc));
        return -1;
    }
    return finish_calls(c);
}

int http_client_poll(struct http_client *c, struct pollfd *fds, size_t n_fds, int timeout_ms)
{
    struct curl_waitfd extra[FDS_MAX];
    if (n_fds > FDS_MAX)
        return -1;
    for (size_t i = 0; i < n_fds; i++) {
        fds[i].revents = 0;
        extra[i] = (struct curl_waitfd){.fd = fds[i].fd};
        if ((fds[i].events & POLLIN) != 0)
            extra[i].events |= CURL_WAIT_POLLIN;
        if ((fds[i].events & POLLOUT) != 0)
            extra[i].events |= CURL_WAIT_POLLOUT;
    }
    /* First what is ready, so that a call just started has sockets to wait for. */
    int ended = work(c);
    if (ended < 0)
        return -1;
    if (ended > 0 || timeout_ms < 0)
        timeout_ms = 0;
    CURLMcode rc = curl_multi_poll(c->multi, extra, (unsigned)n_fds, timeout_ms, NULL);
    if (rc != CURLM_OK) {
        log_msg(LOG_ERROR_, "http_client", "curl: %s", curl_multi_strerror(rc));
        return -1;
    }
    for (size_t i = 0; i < n_fds; i++) {
        if ((extra[i].revents & CURL_WAIT_POLLIN) != 0)
            fds[i].revents |= POLLIN;
        if ((extra[i].revents & CURL_WAIT_POLLOUT) != 0)
            fds[i].revents |= POLLOUT;
    }
    int more = work(c);
    return more < 0 ? -1 : ended + more;
}

size_t http_client_running(const struct http_client *c)
{
    return c->n_calls;
}
