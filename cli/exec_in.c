/* vexa exec-in: becomes a program behind the boundary of lib/sandbox.h. Single-threaded and small:
 * everything between posix_spawn and the program happens here. */
#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/options.h"
#include "lib/sandbox.h"

#define MAX_ENV   256
#define SAFE_PATH "PATH=/usr/local/bin:/usr/bin:/bin"

static const char usage[] =
    "usage: vexa exec-in --home PATH --tmp PATH [options] [--] program [arguments]\n"
    "       vexa exec-in --report\n"
    "       vexa exec-in --self-test [PATH]\n"
    "\n"
    "Runs a program that is not trusted behind what the kernel can enforce.\n"
    "  --home PATH, --tmp PATH   writable; HOME and TMPDIR of the program\n"
    "  --rw PATH                 writable, may be given again\n"
    "  --ro PATH                 readable, may be given again\n"
    "  --cwd PATH                where the program starts (default: its home)\n"
    "  --env NAME=VALUE          a variable of the program, which has no others\n"
    "  --env NAME                the same, with the value it has here\n"
    "  --allow-net               connections to others; listening stays forbidden\n"
    "  --need-abi N              refuse a kernel whose Landlock is older\n"
    "  --cpu-seconds N, --file-mb N, --open-files N, --processes N\n"
    "  --die-with-parent         SIGKILL when the thread that started this ends\n"
    "  --report                  what this kernel enforces and what not\n"
    "  --self-test [PATH]        tries what is forbidden, in a new folder in PATH\n"
    "Exit status: the program's, or 125 with the step that failed on standard error.\n";

struct request {
    struct sandbox_spec spec;
    char *env[MAX_ENV + 1];
    size_t n_env;
    const char *cwd;
    bool die_with_parent;
    char *home_text, *tmp_text;
};

/* "vexa exec-in: <step>: …" on stderr and the exit status. _exit: nothing of ours may run on behind
 * a boundary that is half built. */
__attribute__((noreturn, format(printf, 1, 2))) static void give_up(const char *fmt, ...)
{
    va_list ap;
    fputs("vexa exec-in: ", stderr);
    va_start(ap, fmt);
    vfprintf(stderr, fmt, ap);
    va_end(ap);
    fputc('\n', stderr);
    _exit(SANDBOX_EXIT);
}

static void add_path(const char **list, size_t *n, const char *option, const char *path)
{
    if (*n == SANDBOX_MAX_PATHS)
        give_up("arguments: more than %d times %s", SANDBOX_MAX_PATHS, option);
    list[(*n)++] = path;
}

