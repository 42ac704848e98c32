/* run: runs a command and publishes its outcome as one op. */
#include "base/clock.h"
#include "base/utf8.h"
#include "observerctl/ask/credentials.h"
#include "observerctl/cli/args.h"
#include "observerctl/cli/commands.h"
#include "observerctl/publish/child.h"
#include "observerctl/publish/opflags.h"
#include "observerctl/publish/post.h"

#include <errno.h>
#include <msgpack.h>

enum { SUMMARY_CHARACTERS = 200, TIMEOUT_MAX_MS = 3600000 };
enum { EXIT_NOT_EXECUTABLE = 126, EXIT_NOT_FOUND = 127, EXIT_SIGNAL = 128 };

/* ---- texts: valid UTF-8, nothing that acts on a terminal ---- */

/* One character, and how many bytes of `p` it took. */
static size_t put_character(obs_buf *out, const char *p, size_t len, bool one_line) {
  unsigned char c = (unsigned char)*p;
  size_t n = obs_utf8_char(p, len);
  bool control = c < 0x20 || c == 0x7f || (n == 2 && c == 0xc2 && (unsigned char)p[1] < 0xa0);
  if (c == 0x1b) { /* ESC, or ESC [ ... letter */
    for (n = 2; len >= 2 && p[1] == '[' && n < len && (unsigned char)p[n] < 0x40;) n++;
    return len < 2 || p[1] != '[' ? 1 : n < len ? n + 1 : n;
  }
  if (c == '\r' && len > 1 && p[1] == '\n') return 1;
  if (c == '\r' || c == '\n' || c == '\t')
    obs_buf_putc(out, one_line ? ' ' : c == '\r' ? '\n' : (char)c);
  else if (n == 0 || control)
    obs_buf_puts(out, "\xef\xbf\xbd");
  else
    obs_buf_append(out, p, n);
  return n == 0 ? 1 : n;
}

static void put_argument(obs_buf *out, const char *arg, unsigned *characters) {
  for (size_t len = strlen(arg); len > 0 && *characters < SUMMARY_CHARACTERS; ++*characters) {
    size_t n = put_character(out, arg, len, true);
    arg += n;
    len -= n;
  }
}

/* ---- the op ---- */

static int64_t milliseconds(struct timeval t) {
  return (int64_t)t.tv_sec * 1000 + t.tv_usec / 1000;
}

static void pack_text(msgpack_packer *pk, const char *text) {
  size_t n = strlen(text);
  msgpack_pack_str(pk, n);
  msgpack_pack_str_body(pk, text, n);
}

static void pack_number(msgpack_packer *pk, const char *name, int64_t number) {
  pack_text(pk, name);
  msgpack_pack_int64(pk, number);
}

static void set_extra(observer_builder *b, const obs_child *c, const char *outcome, int status) {
  msgpack_sbuffer out;
  msgpack_packer pk;
  msgpack_sbuffer_init(&out);
  msgpack_packer_init(&pk, &out, msgpack_sbuffer_write);
  msgpack_pack_map(&pk, c->failure != 0 ? 1 : 4);
  if (c->signaled) {
    pack_text(&pk, "signal");
    pack_text(&pk, outcome + strlen("signal "));
  } else {
    pack_number(&pk, "exit_status", status);
  }
  if (c->failure == 0) {
    pack_number(&pk, "max_rss_kb", c->usage.ru_maxrss);
    pack_number(&pk, "user_ms", milliseconds(c->usage.ru_utime));
    pack_number(&pk, "system_ms", milliseconds(c->usage.ru_stime));
  }
  observer_builder_msgpack(b, "extra", out.data, out.size);
  msgpack_sbuffer_destroy(&out);
}

static void set_text(observer_builder *b, const char *name, obs_buf *text) {
  obs_buf_putc(text, '\0');
  if (!text->oom) observer_builder_text(b, name, text->p);
}

