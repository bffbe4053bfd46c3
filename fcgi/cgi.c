/* One request a process: see cgi.h. The main thread speaks FastCGI to our own server at the other
 * end of a socket pair. It holds at most one piece in each direction: who does not read is not read
 * from, so a slow client or a long body takes no memory. Standard output may block at any time: it
 * is made non-blocking, and what it does not take waits. */
#include "fcgi/cgi.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "cli/cli.h"
#include "fcgi/serve.h"
#include "lib/clock.h"
#include "lib/contracts.h"
#include "lib/log.h"

#define PIECE         32768
#define HEADER        8
#define RECORD_MAX    65535
#define STOP_MS       3000 /* Apache sends SIGKILL 3 s after SIGTERM */
#define LOOK_AGAIN_MS 20   /* while the request in hand ends */

extern char **environ;

enum record { BEGIN_REQUEST = 1, END_REQUEST = 3, PARAMS = 4, STDIN = 5, STDOUT = 6 };

static const char broken_answer[] =
    "Status: 503 Service Unavailable\r\nContent-Type: application/json\r\nRetry-After: 1\r\n\r\n"
    "{\"detail\":\"The service is restarting or busy, retry\",\"code\":\"service_unavailable\"}";

struct cgi {
    struct settings *settings;
    struct app app;
    struct service service;
    struct router *router;
    struct server server;
    pthread_t thread;
    bool serving;
    atomic_bool served; /* the thread is through with it: answered, or the hub has it */

    int signal_fd, sock, peer; /* sock: our end; peer: the server's, until it takes it */
    int64_t todo;              /* bytes of the body to come; -1 = until its end */
    struct buf up;             /* records for the server */
    struct buf down;           /* records from it, the last one maybe unfinished */
    struct buf out;            /* for the client */
    bool spoke;                /* something went to the client */
    bool ended;                /* END_REQUEST came */
    int64_t stop_at;           /* monotonic ms, 0 = nobody told us to stop */
};

/* ---- how we were started ---- */

static bool is_listening(int fd)
{
    int on = 0;
    socklen_t len = sizeof on;
    return getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &on, &len) == 0 && on;
}

bool cgi_is_request(void)
{
    return getenv("GATEWAY_INTERFACE") && !is_listening(0);
}

/* One hex digit's value, -1 for anything else. */
static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = (char)(c | 0x20);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The argument is the word of the query: decoded, and with the backslashes a server puts in. */
static bool is_word(const char *arg, const char *word, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        char c = word[i];
        if (c == '%' && n - i > 2 && hex_value(word[i + 1]) >= 0 && hex_value(word[i + 2]) >= 0) {
            c = (char)(hex_value(word[i + 1]) * 16 + hex_value(word[i + 2]));
            i += 2;
        }
        if (*arg == '\\' && c != '\\')
            arg++;
        if (*arg++ != c)
            return false;
    }
    return *arg == '\0';
}

bool cgi_args_are_foreign(int argc, char **argv)
{
    const char *q = getenv("QUERY_STRING");
    if (!getenv("GATEWAY_INTERFACE") || !q || !*q || strchr(q, '=') || argc < 2)
        return false;
    for (int i = 1; i < argc; i++) {
        size_t n = strcspn(q, "+");
        if (!is_word(argv[i], q, n))
            return false;
        q += n;
        q += *q == '+';
    }
    return true;
}

bool cgi_is_mod_fcgid(void)
{
    struct sockaddr_un sa;
    socklen_t len = sizeof sa;
    memset(&sa, 0, sizeof sa);
    if (!is_listening(0) || getsockname(0, (struct sockaddr *)&sa, &len) ||
        sa.sun_family != AF_UNIX || len >= sizeof sa)
        return false;
    /* "<folder>/<pid of its process manager>.<number>" */
    const char *name = strrchr(sa.sun_path, '/');
    char *end;
    if (!name || name[1] < '0' || name[1] > '9')
        return false;
    long manager = strtol(name + 1, &end, 10);
    if (*end != '.' || !end[1] || end[1 + strspn(end + 1, "0123456789")])
        return false;
    if (manager == (long)getppid() && prctl(PR_SET_PDEATHSIG, SIGTERM))
        log_event(LOG_WARN_, "prctl", "reason", strerrordesc_np(errno), NULL);
    return true;
}

