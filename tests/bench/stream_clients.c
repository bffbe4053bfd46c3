/* stream_clients: opens N event streams at 127.0.0.1 and watches what comes, for streams.py.
 * A message carries "@<CLOCK_MONOTONIC ns>:<number>@"; numbers must come 1, 2, 3 … on each stream.
 *
 *   stream_clients PORT PATH N [HEADER…]
 *
 * Prints "open N" when every stream has its 200, then obeys lines on standard input:
 *   status    -> "status open=… frames=… bad=…"   (bad: frames out of order, or missing)
 *   latency   -> "latency n=… p50=… p99=… max=…"  in microseconds; forgets them
 *   stall K   -> the first K streams are not read any more
 *   read      -> all are read again
 * and ends with standard input. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define REQUEST_MAX 2048
#define OPENING_MAX 200 /* connections whose answer has not come yet */
#define EVENTS_MAX  256
#define READ_BYTES  65536
#define SAMPLES_MAX (64u << 20)

/* Where a stream is in its bytes: the head, then chunks (or plain text), and in the text a mark. */
enum chunk_state { CHUNK_SIZE, CHUNK_SKIP, CHUNK_DATA, CHUNK_END };
enum mark_state { MARK_NONE, MARK_TIME, MARK_NUMBER };

struct stream {
    int fd;
    bool connected, headed, chunked, stalled;
    unsigned char head_match; /* of "\r\n\r\n" */
    unsigned char chunk, mark;
    uint16_t head_len;
    uint32_t chunk_left;
    uint32_t number, last;
    uint64_t when;
    char *head; /* until it is complete */
};

struct client {
    int epoll;
    struct sockaddr_in to;
    char request[REQUEST_MAX];
    size_t request_len;
    struct stream *streams;
    uint32_t n, started, open, opening;
    uint64_t frames, bad;
    uint32_t *samples;
    size_t n_samples, max_samples;
    char line[128];
    size_t line_len;
    bool told;
};

static _Noreturn void die(const char *what)
{
    fprintf(stderr, "stream_clients: %s: %s\n", what, strerror(errno));
    exit(1);
}

static uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void sample(struct client *c, uint64_t ns)
{
    if (c->n_samples == c->max_samples) {
        if (c->max_samples >= SAMPLES_MAX)
            return;
        c->max_samples = c->max_samples ? c->max_samples * 2 : 1u << 16;
        c->samples = realloc(c->samples, c->max_samples * sizeof *c->samples);
        if (!c->samples)
            die("realloc");
    }
    uint64_t us = ns / 1000;
    c->samples[c->n_samples++] = us > UINT32_MAX ? UINT32_MAX : (uint32_t)us;
}

static void frame(struct client *c, struct stream *s, uint64_t now)
{
    c->frames++;
    if (s->number != s->last + 1)
        c->bad++;
    s->last = s->number;
    sample(c, now > s->when ? now - s->when : 0);
}

/* Looks for marks in the text of a stream. */
static void take_text(struct client *c, struct stream *s, const char *p, size_t n, uint64_t now)
{
    const char *end = p + n;
    while (p < end) {
        if (s->mark == MARK_NONE) {
            p = memchr(p, '@', (size_t)(end - p));
            if (!p)
                return;
            p++;
            s->mark = MARK_TIME;
            s->when = 0;
            s->number = 0;
            continue;
        }
        char ch = *p++;
        if (ch >= '0' && ch <= '9') {
            if (s->mark == MARK_TIME)
                s->when = s->when * 10 + (uint64_t)(ch - '0');
            else
                s->number = s->number * 10 + (uint32_t)(ch - '0');
        } else if (ch == ':' && s->mark == MARK_TIME) {
            s->mark = MARK_NUMBER;
        } else {
            if (ch == '@' && s->mark == MARK_NUMBER)
                frame(c, s, now);
            s->mark = MARK_NONE;
        }
    }
}

static int hex(char ch)
{
    if (ch >= '0' && ch <= '9')
        return ch - '0';
    ch |= 0x20;
    return ch >= 'a' && ch <= 'f' ? ch - 'a' + 10 : -1;
}