/* Fields that the run itself determines. */
static void set_measured(observer_builder *b, const obs_args *a, const obs_child *c, int status) {
  const char *command = a->rest[0], *slash = strrchr(command, '/');
  obs_buf endpoint = {0}, input = {0}, outcome = {0}, error = {0};
  unsigned characters = 0;
  char now[OBS_ISO8601_LEN + 1];
  obs_clock_format(obs_clock_wall_ms(), now);

  obs_buf_puts(&endpoint, "run:");
  put_argument(&endpoint, slash != NULL && slash[1] != '\0' ? slash + 1 : command, &characters);

  characters = 0;
  for (int i = 0; i < a->nrest; i++) {
    if (i > 0) put_argument(&input, " ", &characters);
    put_argument(&input, a->rest[i], &characters);
  }

  const char *name = c->signaled ? sigabbrev_np(c->code) : NULL;
  if (name != NULL)
    obs_buf_printf(&outcome, "signal SIG%s", name);
  else if (c->signaled)
    obs_buf_printf(&outcome, "signal %d", c->code);
  else
    obs_buf_printf(&outcome, "exit %d", status);

  /* The end of standard error, without the rest of a character that was cut in two and without blanks at the end. */
  const char *p = c->tail, *end = c->tail + c->tail_len;
  for (int i = 0; c->tail_cut && i < 3 && p < end && ((unsigned char)*p & 0xc0) == 0x80; i++) p++;
  while (p < end) p += put_character(&error, p, (size_t)(end - p), false);
  while (error.len > 0 && (error.p[error.len - 1] == '\n' || error.p[error.len - 1] == ' ')) error.len--;
  if (c->failure != 0) {
    characters = 0;
    put_argument(&error, command, &characters);
    obs_buf_printf(&error, ": %s", strerror(c->failure));
  }
  if (error.len == 0) obs_buf_append(&error, outcome.p, outcome.len);

  observer_builder_text(b, "timestamp", now);
  observer_builder_text(b, "source", "run");
  observer_builder_bool(b, "success", status == 0);
  observer_builder_int(b, "duration_ms", (int64_t)c->duration_ms);
  set_text(b, "endpoint", &endpoint);
  set_text(b, "input_summary", &input);
  set_text(b, "output_summary", &outcome);
  if (status != 0) set_text(b, "error", &error);
  if (!outcome.oom) set_extra(b, c, outcome.p, status);
  obs_buf_fini(&endpoint);
  obs_buf_fini(&input);
  obs_buf_fini(&outcome);
  obs_buf_fini(&error);
}

/* Flags replace them. `extra` is always ours. */
static bool has_flag(obs_op_field field) {
  return obs_op_fields[field].kind != OBS_KIND_JSON;
}

static void set_given(observer_builder *b, const obs_args *a) {
  obs_opflag v;
  for (obs_op_field i = 0; i < OBS_F_GIVEN; i++) {
    const obs_op_field_info *f = &obs_op_fields[i];
    if (!has_flag(i) || !obs_opflag_read(a, i, &v) || v.text == NULL) continue;
    if (f->kind == OBS_KIND_TIME || f->kind == OBS_KIND_TEXT)
      observer_builder_text(b, f->name, v.text);
    else if (f->kind == OBS_KIND_BOOL)
      observer_builder_bool(b, f->name, v.number != 0);
    else
      observer_builder_int(b, f->name, v.number);
  }
}

/* ---- publishing ---- */

typedef struct {
  const obs_args *args;
  observer_mode mode;
  const char *url;
  uint32_t timeout_ms;
  char rejected[256]; /* why; "": it was not */
} way;

static void delivered(void *arg, const observer_delivery *d) {
  way *w = arg;
  if (d->outcome == OBSERVER_REJECTED) snprintf(w->rejected, sizeof(w->rejected), "%s", d->reason);
}

static void warn(const way *w, const char *what, const char *why) {
  if (obs_args_text(w->args, "quiet") == NULL) obs_args_error(w->args, "%s: %s", what, why);
}

static void publish(way *w, observer_builder *b) {
  char found[OBS_SOCKETS_URL_MAX], error[OBS_SOCKETS_ERROR_MAX];
  const char *spool = obs_args_text(w->args, "spool");
  if (w->url == NULL && obs_publisher_find(w->args, w->mode, w->timeout_ms, found, error, sizeof(error))) {
    w->url = found;
  } else if (w->url == NULL && spool != NULL) { /* it goes there, as it does when nobody listens: nobody can, there */
    w->url = "ipc:///dev/null/nobody";
    warn(w, "kept in the spool", error);
  } else if (w->url == NULL) {
    warn(w, "not published", error);
    return;
  }
  const char *urls[] = {w->url, NULL};
  observer_client *client;
  observer_options options = {
      .mode = w->mode, .urls = urls, .linger_ms = -1, .on_delivery = delivered, .delivery_arg = w, .spool = spool};
  obs_credentials_give(&options);
  if (observer_open(&options, &client) != OBSERVER_E_OK) {
    warn(w, "not published", observer_open_error());
    return;
  }
  observer_err rc = observer_builder_publish(b, client, 0, NULL);
  observer_err flushed = observer_flush(client, w->timeout_ms);
  char text[256], why[320] = "", late[480];
  if (flushed != OBSERVER_E_OK && observer_get_trouble(client, text, sizeof(text)) == OBSERVER_E_DENIED)
    obs_credentials_advise(text, why, sizeof(why));
  (void)observer_close(client, 0); /* what was not delivered is in the spool, or given up */
  snprintf(late, sizeof(late), "not %s within %u ms%s%s%s", w->mode == OBSERVER_ACKNOWLEDGED ? "acknowledged" : "sent",
           (unsigned)w->timeout_ms, spool != NULL ? ", kept in the spool" : ", given up", *why != '\0' ? ": " : "",
           why);
  if (rc != OBSERVER_E_OK)
    warn(w, "not published", observer_strerror(rc));
  else if (w->rejected[0] != '\0')
    warn(w, w->url, w->rejected);
  else if (flushed != OBSERVER_E_OK)
    warn(w, w->url, late);
}

