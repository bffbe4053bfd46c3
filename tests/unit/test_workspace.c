/* The agent workspace against an agent that means harm: nothing it can write is followed, believed
 * or read as configuration, and what was interrupted is made again. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <fcntl.h>
#include <ftw.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include <errno.h>

#include <git2.h>

#include "lib/clock.h"
#include "lib/json_scan.h"
#include "lib/workspace.h"
#include "lib/workspace_parts.h"

#define USER 7

static char dir[64];
static char text[4096];

static int set_up(void **state)
{
    (void)state;
    snprintf(dir, sizeof dir, "/tmp/vexa-workspace-XXXXXX");
    return mkdtemp(dir) != NULL ? 0 : -1;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    return remove(path);
}

static int tear_down(void **state)
{
    (void)state;
    return nftw(dir, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

/* dir + what, in one of a few buffers. */
static const char *at(const char *what)
{
    static char paths[8][4096];
    static size_t next;
    char *p = paths[next++ % 8];
    snprintf(p, sizeof paths[0], "%s/%s", dir, what);
    return p;
}

/* Below the worktree. */
static const char *in(const char *what)
{
    char path[2048];
    snprintf(path, sizeof path, "workspaces/%d/%s", USER, what);
    return at(path);
}

static void put(const char *path, const char *s)
{
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    assert_true(fputs(s, f) >= 0);
    assert_int_equal(fclose(f), 0);
}

static struct workspace *ready(void)
{
    struct workspace *ws;
    assert_int_equal(workspace_open(dir, USER, &ws, NULL), VX_OK);
    return ws;
}

static enum vx_err reads(const struct workspace *ws, const char *path)
{
    struct buf b;
    buf_init(&b, WORKSPACE_FILE_MAX + 1);
    enum vx_err err = workspace_read(ws, path, &b);
    snprintf(text, sizeof text, "%s", err == VX_OK && b.data != NULL ? b.data : "");
    buf_free(&b);
    return err;
}

static const char *tree(const struct workspace *ws, bool hidden)
{
    struct json_object *files;
    bool cut;
    assert_int_equal(workspace_files(ws, hidden, &files, &cut), VX_OK);
    assert_false(cut);
    snprintf(text, sizeof text, "%s", json_text(files));
    json_object_put(files);
    return text;
}

static const char *changes(const struct workspace *ws)
{
    struct json_object *o, *list;
    assert_int_equal(workspace_git_state(ws, clock_now_ms(), &o), VX_OK);
    assert_true(json_object_object_get_ex(o, "changes", &list));
    text[0] = '\0';
    for (size_t i = 0; i < json_object_array_length(list); i++) {
        struct json_object *c = json_object_array_get_idx(list, i);
        size_t n = strlen(text);
        snprintf(text + n, sizeof text - n, "%s%s ", json_get_str(c, "kind"),
                 json_get_str(c, "path"));
    }
    json_object_put(o);
    return text;
}

static const char whole[] =
    "[\"CLAUDE.md\",\"README.md\",\"kg/entities/company/index.md\",\"kg/entities/index.md\","
    "\"kg/entities/meeting/index.md\",\"kg/entities/person/index.md\",\"log.md\","
    "\"policy/README.md\"]";

static void first_use(void **state)
{
    struct workspace *ws;
    struct stat st;
    bool seeded;
    (void)state;
    assert_int_equal(workspace_open(dir, USER, &ws, &seeded), VX_OK);
    assert_true(seeded);
    assert_string_equal(tree(ws, true), whole);
    assert_string_equal(changes(ws), "");
    assert_int_equal(lstat(in(".git"), &st), -1);
    assert_string_equal(workspace_path(ws), at("workspaces/7"));
    workspace_close(ws);
    assert_int_equal(workspace_open(dir, USER, &ws, &seeded), VX_OK);
    assert_false(seeded);
    workspace_close(ws);
    assert_int_equal(lstat(at("git/7.git"), &st), 0);
    assert_int_equal(lstat(at("git/.new-7"), &st), -1);
    assert_int_equal(lstat(at("workspaces"), &st), 0);
    assert_int_equal(st.st_mode & 0777, 0700);
}

