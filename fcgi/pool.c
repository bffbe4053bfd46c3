/* The accept pool: see pool.h. An epoll event carries the descriptor; the two that are no
 * connections (time-out of a paused listener, stop) are told apart by their number. */
#include "fcgi/pool.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "fcgi/lane.h"
#include "lib/clock.h"
#include "lib/log.h"

#define ACCEPT_BATCH 16
#define PAUSE_MS     100
#define PEER_SECONDS 30 /* a peer that takes nothing of an answer for this long is dropped */
#define WORKER_STACK (1024 * 1024)
#define DRAIN_EVENTS 16
#define THREADS_MAX  64
#define TRACKED_MAX  (1u << 20)

/* Whose a connection is, by descriptor. Epoll may have told a worker about one that pool_leave() is
 * just passing on: whoever changes PARKED to HELD owns it. */
enum place { HELD, PARKED };

struct worker {
    struct pool *pool;
    pthread_t thread;
    struct server server;
    struct lane_reader reader;
};

struct pool {
    struct service *service;
    int listen_fd, epoll_fd, timer_fd, stop_fd;
    bool tcp;
    atomic_bool drain_backlog;
    atomic_bool leaving; /* to the successor: pass and pass_ctx are set */
    pool_pass_fn *pass;
    void *pass_ctx;
    struct lane *lane;
    atomic_uchar *places; /* enum place */
    size_t n_places;
    unsigned n; /* workers that were started */
    struct worker workers[THREADS_MAX];
};

static bool arm(struct pool *p, int op, int fd, uint32_t events)
{
    struct epoll_event ev = {.events = events, .data.fd = fd};
    return epoll_ctl(p->epoll_fd, op, fd, &ev) == 0;
}

/* Out of descriptors: a listener that stays in the set would wake a worker without end. The timer
 * puts it back; until then connections wait in the backlog. */
static void pause_accepting(struct pool *p, int why)
{
    struct itimerspec t = {.it_value.tv_nsec = PAUSE_MS * 1000000L};
    log_event(LOG_WARN_, "accept_paused", "reason", strerrordesc_np(why), NULL);
    arm(p, EPOLL_CTL_MOD, p->timer_fd, EPOLLIN | EPOLLONESHOT);
    if (timerfd_settime(p->timer_fd, 0, &t, NULL))
        arm(p, EPOLL_CTL_MOD, p->listen_fd, EPOLLIN | EPOLLONESHOT);
}

static void resume_accepting(struct pool *p)
{
    uint64_t ticks;
    ssize_t n = read(p->timer_fd, &ticks, sizeof ticks);
    (void)n;
    arm(p, EPOLL_CTL_MOD, p->listen_fd, EPOLLIN | EPOLLONESHOT);
}

/* The next connection, blocking (libfcgi needs that) but with time-outs. -1 and errno. */
static int accept_one(struct pool *p)
{
    const struct timeval limit = {.tv_sec = PEER_SECONDS};
    const int on = 1;
    int fd;
    do
        fd = accept4(p->listen_fd, NULL, NULL, SOCK_CLOEXEC);
    while (fd < 0 && (errno == ECONNABORTED || errno == EINTR || errno == EPROTO));
    if (fd < 0)
        return -1;
    if (setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit) ||
        setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit) ||
        (p->tcp && setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on)))
        log_event(LOG_WARN_, "setsockopt", "reason", strerrordesc_np(errno), NULL);
    return fd;
}

/* True when the connection was parked and is the caller's now. */
static bool claim(struct pool *p, int fd)
{
    unsigned char parked = PARKED;
    return (size_t)fd < p->n_places &&
           atomic_compare_exchange_strong(&p->places[fd], &parked, HELD);
}

/* What the web server writes meanwhile stays in the socket, and goes with it. */
static void pass_on(struct pool *p, int fd)
{
    epoll_ctl(p->epoll_fd, EPOLL_CTL_DEL, fd, NULL); /* ENOENT: it never was in the set */
    p->pass(fd, p->pass_ctx);
}

static void pool_park(struct pool *p, int fd, bool in_set)
{
    if (atomic_load(&p->leaving)) {
        pass_on(p, fd);
        return;
    }
    bool tracked = (size_t)fd < p->n_places;
    if (tracked)
        atomic_store(&p->places[fd], PARKED);
    if (!tracked || !arm(p, in_set ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, fd, EPOLLIN | EPOLLONESHOT)) {
        log_event(LOG_WARN_, "park", "reason", strerrordesc_np(errno), NULL);
        if (!tracked || claim(p, fd))
            close(fd);
        return;
    }
    /* pool_leave() may have looked at all places before it was in its own */
    if (atomic_load(&p->leaving) && claim(p, fd))
        pass_on(p, fd);
}

void pool_take_back(int fd, void *ctx)
{
    pool_park(ctx, fd, false);
}

