/* The hub's thread and what the workers see of it. One epoll set holds every open stream, an
 * eventfd (arrivals, stop, commits of this process) and a timer that ticks only while a stream is
 * open (commits of other processes, silence, stalls, deadlines, revoked keys). A turn serves the
 * sockets first, then one batch of new events, then a few streams that are behind, so nobody
 * waits for more than one bounded piece of another's work. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "fcgi/hub_stream.h"
#include "lib/clock.h"
#include "lib/config.h"
#include "lib/log.h"

#define TURN_SOCKETS   256
#define TURN_BEHIND    16
#define TICK_PINGS     512 /* streams falling silent together are served over several ticks */
#define TICK_TOKENS    256
#define TOKENS_PAUSE   1000
#define DEADLINE_PAUSE 1000
#define PING_TEXT      "data: {\"type\":\"ping\"}\n\n"
#define KEEPALIVE_TEXT ": keepalive\n\n"
#define NO_LOOK        SIZE_MAX
#define ABORT_REQUEST  2 /* FastCGI record type */

/* ---- the workers' side ---- */

static void wake(struct hub *h)
{
    uint64_t one = 1;
    if (write(h->wake, &one, sizeof(one)) < 0 && errno != EAGAIN)
        log_msg(LOG_ERROR_, "hub_wake_failed", "%s", strerror(errno));
}

enum vx_err hub_reserve(struct hub *h, int64_t user_id)
{
    enum vx_err err = VX_OK;
    pthread_mutex_lock(&h->lock);
    if (h->stopping)
        err = VX_ERR_DRAINING;
    else if (h->places >= h->max)
        err = VX_ERR_STREAM_CAPACITY;
    else if (count_get(&h->users, user_id) >= h->max_per_user)
        err = VX_ERR_RATE_LIMITED;
    else if (count_add(&h->users, user_id))
        err = VX_ERR_NO_MEMORY;
    else
        h->places++;
    pthread_mutex_unlock(&h->lock);
    return err;
}

void hub_unreserve(struct hub *h, int64_t user_id)
{
    pthread_mutex_lock(&h->lock);
    count_sub(&h->users, user_id);
    if (h->places > 0)
        h->places--;
    pthread_mutex_unlock(&h->lock);
}

void hub_usage(struct hub *h, int64_t user_id, unsigned *limit, unsigned *in_use)
{
    pthread_mutex_lock(&h->lock);
    *limit = h->max_per_user;
    *in_use = count_get(&h->users, user_id);
    pthread_mutex_unlock(&h->lock);
}

void hub_configure(struct hub *h, const struct config *cfg)
{
    pthread_mutex_lock(&h->lock);
    h->max = (unsigned)config_int(cfg, CFG_STREAM_MAX);
    h->max_per_user = (unsigned)config_int(cfg, CFG_STREAM_MAX_PER_USER);
    pthread_mutex_unlock(&h->lock);
    atomic_store(&h->stall_ms, config_int(cfg, CFG_STREAM_STALL_SECONDS) * 1000);
    atomic_store(&h->max_ms, config_int(cfg, CFG_STREAM_MAX_SECONDS) * 1000);
}

void hub_plan_end(struct hub *h, int64_t ms)
{
    atomic_store(&h->plan_ms, ms);
}

void hub_give_back(struct hub *h, int64_t user_id)
{
    hub_unreserve(h, user_id);
    atomic_fetch_sub(&h->open, 1);
}

unsigned hub_streams(struct hub *h)
{
    return atomic_load(&h->open);
}

static char *put_text(char **at, const char *s)
{
    if (!s)
        return NULL;
    size_t n = strlen(s) + 1;
    char *to = memcpy(*at, s, n);
    *at += n;
    return to;
}

static bool is_repeated(const struct stream_spec *spec, size_t i)
{
    for (size_t j = 0; j < i; j++) {
        if (strcmp(spec->topics[j], spec->topics[i]) == 0)
            return true;
    }
    return false;
}

