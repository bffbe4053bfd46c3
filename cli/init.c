/* vexa init: the folder of an instance. Safe to repeat: what exists stays, secrets above all. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/conf_file.h"
#include "cli/options.h"
#include "lib/secret.h"

#define CONF_MAX  65536
#define CONF_NEW  ".vexa.conf.new"
#define VALUE_MAX 150

static const char usage[] =
    "usage: vexa init [--base-url URL] [--speed N] [--show-secrets] [--dir D]\n"
    "Makes an instance in the folder D, or completes one; secrets that exist are kept.\n"
    "  --base-url URL   where clients and bots reach it (server.base_url)\n"
    "  --speed N        vexa replay-bot plays N times faster (bots.replay_speed)\n"
    "  --show-secrets   print the admin token and the internal secret\n";

static int complain_errno(const char *what)
{
    cli_complain("%s: %s", what, strerror(errno));
    return -1;
}

/* Is the folder empty, but for what a killed init may have left? -1 on a fault. */
static int is_empty(int dirfd)
{
    int fd = openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *d = fd < 0 ? NULL : fdopendir(fd);
    if (!d) {
        if (fd >= 0)
            close(fd);
        return -1;
    }
    int empty = 1;
    const struct dirent *e;
    while (empty && (e = readdir(d)))
        if (strcmp(e->d_name, ".") && strcmp(e->d_name, "..") && strcmp(e->d_name, CONF_NEW))
            empty = 0;
    closedir(d);
    return empty;
}

/* Opens D, made when it is absent, locked against another init. The descriptor or -1. */
static int open_dir(const char *dir)
{
    if (mkdir(dir, 0700) && errno != EEXIST)
        return complain_errno(dir);
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return complain_errno(dir);
    while (flock(fd, LOCK_EX))
        if (errno != EINTR)
            goto fault;
    if (faccessat(fd, "vexa.conf", F_OK, AT_SYMLINK_NOFOLLOW)) {
        int empty = errno == ENOENT ? is_empty(fd) : -1;
        if (empty < 0)
            goto fault;
        if (!empty) {
            cli_complain("%s is neither empty nor an instance; nothing was changed", dir);
            close(fd);
            return -1;
        }
    }
    if (fchmod(fd, 0700))
        goto fault;
    return fd;
fault:
    complain_errno(dir);
    close(fd);
    return -1;
}