static void take_chunks(struct client *c, struct stream *s, const char *p, size_t n, uint64_t now)
{
    const char *end = p + n;
    while (p < end) {
        if (s->chunk == CHUNK_DATA) {
            size_t part = (size_t)(end - p) < s->chunk_left ? (size_t)(end - p) : s->chunk_left;
            take_text(c, s, p, part, now);
            p += part;
            s->chunk_left -= (uint32_t)part;
            if (!s->chunk_left)
                s->chunk = CHUNK_END;
            continue;
        }
        char ch = *p++;
        if (s->chunk == CHUNK_SIZE && hex(ch) >= 0)
            s->chunk_left = s->chunk_left * 16 + (uint32_t)hex(ch);
        else if (ch == '\n' && s->chunk == CHUNK_END)
            s->chunk = CHUNK_SIZE;
        else if (ch == '\n')
            s->chunk = s->chunk_left ? CHUNK_DATA : CHUNK_END;
        else if (s->chunk == CHUNK_SIZE)
            s->chunk = CHUNK_SKIP;
    }
}

/* The head is over: it must be a 200. */
static void take_head(struct client *c, struct stream *s)
{
    s->head[s->head_len] = '\0';
    if (strncmp(s->head, "HTTP/1.1 200 ", 13) != 0) {
        fprintf(stderr, "stream_clients: answer %.60s\n", s->head);
        exit(1);
    }
    s->chunked = strcasestr(s->head, "\r\nTransfer-Encoding: chunked\r\n") != NULL;
    free(s->head);
    s->head = NULL;
    s->headed = true;
    c->open++;
    c->opening--;
}

static void take(struct client *c, struct stream *s, const char *p, size_t n, uint64_t now)
{
    while (n > 0 && !s->headed) {
        if (s->head_len == REQUEST_MAX - 1) {
            fprintf(stderr, "stream_clients: a head of %d bytes\n", REQUEST_MAX);
            exit(1);
        }
        s->head[s->head_len++] = *p;
        s->head_match = *p == "\r\n\r\n"[s->head_match] ? s->head_match + 1 : *p == '\r';
        p++;
        n--;
        if (s->head_match == 4)
            take_head(c, s);
    }
    if (n == 0)
        return;
    if (s->chunked)
        take_chunks(c, s, p, n, now);
    else
        take_text(c, s, p, n, now);
}

static void watch(struct client *c, struct stream *s, int op, uint32_t events)
{
    struct epoll_event e = {.events = events, .data.ptr = s};
    if (epoll_ctl(c->epoll, op, s->fd, &e) != 0)
        die("epoll_ctl");
}

