/* The one binary: finds the command and runs it. Under the name vexa.fcgi it is the responder. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/options.h"

struct command {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *summary; /* NULL: not for people */
};

static int cmd_help(int argc, char **argv);

static const struct command commands[] = {
    {"init", cmd_init, "make an instance: folder, configuration, secrets, database"},
    {"up", cmd_up, "run an instance: responder and runner, supervised"},
    {"down", cmd_down, "end every process of an instance"},
    {"user", cmd_user, "add users"},
    {"token", cmd_token, "create API keys"},
    {"tail", cmd_tail, "follow an event stream: a live transcript, or JSON lines"},
    {"config", cmd_config, "check or show the configuration"},
    {"fcgi", cmd_fcgi, "the FastCGI responder"},
    {"runner", cmd_runner, "the runner: starts and supervises bots"},
    {"replay-bot", cmd_replay_bot, "the bot that plays a recording as a live meeting"},
    {"exec-in", cmd_exec_in, "run a program that is not trusted behind what the kernel enforces"},
    {"version", cmd_version, "print the version"},
    {"help", cmd_help, "print this list"},
    {"exec-bot", cmd_exec_bot, NULL},
};
#define N_COMMANDS (sizeof commands / sizeof *commands)

static void list_commands(FILE *to)
{
    fputs("usage: vexa <command> [--dir D] ...\n\n", to);
    for (size_t i = 0; i < N_COMMANDS; i++)
        if (commands[i].summary)
            fprintf(to, "  %-11s %s\n", commands[i].name, commands[i].summary);
    fputs("\nD is the folder of an instance; VEXA_DIR names it where --dir is not given.\n"
          "vexa <command> --help tells more.\n",
          to);
}

static int cmd_help(int argc, char **argv)
{
    (void)argc;
    (void)argv;
    list_commands(stdout);
    return cli_finish();
}

static const struct command *find(const char *name)
{
    if (!strcmp(name, "--help") || !strcmp(name, "-h"))
        name = "help";
    else if (!strcmp(name, "--version") || !strcmp(name, "-V"))
        name = "version";
    for (size_t i = 0; i < N_COMMANDS; i++)
        if (!strcmp(commands[i].name, name))
            return &commands[i];
    return NULL;
}

/* A missing descriptor 0, 1 or 2 would be taken by the database or a socket. Descriptor 0 of a
 * responder may be its listening socket: whatever is open stays as it is. */
static int fill_standard_fds(void)
{
    for (int fd = 0; fd < 3; fd++) {
        if (fcntl(fd, F_GETFD) >= 0)
            continue;
        if (open("/dev/null", fd == 0 ? O_RDONLY : O_WRONLY) != fd)
            return -1;
    }
    return 0;
}

/* A child of vexa up must not outlive it as a rival of the next one's children: it gets SIGTERM
 * when its parent dies, and gives up at once when that has happened already. */
static int tie_to_supervisor(void)
{
    const char *text = getenv("VEXA_SUPERVISED");
    if (!text)
        return 0;
    char *end;
    long supervisor = strtol(text, &end, 10);
    if (end == text || *end || supervisor != (long)getppid())
        supervisor = 0;
    unsetenv("VEXA_SUPERVISED");
    if (!supervisor)
        return -1;
    if (prctl(PR_SET_PDEATHSIG, SIGTERM) || (long)getppid() != supervisor)
        return -1;
    return 0;
}

int main(int argc, char **argv)
{
    if (fill_standard_fds())
        return EXIT_SYSTEM;
    umask(077);
    const char *self = argc > 0 ? strrchr(argv[0], '/') : NULL;
    self = self ? self + 1 : argc > 0 ? argv[0] : "";
    bool as_fcgi = !strcmp(self, "vexa.fcgi");
    if (cgi_args_are_foreign(argc, argv)) /* a web server's mistake must not become our command */
        argc = 1;
    as_fcgi |= argc < 2 && getenv("GATEWAY_INTERFACE");
    if (argc < 2 && !as_fcgi) {
        list_commands(stderr);
        return EXIT_USAGE;
    }
    /* "vexa.fcgi --dir D" and "vexa.fcgi fcgi --dir D" mean the same */
    bool named = argc > 1 && !strcmp(argv[1], "fcgi");
    const struct command *cmd = as_fcgi ? find("fcgi") : find(argv[1]);
    if (!cmd) {
        cli_complain("unknown command '%s'; vexa help lists them", argv[1]);
        return EXIT_USAGE;
    }
    if ((cmd->run == cmd_fcgi || cmd->run == cmd_runner) && tie_to_supervisor()) {
        cli_complain("%s: the supervisor that started this is gone", cmd->name);
        return 1;
    }
    int skip = as_fcgi && !named ? 0 : 1;
    return cmd->run(argc - skip, argv + skip);
}
