/* vexa token create */
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/options.h"
#include "lib/arena.h"
#include "lib/clock.h"
#include "lib/secret.h"
#include "lib/store_users.h"

#define KEY_RANDOM 32
#define SCOPES_MAX 128

static const char usage[] =
    "usage: vexa token create --user EMAIL|ID [--scopes bot,tx] [--name N]\n"
    "                         [--expires-in SECONDS] [--dir D]\n"
    "Prints a new API key. It is shown this once; the database keeps only its hash.\n"
    "Scopes: bot, tx, browser (default bot,tx).\n";

/* Checks a comma list and copies it without blanks. 0, or 2 after a message. */
static int read_scopes(const char *text, char out[SCOPES_MAX])
{
    size_t n = 0;
    for (const char *p = text; *p;) {
        size_t len = strcspn(p, ",");
        const char *from = p;
        size_t word = len;
        while (word && *from == ' ')
            from++, word--;
        while (word && from[word - 1] == ' ')
            word--;
        char one[16];
        snprintf(one, sizeof one, "%.*s", word < sizeof one ? (int)word : 0, from);
        if (word && strcmp(one, "bot") && strcmp(one, "tx") && strcmp(one, "browser")) {
            cli_complain("Invalid scope(s): ['%.*s']. Valid: ['bot', 'browser', 'tx']",
                         (int)(word < 60 ? word : 60), from);
            return 2;
        }
        if (word) {
            int add = snprintf(out + n, SCOPES_MAX - n, "%s%s", n ? "," : "", one);
            if (add < 0 || (size_t)add >= SCOPES_MAX - n) {
                cli_complain("too many scopes");
                return 2;
            }
            n += (size_t)add;
        }
        p += len;
        p += *p == ',';
    }
    if (n)
        return 0;
    cli_complain("scopes must not be empty");
    return 2;
}

/* The user of an id (all digits) or an email. */
static enum vx_err find_user(struct store_conn *rd, struct arena *a, const char *who,
                             struct user *out)
{
    if (*who && strspn(who, "0123456789") == strlen(who))
        return store_user_by_id(rd, a, strtoll(who, NULL, 10), out);
    return store_user_by_email(rd, a, who, out);
}

static int create(struct store *st, struct store_conn *rd, const char *who, const char *scopes,
                  const char *name, int64_t expires_in)
{
    struct arena *a = arena_new(1 << 20);
    struct user u;
    char random[KEY_RANDOM + 1], key[64];
    int64_t id = 0;
    enum vx_err err = a ? find_user(rd, a, who, &u) : VX_ERR_NO_MEMORY;
    if (err) {
        cli_complain("%s: %s", who, vx_err_info(err)->detail);
        goto out;
    }
    if (secret_alnum(random, KEY_RANDOM)) {
        cli_complain("no randomness");
        err = VX_ERR_SYSTEM;
        goto out;
    }
    snprintf(key, sizeof key, "vxa_%.*s_%s", (int)strcspn(scopes, ","), scopes, random);
    err = store_token_create(st, u.id, key, scopes, name,
                             expires_in ? clock_now_ms() + expires_in * 1000 : 0, &id, NULL);
    if (err)
        cli_complain("%s", vx_err_info(err)->detail);
    else
        puts(key);
    explicit_bzero(random, sizeof random);
    explicit_bzero(key, sizeof key);
out:
    if (a)
        arena_free(a);
    if (err)
        return err == VX_ERR_USER_NOT_FOUND ? 1 : EXIT_SYSTEM;
    return cli_finish();
}

int cmd_token(int argc, char **argv)
{
    static const struct option options[] = {{"dir", required_argument, NULL, 'd'},
                                            {"user", required_argument, NULL, 'u'},
                                            {"scopes", required_argument, NULL, 's'},
                                            {"name", required_argument, NULL, 'n'},
                                            {"expires-in", required_argument, NULL, 'e'},
                                            {"help", no_argument, NULL, 'h'},
                                            {0}};
    const char *dir = NULL, *who = NULL, *name = NULL, *scope_text = "bot,tx";
    int64_t expires_in = 0;
    int o;
    while ((o = getopt_long(argc, argv, "h", options, NULL)) != -1) {
        switch (o) {
        case 'd':
            dir = optarg;
            break;
        case 'u':
            who = optarg;
            break;
        case 's':
            scope_text = optarg;
            break;
        case 'n':
            name = optarg;
            break;
        case 'e':
            if (cli_number("--expires-in", optarg, 1, INT64_C(3153600000), &expires_in))
                return EXIT_USAGE;
            break;
        default:
            return cli_usage(o == 'h' ? 0 : EXIT_USAGE, usage);
        }
    }
    if (!who || argc - optind != 1 || strcmp(argv[optind], "create"))
        return cli_usage(EXIT_USAGE, usage);
    char scopes[SCOPES_MAX];
    int status = read_scopes(scope_text, scopes);
    if (status)
        return status;
    if (name && strlen(name) > 255) {
        cli_complain("a name has at most 255 bytes");
        return 2;
    }
    struct instance in;
    struct store *st = NULL;
    struct store_conn *rd = NULL;
    status = cli_open(&in, dir, &st, &rd);
    if (!status)
        status = create(st, rd, who, scopes, name, expires_in);
    cli_close(&in, st, rd);
    return status;
}