/* Writes the whole text as vexa.conf: another name first, then renamed over it. */
static int write_conf(int dirfd, const struct buf *text)
{
    int fd = openat(dirfd, CONF_NEW, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return complain_errno(CONF_NEW);
    size_t done = 0;
    while (done < text->len) {
        ssize_t n = write(fd, text->data + done, text->len - done);
        if (n < 0 && errno != EINTR)
            break;
        done += n > 0 ? (size_t)n : 0;
    }
    bool bad = done < text->len || fchmod(fd, 0600) || fsync(fd);
    if (close(fd) || bad || renameat(dirfd, CONF_NEW, dirfd, "vexa.conf") || fsync(dirfd)) {
        complain_errno("vexa.conf");
        unlinkat(dirfd, CONF_NEW, 0);
        return -1;
    }
    return 0;
}

/* The file's text in *out. 1 read, 0 absent, -1 fault. */
static int read_conf(int dirfd, struct buf *out)
{
    int fd = openat(dirfd, "vexa.conf", O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return errno == ENOENT ? 0 : complain_errno("vexa.conf");
    char block[4096];
    ssize_t n;
    while ((n = read(fd, block, sizeof block)) != 0) {
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 || buf_append(out, block, (size_t)n))
            break;
    }
    int fault = errno;
    close(fd);
    errno = out->failed ? EFBIG : fault;
    return n ? complain_errno("vexa.conf") : 1;
}

static int make_conf(int dirfd, const char *base_url, const char *speed)
{
    struct conf_secrets s;
    struct buf out;
    buf_init(&out, CONF_MAX);
    int result = -1;
    if (secret_alnum(s.admin_token, sizeof s.admin_token - 1) ||
        secret_alnum(s.signing_key, sizeof s.signing_key - 1) ||
        secret_alnum(s.internal_secret, sizeof s.internal_secret - 1))
        cli_complain("no randomness");
    else if (conf_make(&out, &s, base_url, speed))
        cli_complain("out of memory");
    else
        result = write_conf(dirfd, &out);
    explicit_bzero(&s, sizeof s);
    if (out.data)
        explicit_bzero(out.data, out.len);
    buf_free(&out);
    return result;
}

/* Sets the given options in an existing file; writes only when that changes something. */
static int change_conf(int dirfd, const struct buf *old, const char *base_url, const char *speed)
{
    struct buf one, two;
    buf_init(&one, CONF_MAX);
    buf_init(&two, CONF_MAX);
    const char *text = old->data ? old->data : "";
    int result = 0;
    if (base_url)
        result = conf_set(&one, text, "server", "base_url", base_url);
    else
        result = buf_append_str(&one, text);
    const char *half = one.data ? one.data : "";
    if (!result && speed)
        result = conf_set(&two, half, "bots", "replay_speed", speed);
    else if (!result)
        result = buf_append_str(&two, half);
    if (result)
        cli_complain("vexa.conf would become too long");
    else if (two.data && strcmp(text, two.data))
        result = write_conf(dirfd, &two);
    buf_free(&one);
    buf_free(&two);
    return result;
}

static int settle_conf(int dirfd, const char *base_url, const char *speed)
{
    struct buf old;
    buf_init(&old, CONF_MAX);
    int found = read_conf(dirfd, &old), result = -1;
    if (found == 0)
        result = make_conf(dirfd, base_url, speed);
    else if (found > 0)
        result = change_conf(dirfd, &old, base_url, speed);
    buf_free(&old);
    return result;
}

static int make_layout(int dirfd)
{
    static const char *const folders[] = {"run",
                                          "log",
                                          "recordings",
                                          "recordings/google_meet",
                                          "recordings/zoom",
                                          "recordings/teams",
                                          "recordings/jitsi",
                                          "workspaces",
                                          "git"};
    for (size_t i = 0; i < sizeof folders / sizeof *folders; i++)
        if (mkdirat(dirfd, folders[i], 0700) && errno != EEXIST)
            return complain_errno(folders[i]);
    int fd = openat(dirfd, "pids", O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return complain_errno("pids");
    close(fd);
    return 0;
}

static int make_database(const struct instance *in)
{
    struct store *st = NULL;
    enum vx_err err = store_open(in->db, config_int(in->cfg, CFG_STORE_BUSY_MS), STORE_CREATE, &st);
    if (err) {
        cli_complain("%s: %s", in->db, vx_err_info(err)->detail);
        return -1;
    }
    store_close(st);
    return 0;
}

static void print_secret(const struct instance *in, enum config_key key)
{
    const char *value = config_str(in->cfg, key);
    printf("%s=%s\n", config_key_info(key)->name, value);
}

static void print_next(const struct instance *in, bool existed)
{
    printf("%s %s\n\n", existed ? "Completed the instance in" : "Made an instance in", in->dir);
    printf("  vexa.conf   its configuration and secrets (admin token: server.admin_token)\n"
           "  vexa.db     its database\n"
           "\nNext:\n"
           "  %s user add you@example.org --dir %s\n"
           "  %s token create --user you@example.org --dir %s\n"
           "  %s up --dir %s\n"
           "Point the web server's FastCGI at %s\n",
           in->exe, in->dir, in->exe, in->dir, in->exe, in->dir, in->socket);
}

/* 0 when the text may be a value of vexa.conf. */
static int check_base_url(const char *url)
{
    bool http = !strncmp(url, "http://", 7) && url[7],
         https = !strncmp(url, "https://", 8) && url[8];
    bool bad = (!http && !https) || strlen(url) > VALUE_MAX;
    for (const char *p = url; *p && !bad; p++)
        bad = (unsigned char)*p <= ' ' || *p == 0x7f || strchr("\"'<>\\?#", *p);
    if (bad)
        cli_complain("--base-url must be http:// or https://, at most %d bytes, without a query",
                     VALUE_MAX);
    return bad ? 2 : 0;
}

static int init(const char *dir, const char *base_url, const char *speed, bool show_secrets)
{
    struct instance in;
    if (instance_init(&in, dir)) {
        cli_complain("%s: not a usable path", dir ? dir : ".");
        return EXIT_SYSTEM;
    }
    int status = 1, dirfd = open_dir(in.dir);
    bool existed = dirfd >= 0 && !faccessat(dirfd, "vexa.conf", F_OK, AT_SYMLINK_NOFOLLOW);
    if (dirfd < 0 || settle_conf(dirfd, base_url, speed) || make_layout(dirfd))
        goto out;
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s", in.dir); /* now it exists: its true path may be another */
    instance_free(&in);
    status = cli_load(&in, path);
    if (status)
        goto out;
    status = make_database(&in) ? EXIT_SYSTEM : 0;
    if (status)
        goto out;
    if (show_secrets) {
        print_secret(&in, CFG_SERVER_ADMIN_TOKEN);
        print_secret(&in, CFG_SERVER_INTERNAL_SECRET);
    } else {
        print_next(&in, existed);
    }
    status = cli_finish();
out:
    if (dirfd >= 0)
        close(dirfd);
    instance_free(&in);
    return status;
}

int cmd_init(int argc, char **argv)
{
    static const struct option options[] = {
        {"dir", required_argument, NULL, 'd'},   {"base-url", required_argument, NULL, 'b'},
        {"speed", required_argument, NULL, 's'}, {"show-secrets", no_argument, NULL, 'S'},
        {"help", no_argument, NULL, 'h'},        {0}};
    const char *dir = NULL, *base_url = NULL;
    char speed[24] = "";
    bool show_secrets = false;
    int64_t n;
    int o;
    while ((o = getopt_long(argc, argv, "h", options, NULL)) != -1) {
        switch (o) {
        case 'd':
            dir = optarg;
            break;
        case 'b':
            base_url = optarg;
            if (check_base_url(base_url))
                return 2;
            break;
        case 's':
            if (cli_number("--speed", optarg, config_key_info(CFG_BOTS_REPLAY_SPEED)->min,
                           config_key_info(CFG_BOTS_REPLAY_SPEED)->max, &n))
                return EXIT_USAGE;
            snprintf(speed, sizeof speed, "%lld", (long long)n);
            break;
        case 'S':
            show_secrets = true;
            break;
        default:
            return cli_usage(o == 'h' ? 0 : EXIT_USAGE, usage);
        }
    }
    if (optind != argc)
        return cli_usage(EXIT_USAGE, usage);
    return init(dir, base_url, *speed ? speed : NULL, show_secrets);
}
