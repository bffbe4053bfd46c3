/* Building the boundary, step by step (lib/sandbox.h). Linux's Landlock header of Debian 12 stops
 * at REFER, so the later rights are defined here and used as the running kernel's ABI allows. */
#include "lib/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/landlock.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "lib/sandbox_filter.h"

/* ---- what Debian's header lacks ---- */

#define FS_TRUNCATE    (1ULL << 14) /* ABI 3 */
#define FS_IOCTL_DEV   (1ULL << 15) /* ABI 5 */
#define NET_BIND_TCP   (1ULL << 0)  /* ABI 4 */
#define NET_CONNECT    (1ULL << 1)  /* ABI 4 */
#define SCOPE_ABSTRACT (1ULL << 0)  /* ABI 6 */
#define SCOPE_SIGNAL   (1ULL << 1)  /* ABI 6 */

/* Older kernels take the longer struct as long as what they do not know is zero. */
struct ruleset_attr {
    uint64_t fs, net, scoped;
};

#define FS_ABI_1 ((1ULL << 13) - 1) /* EXECUTE to MAKE_SYM */
#define FS_READ                                                                                    \
    (LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR)
#define FS_NODES (LANDLOCK_ACCESS_FS_MAKE_CHAR | LANDLOCK_ACCESS_FS_MAKE_BLOCK)
#define FS_OF_FILE                                                                                 \
    (LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_READ_FILE |   \
     FS_TRUNCATE | FS_IOCTL_DEV)

static uint64_t fs_handled(int abi)
{
    uint64_t fs = FS_ABI_1;
    if (abi >= 2)
        fs |= LANDLOCK_ACCESS_FS_REFER;
    if (abi >= 3)
        fs |= FS_TRUNCATE;
    if (abi >= 5)
        fs |= FS_IOCTL_DEV;
    return fs;
}

/* ---- what programs need ---- */

/* Read and execute. Of /etc only what the C library, TLS and name look-up read; /proc as a whole,
 * since its entries are made anew at each look and a rule on one would be lost (what it shows of
 * other processes is guarded by Landlock's ptrace rule). */
static const char *const system_ro[] = {
    "/usr",
    "/bin",
    "/sbin",
    "/lib",
    "/lib32",
    "/lib64",
    "/nix/store",
    "/gnu/store",
    "/proc",
    "/sys/devices/system/cpu",
    "/sys/fs/cgroup",
    "/etc/alternatives",
    "/etc/ca-certificates",
    "/etc/gai.conf",
    "/etc/gitconfig",
    "/etc/group",
    "/etc/host.conf",
    "/etc/hosts",
    "/etc/ld.so.cache",
    "/etc/ld.so.conf",
    "/etc/ld.so.conf.d",
    "/etc/ld.so.preload",
    "/etc/locale.alias",
    "/etc/localtime",
    "/etc/mime.types",
    "/etc/nsswitch.conf",
    "/etc/os-release",
    "/etc/passwd",
    "/etc/pki/ca-trust",
    "/etc/pki/tls/certs",
    "/etc/protocols",
    "/etc/resolv.conf",
    "/etc/services",
    "/etc/ssl/cert.pem",
    "/etc/ssl/certs",
    "/etc/ssl/openssl.cnf",
    "/etc/terminfo",
    "/etc/timezone",
};
static const char *const devices_ro[] = {"/dev/urandom", "/dev/random"};
static const char *const devices_rw[] = {"/dev/null", "/dev/zero", "/dev/full", "/dev/tty"};

#define COUNT(a) (sizeof(a) / sizeof *(a))

/* ---- Landlock ---- */

int sandbox_abi(void)
{
    long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
    return abi > 0 ? (int)abi : 0;
}

static int fail(struct sandbox_fault *fault, const char *step, const char *object, int error)
{
    *fault = (struct sandbox_fault){.step = step, .object = object, .error = error};
    return -1;
}