/* ---- the command ---- */

static int run_and_publish(const obs_args *args) {
  way w = {.args = args, .timeout_ms = (uint32_t)obs_args_u64(args, "timeout")};
  obs_opflag ignored;
  obs_child child;
  for (obs_op_field i = 0; i < OBS_F_GIVEN; i++)
    if (has_flag(i) && !obs_opflag_read(args, i, &ignored)) return OBS_COMMAND_USAGE;
  if (!obs_publisher_choose(args, &w.mode, &w.url)) return OBS_COMMAND_USAGE;
  bool no_spool = w.mode != OBSERVER_ACKNOWLEDGED && obs_args_given(args, "spool");
  if (args->nrest == 0) obs_args_error(args, "which COMMAND?");
  if (no_spool) obs_args_error(args, "--spool needs acknowledgements, so it does not go with --push or --no-ack");
  if (args->nrest == 0 || no_spool) return OBS_COMMAND_USAGE;

  obs_child_run(args->rest, &child); /* before NNG, which does not survive a fork */
  int status = child.signaled ? EXIT_SIGNAL + child.code : child.code;
  if (child.failure != 0) {
    obs_args_error(args, "%s: %s", args->rest[0], strerror(child.failure));
    status = child.failure == ENOENT ? EXIT_NOT_FOUND : EXIT_NOT_EXECUTABLE;
  }
  observer_builder *b = observer_builder_new();
  if (b != NULL) {
    set_measured(b, args, &child, status);
    set_given(b, args);
    publish(&w, b);
  } else {
    warn(&w, "not published", "out of memory");
  }
  observer_builder_free(b);
  return status;
}

#define RUN_TIME(name, kind, required, rule) OBS_OPFLAG(name, kind, required, rule)
#define RUN_TEXT(name, kind, required, rule) OBS_OPFLAG(name, kind, required, rule)
#define RUN_BOOL(name, kind, required, rule) OBS_OPFLAG(name, kind, required, rule)
#define RUN_DURATION(name, kind, required, rule) OBS_OPFLAG(name, kind, required, rule)
#define RUN_INT(name, kind, required, rule) OBS_OPFLAG(name, kind, required, rule)
#define RUN_JSON(name, kind, required, rule)
#define RUN_FLAG(name, kind, required, rule) RUN_##kind(name, kind, required, rule)

static const obs_option flags[] = {
    OBS_FLAGS_DAEMON,
    OBS_FLAGS_WAY,
    {"spool", 0, "FILE",
     .help = "file that keeps the op while the daemon is away; the next run with this file sends it"},
    {"timeout", 0, "TIME", .initial = "2000", .type = OBS_OPTION_NUMBER, .min = 1, .max = TIMEOUT_MAX_MS, .bare = 1,
     .help = "longest wait for the daemon after the command has ended: 5s, or a number of milliseconds"},
    {"quiet", 'q', .help = "do not warn when the op cannot be published"},
    OBSERVER_OP_FIELDS(RUN_FLAG)};

static const obs_command_exit exits[] = {
    {126, "the command cannot be executed"},
    {127, "the command is not found"},
    {128, "plus the number of the signal that ended the command; otherwise the command's own status"},
};

OBS_COMMAND(run) = {
    .name = "run",
    .arguments = "[--] COMMAND [ARGUMENT]...",
    .verbatim = true,
    .summary = "run a command and publish its outcome as an op",
    .description = "Runs the command with this process's input, output, terminal and process group, and publishes one "
                   "op when it ends. The op has source run, endpoint run:COMMAND, the command line (its first 200 "
                   "characters) as input_summary, `exit N` or `signal NAME` as output_summary, how long the command "
                   "took, whether it exited with 0 and, if not, the last 2 KiB of its standard error as error. Its "
                   "extra has exit_status or signal, max_rss_kb, user_ms and system_ms. The field options below "
                   "replace these.\n\n"
                   "Signals sent to this process are passed on to the command. The command's standard error is a pipe, "
                   "not a terminal. Publishing never changes the exit status: when the op cannot be published within "
                   "--timeout, one line on standard error says so.",
    .examples = "observerctl run -- make test\n"
                "observerctl run --endpoint nightly:backup --task-class backup -- rsync -a /srv host:/backup\n"
                "observerctl run --spool ~/.cache/observer.spool -q -- ./job.sh\n",
    .flags = OBS_TABLE(flags),
    .exits = OBS_TABLE(exits),
    .run = run_and_publish,
};