/* ---- the request as records ---- */

static void put_record(struct buf *b, enum record type, const char *data, size_t n)
{
    const char head[HEADER] = {1, (char)type, 0, 1, (char)(n >> 8), (char)n, 0, 0};
    buf_append(b, head, sizeof head);
    buf_append(b, data, n);
}

static void put_size(struct buf *b, size_t n)
{
    const char size[4] = {(char)(n >> 24 | 0x80), (char)(n >> 16), (char)(n >> 8), (char)n};
    buf_append(b, size, sizeof size);
}

static void put_param(struct buf *b, const char *name, size_t name_len, const char *value)
{
    size_t n = strlen(value);
    put_size(b, name_len);
    put_size(b, n);
    buf_append(b, name, name_len);
    buf_append(b, value, n);
}

/* What the server shall see of the environment: the request, nothing else of it. */
static bool is_param(const char *name, size_t n)
{
    static const char *const wanted[] = {"REQUEST_METHOD", "REQUEST_URI", "CONTENT_TYPE",
                                         "CONTENT_LENGTH"};
    if (n > 5 && strncmp(name, "HTTP_", 5) == 0)
        return true;
    for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++)
        if (n == strlen(wanted[i]) && strncmp(name, wanted[i], n) == 0)
            return true;
    return false;
}

/* A server that gives no REQUEST_URI (RFC 3875 knows none): made again of its parts. */
static void put_uri(struct buf *params)
{
    static const char hex[] = "0123456789ABCDEF";
    const char *script = getenv("SCRIPT_NAME"), *p = getenv("PATH_INFO"),
               *query = getenv("QUERY_STRING");
    struct buf uri;
    if (getenv("REQUEST_URI") || (!script && !p))
        return;
    buf_init(&uri, 65536);
    buf_append_str(&uri, script ? script : "");
    for (; p && *p; p++) {
        unsigned char c = (unsigned char)*p;
        if (c > 0x20 && c < 0x7f && !strchr("%?#", c)) {
            buf_append_char(&uri, (char)c);
        } else {
            buf_append_char(&uri, '%');
            buf_append_char(&uri, hex[c >> 4]);
            buf_append_char(&uri, hex[c & 15]);
        }
    }
    if (query && *query)
        buf_printf(&uri, "?%s", query);
    if (!uri.failed && uri.data)
        put_param(params, "REQUEST_URI", strlen("REQUEST_URI"), uri.data);
    buf_free(&uri);
}

static bool put_request(struct cgi *c)
{
    static const char responder[8] = {0, 1};
    struct buf params;
    buf_init(&params, 16u << 20);
    for (char **e = environ; *e; e++) {
        const char *eq = strchr(*e, '=');
        if (eq && is_param(*e, (size_t)(eq - *e)))
            put_param(&params, *e, (size_t)(eq - *e), eq + 1);
    }
    put_uri(&params);
    put_record(&c->up, BEGIN_REQUEST, responder, sizeof responder);
    for (size_t at = 0; at < params.len; at += RECORD_MAX)
        put_record(&c->up, PARAMS, params.data + at,
                   params.len - at < RECORD_MAX ? params.len - at : RECORD_MAX);
    put_record(&c->up, PARAMS, "", 0);
    const char *length = getenv("CONTENT_LENGTH");
    c->todo = length && *length                  ? strtoll(length, NULL, 10)
              : getenv("HTTP_TRANSFER_ENCODING") ? -1
                                                 : 0;
    if (length && *length && c->todo < 0)
        c->todo = 0;
    if (c->todo == 0)
        put_record(&c->up, STDIN, "", 0);
    bool ok = !params.failed && !c->up.failed;
    buf_free(&params);
    return ok;
}

/* ---- passing bytes ---- */

static bool would_block(void)
{
    return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR;
}