enum grant_kind {
    GRANT_SYSTEM,   /* may be missing */
    GRANT_READ,     /* must exist */
    GRANT_WRITE,    /* must exist, not behind a symlink an agent may have planted */
    GRANT_FOLDER,   /* as GRANT_WRITE, and a folder */
    GRANT_DEV_WRITE /* may be missing */
};

/* Opens path for a rule, or says why not. -1 with errno. */
static int open_grant(const char *path, enum grant_kind kind, struct stat *st)
{
    bool writable = kind == GRANT_WRITE || kind == GRANT_FOLDER;
    int fd = open(path, O_PATH | O_CLOEXEC | (writable ? O_NOFOLLOW : 0));
    if (fd < 0)
        return -1;
    int error = fstat(fd, st) ? errno : 0;
    if (!error && S_ISLNK(st->st_mode))
        error = ELOOP;
    else if (!error && kind == GRANT_FOLDER && !S_ISDIR(st->st_mode))
        error = ENOTDIR;
    else if (!error && kind == GRANT_WRITE && !S_ISDIR(st->st_mode) && !S_ISREG(st->st_mode))
        error = EINVAL;
    if (!error)
        return fd;
    close(fd);
    errno = error;
    return -1;
}

/* Adds one rule; ruleset -1 (no Landlock) only checks that the path is there. */
static int grant(int ruleset, const char *path, enum grant_kind kind, uint64_t handled,
                 struct sandbox_fault *fault)
{
    struct stat st;
    int fd = open_grant(path, kind, &st);
    if (fd < 0)
        return kind == GRANT_SYSTEM || kind == GRANT_DEV_WRITE ? 0
                                                               : fail(fault, "grant", path, errno);
    uint64_t access = FS_READ;
    if (kind == GRANT_DEV_WRITE)
        access = LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_WRITE_FILE | FS_TRUNCATE;
    else if (kind == GRANT_WRITE || kind == GRANT_FOLDER)
        access = handled & ~(FS_NODES | FS_IOCTL_DEV);
    access &= handled;
    if (!S_ISDIR(st.st_mode))
        access &= FS_OF_FILE;
    struct landlock_path_beneath_attr rule = {.allowed_access = access, .parent_fd = fd};
    int error = 0;
    if (ruleset >= 0 &&
        syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0))
        error = errno;
    close(fd);
    return error ? fail(fault, "grant", path, error) : 0;
}

static int grant_all(int ruleset, const char *const *paths, size_t n, enum grant_kind kind,
                     uint64_t handled, struct sandbox_fault *fault)
{
    for (size_t i = 0; i < n; i++)
        if (grant(ruleset, paths[i], kind, handled, fault))
            return -1;
    return 0;
}

/* The ruleset's descriptor in *out; -1 there when the kernel has no Landlock. */
static int make_ruleset(const struct sandbox_spec *spec, int *out, struct sandbox_fault *fault)
{
    int abi = sandbox_abi();
    *out = -1;
    if (abi < spec->need_abi)
        return fail(fault, "landlock", "the kernel's Landlock ABI is too old", EOPNOTSUPP);
    struct ruleset_attr attr = {.fs = fs_handled(abi)};
    if (abi >= 4)
        attr.net = NET_BIND_TCP | (spec->allow_net ? 0 : NET_CONNECT);
    if (abi >= 6)
        attr.scoped = SCOPE_ABSTRACT | SCOPE_SIGNAL;
    int fd = -1;
    if (abi > 0) {
        fd = (int)syscall(SYS_landlock_create_ruleset, &attr, sizeof attr, 0);
        if (fd < 0)
            return fail(fault, "landlock", "ruleset", errno);
    }
    if (grant_all(fd, system_ro, COUNT(system_ro), GRANT_SYSTEM, attr.fs, fault) ||
        grant_all(fd, devices_ro, COUNT(devices_ro), GRANT_SYSTEM, attr.fs, fault) ||
        grant_all(fd, devices_rw, COUNT(devices_rw), GRANT_DEV_WRITE, attr.fs, fault) ||
        grant_all(fd, spec->ro, spec->n_ro, GRANT_READ, attr.fs, fault) ||
        grant_all(fd, spec->rw, spec->n_rw, GRANT_WRITE, attr.fs, fault) ||
        grant_all(fd, &spec->home, 1, GRANT_FOLDER, attr.fs, fault) ||
        grant_all(fd, &spec->tmp, 1, GRANT_FOLDER, attr.fs, fault)) {
        if (fd >= 0)
            close(fd);
        return -1;
    }
    *out = fd;
    return 0;
}