/* Copies what the hub keeps of spec. NULL when out of memory. */
static struct arrival *arrival_new(const struct hub *h, int fd, unsigned request_id,
                                   const struct stream_spec *spec)
{
    size_t text = spec->end_type ? strlen(spec->end_type) + 1 : 0;
    size_t n = 0;
    for (size_t i = 0; i < spec->n_topics; i++) {
        if (is_repeated(spec, i))
            continue;
        text += strlen(spec->topics[i]) + 1;
        n++;
    }
    struct arrival *a = malloc(sizeof(*a) + text);
    struct stream *s = calloc(1, sizeof(*s) + n * sizeof(s->subs[0]));
    struct poll *p = spec->poll ? poll_new(spec) : NULL;
    if (!a || !s || (spec->poll && !p)) {
        free(a);
        free(s);
        poll_free(p);
        return NULL;
    }
    s->poll = p;
    char *at = a->data;
    a->next = NULL;
    a->stream = s;
    a->end_type = put_text(&at, spec->end_type);
    for (size_t i = 0; i < spec->n_topics; i++) {
        if (!is_repeated(spec, i))
            a->topics[s->n_topics++] = put_text(&at, spec->topics[i]);
    }
    s->cursor = spec->cursor;
    s->user_id = spec->user_id;
    s->token_id = spec->token_id;
    s->deadline_ms = spec->expires_ms;
    int64_t max_ms = atomic_load(&h->max_ms);
    if (!max_ms)
        max_ms = atomic_load(&h->plan_ms);
    int64_t planned = max_ms ? clock_now_ms() + max_ms : 0;
    if (planned && (!s->deadline_ms || planned < s->deadline_ms))
        s->deadline_ms = planned;
    s->fd = fd;
    s->request_id = (uint16_t)request_id;
    s->ping = spec->ping_frames;
    return a;
}

static int set_blocking(int fd, bool on)
{
    int flags = fcntl(fd, F_GETFL);
    return flags < 0 ? -1 : fcntl(fd, F_SETFL, on ? flags & ~O_NONBLOCK : flags | O_NONBLOCK);
}

static enum vx_err add(struct hub *h, int fd, unsigned request_id, const struct stream_spec *spec,
                       bool keep)
{
    if (spec->n_topics == 0 || spec->n_topics > STREAM_TOPICS_MAX || request_id > UINT16_MAX)
        return VX_ERR_INTERNAL;
    if (set_blocking(fd, false))
        return VX_ERR_SYSTEM;
    struct arrival *a = arrival_new(h, fd, request_id, spec);
    if (!a)
        return VX_ERR_NO_MEMORY;
    a->stream->keep = keep;
    pthread_mutex_lock(&h->lock);
    bool stopping = h->stopping;
    if (!stopping) {
        *h->arrivals_end = a;
        h->arrivals_end = &a->next;
        atomic_fetch_add(&h->open, 1);
    }
    pthread_mutex_unlock(&h->lock);
    if (stopping) {
        arrival_free(a);
        return VX_ERR_DRAINING;
    }
    wake(h);
    return VX_OK;
}

enum vx_err hub_add(struct hub *h, int fd, unsigned request_id, const struct stream_spec *spec)
{
    return add(h, fd, request_id, spec, false);
}

enum vx_err hub_add_kept(struct hub *h, int fd, unsigned request_id, const struct stream_spec *spec)
{
    return add(h, fd, request_id, spec, true);
}

void hub_keeper(struct hub *h, hub_keep_fn *fn, void *ctx)
{
    pthread_mutex_lock(&h->lock);
    h->keep_fn = fn;
    h->keep_ctx = ctx;
    pthread_mutex_unlock(&h->lock);
}

bool hub_hand_back(struct hub *h, int fd)
{
    pthread_mutex_lock(&h->lock);
    bool kept = h->keep_fn && !set_blocking(fd, true);
    if (kept)
        h->keep_fn(fd, h->keep_ctx);
    pthread_mutex_unlock(&h->lock);
    return kept;
}

/* ---- the thread's side ---- */

