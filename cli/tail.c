/* vexa tail: follows an event stream to its end and prints it. What is printed how is
 * cli/tail_view.c; reading and coming back is lib/event_source.c. */
#include <errno.h>
#include <getopt.h>
#include <locale.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/options.h"
#include "cli/tail_view.h"
#include "lib/clock.h"
#include "lib/event_source.h"

#define TEXT_MAX_  ((size_t)16 * 1024)        /* of a URL, a header, a line of quickstart.env */
#define OUT_MAX    ((size_t)64 * 1024 * 1024) /* of the output of one round */
#define EVENT_MAX  ((size_t)1024 * 1024)
#define PAUSE_MAX_ 10000
#define POLL_MAX   60000

static const char usage[] =
    "usage: vexa tail [--url BASE | --dir D] (--meeting ID [--session UID] | --path P | --user)\n"
    "                 [--key K] [--json] [--since ID] [--once]\n"
    "Follows an event stream and prints it: a readable transcript, or with --json one line a\n"
    "frame. Comes back by itself after every break, without loss. The key is --key, else\n"
    "VEXA_API_KEY, else api_key of D/quickstart.env; BASE is base_url of the same file.\n";

struct tail_options {
    const char *dir, *url, *key, *meeting, *session, *path, *since;
    bool user, json, once;
};

struct tail {
    struct tail_options o;
    struct buf url, header, out;
    struct tail_view *view;
    struct http_client *client;
    struct event_source *source;
    bool terminal;
    bool was_open;     /* the stream was open at least once */
    unsigned failures; /* in a row */
    int signals;
    int status; /* to exit with; -1 = go on */
};

/* --- what to read */

/* Copies "<name>=" of D/quickstart.env to out. False when there is none. */
static bool env_file_value(const char *dir, const char *name, struct buf *out)
{
    struct instance in;
    struct buf path;
    char *line = NULL;
    size_t cap = 0, n = strlen(name);
    bool found = false;
    if (instance_init(&in, dir) != VX_OK)
        return false;
    buf_init(&path, TEXT_MAX_);
    FILE *f = buf_printf(&path, "%s/quickstart.env", in.dir) == 0 ? fopen(path.data, "re") : NULL;
    ssize_t len;
    while (f != NULL && !found && (len = getline(&line, &cap, f)) > 0) {
        while (len > 0 && (line[len - 1] == '\n' || line[len - 1] == '\r'))
            line[--len] = '\0';
        if (strncmp(line, name, n) == 0 && line[n] == '=')
            found = buf_append_str(out, line + n + 1) == 0;
    }
    free(line);
    if (f != NULL)
        (void)fclose(f);
    buf_free(&path);
    instance_free(&in);
    return found;
}

static void append_escaped(struct buf *b, const char *s)
{
    for (; *s != '\0'; s++) {
        if ((*s >= 'a' && *s <= 'z') || (*s >= 'A' && *s <= 'Z') || (*s >= '0' && *s <= '9') ||
            strchr("-._~", *s) != NULL)
            buf_append_char(b, *s);
        else
            buf_printf(b, "%%%02X", (unsigned)(unsigned char)*s);
    }
}