/* The next piece of the body. */
static void take_body(struct cgi *c)
{
    char piece[PIECE];
    size_t want = c->todo < 0 || c->todo > PIECE ? PIECE : (size_t)c->todo;
    ssize_t n = read(0, piece, want);
    if (n < 0 && would_block())
        return;
    if (n <= 0) { /* too short, if its length was announced: the server will notice */
        c->todo = 0;
    } else {
        put_record(&c->up, STDIN, piece, (size_t)n);
        if (c->todo > 0)
            c->todo -= n;
    }
    if (c->todo == 0)
        put_record(&c->up, STDIN, "", 0);
}

static void hang_up(struct cgi *c)
{
    if (c->sock >= 0)
        close(c->sock);
    c->sock = -1;
    buf_free(&c->up);
    c->todo = 0;
}

static void send_up(struct cgi *c)
{
    ssize_t n = send(c->sock, c->up.data, c->up.len, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (n > 0)
        buf_consume(&c->up, (size_t)n);
    else if (n < 0 && !would_block())
        buf_clear(&c->up); /* it does not listen any more; what it said may still come */
}

/* Moves the text of whole records from down to out. */
static void unpack(struct cgi *c)
{
    size_t at = 0;
    while (c->down.len - at >= HEADER && !c->ended) {
        const unsigned char *r = (const unsigned char *)c->down.data + at;
        size_t n = (size_t)r[4] << 8 | r[5], whole = HEADER + n + r[6];
        if (c->down.len - at < whole)
            break;
        if (r[1] == STDOUT)
            buf_append(&c->out, (const char *)r + HEADER, n);
        c->ended = r[1] == END_REQUEST;
        at += whole;
    }
    if (at > 0)
        buf_consume(&c->down, at);
}

static void take_down(struct cgi *c)
{
    char piece[PIECE];
    ssize_t n = recv(c->sock, piece, sizeof piece, MSG_DONTWAIT);
    if (n < 0 && would_block())
        return;
    if (n <= 0) {
        hang_up(c);
        return;
    }
    buf_append(&c->down, piece, (size_t)n);
    unpack(c);
    if (c->ended || c->down.failed || c->out.failed)
        hang_up(c);
}

/* False: the client is gone. */
static bool send_out(struct cgi *c)
{
    ssize_t n = write(1, c->out.data, c->out.len);
    if (n < 0)
        return would_block();
    c->spoke = true;
    buf_consume(&c->out, (size_t)n);
    return true;
}

static bool set_nonblocking(int fd, bool on)
{
    int flags = fcntl(fd, F_GETFL);
    return flags >= 0 && fcntl(fd, F_SETFL, on ? flags | O_NONBLOCK : flags & ~O_NONBLOCK) == 0;
}

/* SIGTERM: streams end as they do everywhere. The hub goes when no thread can use it any more. */
static void stop(struct cgi *c)
{
    if (!c->stop_at)
        c->stop_at = clock_mono_ms() + STOP_MS;
    atomic_store(&c->service.draining, true);
    if (atomic_load(&c->served) && c->service.hub) {
        hub_stop(c->service.hub);
        c->service.hub = NULL;
    }
}

static int timeout_of(const struct cgi *c)
{
    if (!c->stop_at)
        return -1;
    return c->service.hub ? LOOK_AGAIN_MS : STOP_MS;
}

/* Until everything was said, or nobody listens. */
static void pass(struct cgi *c)
{
    enum { SIGNAL, SOCK, IN, OUT, N };
    while (c->sock >= 0 || c->out.len > 0) {
        struct pollfd p[N] = {{.fd = c->signal_fd, .events = POLLIN},
                              {.fd = c->sock},
                              {.fd = c->todo && !c->up.len ? 0 : -1, .events = POLLIN},
                              {.fd = 1, .events = c->out.len ? POLLOUT : 0}};
        p[SOCK].events = (short)((c->up.len ? POLLOUT : 0) | (c->out.len < PIECE ? POLLIN : 0));
        if (!p[SOCK].events)
            p[SOCK].fd = -1; /* its end would be told again and again */
        if (poll(p, N, timeout_of(c)) < 0 && errno != EINTR)
            return;
        if (p[SIGNAL].revents || c->stop_at)
            stop(c);
        if (c->stop_at && clock_mono_ms() >= c->stop_at)
            return;
        if (p[IN].revents)
            take_body(c);
        if (p[SOCK].revents & POLLOUT)
            send_up(c);
        if (p[SOCK].revents & (POLLIN | POLLHUP | POLLERR) && c->out.len < PIECE)
            take_down(c);
        bool gone = !c->out.len && p[OUT].revents & (POLLERR | POLLHUP | POLLNVAL);
        if (gone || (c->out.len && !send_out(c))) {
            c->spoke = true; /* to nobody */
            return;
        }
    }
}

/* ---- the server's side ---- */

static void stay(int fd, void *ctx)
{
    (void)fd;
    (void)ctx;
}

static void *serve(void *arg)
{
    struct cgi *c = arg;
    serve_one(&c->server, c->peer, stay, NULL);
    server_free(&c->server);
    atomic_store(&c->served, true);
    return NULL;
}

/* The instance. A fault is what the request is answered with. */
static enum vx_err bring_up(struct cgi *c, const char *dir)
{
    char why[512] = "";
    enum vx_err err = settings_load(dir, &c->settings, why, sizeof why);
    if (err) {
        log_event(LOG_ERROR_, "config", "reason", why, NULL);
        return err;
    }
    c->app = c->settings->app;
    c->service.base_path = c->settings->base_path;
    err =
        store_open(c->settings->in.db, config_int(c->app.cfg, CFG_STORE_BUSY_MS), 0, &c->app.store);
    if (!err)
        err = hub_start(&c->app, &c->service.hub);
    if (err)
        log_event(LOG_ERROR_, "not_ready", "code", vx_err_info(err)->code, NULL);
    else
        hub_plan_end(c->service.hub, CGI_STREAM_SECONDS * 1000);
    return err;
}

/* The thread that serves. Signals are the main thread's. */
static bool start(struct cgi *c, const char *dir)
{
    sigset_t all, wanted;
    int pair[2];
    sigfillset(&all);
    sigemptyset(&wanted);
    sigaddset(&wanted, SIGTERM);
    sigaddset(&wanted, SIGINT);
    if (pthread_sigmask(SIG_BLOCK, &all, NULL) || signal(SIGPIPE, SIG_IGN) == SIG_ERR ||
        (c->signal_fd = signalfd(-1, &wanted, SFD_NONBLOCK | SFD_CLOEXEC)) < 0 ||
        fcgx_library_init() || contracts_init() || router_new(&c->router) ||
        socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair))
        return false;
    c->sock = pair[0];
    c->peer = pair[1];
    c->service.app = &c->app;
    c->service.router = c->router;
    c->service.base_path = "";
    atomic_store(&c->service.fault, (int)bring_up(c, dir));
    if (!put_request(c) || server_init(&c->server, &c->service))
        return false;
    c->serving = pthread_create(&c->thread, NULL, serve, c) == 0;
    if (!c->serving)
        server_free(&c->server);
    return c->serving;
}