/* The hub has an epoll set of its own; in ours the descriptor would outlive its request. */
static void leave_set(int fd, void *ctx)
{
    struct pool *p = ctx;
    epoll_ctl(p->epoll_fd, EPOLL_CTL_DEL, fd, NULL); /* ENOENT: it never was in the set */
}

static void request_arrived(void *ctx)
{
    struct worker *w = ctx;
    lane_read_done(w->pool->lane, &w->reader);
}

static void serve(struct worker *w, int fd, bool in_set)
{
    struct pool *p = w->pool;
    enum arrival_state state = lane_look(fd);
    if (state == ARRIVED_GONE) {
        close(fd);
        return;
    }
    bool unfinished = state == ARRIVED_PART || state == ARRIVED_MUCH;
    if (unfinished && !lane_read_begin(p->lane, &w->reader, fd)) {
        leave_set(fd, p);
        if (atomic_load(&p->service->draining))
            close(fd);
        else
            lane_put(p->lane, fd, state);
        return;
    }
    if (state != ARRIVED_NOTHING) {
        w->server.arrived = unfinished ? request_arrived : NULL;
        w->server.arrived_ctx = w;
        if (serve_one(&w->server, fd, leave_set, p) != SERVED_KEEP)
            return;
    }
    if (atomic_load(&p->service->draining))
        close(fd);
    else
        pool_park(p, fd, in_set);
}

/* Takes what waits in the backlog. All but the last are parked for other workers; the last is
 * returned to be served here (web servers send at once), -1 when there was none. */
static int accept_some(struct pool *p)
{
    int last = -1;
    for (int i = 0; i < ACCEPT_BATCH; i++) {
        int fd = accept_one(p);
        if (fd < 0) {
            int why = errno;
            if (why == EAGAIN || why == EWOULDBLOCK)
                break;
            pause_accepting(p, why);
            return last;
        }
        if (last >= 0)
            pool_park(p, last, false);
        last = fd;
    }
    if (!atomic_load(&p->service->draining) && !atomic_load(&p->leaving))
        arm(p, EPOLL_CTL_MOD, p->listen_fd, EPOLLIN | EPOLLONESHOT);
    return last;
}

/* After stop: whatever has arrived is answered, nothing is waited for. */
static void drain(struct worker *w)
{
    struct pool *p = w->pool;
    struct epoll_event ev[DRAIN_EVENTS];
    bool more = true;
    int fd;
    while (more) {
        more = false;
        int n = epoll_wait(p->epoll_fd, ev, DRAIN_EVENTS, 0);
        for (int i = 0; i < n; i++) {
            fd = ev[i].data.fd;
            if (fd == p->stop_fd || fd == p->timer_fd || fd == p->listen_fd)
                continue;
            if (claim(p, fd))
                serve(w, fd, true);
            more = true;
        }
    }
    while (atomic_load(&p->drain_backlog) && (fd = accept_one(p)) >= 0)
        serve(w, fd, false);
}

static void *work(void *arg)
{
    struct worker *w = arg;
    struct pool *p = w->pool;
    server_warm(&w->server);
    for (;;) {
        struct epoll_event ev;
        int n = epoll_wait(p->epoll_fd, &ev, 1, -1);
        if (n < 0 && errno != EINTR) {
            log_event(LOG_ERROR_, "epoll_wait", "reason", strerrordesc_np(errno), NULL);
            break;
        }
        if (n < 1)
            continue;
        int fd = ev.data.fd;
        if (fd == p->stop_fd) {
            if (!atomic_load(&p->leaving))
                drain(w);
            break;
        }
        if (fd == p->timer_fd) {
            resume_accepting(p);
        } else if (fd == p->listen_fd) {
            fd = accept_some(p);
            if (fd >= 0)
                serve(w, fd, false);
        } else if (claim(p, fd)) {
            serve(w, fd, true);
        }
    }
    server_free(&w->server);
    return NULL;
}

static bool is_tcp(int fd)
{
    struct sockaddr_storage sa;
    socklen_t len = sizeof sa;
    return getsockname(fd, (struct sockaddr *)&sa, &len) == 0 &&
           (sa.ss_family == AF_INET || sa.ss_family == AF_INET6);
}

static bool set_nonblocking(int fd)
{
    int flags = fcntl(fd, F_GETFL);
    return flags >= 0 && fcntl(fd, F_SETFL, flags | O_NONBLOCK) == 0;
}

void pool_free(struct pool *p)
{
    if (p->lane)
        lane_free(p->lane);
    free(p->places);
    if (p->epoll_fd >= 0)
        close(p->epoll_fd);
    if (p->timer_fd >= 0)
        close(p->timer_fd);
    if (p->stop_fd >= 0)
        close(p->stop_fd);
    free(p);
}

static bool start_worker(struct pool *p, pthread_attr_t *attr)
{
    struct worker *w = &p->workers[p->n];
    w->pool = p;
    lane_add_reader(p->lane, &w->reader);
    if (server_init(&w->server, p->service))
        return false;
    if (pthread_create(&w->thread, attr, work, w)) {
        server_free(&w->server);
        return false;
    }
    p->n++;
    return true;
}