/* NAME=VALUE of a name that is one; the last of a name counts. */
static void put_env(struct request *r, char *pair)
{
    size_t name = strcspn(pair, "=");
    if (!name || (pair[0] >= '0' && pair[0] <= '9') ||
        name != strspn(pair, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_"))
        give_up("environment: '%.*s' is no name of a variable", (int)(name < 60 ? name : 60), pair);
    size_t i = 0;
    while (i < r->n_env && strncmp(r->env[i], pair, name + 1))
        i++;
    if (i == MAX_ENV)
        give_up("environment: more than %d variables", MAX_ENV);
    r->env[i] = pair;
    if (i == r->n_env)
        r->n_env++;
}

/* --env NAME takes the value from here, so that a secret need not be on a command line. */
static void add_env(struct request *r, char *text)
{
    char *pair = text;
    if (!strchr(text, '=')) {
        const char *value = getenv(text);
        if (!value)
            return; /* not set here, not set there */
        if (asprintf(&pair, "%s=%s", text, value) < 0)
            give_up("environment: out of memory");
    }
    put_env(r, pair);
}

static int64_t number(const char *option, const char *text, int64_t max)
{
    int64_t n;
    if (cli_number(option, text, 1, max, &n))
        _exit(SANDBOX_EXIT); /* it has told why */
    return n;
}

enum {
    OPT_RW = 256,
    OPT_RO,
    OPT_HOME,
    OPT_TMP,
    OPT_CWD,
    OPT_ENV,
    OPT_NET,
    OPT_ABI,
    OPT_CPU,
    OPT_FILE,
    OPT_OPEN,
    OPT_PROCESSES,
    OPT_DIE
};

static void take_option(struct request *r, int o, char *value)
{
    struct sandbox_spec *s = &r->spec;
    switch (o) {
    case OPT_RW:
        add_path(s->rw, &s->n_rw, "--rw", value);
        break;
    case OPT_RO:
        add_path(s->ro, &s->n_ro, "--ro", value);
        break;
    case OPT_HOME:
        s->home = value;
        break;
    case OPT_TMP:
        s->tmp = value;
        break;
    case OPT_CWD:
        r->cwd = value;
        break;
    case OPT_ENV:
        add_env(r, value);
        break;
    case OPT_NET:
        s->allow_net = true;
        break;
    case OPT_ABI:
        s->need_abi = (int)number("--need-abi", value, 1000);
        break;
    case OPT_CPU:
        s->limits.cpu_seconds = number("--cpu-seconds", value, 1 << 30);
        break;
    case OPT_FILE:
        s->limits.file_bytes = number("--file-mb", value, 1 << 30) << 20;
        break;
    case OPT_OPEN:
        s->limits.open_files = number("--open-files", value, 1 << 30);
        break;
    case OPT_PROCESSES:
        s->limits.processes = number("--processes", value, 1 << 30);
        break;
    case OPT_DIE:
        r->die_with_parent = true;
        break;
    default:
        give_up("arguments: see vexa exec-in --help");
    }
}

static void read_options(struct request *r, int argc, char **argv)
{
    static const struct option options[] = {{"rw", required_argument, NULL, OPT_RW},
                                            {"ro", required_argument, NULL, OPT_RO},
                                            {"home", required_argument, NULL, OPT_HOME},
                                            {"tmp", required_argument, NULL, OPT_TMP},
                                            {"cwd", required_argument, NULL, OPT_CWD},
                                            {"env", required_argument, NULL, OPT_ENV},
                                            {"allow-net", no_argument, NULL, OPT_NET},
                                            {"need-abi", required_argument, NULL, OPT_ABI},
                                            {"cpu-seconds", required_argument, NULL, OPT_CPU},
                                            {"file-mb", required_argument, NULL, OPT_FILE},
                                            {"open-files", required_argument, NULL, OPT_OPEN},
                                            {"processes", required_argument, NULL, OPT_PROCESSES},
                                            {"die-with-parent", no_argument, NULL, OPT_DIE},
                                            {0}};
    int o;
    while ((o = getopt_long(argc, argv, "+", options, NULL)) != -1)
        take_option(r, o, optarg);
    if (!r->spec.home || !r->spec.tmp)
        give_up("arguments: --home and --tmp are needed");
    if (optind >= argc)
        give_up("arguments: no program");
}

/* What every program gets; --env may replace each of it. */
static void base_env(struct request *r)
{
    static char path[] = SAFE_PATH, lang[] = "LANG=C.UTF-8";
    if (asprintf(&r->home_text, "HOME=%s", r->spec.home) < 0 ||
        asprintf(&r->tmp_text, "TMPDIR=%s", r->spec.tmp) < 0)
        give_up("environment: out of memory");
    char *own[] = {path, lang, r->home_text, r->tmp_text};
    char *given[MAX_ENV];
    size_t n = r->n_env;
    memcpy(given, r->env, sizeof given);
    r->n_env = 0;
    for (size_t i = 0; i < sizeof own / sizeof *own; i++)
        put_env(r, own[i]);
    for (size_t i = 0; i < n; i++)
        put_env(r, given[i]);
    r->env[r->n_env] = NULL;
}

/* A relative path would mean something else from the program's folder. */
static void check_absolute(const char *option, const char *path)
{
    if (path[0] != '/')
        give_up("arguments: %s %s is not an absolute path", option, path);
}

/* Becomes the program; returns only by _exit. */
__attribute__((noreturn)) static void run(int argc, char **argv)
{
    struct request r = {0};
    struct sandbox_fault fault;
    pid_t parent = getppid();
    read_options(&r, argc, argv);
    check_absolute("--home", r.spec.home);
    check_absolute("--tmp", r.spec.tmp);
    base_env(&r);
    if (sandbox_enter(&r.spec, &fault))
        give_up("%s: %s%s%s", fault.step, fault.object, *fault.object ? ": " : "",
                strerror(fault.error));
    if (r.die_with_parent && (prctl(PR_SET_PDEATHSIG, SIGKILL) || getppid() != parent))
        give_up("parent: it has ended");
    const char *cwd = r.cwd ? r.cwd : r.spec.home;
    if (chdir(cwd))
        give_up("cwd: %s: %s", cwd, strerror(errno));
    environ = r.env;
    execvp(argv[optind], argv + optind);
    int error = errno;
    give_up("exec: %s: %s%s", argv[optind], strerror(error),
            error == EACCES ? " (is it, and what it needs, inside a granted path?)" : "");
}

static int print_report(void)
{
    struct sandbox_report report;
    sandbox_report(&report);
    printf("landlock %d\nfilter %s\n", report.abi, report.filter ? "yes" : "no");
    for (int i = 0; i < SANDBOX_GUARD_COUNT; i++)
        printf("%-3s %-9s %s\n", report.facts[i].enforced ? "yes" : "no", report.facts[i].name,
               report.facts[i].sentence);
    return cli_finish();
}

/* 0 when nothing got through that the report says is refused, else 1. */
static int print_self_test(const char *dir)
{
    char exe[PATH_MAX];
    struct sandbox_self_test test;
    ssize_t n = readlink("/proc/self/exe", exe, sizeof exe - 1);
    if (n <= 0) {
        cli_complain("exec-in: /proc is needed to find this program");
        return EXIT_SYSTEM;
    }
    exe[n] = '\0';
    int rc = sandbox_self_test(exe, dir, &test);
    for (size_t i = 0; i < test.n; i++) {
        const struct sandbox_attempt *a = &test.attempts[i];
        printf("%-8s %-15s %s\n",
               a->error      ? "refused"
               : a->expected ? "THROUGH"
                             : "open",
               a->name, a->error ? strerror(a->error) : "got through");
    }
    if (rc)
        cli_complain("exec-in: self-test: %s", test.why);
    printf("%zu tried, %zu got through that must not\n", test.n, test.through);
    int status = cli_finish();
    return status ? status : rc || test.through;
}

int cmd_exec_in(int argc, char **argv)
{
    const char *first = argc > 1 ? argv[1] : "";
    if (!strcmp(first, "--help") || !strcmp(first, "-h"))
        return cli_usage(0, usage);
    if (!strcmp(first, "--report") && argc == 2)
        return print_report();
    if (!strcmp(first, "--self-test") && argc <= 3)
        return print_self_test(argc == 3 ? argv[2] : "/tmp");
    if (!strcmp(first, "--probe") && argc == 5) /* the self-test's inside */
        return sandbox_probe(argv[2], strtoll(argv[3], NULL, 10), argv[4]);
    run(argc, argv);
}