/* The timer runs and the store's notes come only while a stream is open. */
static void watch(struct hub *h, bool on)
{
    long ns = on ? HUB_TICK_MS * 1000000L : 0;
    struct itimerspec every = {.it_interval = {0, ns}, .it_value = {0, ns}};
    if (timerfd_settime(h->tick, 0, &every, NULL))
        log_msg(LOG_ERROR_, "hub_timer_failed", "%s", strerror(errno));
    store_notify_fd(h->app->store, on ? h->wake : -1);
    h->have_seen = false;
    h->dirty = on;
    h->tokens_dirty = on; /* a key may have gone between its check and now */
    h->tokens_at = NO_LOOK;
    h->deadline_ms = 0;
}

static void let_in(struct hub *h)
{
    pthread_mutex_lock(&h->lock);
    struct arrival *a = h->arrivals;
    h->arrivals = NULL;
    h->arrivals_end = &h->arrivals;
    pthread_mutex_unlock(&h->lock);
    if (a && h->n_streams == 0)
        watch(h, true);
    for (struct arrival *next; a; a = next) {
        next = a->next;
        stream_enter(h, a);
    }
}

/* Bytes from the web server: its end of file, or an ABORT_REQUEST no known server sends. Rests
 * of the request are skipped. */
static void hear(struct hub *h, struct stream *s)
{
    unsigned char in[512];
    ssize_t n = recv(s->fd, in, sizeof(in), MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    s->keep = false; /* whatever this is, it would be in the way of the next request */
    if (n <= 0)
        stream_drop(h, s);
    else if (n >= 8 && in[0] == 1 && in[1] == ABORT_REQUEST)
        stream_part(h, s, NULL, false);
}

static void serve_socket(struct hub *h, struct stream *s, uint32_t events)
{
    if (s->dead)
        return;
    if (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) {
        stream_drop(h, s);
        return;
    }
    if (events & EPOLLIN)
        hear(h, s);
    if (!s->dead && (events & EPOLLOUT) && s->parked)
        stream_resume(h, s);
}

static void break_silence(struct hub *h)
{
    for (int i = 0; i < TICK_PINGS && !link_empty(&h->idle); i++) {
        struct stream *s = stream_of_order(h->idle.next);
        if (h->now - s->active_ms < HUB_SILENCE_MS)
            return;
        s->active_ms = h->now;
        link_append(&h->idle, &s->order);
        if (s->tail || s->parked)
            continue;
        struct frame *f = s->ping ? h->ping : h->keepalive;
        if (s->request_id != 1)
            stream_say(h, s, s->ping ? PING_TEXT : KEEPALIVE_TEXT);
        else
            stream_send(h, s, &f, 1);
    }
}

static void close_stalled(struct hub *h)
{
    while (!link_empty(&h->parked)) {
        struct stream *s = stream_of_order(h->parked.next);
        if (h->now - s->active_ms < h->stall_ms)
            return;
        stream_drop(h, s);
    }
}

/* Calls fn for every stream; fn may drop it. */
static void each_stream(struct hub *h, void (*fn)(struct hub *, struct stream *, int64_t),
                        int64_t arg)
{
    struct link *heads[] = {&h->idle, &h->polls, &h->parked};
    for (int i = 0; i < 3; i++) {
        for (struct link *l = heads[i]->next, *next; l != heads[i]; l = next) {
            next = l->next;
            fn(h, stream_of_order(l), arg);
        }
    }
}

static void end_if_due(struct hub *h, struct stream *s, int64_t wall)
{
    if (!s->deadline_ms)
        return;
    if (s->deadline_ms <= wall)
        stream_part_retry(h, s, false);
    else if (!h->deadline_ms || s->deadline_ms < h->deadline_ms)
        h->deadline_ms = s->deadline_ms;
}

static void meet_deadlines(struct hub *h)
{
    if (!h->deadline_ms || h->now < h->deadline_look_ms)
        return;
    int64_t wall = clock_now_ms();
    if (wall < h->deadline_ms)
        return;
    h->deadline_look_ms = h->now + DEADLINE_PAUSE;
    h->deadline_ms = 0;
    each_stream(h, end_if_due, wall);
}

static void end_if_token(struct hub *h, struct stream *s, int64_t token_id)
{
    if (s->token_id == token_id)
        stream_part_retry(h, s, false);
}

/* Looks at the keys of open streams, a few a tick, after something was committed. A key that
 * cannot be looked at is not a dead key. */
static void check_tokens(struct hub *h)
{
    if (h->tokens_at == NO_LOOK) {
        if (!h->tokens_dirty || h->now < h->tokens_next_ms || h->now < h->retry_ms)
            return;
        h->tokens_dirty = false;
        h->tokens_at = 0;
        h->tokens_next_ms = h->now + TOKENS_PAUSE;
    }
    for (int left = TICK_TOKENS; left > 0 && h->tokens_at < h->tokens.n_buckets; h->tokens_at++) {
        for (struct count_node *c = h->tokens.buckets[h->tokens_at]; c; c = c->next, left--) {
            bool alive = true;
            enum vx_err err = store_token_alive(h->db, c->key, &alive);
            if (err) {
                feed_fault(h, err);
                h->tokens_dirty = true;
                h->tokens_at = NO_LOOK;
                return;
            }
            if (!alive)
                each_stream(h, end_if_token, c->key);
        }
    }
    if (h->tokens_at >= h->tokens.n_buckets)
        h->tokens_at = NO_LOOK;
}

static void look_for_commits(struct hub *h)
{
    if (!h->have_seen || h->now < h->retry_ms)
        return;
    int64_t version = 0;
    enum vx_err err = store_data_version(h->db, &version);
    if (err) {
        feed_fault(h, err);
        return;
    }
    if (version == h->data_version)
        return;
    h->data_version = version;
    h->dirty = h->tokens_dirty = true;
}

static void on_tick(struct hub *h)
{
    look_for_commits(h);
    check_tokens(h);
    meet_deadlines(h);
    polls_meet_due(h);
    break_silence(h);
    close_stalled(h);
}

/* One turn; waits at most timeout ms. False when the hub is to stop. */
static bool turn(struct hub *h, int timeout)
{
    struct epoll_event ev[TURN_SOCKETS];
    bool ticked = false;
    int n = epoll_wait(h->epoll, ev, TURN_SOCKETS, timeout);
    h->now = clock_mono_ms();
    for (int i = 0; i < n; i++) {
        uint64_t count;
        if (ev[i].data.ptr == &h->wake) {
            if (read(h->wake, &count, sizeof(count)) > 0)
                h->dirty = h->n_streams > 0;
        } else if (ev[i].data.ptr == &h->tick) {
            ticked = read(h->tick, &count, sizeof(count)) > 0;
        } else {
            serve_socket(h, ev[i].data.ptr, ev[i].events);
        }
    }
    let_in(h);
    if (ticked && h->n_streams > 0)
        on_tick(h);
    feed_live(h);
    feed_behind(h, TURN_BEHIND);
    if (!link_empty(&h->dead)) {
        streams_reap(h);
        if (h->n_streams == 0)
            watch(h, false);
    }
    pthread_mutex_lock(&h->lock);
    bool go_on = !h->stopping;
    pthread_mutex_unlock(&h->lock);
    return go_on;
}

static int next_timeout(const struct hub *h)
{
    bool work = h->n_streams > 0 && (h->dirty || !link_empty(&h->behind));
    return work && h->now >= h->retry_ms ? 0 : -1;
}

static void say_goodbye(struct hub *h, struct stream *s, int64_t arg)
{
    (void)arg;
    stream_part_retry(h, s, true);
}

static void drop(struct hub *h, struct stream *s, int64_t arg)
{
    (void)arg;
    stream_drop(h, s);
}

/* Last words to everybody; those with a full socket get HUB_STOP_MS to take them. */
static void end_all(struct hub *h)
{
    let_in(h);
    h->now = clock_mono_ms();
    int64_t until = h->now + HUB_STOP_MS;
    each_stream(h, say_goodbye, 0);
    streams_reap(h);
    while (h->n_streams > 0 && h->now < until) {
        struct epoll_event ev[TURN_SOCKETS];
        int n = epoll_wait(h->epoll, ev, TURN_SOCKETS, (int)(until - h->now));
        for (int i = 0; i < n; i++) {
            uint64_t count;
            if (ev[i].data.ptr == &h->wake || ev[i].data.ptr == &h->tick) {
                int fd = *(int *)ev[i].data.ptr;
                if (read(fd, &count, sizeof(count)) < 0 && errno != EAGAIN)
                    log_msg(LOG_WARN_, "hub_read_failed", "%s", strerror(errno));
            } else {
                serve_socket(h, ev[i].data.ptr, ev[i].events);
            }
        }
        streams_reap(h);
        h->now = clock_mono_ms();
    }
    each_stream(h, drop, 0);
    streams_reap(h);
}

static void *hub_thread(void *arg)
{
    struct hub *h = arg;
    h->now = clock_mono_ms();
    while (turn(h, next_timeout(h)))
        continue;
    watch(h, false);
    end_all(h);
    /* end_all() may have let arrivals in, which turned the notes on again. */
    store_notify_fd(h->app->store, -1);
    store_reader_close(h->db);
    h->db = NULL;
    return NULL;
}

/* ---- start and stop ---- */

static void hub_free(struct hub *h)
{
    if (h->db)
        store_reader_close(h->db);
    int fds[] = {h->epoll, h->wake, h->tick};
    for (int i = 0; i < 3; i++) {
        if (fds[i] >= 0)
            close(fds[i]);
    }
    for (int i = 1; i <= HUB_END_TYPES; i++)
        free(h->end_types[i]);
    frame_unref(h->keepalive);
    frame_unref(h->ping);
    buf_free(&h->text);
    free(h->topics);
    count_free(&h->users);
    count_free(&h->tokens);
    pthread_mutex_destroy(&h->lock);
    free(h);
}

static int watch_fd(struct hub *h, int *fd)
{
    struct epoll_event ev = {.events = EPOLLIN, .data.ptr = fd};
    return *fd < 0 ? -1 : epoll_ctl(h->epoll, EPOLL_CTL_ADD, *fd, &ev);
}

/* Signals are the main thread's. */
static int start_thread(struct hub *h)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int rc = pthread_create(&h->thread, NULL, hub_thread, h);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return rc;
}

