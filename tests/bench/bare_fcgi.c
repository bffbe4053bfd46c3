/* The usual threaded libfcgi program: each thread accepts, answers, and accepts again. It does
 * nothing but answer a fixed JSON object of a given size: make bench measures vexa against it.
 * libfcgi's own example holds a lock around FCGX_Accept_r(), which Linux does not need; without it
 * the threads also read their requests side by side, so this is the faster form. */
#include <fcgiapp.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define BACKLOG     511 /* nginx's own default */
#define THREADS_MAX 64
#define BODY_MIN    16
#define BODY_MAX    65536

struct bare {
    int listen_fd;
    char body[BODY_MAX + 1];
};

static void *serve(void *arg)
{
    struct bare *b = arg;
    FCGX_Request r;
    if (FCGX_InitRequest(&r, b->listen_fd, 0) != 0)
        return NULL;
    while (FCGX_Accept_r(&r) >= 0) {
        FCGX_FPrintF(r.out, "Content-Type: application/json\r\nContent-Length: %d\r\n\r\n%s",
                     (int)strlen(b->body), b->body);
        FCGX_Finish_r(&r);
    }
    return NULL;
}

/* A whole number from min to max; -1 when it is none. */
static int number(const char *text, long min, long max)
{
    char *end;
    long v = strtol(text, &end, 10);
    return *text && !*end && v >= min && v <= max ? (int)v : -1;
}

int main(int argc, char **argv)
{
    static struct bare b;
    int threads = argc == 4 ? number(argv[2], 1, THREADS_MAX) : -1;
    int bytes = argc == 4 ? number(argv[3], BODY_MIN, BODY_MAX) : -1;
    pthread_t t[THREADS_MAX];
    if (threads < 0 || bytes < 0) {
        fputs("usage: bare_fcgi SOCKET THREADS BODY_BYTES\n", stderr);
        return 2;
    }
    int n = snprintf(b.body, sizeof b.body, "{\"fixed\":\"");
    memset(b.body + n, 'x', (size_t)(bytes - n - 2));
    snprintf(b.body + bytes - 2, 3, "\"}");

    umask(0177);
    signal(SIGPIPE, SIG_IGN);
    if (FCGX_Init() != 0 || (b.listen_fd = FCGX_OpenSocket(argv[1], BACKLOG)) < 0)
        return 1;
    for (int i = 0; i < threads; i++)
        if (pthread_create(&t[i], NULL, serve, &b))
            return 1;
    for (int i = 0; i < threads; i++)
        pthread_join(t[i], NULL);
    return 0;
}