/* Room for every descriptor we may have. */
static bool track(struct pool *p)
{
    struct rlimit r;
    p->n_places = TRACKED_MAX;
    if (getrlimit(RLIMIT_NOFILE, &r) == 0 && r.rlim_cur < TRACKED_MAX)
        p->n_places = r.rlim_cur;
    p->places = calloc(p->n_places, sizeof *p->places);
    return p->places != NULL;
}

enum vx_err pool_start(int listen_fd, unsigned threads, struct service *service, struct pool **out)
{
    pthread_attr_t attr;
    *out = NULL;
    struct pool *p = calloc(1, sizeof *p);
    if (!p)
        return VX_ERR_NO_MEMORY;
    p->service = service;
    p->listen_fd = listen_fd;
    p->tcp = is_tcp(listen_fd);
    p->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    p->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    p->stop_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    atomic_store(&service->draining, false);
    if (!track(p) || p->epoll_fd < 0 || p->timer_fd < 0 || p->stop_fd < 0 ||
        !set_nonblocking(listen_fd) || !arm(p, EPOLL_CTL_ADD, p->stop_fd, EPOLLIN) ||
        !arm(p, EPOLL_CTL_ADD, p->timer_fd, 0) ||
        !arm(p, EPOLL_CTL_ADD, listen_fd, EPOLLIN | EPOLLONESHOT) || pthread_attr_init(&attr)) {
        pool_free(p);
        return VX_ERR_SYSTEM;
    }
    if (lane_start(threads > 1 ? threads / 2 : 1, pool_take_back, p, &p->lane)) {
        pthread_attr_destroy(&attr);
        pool_free(p);
        return VX_ERR_SYSTEM;
    }
    pthread_attr_setstacksize(&attr, WORKER_STACK);
    while (p->n < threads && p->n < THREADS_MAX && start_worker(p, &attr))
        ;
    pthread_attr_destroy(&attr);
    if (p->n == 0) {
        lane_stop(p->lane, NULL, NULL);
        pool_free(p);
        return VX_ERR_SYSTEM;
    }
    if (p->n < threads && p->n < THREADS_MAX)
        log_msg(LOG_WARN_, "threads", "only %u of %u workers could be started", p->n, threads);
    *out = p;
    return VX_OK;
}

/* Tells the workers to end; true when all did in time. */
static bool end_workers(struct pool *p, int64_t timeout_ms)
{
    const uint64_t one = 1;
    struct timespec until;
    bool all = true;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += timeout_ms / 1000;
    until.tv_nsec += timeout_ms % 1000 * 1000000L;
    if (until.tv_nsec >= 1000000000L) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000L;
    }
    if (write(p->stop_fd, &one, sizeof one) != sizeof one)
        log_event(LOG_ERROR_, "stop", "reason", strerrordesc_np(errno), NULL);
    for (unsigned i = 0; i < p->n; i++)
        if (pthread_timedjoin_np(p->workers[i].thread, NULL, &until))
            all = false;
    return all;
}

static void close_one(int fd, void *ctx)
{
    (void)ctx;
    close(fd);
}

bool pool_stop(struct pool *p, bool drain_backlog, int64_t timeout_ms)
{
    atomic_store(&p->drain_backlog, drain_backlog);
    atomic_store(&p->service->draining, true);
    lane_stop(p->lane, close_one, NULL); /* unfinished, so nobody relies on them */
    bool all = end_workers(p, timeout_ms);
    if (all)
        pool_free(p);
    return all;
}

/* Passes everything that is parked. */
static void pass_parked(struct pool *p)
{
    for (size_t fd = 0; fd < p->n_places; fd++)
        if (atomic_load_explicit(&p->places[fd], memory_order_relaxed) == PARKED &&
            claim(p, (int)fd))
            pass_on(p, (int)fd);
}

bool pool_leave(struct pool *p, pool_pass_fn *pass, void *ctx, int64_t timeout_ms)
{
    p->pass = pass;
    p->pass_ctx = ctx;
    atomic_store(&p->leaving, true);
    epoll_ctl(p->epoll_fd, EPOLL_CTL_DEL, p->listen_fd, NULL);
    pass_parked(p);
    lane_stop(p->lane, pool_take_back, p);
    bool all = end_workers(p, timeout_ms);
    pass_parked(p);
    return all;
}

#ifdef __SANITIZE_THREAD__
/* ThreadSanitizer knows that EPOLL_CTL_ADD hands a descriptor to whoever epoll_wait() gives it to,
 * but not that EPOLL_CTL_MOD of a one-shot one does the same. */
const char *__tsan_default_suppressions(void);
const char *__tsan_default_suppressions(void)
{
    return "race:pool_park\n";
}
#endif