/* Gives the thread what is left of the time, then the process ends under it. */
static void end(struct cgi *c)
{
    struct timespec until;
    hang_up(c);
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += STOP_MS / 1000;
    if (c->serving && pthread_timedjoin_np(c->thread, NULL, &until))
        _exit(0);
    if (c->service.hub)
        hub_stop(c->service.hub);
    if (c->app.store)
        store_close(c->app.store);
    settings_unref(c->settings);
    router_free(c->router);
    contracts_free();
    buf_free(&c->down);
    buf_free(&c->out);
    if (c->signal_fd >= 0)
        close(c->signal_fd);
}

int cgi_serve(const char *dir)
{
    struct cgi c = {.signal_fd = -1, .sock = -1, .peer = -1};
    buf_init(&c.up, 32u << 20);
    buf_init(&c.down, 1u << 20);
    buf_init(&c.out, 1u << 20);
    /* what we say goes to the web server's error log: only what is wrong */
    log_open("fcgi", NULL, LOG_WARN_);
    bool began = start(&c, dir);
    bool restore = set_nonblocking(1, true);
    if (began)
        pass(&c);
    bool answered = c.spoke;
    if (restore)
        set_nonblocking(1, false);
    if (!answered && write(1, broken_answer, sizeof broken_answer - 1) < 0)
        log_event(LOG_WARN_, "stdout", "reason", strerrordesc_np(errno), NULL);
    end(&c);
    return began ? 0 : EXIT_SYSTEM;
}
