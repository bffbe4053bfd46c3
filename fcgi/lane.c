/* The slow lane: see lane.h. Its thread sleeps without end while nobody is slow. Waiting
 * connections are in an epoll set of its own, edge-triggered: bytes that are left in the socket on
 * purpose must not wake it again. */
#include "fcgi/lane.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/clock.h"
#include "lib/log.h"

#define LOOK_BYTES  16384
#define LANE_EVENTS 32
#define TICK_MS     500 /* while somebody is slow */
#define TICK_FULL   20  /* while one waits for its turn */
#define HEADER      8
#define T_BEGIN     1
#define T_PARAMS    4
#define T_STDIN     5

struct waiting {
    int fd;
    bool much;
    int64_t until;
};

struct lane {
    pthread_t thread;
    int epoll_fd, wake_fd;
    unsigned limit;
    atomic_uint reading; /* workers at unfinished requests */
    atomic_bool watching;
    void (*ready)(int fd, void *ctx);
    void *ctx;
    struct lane_reader *readers;

    pthread_mutex_t lock;
    struct waiting *w;
    size_t n, room;
    bool stopping;
};

/* Whether n bytes hold one request to its end, every record of it in its place. What is out of
 * place counts as a part: libfcgi may wait for more behind it. */
static enum arrival_state whole(const unsigned char *p, size_t n)
{
    size_t at = 0;
    unsigned id = 0;
    int next = T_BEGIN;
    while (n - at >= HEADER) {
        const unsigned char *r = p + at;
        size_t len = (size_t)r[4] << 8 | r[5];
        if (r[0] != 1 || r[1] != next || (next != T_BEGIN && ((unsigned)r[2] << 8 | r[3]) != id))
            return ARRIVED_PART;
        if (n - at < HEADER + len + r[6])
            break;
        at += HEADER + len + r[6];
        if (next == T_STDIN && len == 0)
            return ARRIVED_WHOLE;
        if (next == T_BEGIN) {
            id = (unsigned)r[2] << 8 | r[3];
            next = T_PARAMS;
        } else if (next == T_PARAMS && len == 0) {
            next = T_STDIN;
        }
    }
    return n == LOOK_BYTES ? ARRIVED_MUCH : ARRIVED_PART;
}

enum arrival_state lane_look(int fd)
{
    unsigned char in[LOOK_BYTES];
    ssize_t n = recv(fd, in, sizeof in, MSG_PEEK | MSG_DONTWAIT);
    if (n > 0)
        return whole(in, (size_t)n);
    return n < 0 && (errno == EAGAIN || errno == EINTR) ? ARRIVED_NOTHING : ARRIVED_GONE;
}

static void wake(struct lane *l)
{
    const uint64_t one = 1;
    if (write(l->wake_fd, &one, sizeof one) < 0 && errno != EAGAIN)
        log_event(LOG_ERROR_, "lane", "reason", strerrordesc_np(errno), NULL);
}

/* From now on time-outs are looked at. */
static void watch(struct lane *l)
{
    if (!atomic_exchange(&l->watching, true))
        wake(l);
}

static bool grow(struct lane *l)
{
    if (l->n < l->room)
        return true;
    size_t room = l->room ? l->room * 2 : 16;
    struct waiting *w = realloc(l->w, room * sizeof *w);
    if (!w)
        return false;
    l->w = w;
    l->room = room;
    return true;
}

void lane_put(struct lane *l, int fd, enum arrival_state state)
{
    struct epoll_event ev = {.events = EPOLLIN | EPOLLRDHUP | EPOLLET, .data.fd = fd};
    pthread_mutex_lock(&l->lock);
    bool stopping = l->stopping;
    bool ok = !stopping && grow(l) && epoll_ctl(l->epoll_fd, EPOLL_CTL_ADD, fd, &ev) == 0;
    if (ok)
        l->w[l->n++] = (struct waiting){.fd = fd,
                                        .much = state == ARRIVED_MUCH,
                                        .until = clock_mono_ms() + LANE_SECONDS * 1000};
    pthread_mutex_unlock(&l->lock);
    if (ok)
        watch(l);
    else if (stopping)
        l->ready(fd, l->ctx);
    else
        close(fd);
}

bool lane_read_begin(struct lane *l, struct lane_reader *r, int fd)
{
    unsigned n = atomic_load(&l->reading);
    do
        if (n >= l->limit)
            return false;
    while (!atomic_compare_exchange_weak(&l->reading, &n, n + 1));
    pthread_mutex_lock(&r->lock);
    r->fd = fd;
    r->until = clock_mono_ms() + LANE_SECONDS * 1000;
    pthread_mutex_unlock(&r->lock);
    watch(l);
    return true;
}

void lane_read_done(struct lane *l, struct lane_reader *r)
{
    pthread_mutex_lock(&r->lock);
    bool was = r->fd >= 0;
    r->fd = -1;
    pthread_mutex_unlock(&r->lock);
    if (was)
        atomic_fetch_sub(&l->reading, 1);
}

static void forget(struct lane *l, size_t i)
{
    epoll_ctl(l->epoll_fd, EPOLL_CTL_DEL, l->w[i].fd, NULL);
    l->w[i] = l->w[--l->n];
}