static void interrupted_seed_is_made_again(void **state)
{
    struct workspace *ws;
    bool seeded;
    (void)state;
    assert_int_equal(mkdir(at("git"), 0700), 0);
    assert_int_equal(mkdir(at("git/.new-7"), 0700), 0);
    put(at("git/.new-7/HEAD"), "garbage");
    assert_int_equal(mkdir(at("workspaces"), 0700), 0);
    assert_int_equal(mkdir(at("workspaces/.new-7"), 0700), 0);
    put(at("workspaces/.new-7/README.md"), "half");
    put(at("git/7.lock"), "");
    assert_int_equal(workspace_open(dir, USER, &ws, &seeded), VX_OK);
    assert_true(seeded);
    assert_string_equal(tree(ws, true), whole);
    assert_string_equal(changes(ws), "");
    workspace_close(ws);
}

static void own_files_stay(void **state)
{
    struct workspace *ws;
    (void)state;
    assert_int_equal(mkdir(at("workspaces"), 0700), 0);
    assert_int_equal(mkdir(at("workspaces/7"), 0700), 0);
    put(in("README.md"), "mine");
    assert_int_equal(mkdir(at("outside"), 0700), 0);
    assert_int_equal(symlink(at("outside"), in("policy")), 0);
    ws = ready();
    assert_int_equal(reads(ws, "README.md"), VX_OK);
    assert_string_equal(text, "mine");
    assert_string_equal(changes(ws), "MREADME.md Apolicy Dpolicy/README.md ");
    assert_int_equal(access(at("outside/README.md"), F_OK), -1);
    workspace_close(ws);
}

static void removed_worktree(void **state)
{
    (void)state;
    workspace_close(ready());
    assert_int_equal(nftw(at("workspaces/7"), remove_one, 8, FTW_DEPTH | FTW_PHYS), 0);
    struct workspace *ws = ready();
    assert_string_equal(tree(ws, true), "[]");
    assert_non_null(strstr(changes(ws), "DREADME.md "));
    workspace_close(ws);
    /* a link in its place is not followed */
    assert_int_equal(rmdir(at("workspaces/7")), 0);
    assert_int_equal(symlink("/etc", at("workspaces/7")), 0);
    assert_int_not_equal(workspace_open(dir, USER, &ws, NULL), VX_OK);
    assert_null(ws);
}

static void paths(void **state)
{
    static const char *const bad[] = {"",
                                      ".",
                                      "/",
                                      "./",
                                      "..",
                                      "../x",
                                      "a/../../x",
                                      "kg/../README.md",
                                      "/etc/passwd",
                                      ".git/config",
                                      "a/.git",
                                      ".GIT/config",
                                      "x/.Git/y"};
    static const char *const absent[] = {"none",       "kg",          "kg/", "kg/none",
                                         "README.md/", "README.md/x", "...", ".gitx"};
    char longer[5000];
    (void)state;
    struct workspace *ws = ready();
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        if (reads(ws, bad[i]) != VX_ERR_INVALID_PATH)
            fail_msg("'%s'", bad[i]);
    for (size_t i = 0; i < sizeof absent / sizeof *absent; i++)
        if (reads(ws, absent[i]) != VX_ERR_FILE_NOT_FOUND)
            fail_msg("'%s'", absent[i]);
    memset(longer, 'a', sizeof longer);
    longer[300] = '\0';
    assert_int_equal(reads(ws, longer), VX_ERR_INVALID_PATH);
    longer[300] = 'a';
    longer[4999] = '\0';
    assert_int_equal(reads(ws, longer), VX_ERR_INVALID_PATH);
    assert_int_equal(reads(ws, "./kg//entities/./index.md"), VX_OK);
    workspace_close(ws);
}