/* ---- the other steps ---- */

/* Sets a limit, but never above what we may have ourselves; 0 leaves it. */
static int limit(int resource, int64_t value)
{
    struct rlimit r;
    if (value <= 0)
        return 0;
    if (getrlimit(resource, &r))
        return -1;
    if (r.rlim_max == RLIM_INFINITY || (rlim_t)value < r.rlim_max)
        r.rlim_max = (rlim_t)value;
    r.rlim_cur = r.rlim_max;
    return setrlimit(resource, &r);
}

static int set_limits(const struct sandbox_limits *l, struct sandbox_fault *fault)
{
    static const struct rlimit none = {0, 0};
    if (setrlimit(RLIMIT_CORE, &none))
        return fail(fault, "limits", "core", errno);
    if (limit(RLIMIT_CPU, l->cpu_seconds))
        return fail(fault, "limits", "cpu", errno);
    if (limit(RLIMIT_FSIZE, l->file_bytes))
        return fail(fault, "limits", "file size", errno);
    if (limit(RLIMIT_NOFILE, l->open_files))
        return fail(fault, "limits", "open files", errno);
    if (limit(RLIMIT_NPROC, l->processes))
        return fail(fault, "limits", "processes", errno);
    return 0;
}

/* A program run by root keeps the uid (its files are root's) but none of root's powers: with an
 * empty bounding set exec gives nothing back. */
static int drop_capabilities(void)
{
    struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[2];
    if (syscall(SYS_capget, &head, data))
        return -1;
    if (data[0].effective & (1U << CAP_SETPCAP))
        for (int cap = 0; prctl(PR_CAPBSET_READ, cap, 0, 0, 0) >= 0; cap++)
            if (prctl(PR_CAPBSET_DROP, cap, 0, 0, 0))
                return -1;
    memset(data, 0, sizeof data);
    return (int)syscall(SYS_capset, &head, data); /* empties the ambient set as well */
}

/* A session and group of its own. The leader of a group cannot leave its session; it has its group
 * at least. */
static int own_session(void)
{
    return setsid() >= 0 || getpgid(0) == getpid() ? 0 : -1;
}

/* The caller's ignored and blocked signals are not the program's business. */
static int reset_signals(void)
{
    sigset_t none;
    sigemptyset(&none);
    for (int sig = 1; sig < NSIG; sig++)
        signal(sig, SIG_DFL); /* some numbers cannot be set, and need not be */
    return sigprocmask(SIG_SETMASK, &none, NULL);
}

int sandbox_enter(const struct sandbox_spec *spec, struct sandbox_fault *fault)
{
    int ruleset;
    umask(077);
    if (reset_signals())
        return fail(fault, "signals", "", errno);
    if (own_session())
        return fail(fault, "session", "", errno);
    if (syscall(SYS_close_range, 3U, ~0U, 0U))
        return fail(fault, "descriptors", "", errno);
    if (make_ruleset(spec, &ruleset, fault))
        return -1;
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
        return fail(fault, "no new privileges", "", errno);
    if (drop_capabilities())
        return fail(fault, "capabilities", "", errno);
    if (ruleset >= 0 && syscall(SYS_landlock_restrict_self, ruleset, 0))
        return fail(fault, "landlock", "restrict", errno);
    if (ruleset >= 0)
        close(ruleset);
    if (set_limits(&spec->limits, fault))
        return -1;
    if (sandbox_filter_install(spec->allow_net) && errno != ENOSYS)
        return fail(fault, "filter", "", errno);
    return 0;
}