static void start(struct client *c, struct stream *s)
{
    struct linger hard = {.l_onoff = 1}; /* no TIME_WAIT: many runs follow each other */
    s->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    s->head = malloc(REQUEST_MAX);
    if (s->fd < 0 || !s->head)
        die("socket");
    (void)setsockopt(s->fd, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
    if (connect(s->fd, (struct sockaddr *)&c->to, sizeof c->to) != 0 && errno != EINPROGRESS)
        die("connect");
    watch(c, s, EPOLL_CTL_ADD, EPOLLOUT);
    c->started++;
    c->opening++;
}

static void lost(struct client *c, struct stream *s, const char *why)
{
    if (!s->headed) {
        fprintf(stderr, "stream_clients: no answer: %s\n", why);
        exit(1);
    }
    close(s->fd);
    s->fd = -1;
    c->open--;
}

static void ready(struct client *c, struct stream *s)
{
    static char bytes[READ_BYTES];
    if (s->fd < 0 || s->stalled)
        return;
    if (!s->connected) {
        if (send(s->fd, c->request, c->request_len, MSG_NOSIGNAL) != (ssize_t)c->request_len)
            die("send");
        s->connected = true;
        watch(c, s, EPOLL_CTL_MOD, EPOLLIN);
        return;
    }
    ssize_t n = recv(s->fd, bytes, sizeof bytes, 0);
    if (n > 0)
        take(c, s, bytes, (size_t)n, now_ns());
    else if (n == 0)
        lost(c, s, "the server closed");
    else if (errno != EAGAIN && errno != EINTR)
        lost(c, s, strerror(errno));
}

static int ascending(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return x < y ? -1 : x > y;
}

static void tell_latency(struct client *c)
{
    size_t n = c->n_samples;
    if (n > 0)
        qsort(c->samples, n, sizeof *c->samples, ascending);
    printf("latency n=%zu p50=%u p99=%u max=%u\n", n, n ? c->samples[n / 2] : 0,
           n ? c->samples[n * 99 / 100] : 0, n ? c->samples[n - 1] : 0);
    c->n_samples = 0;
}

static void stall(struct client *c, uint32_t k)
{
    for (uint32_t i = 0; i < c->n; i++) {
        struct stream *s = &c->streams[i];
        if (s->fd < 0 || s->stalled == (i < k))
            continue;
        s->stalled = i < k;
        watch(c, s, EPOLL_CTL_MOD, s->stalled ? 0 : EPOLLIN);
    }
}

static void obey(struct client *c, const char *line)
{
    if (strcmp(line, "status") == 0)
        printf("status open=%u frames=%llu bad=%llu\n", c->open, (unsigned long long)c->frames,
               (unsigned long long)c->bad);
    else if (strcmp(line, "latency") == 0)
        tell_latency(c);
    else if (strncmp(line, "stall ", 6) == 0)
        stall(c, (uint32_t)strtoul(line + 6, NULL, 10));
    else if (strcmp(line, "read") == 0)
        stall(c, 0);
    else
        fprintf(stderr, "stream_clients: unknown command %s\n", line);
}

/* Obeys what came on standard input, which may be several lines. False: it is over. */
static bool commands(struct client *c)
{
    ssize_t n = read(STDIN_FILENO, c->line + c->line_len, sizeof c->line - 1 - c->line_len);
    if (n <= 0)
        return false;
    c->line_len += (size_t)n;
    c->line[c->line_len] = '\0';
    char *line = c->line;
    for (char *end; (end = strchr(line, '\n')) != NULL; line = end + 1) {
        *end = '\0';
        obey(c, line);
    }
    c->line_len -= (size_t)(line - c->line);
    memmove(c->line, line, c->line_len);
    return fflush(stdout) == 0;
}

static void run(struct client *c)
{
    struct epoll_event events[EVENTS_MAX];
    struct epoll_event input = {.events = EPOLLIN, .data.ptr = NULL};
    if (epoll_ctl(c->epoll, EPOLL_CTL_ADD, STDIN_FILENO, &input) != 0)
        die("epoll_ctl");
    for (;;) {
        while (c->started < c->n && c->opening < OPENING_MAX)
            start(c, &c->streams[c->started]);
        if (!c->told && c->open == c->n) {
            c->told = true;
            printf("open %u\n", c->n);
            fflush(stdout);
        }
        int n = epoll_wait(c->epoll, events, EVENTS_MAX, -1);
        if (n < 0 && errno != EINTR)
            die("epoll_wait");
        for (int i = 0; i < n; i++) {
            if (events[i].data.ptr)
                ready(c, events[i].data.ptr);
            else if (!commands(c))
                return;
        }
    }
}

int main(int argc, char **argv)
{
    static struct client c;
    struct rlimit files;
    if (argc < 4) {
        fprintf(stderr, "usage: stream_clients PORT PATH N [HEADER...]\n");
        return 100;
    }
    c.to = (struct sockaddr_in){.sin_family = AF_INET,
                                .sin_port = htons((uint16_t)strtoul(argv[1], NULL, 10)),
                                .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    c.n = (uint32_t)strtoul(argv[3], NULL, 10);
    int len =
        snprintf(c.request, sizeof c.request,
                 "GET %s HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: text/event-stream\r\n", argv[2]);
    for (int i = 4; i < argc && len < (int)sizeof c.request; i++)
        len += snprintf(c.request + len, sizeof c.request - (size_t)len, "%s\r\n", argv[i]);
    if (len < (int)sizeof c.request)
        len += snprintf(c.request + len, sizeof c.request - (size_t)len, "\r\n");
    if (len >= (int)sizeof c.request) {
        fprintf(stderr, "stream_clients: the request is too long\n");
        return 100;
    }
    c.request_len = (size_t)len;
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &files);
    }
    c.streams = calloc(c.n ? c.n : 1, sizeof *c.streams);
    c.epoll = epoll_create1(EPOLL_CLOEXEC);
    if (!c.streams || c.epoll < 0)
        die("setup");
    run(&c);
    return 0;
}