static void links(void **state)
{
    (void)state;
    struct workspace *ws = ready();
    put(at("secret"), "secret");
    assert_int_equal(mkdir(at("workspaces/8"), 0700), 0);
    put(at("workspaces/8/theirs"), "theirs");
    assert_int_equal(symlink("README.md", in("inside")), 0);
    assert_int_equal(symlink("../README.md", in("kg/up")), 0);
    assert_int_equal(symlink("/etc/passwd", in("absolute")), 0);
    assert_int_equal(symlink("../../secret", in("out")), 0);
    assert_int_equal(symlink("..", in("parent")), 0);
    assert_int_equal(symlink("../8", in("neighbour")), 0);
    assert_int_equal(symlink("/proc/self/cwd", in("magic")), 0);
    assert_int_equal(symlink("kg", in("folder")), 0);
    assert_int_equal(symlink("loop", in("loop")), 0);
    assert_int_equal(symlink("nowhere", in("dangling")), 0);
    assert_int_equal(mkfifo(in("pipe"), 0600), 0);
    assert_int_equal(reads(ws, "inside"), VX_OK);
    assert_int_equal(reads(ws, "kg/up"), VX_OK);
    assert_non_null(strstr(text, "# Your workspace"));
    assert_int_equal(reads(ws, "folder/entities/index.md"), VX_OK);
    assert_int_equal(reads(ws, "absolute"), VX_ERR_INVALID_PATH);
    assert_int_equal(reads(ws, "out"), VX_ERR_INVALID_PATH);
    assert_int_equal(reads(ws, "parent/8/theirs"), VX_ERR_INVALID_PATH);
    assert_int_equal(reads(ws, "neighbour/theirs"), VX_ERR_INVALID_PATH);
    assert_int_equal(reads(ws, "magic/x"), VX_ERR_INVALID_PATH);
    assert_int_equal(reads(ws, "loop"), VX_ERR_INVALID_PATH);
    assert_int_equal(reads(ws, "dangling"), VX_ERR_FILE_NOT_FOUND);
    assert_int_equal(reads(ws, "pipe"), VX_ERR_FILE_NOT_FOUND);
    assert_int_equal(reads(ws, "folder"), VX_ERR_FILE_NOT_FOUND);
    tree(ws, true);
    assert_non_null(strstr(text, "\"inside\""));
    assert_non_null(strstr(text, "\"kg/up\""));
    static const char *const unlisted[] = {"absolute", "out",  "parent",   "neighbour", "magic",
                                           "folder",   "loop", "dangling", "pipe",      "theirs"};
    for (size_t i = 0; i < sizeof unlisted / sizeof *unlisted; i++)
        assert_null(strstr(text, unlisted[i]));
    /* the link itself is a change, as git keeps it */
    assert_non_null(strstr(changes(ws), "Aabsolute "));
    workspace_close(ws);
}

/* From here on this process has no openat2, as in some sandboxes. */
static bool lose_openat2(void)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 0), /* the number of the call */
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_openat2, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {sizeof code / sizeof *code, code};
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
           prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

