/* vexa user add */
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/options.h"
#include "lib/arena.h"
#include "lib/store_users.h"

#define DEFAULT_MAX_BOTS 3

static const char usage[] =
    "usage: vexa user add EMAIL [--name N] [--max-bots N] [--dir D]\n"
    "Adds a user, or finds the one with that email; --max-bots also changes an existing user.\n";

/* NULL when fine, else what is wrong. */
static const char *email_refusal(const char *email)
{
    const char *at = strchr(email, '@');
    if (strlen(email) > 255)
        return "an email has at most 255 characters";
    if (!at || at == email || !at[1])
        return "an email looks like name@example.org";
    for (const char *p = email; *p; p++)
        if ((unsigned char)*p <= ' ' || *p == 0x7f)
            return "an email has no spaces or control characters";
    return NULL;
}

static int add(struct store *st, const char *email, const char *name, int64_t max_bots)
{
    struct arena *a = arena_new(1 << 20);
    struct user u;
    bool created = false;
    if (!a) {
        cli_complain("out of memory");
        return EXIT_SYSTEM;
    }
    enum vx_err err = store_user_create(st, a, email, name,
                                        max_bots < 0 ? DEFAULT_MAX_BOTS : max_bots, &u, &created);
    if (!err && !created && max_bots >= 0 && u.max_concurrent_bots != max_bots)
        err = store_user_update(st, a, u.id, max_bots, NULL, &u);
    if (err)
        cli_complain("%s", vx_err_info(err)->detail);
    else
        printf("id=%" PRId64 " email=%s max_concurrent_bots=%" PRId64 " %s\n", u.id, u.email,
               u.max_concurrent_bots, created ? "created" : "exists");
    arena_free(a);
    return err ? EXIT_SYSTEM : cli_finish();
}

int cmd_user(int argc, char **argv)
{
    static const struct option options[] = {{"dir", required_argument, NULL, 'd'},
                                            {"name", required_argument, NULL, 'n'},
                                            {"max-bots", required_argument, NULL, 'm'},
                                            {"help", no_argument, NULL, 'h'},
                                            {0}};
    const char *dir = NULL, *name = NULL;
    int64_t max_bots = -1;
    int o;
    while ((o = getopt_long(argc, argv, "h", options, NULL)) != -1) {
        switch (o) {
        case 'd':
            dir = optarg;
            break;
        case 'n':
            name = optarg;
            break;
        case 'm':
            if (cli_number("--max-bots", optarg, 0, 1000000, &max_bots))
                return EXIT_USAGE;
            break;
        default:
            return cli_usage(o == 'h' ? 0 : EXIT_USAGE, usage);
        }
    }
    if (argc - optind != 2 || strcmp(argv[optind], "add"))
        return cli_usage(EXIT_USAGE, usage);
    const char *email = argv[optind + 1], *refusal = email_refusal(email);
    if (!refusal && name && strlen(name) > 100)
        refusal = "a name has at most 100 bytes";
    if (refusal) {
        cli_complain("%s", refusal);
        return 2;
    }
    struct instance in;
    struct store *st = NULL;
    struct store_conn *rd = NULL;
    int status = cli_open(&in, dir, &st, &rd);
    if (!status)
        status = add(st, email, name, max_bots);
    cli_close(&in, st, rd);
    return status;
}