/* Looks at waiting connection i. True when it is gone from the list. */
static bool look(struct lane *l, size_t i, int64_t now)
{
    struct waiting *w = &l->w[i];
    int fd = w->fd;
    enum arrival_state state = lane_look(fd);
    w->much = state == ARRIVED_MUCH;
    if (state == ARRIVED_GONE || (now >= w->until && state != ARRIVED_WHOLE)) {
        forget(l, i);
        if (state != ARRIVED_GONE)
            log_event(LOG_WARN_, "slow_peer", "reason", "a request did not come to its end", NULL);
        close(fd);
        return true;
    }
    if (state == ARRIVED_PART || (w->much && atomic_load(&l->reading) >= l->limit))
        return false;
    forget(l, i);
    l->ready(fd, l->ctx);
    return true;
}

static size_t find(const struct lane *l, int fd)
{
    size_t i = 0;
    while (i < l->n && l->w[i].fd != fd)
        i++;
    return i;
}

/* Ends what takes too long. True when there still is something to watch. */
static bool tick(struct lane *l, int64_t now)
{
    bool more = false;
    for (struct lane_reader *r = l->readers; r; r = r->next) {
        pthread_mutex_lock(&r->lock);
        if (r->fd >= 0 && now >= r->until) {
            log_event(LOG_WARN_, "slow_peer", "reason", "a request did not come to its end", NULL);
            shutdown(r->fd, SHUT_RD);
            r->until = now + LANE_SECONDS * 1000;
        }
        more |= r->fd >= 0;
        pthread_mutex_unlock(&r->lock);
    }
    for (size_t i = 0; i < l->n;)
        if ((!l->w[i].much && now < l->w[i].until) || !look(l, i, now))
            i++;
    return more || l->n > 0;
}

static int timeout_of(struct lane *l)
{
    if (!atomic_load(&l->watching))
        return -1;
    for (size_t i = 0; i < l->n; i++)
        if (l->w[i].much)
            return TICK_FULL;
    return TICK_MS;
}

static void *lane_thread(void *arg)
{
    struct lane *l = arg;
    bool go_on = true;
    while (go_on) {
        struct epoll_event ev[LANE_EVENTS];
        uint64_t count;
        pthread_mutex_lock(&l->lock);
        int timeout = timeout_of(l);
        pthread_mutex_unlock(&l->lock);
        int n = epoll_wait(l->epoll_fd, ev, LANE_EVENTS, timeout);
        int64_t now = clock_mono_ms();
        pthread_mutex_lock(&l->lock);
        go_on = !l->stopping;
        for (int i = 0; i < n && go_on; i++) {
            size_t at = ev[i].data.fd == l->wake_fd ? l->n : find(l, ev[i].data.fd);
            if (ev[i].data.fd == l->wake_fd && read(l->wake_fd, &count, sizeof count) < 0 &&
                errno != EAGAIN)
                log_event(LOG_ERROR_, "lane", "reason", strerrordesc_np(errno), NULL);
            if (at < l->n)
                look(l, at, now);
        }
        /* off first, so that one who begins meanwhile turns it on again */
        if (go_on && atomic_load(&l->watching)) {
            atomic_store(&l->watching, false);
            if (tick(l, now))
                atomic_store(&l->watching, true);
        }
        pthread_mutex_unlock(&l->lock);
    }
    return NULL;
}

enum vx_err lane_start(unsigned limit, void (*ready)(int fd, void *ctx), void *ctx,
                       struct lane **out)
{
    *out = NULL;
    struct lane *l = calloc(1, sizeof *l);
    if (!l)
        return VX_ERR_NO_MEMORY;
    l->limit = limit;
    l->ready = ready;
    l->ctx = ctx;
    pthread_mutex_init(&l->lock, NULL);
    l->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    l->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    struct epoll_event ev = {.events = EPOLLIN, .data.fd = l->wake_fd};
    if (l->epoll_fd < 0 || l->wake_fd < 0 ||
        epoll_ctl(l->epoll_fd, EPOLL_CTL_ADD, l->wake_fd, &ev) ||
        pthread_create(&l->thread, NULL, lane_thread, l)) {
        lane_free(l);
        return VX_ERR_SYSTEM;
    }
    *out = l;
    return VX_OK;
}

void lane_add_reader(struct lane *l, struct lane_reader *r)
{
    pthread_mutex_init(&r->lock, NULL);
    r->fd = -1;
    pthread_mutex_lock(&l->lock);
    r->next = l->readers;
    l->readers = r;
    pthread_mutex_unlock(&l->lock);
}

void lane_stop(struct lane *l, void (*fn)(int fd, void *ctx), void *ctx)
{
    pthread_mutex_lock(&l->lock);
    l->stopping = true;
    pthread_mutex_unlock(&l->lock);
    wake(l);
    pthread_join(l->thread, NULL);
    while (l->n > 0) {
        int fd = l->w[l->n - 1].fd;
        forget(l, l->n - 1);
        fn(fd, ctx);
    }
}

void lane_free(struct lane *l)
{
    if (l->epoll_fd >= 0)
        close(l->epoll_fd);
    if (l->wake_fd >= 0)
        close(l->wake_fd);
    pthread_mutex_destroy(&l->lock);
    free(l->w);
    free(l);
}