enum vx_err hub_start(const struct app *app, struct hub **out)
{
    *out = NULL;
    struct hub *h = calloc(1, sizeof(*h));
    if (!h)
        return VX_ERR_NO_MEMORY;
    h->app = app;
    h->epoch = store_epoch(app->store);
    h->arrivals_end = &h->arrivals;
    h->tokens_at = NO_LOOK;
    pthread_mutex_init(&h->lock, NULL);
    atomic_init(&h->open, 0);
    hub_configure(h, app->cfg);
    buf_init(&h->text, SIZE_MAX / 2);
    struct link *heads[] = {&h->idle, &h->parked, &h->polls, &h->behind, &h->dead};
    for (int i = 0; i < 5; i++)
        link_init(heads[i]);
    h->keepalive = frame_new(1, KEEPALIVE_TEXT, strlen(KEEPALIVE_TEXT));
    h->ping = frame_new(1, PING_TEXT, strlen(PING_TEXT));
    h->epoll = epoll_create1(EPOLL_CLOEXEC);
    h->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    h->tick = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);

    enum vx_err err = VX_OK;
    if (!h->keepalive || !h->ping)
        err = VX_ERR_NO_MEMORY;
    else if (h->epoll < 0 || watch_fd(h, &h->wake) || watch_fd(h, &h->tick))
        err = VX_ERR_SYSTEM;
    else
        err = store_reader_open(app->store, &h->db);
    if (!err && start_thread(h))
        err = VX_ERR_SYSTEM;
    if (err) {
        hub_free(h);
        return err;
    }
    *out = h;
    return VX_OK;
}

void hub_stop(struct hub *h)
{
    if (!h)
        return;
    pthread_mutex_lock(&h->lock);
    h->stopping = true;
    pthread_mutex_unlock(&h->lock);
    wake(h);
    pthread_join(h->thread, NULL);
    hub_free(h);
}