/* t->url and t->header from the options. 0, or the exit status after a message. */
static int find_stream(struct tail *t)
{
    const struct tail_options *o = &t->o;
    if (o->url != NULL)
        buf_append_str(&t->url, o->url);
    else if (!env_file_value(o->dir, "base_url", &t->url)) {
        cli_complain("no --url, and no quickstart.env in %s", o->dir != NULL ? o->dir : "--dir");
        return EXIT_USAGE;
    }
    while (t->url.len > 0 && t->url.data[t->url.len - 1] == '/')
        t->url.data[--t->url.len] = '\0';
    if (o->path != NULL) {
        buf_append_str(&t->url, o->path);
    } else if (o->user) {
        buf_append_str(&t->url, "/meetings/stream");
    } else {
        buf_append_str(&t->url, "/agent/meeting/stream?meeting_id=");
        append_escaped(&t->url, o->meeting);
        buf_append_str(&t->url, "&session_uid=");
        append_escaped(&t->url, o->session != NULL ? o->session : o->meeting);
    }
    const char *key = o->key != NULL ? o->key : getenv("VEXA_API_KEY");
    buf_append_str(&t->header, "X-API-Key: ");
    if (key != NULL && *key != '\0') {
        buf_append_str(&t->header, key);
    } else if ((o->url != NULL && o->dir == NULL) ||
               !env_file_value(o->dir, "api_key", &t->header)) {
        /* The key of an instance goes to another server only when --dir asks for it. */
        cli_complain("no API key: give --key, VEXA_API_KEY, or --dir with a quickstart.env");
        return EXIT_USAGE;
    }
    if (!t->url.failed && !t->header.failed)
        return 0;
    cli_complain("the URL or the key is too long");
    return EXIT_USAGE;
}

/* A server on this machine is never behind a proxy. */
static bool is_local(const char *url)
{
    static const char *const hosts[] = {"http://127.", "http://localhost", "http://[::1]"};
    for (size_t i = 0; i < sizeof hosts / sizeof *hosts; i++)
        if (strncmp(url, hosts[i], strlen(hosts[i])) == 0)
            return true;
    return false;
}

/* --- printing */

static size_t columns(void)
{
    struct winsize w;
    return ioctl(STDOUT_FILENO, TIOCGWINSZ, &w) == 0 && w.ws_col > 0 ? w.ws_col : 80;
}

/* Writes what the view has made. A reader that is gone ends the program quietly. */
static void flush(struct tail *t)
{
    if (t->out.failed) {
        cli_complain("out of memory");
        t->status = EXIT_SYSTEM;
    }
    for (size_t at = 0; at < t->out.len;) {
        ssize_t n = write(STDOUT_FILENO, t->out.data + at, t->out.len - at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN) { /* somebody made our terminal non-blocking */
            struct pollfd fd = {.fd = STDOUT_FILENO, .events = POLLOUT};
            (void)poll(&fd, 1, 1000);
            continue;
        }
        if (n < 0) {
            if (errno != EPIPE)
                cli_complain("cannot write the output: %s", strerror(errno));
            t->status = EXIT_SYSTEM;
            break;
        }
        at += (size_t)n;
    }
    if (t->out.failed)
        buf_free(&t->out);
    else
        buf_clear(&t->out);
}

/* Makes room for a line on standard error. */
static void step_aside(struct tail *t)
{
    tail_view_clear(t->view);
    flush(t);
}

/* Server's words are printed like everything else of a server: without control characters. */
static void complain_plain(const char *what, int status, const char *text)
{
    struct buf b;
    buf_init(&b, TEXT_MAX_);
    tail_view_plain(&b, text, strlen(text));
    if (b.failed || b.len == 0)
        cli_complain(status != 0 ? "%s: status %d" : "%s", what, status);
    else if (status != 0)
        cli_complain("%s: %s (status %d)", what, b.data, status);
    else
        cli_complain("%s: %s", what, b.data);
    buf_free(&b);
}

/* --- following */

static bool on_event(void *ctx, const char *id, const char *data, size_t len)
{
    struct tail *t = ctx;
    bool more = tail_view_event(t->view, id, data, len);
    if (!more)
        t->status = 0;
    if (t->out.len > OUT_MAX / 2)
        flush(t);
    return t->status < 0;
}

static void say_broken(struct tail *t, const struct event_source_news *n)
{
    char what[96];
    t->failures++;
    /* The 1st, 2nd, 4th, 8th, … failure makes a line. */
    if ((t->failures & (t->failures - 1)) != 0)
        return;
    step_aside(t);
    (void)snprintf(what, sizeof what, "%s, again in %.1f s",
                   n->clean           ? "the server closed the stream"
                   : n->status == 200 ? "the stream broke off"
                                      : "no stream",
                   (double)n->pause_ms / 1000);
    complain_plain(what, n->status == 200 ? 0 : n->status, n->text);
}