static void without_openat2(void **state)
{
    static const struct {
        const char *path;
        enum vx_err err;
    } rows[] = {
        {"README.md", VX_OK},
        {"./kg//entities/./index.md", VX_OK},
        {"none", VX_ERR_FILE_NOT_FOUND},
        {"kg", VX_ERR_FILE_NOT_FOUND},
        {"kg/", VX_ERR_FILE_NOT_FOUND},
        {"README.md/", VX_ERR_FILE_NOT_FOUND},
        {"README.md/x", VX_ERR_FILE_NOT_FOUND},
        {"../secret", VX_ERR_INVALID_PATH},
        {"inside", VX_ERR_INVALID_PATH}, /* no link at all */
        {"out", VX_ERR_INVALID_PATH},
        {"folder/passwd", VX_ERR_INVALID_PATH},
        {"folder/", VX_ERR_INVALID_PATH},
    };
    int status;
    (void)state;
    struct workspace *ws = ready();
    put(at("secret"), "secret");
    assert_int_equal(symlink("README.md", in("inside")), 0);
    assert_int_equal(symlink("../../secret", in("out")), 0);
    assert_int_equal(symlink("/etc", in("folder")), 0);
    pid_t child = fork();
    if (child == 0) {
        if (!lose_openat2())
            _exit(255);
        for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
            if (reads(ws, rows[i].path) != rows[i].err)
                _exit((int)i + 1);
        _exit(0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    if (WEXITSTATUS(status) == 255)
        skip();
    if (WEXITSTATUS(status) != 0)
        fail_msg("'%s'", rows[WEXITSTATUS(status) - 1].path);
    workspace_close(ws);
}

/* Configuration that would run programs or move the worktree, planted where git would look. */
static void planted_git(void **state)
{
    (void)state;
    struct workspace *ws = ready();
    char config[4096];
    snprintf(
        config, sizeof config,
        "[core]\n\tworktree = /etc\n\tfsmonitor = touch %s\n\thooksPath = %s\n\tautocrlf = true\n"
        "\texcludesFile = %s\n[filter \"x\"]\n\tclean = touch %s\n\tsmudge = touch %s\n",
        at("ran"), in("hooks"), in("ignore"), at("ran"), at("ran"));
    assert_int_equal(mkdir(in(".git"), 0700), 0);
    assert_int_equal(mkdir(in(".git/hooks"), 0700), 0);
    assert_int_equal(mkdir(in(".git/objects"), 0700), 0);
    assert_int_equal(mkdir(in(".git/refs"), 0700), 0);
    put(in(".git/HEAD"), "ref: refs/heads/main\n");
    put(in(".git/config"), config);
    put(in(".git/hooks/post-checkout"), "#!/bin/sh\ntouch ran\n");
    put(in(".gitattributes"), "* filter=x text eol=crlf diff=x\n");
    put(in(".gitignore"), "*\n");
    put(in(".gitmodules"), "[submodule \"x\"]\n\tpath = kg\n\turl = /etc\n");
    assert_int_equal(mkdir(in("sub"), 0700), 0);
    put(in("sub/.git"), "gitdir: /etc\n");
    put(in("sub/new.md"), "line\r\n");
    put(in("commondir"), "/etc\n");
    assert_int_equal(mkdir(in(".claude"), 0700), 0);
    put(in(".claude/x"), "x");
    assert_string_equal(changes(ws),
                        "A.gitattributes A.gitignore A.gitmodules Acommondir Asub/new.md ");
    tree(ws, true);
    assert_null(strstr(text, ".git/"));
    assert_null(strstr(text, "sub/.git"));
    assert_non_null(strstr(text, "\".gitignore\""));
    assert_null(strstr(tree(ws, false), "\"."));
    assert_int_equal(access(at("ran"), F_OK), -1);
    /* even in our own config, where no agent can write, a worktree would not be followed */
    FILE *f = fopen(at("git/7.git/config"), "a");
    assert_non_null(f);
    assert_true(fputs("\tworktree = /etc\n", f) >= 0);
    assert_int_equal(fclose(f), 0);
    assert_string_equal(changes(ws),
                        "A.gitattributes A.gitignore A.gitmodules Acommondir Asub/new.md ");
    workspace_close(ws);
}

/* HOME's configuration is the operator's, and would change what we say. */
static void host_config_is_not_read(void **state)
{
    (void)state;
    put(at(".gitconfig"),
        "[core]\n\tautocrlf = broken\n[init]\n\tdefaultBranch = other\n\ttemplateDir = /etc\n");
    assert_int_equal(setenv("HOME", dir, 1), 0);
    assert_int_equal(setenv("GIT_DIR", "/etc", 1), 0);
    struct workspace *ws = ready();
    struct json_object *o;
    assert_int_equal(workspace_git_state(ws, clock_now_ms(), &o), VX_OK);
    assert_string_equal(json_get_str(o, "branch"), "main");
    json_object_put(o);
    unsetenv("GIT_DIR");
    workspace_close(ws);
}

static void what_changed(void **state)
{
    (void)state;
    struct workspace *ws = ready();
    put(in("log.md"), "# Lug\n"); /* same size */
    put(in("README.md"), "");
    assert_int_equal(chmod(in("CLAUDE.md"), 0700), 0);
    assert_int_equal(unlink(in("policy/README.md")), 0);
    assert_int_equal(unlink(in("kg/entities/index.md")), 0);
    assert_int_equal(symlink("x", in("kg/entities/index.md")), 0);
    put(in("a\xff"), "x");
    assert_string_equal(changes(ws),
                        "MCLAUDE.md MREADME.md Aa\xef\xbf\xbd Tkg/entities/index.md Mlog.md "
                        "Dpolicy/README.md ");
    assert_null(strstr(tree(ws, true), "\"a"));
    workspace_close(ws);
}

static void left_locks_do_not_matter(void **state)
{
    (void)state;
    struct workspace *ws = ready();
    put(at("git/7.git/index.lock"), "");
    put(at("git/7.git/HEAD.lock"), "");
    put(at("git/7.git/config.lock"), "");
    put(at("git/7.git/refs/heads/main.lock"), "");
    assert_string_equal(changes(ws), "");
    workspace_close(ws);
    workspace_close(ready());
}

static void show(void **state)
{
    struct json_object *o, *commits;
    char sha[64];
    (void)state;
    struct workspace *ws = ready();
    assert_int_equal(workspace_git_state(ws, clock_now_ms() + 7200000, &o), VX_OK);
    assert_true(json_object_object_get_ex(o, "commits", &commits));
    assert_int_equal(json_object_array_length(commits), 1);
    struct json_object *c = json_object_array_get_idx(commits, 0);
    assert_string_equal(json_get_str(c, "msg"), "seed");
    assert_string_equal(json_get_str(c, "kind"), "system");
    assert_string_equal(json_get_str(c, "author"), "vexa-agent");
    assert_string_equal(json_get_str(c, "when"), "2 hours ago");
    snprintf(sha, sizeof sha, "%s", json_get_str(c, "sha"));
    json_object_put(o);
    assert_int_equal(workspace_git_show(ws, sha, "log.md", &o), VX_OK);
    assert_non_null(strstr(json_get_str(o, "diff"), "\n+# Log\n"));
    assert_null(strstr(json_get_str(o, "diff"), "README"));
    assert_false(json_get_bool(o, "truncated", true));
    json_object_put(o);
    static const char *const none[] = {"zzzz",
                                       "abc",
                                       "0000",
                                       "--all",
                                       "HEAD",
                                       "main",
                                       "",
                                       "0123456789012345678901234567890123456789",
                                       "01234567890123456789012345678901234567890"};
    for (size_t i = 0; i < sizeof none / sizeof *none; i++) {
        assert_int_equal(workspace_git_show(ws, none[i], NULL, &o), VX_OK);
        assert_string_equal(json_get_str(o, "diff"), "");
        json_object_put(o);
    }
    assert_int_equal(workspace_git_show(ws, sha, "*", &o), VX_OK); /* a path is no pattern */
    assert_string_equal(json_get_str(o, "diff"), "");
    json_object_put(o);
    workspace_close(ws);
}

/* A commit with more than 600 lines, made as the platform would. */
static void long_patch_is_cut(void **state)
{
    git_repository *repo;
    git_index *index;
    git_tree *made;
    git_signature *who;
    git_oid id;
    struct json_object *o;
    char sha[GIT_OID_HEXSZ + 1];
    struct buf b;
    (void)state;
    struct workspace *ws = ready();
    buf_init(&b, 1 << 20);
    for (int i = 0; i < 2000; i++)
        buf_printf(&b, "line %d\n", i);
    assert_int_equal(git_repository_open_bare(&repo, at("git/7.git")), 0);
    assert_int_equal(git_index_new(&index), 0);
    git_index_entry e = {.mode = GIT_FILEMODE_BLOB, .path = "long.txt"};
    assert_int_equal(git_blob_create_from_buffer(&e.id, repo, b.data, b.len), 0);
    assert_int_equal(git_index_add(index, &e), 0);
    assert_int_equal(git_index_write_tree_to(&id, index, repo), 0);
    assert_int_equal(git_tree_lookup(&made, repo, &id), 0);
    assert_int_equal(git_signature_new(&who, "me", "7@vexa.local", 1000, 0), 0);
    assert_int_equal(git_commit_create(&id, repo, NULL, who, who, NULL, "long", made, 0, NULL), 0);
    git_oid_tostr(sha, sizeof sha, &id);
    assert_int_equal(workspace_git_show(ws, sha, NULL, &o), VX_OK);
    assert_true(json_get_bool(o, "truncated", false));
    size_t lines = 0;
    for (const char *p = json_get_str(o, "diff"); *p != '\0'; p++)
        lines += *p == '\n';
    assert_int_equal(lines, 600);
    json_object_put(o);
    git_signature_free(who);
    git_tree_free(made);
    git_index_free(index);
    git_repository_free(repo);
    buf_free(&b);
    workspace_close(ws);
}

static void listings_are_bounded(void **state)
{
    struct json_object *files, *o, *list;
    char name[64], deep[128];
    bool cut;
    (void)state;
    struct workspace *ws = ready();
    assert_int_equal(mkdir(in("many"), 0700), 0);
    for (int i = 0; i < 5001; i++) {
        snprintf(name, sizeof name, "many/%05d", i);
        put(in(name), "");
    }
    assert_int_equal(workspace_files(ws, false, &files, &cut), VX_OK);
    assert_true(cut);
    assert_int_equal(json_object_array_length(files), WORKSPACE_FILES_MAX);
    /* the first ones in order, whatever order the folder has */
    assert_string_equal(json_object_get_string(json_object_array_get_idx(files, 0)), "CLAUDE.md");
    assert_string_equal(json_object_get_string(json_object_array_get_idx(files, 4999)),
                        "many/04992");
    json_object_put(files);
    assert_int_equal(workspace_git_state(ws, clock_now_ms(), &o), VX_OK);
    assert_true(json_get_bool(o, "truncated", false));
    assert_true(json_object_object_get_ex(o, "changes", &list));
    assert_int_equal(json_object_array_length(list), 500);
    json_object_put(o);
    assert_int_equal(nftw(in("many"), remove_one, 8, FTW_DEPTH | FTW_PHYS), 0);
    snprintf(deep, sizeof deep, "d");
    for (int i = 0; i < 40; i++) {
        assert_int_equal(mkdir(in(deep), 0700), 0);
        snprintf(deep + strlen(deep), sizeof deep - strlen(deep), "/d");
    }
    put(in(deep), "");
    assert_int_equal(workspace_files(ws, false, &files, &cut), VX_OK);
    assert_true(cut);
    json_object_put(files);
    assert_int_equal(reads(ws, deep), VX_OK);
    put(in("big"), "");
    assert_int_equal(truncate(in("big"), WORKSPACE_FILE_MAX + 1), 0);
    assert_int_equal(reads(ws, "big"), VX_ERR_PAYLOAD_TOO_LARGE);
    assert_int_equal(truncate(in("big"), WORKSPACE_FILE_MAX), 0);
    assert_int_equal(reads(ws, "big"), VX_OK);
    /* more than is hashed for one answer: new files need no hash */
    assert_int_equal(truncate(in("big"), (off_t)1 << 40), 0);
    assert_non_null(strstr(changes(ws), "Abig "));
    workspace_close(ws);
}

static void broken_repository(void **state)
{
    struct json_object *o;
    (void)state;
    struct workspace *ws = ready();
    put(at("git/7.git/HEAD"), "garbage");
    assert_int_equal(workspace_git_state(ws, clock_now_ms(), &o), VX_ERR_SYSTEM);
    assert_null(o);
    assert_int_equal(reads(ws, "README.md"), VX_OK);
    workspace_close(ws);
}

int main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(first_use),
        TEST(interrupted_seed_is_made_again),
        TEST(own_files_stay),
        TEST(removed_worktree),
        TEST(paths),
        TEST(links),
        TEST(without_openat2),
        TEST(planted_git),
        TEST(host_config_is_not_read),
        TEST(what_changed),
        TEST(left_locks_do_not_matter),
        TEST(show),
        TEST(long_patch_is_cut),
        TEST(listings_are_bounded),
        TEST(broken_repository),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