static void on_news(void *ctx, const struct event_source_news *n)
{
    struct tail *t = ctx;
    switch (n->what) {
    case EVENT_SOURCE_OPEN:
        if (t->failures > 0) {
            step_aside(t);
            cli_complain(t->was_open ? "connected again" : "connected");
        }
        t->failures = 0;
        t->was_open = true;
        break;
    case EVENT_SOURCE_BROKEN:
        if (!t->o.once) {
            say_broken(t, n);
            break;
        }
        t->status = n->clean ? 0 : 1;
        step_aside(t);
        if (!n->clean)
            complain_plain(n->status == 200 ? "the stream broke off" : "no stream",
                           n->status == 200 ? 0 : n->status, n->text);
        break;
    case EVENT_SOURCE_FINISHED:
        t->status = 0;
        break;
    case EVENT_SOURCE_REFUSED:
        step_aside(t);
        complain_plain("refused", n->status == 200 ? 0 : n->status, n->text);
        t->status = 1;
        break;
    case EVENT_SOURCE_SKIPPED:
        step_aside(t);
        cli_complain("an event of more than %zu bytes was left out", EVENT_MAX);
        break;
    }
}

static void on_signal(int sig)
{
    (void)sig; /* never runs: the signals are blocked and read from a descriptor */
}

/* SIGINT and SIGTERM end the program with the terminal's last line in order, SIGWINCH redraws it.
 * A SIGINT that the parent had us ignore stays ignored. */
static int open_signals(void)
{
    static const int wanted[] = {SIGINT, SIGTERM, SIGHUP, SIGWINCH};
    sigset_t set;
    sigemptyset(&set);
    for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++) {
        struct sigaction old, own = {.sa_handler = on_signal};
        if (sigaction(wanted[i], NULL, &old) != 0)
            return -1;
        if (old.sa_handler == SIG_IGN)
            continue;
        if (sigaction(wanted[i], &own, NULL) != 0)
            return -1;
        sigaddset(&set, wanted[i]);
    }
    struct sigaction ignore = {.sa_handler = SIG_IGN};
    if (sigaction(SIGPIPE, &ignore, NULL) != 0 || sigprocmask(SIG_BLOCK, &set, NULL) != 0)
        return -1;
    return signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
}

static void take_signals(struct tail *t)
{
    struct signalfd_siginfo si;
    while (read(t->signals, &si, sizeof si) == (ssize_t)sizeof si)
        if (si.ssi_signo != SIGWINCH)
            t->status = 128 + (int)si.ssi_signo;
}

static void follow(struct tail *t)
{
    while (t->status < 0) {
        int64_t now = clock_mono_ms();
        int64_t pause = event_source_step(t->source, now) - now;
        struct pollfd fd = {.fd = t->signals, .events = POLLIN};
        int ms = pause < 0 ? 0 : pause > POLL_MAX ? POLL_MAX : (int)pause;
        if (http_client_poll(t->client, &fd, 1, ms) < 0)
            t->status = EXIT_SYSTEM;
        if (fd.revents != 0)
            take_signals(t);
        if (t->terminal && t->status < 0)
            tail_view_draw(t->view, columns());
        flush(t);
    }
    tail_view_clear(t->view);
    flush(t);
}

static int run(struct tail *t)
{
    int status = find_stream(t);
    if (status != 0)
        return status;
    const char *const headers[] = {t->header.data, NULL};
    const struct event_source_config cfg = {
        .url = t->url.data,
        .headers = headers,
        .last_id = t->o.since,
        .event_max = EVENT_MAX,
        .pause_max_ms = PAUSE_MAX_,
        .direct = is_local(t->url.data),
        .on_event = on_event,
        .on_news = on_news,
        .ctx = t,
    };
    const char *term = getenv("TERM");
    t->terminal = !t->o.json && isatty(STDOUT_FILENO) && term != NULL && strcmp(term, "dumb") != 0;
    if (setlocale(LC_CTYPE, "C.UTF-8") == NULL)
        (void)setlocale(LC_CTYPE, ""); /* widths of characters only: what is written is UTF-8 */
    t->view = tail_view_new(t->o.json ? TAIL_JSON : t->terminal ? TAIL_LIVE : TAIL_LINES, &t->out);
    t->client = http_client_new("vexa-tail");
    t->source = t->client != NULL ? event_source_new(t->client, &cfg) : NULL;
    t->signals = open_signals();
    if (t->view == NULL || t->source == NULL || t->signals < 0) {
        cli_complain("out of memory");
        return EXIT_SYSTEM;
    }
    t->status = -1;
    follow(t);
    return t->status;
}

/* 0, or the exit status after a message. */
static int check_options(const struct tail_options *o)
{
    if ((o->meeting != NULL) + (o->path != NULL) + o->user != 1) {
        cli_complain("tail needs one of --meeting, --path and --user");
        return cli_usage(EXIT_USAGE, usage);
    }
    if (o->session != NULL && o->meeting == NULL) {
        cli_complain("--session goes with --meeting");
        return EXIT_USAGE;
    }
    if (o->path != NULL && o->path[0] != '/') {
        cli_complain("--path begins with a slash");
        return EXIT_USAGE;
    }
    if (o->since != NULL && (*o->since == '\0' || strlen(o->since) >= EVENT_SOURCE_ID_MAX)) {
        cli_complain("--since needs an id of at most %d characters", EVENT_SOURCE_ID_MAX - 1);
        return EXIT_USAGE;
    }
    return 0;
}

int cmd_tail(int argc, char **argv)
{
    static const struct option options[] = {
        {"dir", required_argument, NULL, 'd'},     {"url", required_argument, NULL, 'u'},
        {"key", required_argument, NULL, 'k'},     {"meeting", required_argument, NULL, 'm'},
        {"session", required_argument, NULL, 's'}, {"path", required_argument, NULL, 'p'},
        {"since", required_argument, NULL, 'i'},   {"user", no_argument, NULL, 'U'},
        {"json", no_argument, NULL, 'j'},          {"once", no_argument, NULL, 'o'},
        {"help", no_argument, NULL, 'h'},          {0}};
    struct tail t = {.signals = -1};
    int o;
    while ((o = getopt_long(argc, argv, "h", options, NULL)) != -1) {
        switch (o) {
        case 'd':
            t.o.dir = optarg;
            break;
        case 'u':
            t.o.url = optarg;
            break;
        case 'k':
            t.o.key = optarg;
            break;
        case 'm':
            t.o.meeting = optarg;
            break;
        case 's':
            t.o.session = optarg;
            break;
        case 'p':
            t.o.path = optarg;
            break;
        case 'i':
            t.o.since = optarg;
            break;
        case 'U':
            t.o.user = true;
            break;
        case 'j':
            t.o.json = true;
            break;
        case 'o':
            t.o.once = true;
            break;
        default:
            return cli_usage(o == 'h' ? 0 : EXIT_USAGE, usage);
        }
    }
    if (argc != optind)
        return cli_usage(EXIT_USAGE, usage);
    int status = check_options(&t.o);
    if (status != 0)
        return status;
    buf_init(&t.url, TEXT_MAX_);
    buf_init(&t.header, TEXT_MAX_);
    buf_init(&t.out, OUT_MAX);
    status = run(&t);
    event_source_free(t.source);
    http_client_free(t.client);
    tail_view_free(t.view);
    if (t.signals >= 0)
        (void)close(t.signals);
    buf_free(&t.url);
    buf_free(&t.header);
    buf_free(&t.out);
    return status;
}
