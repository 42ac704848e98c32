/* tail: the feed as it comes, one line an op. */
#include "base/clock.h"
#include "base/json.h"
#include "base/signal_fd.h"
#include "base/vec.h"
#include "observerctl/ask/ask.h"
#include "observerctl/ask/credentials.h"
#include "observerctl/ask/match.h"
#include "observerctl/ask/sockets.h"
#include "observerctl/cli/args.h"
#include "observerctl/cli/commands.h"
#include "observerctl/cli/line.h"
#include "observerctl/cli/term.h"
#include "observerctl/cli/text.h"
#include "observerctl/cli/when.h"
#include "observerctl/follow/event.h"
#include "observerctl/follow/gaps.h"
#include "observerctl/follow/outlet.h"
#include "observerctl/follow/subscriber.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>
#include <unistd.h>

enum { TICK_MS = 250, AWAY_MS = 3000, ASK_MS = 2000, FIRST_ASK_MS = 5000, MESSAGES = 64, TOPIC_MAX = 100 };
enum { LOOKS = 2 }; /* heartbeats after a failure until its cluster is surely known */
enum { HISTORY_MAX = 10000, HISTORY_MS = 5000, HISTORY_ASK_MS = 10000 }; /* rows */

typedef struct {
  const obs_args *args;
  const char *url, *feed, *topic, *cluster; /* feed: as given, else NULL; topic: other than ops, else NULL */
  obs_buf filters;                          /* of recorded ops: the route with its parameters */
  uint64_t lines, count, timeout_ms;
  bool json, stats, wait;
  obs_match match;
  obs_line_look look;
  obs_subscriber sub;
  obs_gaps gaps;
  obs_outlet out;
  obs_buf row, line;                  /* scratch */
  char feed_url[OBS_SOCKETS_URL_MAX]; /* "": not known yet */
  uint64_t started_ms;
  uint64_t heard_ms, asked_ms; /* of the daemon; when it was last asked where its feed is */
  bool heard, away;            /* a message came, ever; none for AWAY_MS */
  unsigned looks;              /* at the next heartbeats, for failures of the cluster */
  bool behind;                 /* what was recorded before the subscription stood is still to be asked for */
  uint64_t shown_seq;          /* up to here, HTTP has shown all */
  uint64_t shown;              /* ops */
  bool strange;                /* reported that a message could not be decoded */
} tail;

/* ---- what is shown ---- */

static bool enough(const tail *t) {
  return t->count > 0 && t->shown >= t->count;
}

static void put_prefix(tail *t) {
  obs_buf *b = &t->out.buf;
  char now[OBS_WHEN_LEN];
  obs_when_format(t->look.now_ms, t->look.utc, now);
  obs_buf_printf(b, "%s%s ", t->look.colour ? "\033[2m" : "", now + 11);
}

static void end_dim(tail *t) {
  if (t->look.colour) obs_buf_puts(&t->out.buf, "\033[0m");
  obs_buf_putc(&t->out.buf, '\n');
}

static obs_json_writer begin_json(tail *t) {
  obs_buf_reset(&t->line, 1 << 16);
  obs_json_writer w = obs_json_write(&t->line);
  obs_json_object(&w, NULL);
  return w;
}

/* Shows it; on a terminal with escapes for what could act there. */
static void end_json(tail *t, obs_json_writer *w) {
  obs_json_end(w);
  t->out.buf.oom = t->out.buf.oom || t->line.oom;
  if (isatty(t->out.fd))
    obs_text_json(&t->out.buf, t->line.p, t->line.len);
  else
    obs_buf_append(&t->out.buf, t->line.p, t->line.len);
}

/* The members of an object, without its braces. */
static obs_str members_of(obs_str object) {
  return obs_str_slice(object, 1, object.len > 2 ? object.len - 2 : 0);
}

/* `row` as recorded, with its seq in front. */
static void show_op(tail *t, uint64_t seq, obs_str row, const cJSON *op) {
  obs_buf *b = &t->out.buf;
  if (t->json) {
    obs_json_writer w = begin_json(t);
    obs_json_u64(&w, "seq", seq);
    obs_json_members(&w, members_of(row));
    end_json(t, &w);
  } else {
    obs_line_op line;
    obs_line_of_json(op, &line);
    obs_line_put(b, &line, &t->look);
  }
  obs_buf_putc(b, '\n');
  t->shown++;
}

static void show_other(tail *t, obs_str topic, obs_str json) {
  obs_buf *b = &t->out.buf;
  if (t->json) {
    obs_json_writer w = begin_json(t);
    obs_json_text(&w, "topic", topic);
    obs_json_members(&w, members_of(json));
    end_json(t, &w);
    obs_buf_putc(b, '\n');
    return;
  }
  cJSON *map = cJSON_ParseWithLength(json.p, json.len);
  bool known = map != NULL && obs_event_put(b, topic, map, &t->look);
  cJSON_Delete(map);
  if (known) {
    obs_buf_putc(b, '\n');
    return;
  }
  put_prefix(t);
  unsigned room = t->look.columns > 14 ? t->look.columns - 14 : t->look.columns > 0 ? 1 : OBS_TEXT_ALL;
  unsigned used = obs_text_put(b, topic.p, topic.len, room);
  obs_buf_putc(b, ' ');
  (void)obs_text_put(b, json.p, json.len, used < room ? room - used : 0);
  end_dim(t);
}

static void show_event(tail *t, obs_str topic, obs_str json) {
  show_other(t, topic, json);
  t->shown++;
}

static double number(const cJSON *map, const char *name) {
  const cJSON *item = cJSON_GetObjectItemCaseSensitive(map, name);
  return cJSON_IsNumber(item) && item->valuedouble > 0 ? item->valuedouble : 0;
}

/* Reports on standard error, after what was printed so far. */
__attribute__((format(printf, 2, 3))) static void tell(tail *t, const char *fmt, ...) {
  va_list ap;
  (void)obs_outlet_flush(&t->out);
  fputs(obs_term_style(stderr, OBS_STYLE_YELLOW), stderr);
  va_start(ap, fmt);
  obs_text_vprintf(stderr, fmt, ap);
  va_end(ap);
  fputs(obs_term_style(stderr, OBS_STYLE_PLAIN), stderr);
  fputc('\n', stderr);
}

/* ---- what was recorded before ---- */

typedef struct {
  uint64_t seq;
  size_t at, len; /* of the row in `text`, as recorded */
} past_row;

/* Newest first. */
typedef struct {
  uint64_t after; /* rows up to this one were shown */
  obs_buf text;
  OBS_VEC(past_row) rows;
  bool oom;
} past_rows;

static bool on_past_row(void *arg, obs_str edge, uint64_t seq, const char *text, size_t len) {
  (void)edge;
  past_rows *p = arg;
  if (seq <= p->after) return false;
  past_row *row = OBS_VEC_PUSH(&p->rows);
  if (row != NULL) *row = (past_row){seq, p->text.len, len};
  obs_buf_append(&p->text, text, len);
  p->oom = row == NULL || p->text.oom;
  return !p->oom;
}

/* Oldest first. `after`: only what HTTP has not shown yet. False: the daemon refused, which was reported. */
static bool show_history(tail *t, uint64_t after, uint64_t limit) {
  past_rows p = {.after = after};
  obs_fetch_answer answer = {0};
  bool more;
  if (limit > 0 && !obs_fetch_pages(t->url, &t->filters, limit, obs_clock_mono_ms() + HISTORY_MS, HISTORY_ASK_MS,
                                    on_past_row, &p, &more, &answer))
    tell(t, "observerctl tail: no recorded ops: %s", answer.error);
  if (p.oom) tell(t, "observerctl tail: out of memory: not all recorded ops are shown");
  for (uint32_t i = p.rows.n; i-- > 0 && !enough(t);) {
    const past_row *r = &p.rows.at[i];
    obs_str row = {p.text.p + r->at, (uint32_t)r->len, 0};
    cJSON *op = cJSON_ParseWithLength(row.p, row.len);
    show_op(t, r->seq, row, op);
    cJSON_Delete(op);
  }
  if (p.rows.n > 0 && p.rows.at[0].seq > t->shown_seq) t->shown_seq = p.rows.at[0].seq;
  bool refused = answer.status / 100 == 4;
  obs_fetch_answer_fini(&answer);
  obs_buf_fini(&p.text);
  OBS_VEC_FINI(&p.rows);
  return !refused;
}

/* ---- the feed ---- */

static bool skip_number(const char **p, const char *end, const char *before, uint64_t *out) {
  size_t n = strlen(before);
  if ((size_t)(end - *p) < n || memcmp(*p, before, n) != 0) return false;
  for (*p += n, *out = 0; *p < end && **p >= '0' && **p <= '9'; ++*p) *out = *out * 10 + (uint64_t)(**p - '0');
  return true;
}

static void on_op(tail *t, obs_str topic, obs_str json) {
  /* `{"seq":N,"topic_seq":N,FIELDS}`: the numbers, and the fields as a row of their own. */
  const char *p = json.p, *end = p + json.len;
  uint64_t seq = 0, topic_seq = 0;
  bool whole = skip_number(&p, end, "{\"seq\":", &seq) && skip_number(&p, end, ",\"topic_seq\":", &topic_seq) &&
               p < end && *p == ',';
  obs_buf_reset(&t->row, 1 << 16);
  obs_buf_putc(&t->row, '{');
  if (whole) obs_buf_append(&t->row, p + 1, (size_t)(end - p - 1));
  if (!whole || t->row.oom) {
    show_other(t, topic, json);
    return;
  }
  obs_gaps_seen(&t->gaps, topic, topic_seq);
  if (seq <= t->shown_seq) return; /* HTTP has shown it already */
  obs_str row = obs_buf_view(&t->row);
  cJSON *op = cJSON_ParseWithLength(row.p, row.len);
  bool matches = op != NULL && obs_match_op(&t->match, row, op);
  /* Only the daemon knows which cluster a failure belongs to, a moment after it has recorded it. */
  if (t->cluster != NULL && matches)
    t->looks = LOOKS;
  else if (matches)
    show_op(t, seq, row, op);
  cJSON_Delete(op);
}

static void on_heartbeat(tail *t, obs_str json) {
  static const char *const shown[] = {"total", "successes", "failures"};
  char text[OBS_TEXT_COUNTED];
  cJSON *map = cJSON_ParseWithLength(json.p, json.len);
  bool other = obs_gaps_heartbeat(&t->gaps, (uint64_t)number(map, "boot"));
  uint64_t missed = obs_gaps_take(&t->gaps);
  if (other) tell(t, "observerctl tail: the daemon was restarted");
  if (other && number(map, "seq") < (double)t->shown_seq) t->shown_seq = 0; /* it counts from 1 again */
  if (missed > 0) tell(t, "... %s missed", obs_text_counted(text, missed, "op"));
  if (t->looks > 0) {
    t->looks--;
    (void)show_history(t, t->shown_seq, HISTORY_MAX);
  }
  if (t->stats && t->json) {
    show_other(t, OBS_STR("stats"), json);
  } else if (t->stats) {
    put_prefix(t);
    obs_buf_printf(&t->out.buf, "stats  seq %.0f", number(map, "seq"));
    for (size_t i = 0; i < sizeof(shown) / sizeof(shown[0]); i++)
      obs_buf_printf(&t->out.buf, "  %s %s", shown[i], obs_text_count(text, (uint64_t)number(map, shown[i])));
    end_dim(t);
  }
  cJSON_Delete(map);
}

static bool on_map(void *arg, obs_str topic, obs_str json) {
  tail *t = arg;
  if (t->away) tell(t, "observerctl tail: %s: the daemon is %s", t->feed_url, t->heard ? "back" : "there");
  t->away = false;
  t->heard = true;
  t->heard_ms = obs_clock_mono_ms();
  /* The subscription is in place now: what HTTP has beyond shown_seq closes the gap before it. */
  if (t->behind) (void)show_history(t, t->shown_seq, HISTORY_MAX);
  t->behind = false;
  if (enough(t)) return false;
  if (obs_str_eq(topic, OBS_STR("stats")))
    on_heartbeat(t, json);
  else if (topic.len >= 3 && memcmp(topic.p, "op.", 3) == 0)
    on_op(t, topic, json);
  else
    show_event(t, topic, json);
  return !enough(t) && t->out.state == OBS_OUTLET_OK;
}

static bool dial(tail *t, const char *url) {
  snprintf(t->feed_url, sizeof(t->feed_url), "%s", url);
  char why[OBS_SOCKETS_ERROR_MAX];
  bool ok = obs_subscriber_dial(&t->sub, url, &obs_credentials_get()->tls, why, sizeof(why));
  if (!ok) obs_args_error(t->args, "%s", why);
  return ok;
}

/* What was recorded is asked of the daemon at --url: is it the one whose feed this is? */
static bool is_known(tail *t, const obs_sockets *found) {
  if ((t->lines == 0 && t->cluster == NULL) || t->topic != NULL) return false;
  if (!found->answered) tell(t, "observerctl tail: no recorded ops: %s", found->error);
  if (!found->answered || t->feed == NULL || obs_args_given(t->args, "url")) return found->answered;
  bool same = strcmp(found->url[OBS_SOCKET_FEED], t->feed) == 0;
  if (!same) tell(t, "observerctl tail: no recorded ops: the daemon at %s has another feed (--url URL)", t->url);
  return same;
}

/* Dials the daemon's feed, shows what was recorded; then what comes is to be shown. */
static bool join(tail *t, const obs_sockets *found) {
  char url[OBS_SOCKETS_URL_MAX], error[OBS_SOCKETS_ERROR_MAX];
  if (t->feed == NULL && !obs_sockets_choose(t->args, found, OBS_SOCKET_FEED, url, error, sizeof(error))) {
    obs_args_error(t->args, "%s", error);
    return false;
  }
  t->heard_ms = obs_clock_mono_ms();
  if (!dial(t, t->feed != NULL ? t->feed : url)) return false;
  bool known = is_known(t, found);
  if (!known && t->cluster != NULL)
    obs_args_error(t->args, "--cluster: only the daemon knows which ops are of the cluster (--url URL)");
  if (!known) return t->cluster == NULL;
  /* Ops recorded between this look and the first message of the feed are fetched when that message comes. */
  t->behind = true;
  t->shown_seq = found->seq;
  return show_history(t, 0, t->count > 0 && t->count < t->lines ? t->count : t->lines);
}

/* The daemon may have come, or may have its feed at another URL now. False: that cannot be dialled. */
static bool ask_again(tail *t) {
  obs_sockets found;
  if (obs_clock_mono_ms() - t->asked_ms < ASK_MS) return true;
  obs_sockets_ask(t->url, ASK_MS, &found);
  t->asked_ms = obs_clock_mono_ms();
  if (!found.answered) return true;
  if (t->feed_url[0] == '\0') return join(t, &found);
  const char *url = found.url[OBS_SOCKET_FEED];
  return *url == '\0' || strcmp(url, t->feed_url) == 0 || dial(t, url);
}

static bool check_away(tail *t) {
  if (obs_clock_mono_ms() - t->heard_ms < AWAY_MS) return true;
  const char *why = t->away || t->heard || !t->sub.tls ? NULL : obs_subscriber_trouble(&t->sub);
  if (!t->away)
    tell(t,
         t->heard ? "observerctl tail: %s: nothing received for 3 s: the daemon is away"
                  : "observerctl tail: %s: waiting for the daemon%s%s",
         t->feed_url, why != NULL ? ": " : "", why != NULL ? why : "");
  t->away = true;
  return t->feed != NULL || ask_again(t);
}

/* ---- the command ---- */

static bool is_late(const tail *t) {
  return t->timeout_ms > 0 && obs_clock_mono_ms() - t->started_ms >= t->timeout_ms;
}

static int follow(tail *t) {
  bool ok = obs_outlet_flush(&t->out) == OBS_OUTLET_OK;
  while (ok && !enough(t)) {
    /* Until a message comes, at most until --timeout and a tick. */
    uint64_t past = obs_clock_mono_ms() - t->started_ms, wait_ms = TICK_MS;
    if (t->timeout_ms > 0 && t->timeout_ms <= past + TICK_MS) wait_ms = t->timeout_ms > past ? t->timeout_ms - past : 0;
    struct pollfd fds[] = {
        {.fd = t->out.stop_fd, .events = POLLIN}, {.fd = t->sub.fd, .events = POLLIN}, {.fd = t->out.fd}};
    if (poll(fds, 3, (int)wait_ms) < 0 && errno != EINTR) break;
    if (fds[0].revents != 0 || (fds[2].revents & (POLLERR | POLLHUP)) != 0 || is_late(t)) break;

    t->look = obs_line_look_for(stdout, t->look.columns == 0, t->look.utc);
    if (obs_subscriber_drain(&t->sub, MESSAGES, on_map, t) != 0 && !t->strange) {
      t->strange = true;
      tell(t, "observerctl tail: %s: a message could not be decoded: is this the daemon's feed?", t->feed_url);
    }
    ok = obs_outlet_flush(&t->out) == OBS_OUTLET_OK && (enough(t) || check_away(t));
  }
  if (t->out.state == OBS_OUTLET_FAILED) obs_args_error(t->args, "standard output: %s", strerror(t->out.error));
  if (t->out.state == OBS_OUTLET_FAILED || (!ok && t->out.state == OBS_OUTLET_OK)) return OBS_COMMAND_FAILED;
  return is_late(t) && t->count > 0 && !enough(t) ? OBS_COMMAND_FAILED : OBS_COMMAND_OK;
}

static bool start(tail *t) {
  obs_sockets found = {0};
  t->asked_ms = obs_clock_mono_ms();
  if (t->feed == NULL || ((t->lines > 0 || t->cluster != NULL) && t->topic == NULL))
    obs_sockets_ask(t->url, FIRST_ASK_MS, &found);
  if (t->feed != NULL || found.answered || !t->wait) return join(t, &found);
  tell(t, "observerctl tail: %s: waiting for the daemon", found.error);
  t->away = true;
  return true;
}

/* Ends requests that are in progress. */
static bool is_time_to_end(void *arg) {
  const tail *t = arg;
  struct pollfd fd = {.fd = t->out.stop_fd, .events = POLLIN};
  return is_late(t) || poll(&fd, 1, 0) > 0;
}

/* The daemon may send topics that this program does not know, so one is not refused; but a slip of the finger would
 * wait for ever. */
static void note_topic(const obs_args *args, const char *topic) {
  static const char *const known[] = {"op.", "stats", "failure.cluster", "playbook", "analysis", "alert."};
  for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
    size_t n = strlen(known[i]), len = strlen(topic);
    if (strncmp(known[i], topic, n < len ? n : len) == 0) return;
  }
  obs_args_error(args,
                 "no known topic begins with \"%s\"; there are: op.SOURCE stats failure.cluster playbook analysis "
                 "alert.NAME",
                 topic);
}

/* False: wrong use, which was reported. */
static bool parse_filters(tail *t) {
  static const char *const filters[] = {"since", "cluster"};
  bool since = obs_args_given(t->args, "since");
  if (t->topic != NULL && (since || t->cluster != NULL)) {
    obs_args_error(t->args, "--topic, --%s: events are not recorded", since ? "since" : "cluster");
    return false;
  }
  if (since && !obs_args_given(t->args, "lines")) t->lines = HISTORY_MAX;
  if (t->cluster != NULL && !t->match.only_success) t->match.only_failed = true; /* no others are of one */
  obs_buf_puts(&t->filters, "/v1/observer/ops");
  obs_match_path(&t->match, &t->filters);
  return obs_ask_filters(t->args, OBS_TABLE(filters), &t->filters);
}

static int run_tail(const obs_args *args) {
  static const int signals[] = {SIGINT, SIGTERM, SIGHUP};
  tail t = {
      .args = args,
      .started_ms = obs_clock_mono_ms(),
      .url = obs_args_text(args, "url"),
      .feed = obs_args_text(args, "feed"),
      .topic = obs_args_text(args, "topic"),
      .cluster = obs_args_text(args, "cluster"),
      .lines = obs_args_u64(args, "lines"),
      .count = obs_args_u64(args, "count"),
      .timeout_ms = obs_args_u64(args, "timeout"),
      .json = obs_args_given(args, "json"),
      .stats = obs_args_given(args, "stats"),
      .wait = obs_args_given(args, "wait"),
      .look = obs_line_look_for(stdout, obs_args_given(args, "wide"), obs_args_given(args, "utc")),
      .out = {.fd = STDOUT_FILENO, .stop_fd = -1},
  };
  if (!obs_match_parse(&t.match, args) || !parse_filters(&t)) {
    obs_buf_fini(&t.filters);
    return OBS_COMMAND_USAGE;
  }
  if (t.topic != NULL) note_topic(args, t.topic);
  int status = OBS_COMMAND_FAILED;
  (void)signal(SIGPIPE, SIG_IGN);
  t.out.stop_fd = obs_signal_fd_open(signals, sizeof(signals) / sizeof(signals[0])); /* before any thread starts */
  obs_fetch_set_stop(is_time_to_end, &t);

  char topic[TOPIC_MAX + 1];
  const char *source = obs_match_source(&t.match);
  snprintf(topic, sizeof(topic), "op.%s", source != NULL ? source : "");
  int rv = t.out.stop_fd < 0 ? NNG_ENOFILES : obs_subscriber_open(&t.sub);
  if (rv == 0) rv = obs_subscriber_take(&t.sub, t.topic != NULL ? t.topic : topic);
  if (rv == 0) rv = obs_subscriber_take(&t.sub, "stats");
  if (rv != 0)
    obs_args_error(args, "%s", nng_strerror(rv));
  else if (start(&t))
    status = follow(&t);
  obs_fetch_set_stop(NULL, NULL);
  obs_subscriber_fini(&t.sub);
  obs_gaps_fini(&t.gaps);
  obs_outlet_fini(&t.out);
  obs_buf_fini(&t.filters);
  obs_buf_fini(&t.row);
  obs_buf_fini(&t.line);
  if (t.out.stop_fd >= 0) close(t.out.stop_fd);
  return status;
}

static const obs_option flags[] = {
    OBS_FLAGS_DAEMON,
    OBS_FLAG_COLOR,
    {"feed", 0, "URL", .env = "OBSERVER_FEED_URL",
     .help = "address of the feed; by default the one that the daemon at --url names"},
    {"wait", .help = "wait for a daemon that does not answer yet"},
    {"lines", 'n', "N", .initial = "10", .type = OBS_OPTION_NUMBER, .min = 0, .max = HISTORY_MAX,
     .help = "show the last N recorded ops first, 0 to 10000"},
    {"count", 'c', "N", .type = OBS_OPTION_NUMBER, .min = 1, .max = INT64_MAX,
     .help = "stop after N ops, including recorded ones, or N events of --topic"},
    {"timeout", 't', "TIME", .type = OBS_OPTION_NUMBER, .min = 1, .max = INT32_MAX, .bare = 1,
     .help = "stop after this time: 30s, or a number of milliseconds; exit status 1 if --count was not reached"},
    {"since", 0, "TIME",
     .help = "show recorded ops from then on first, up to 10000: a time, or an age: 90s 15m 1h30m 3d 1w"},
    {"cluster", 0, "ID", .help = "only failures of this cluster (observerctl clusters)"},
    {"topic", 0, "PREFIX", .help = "follow topics other than ops: failure. playbook analysis alert."},
    {"stats", 's', .help = "show the heartbeats too"},
    {"wide", 'w', .help = "do not cut lines at the terminal's width"},
    OBS_FLAG_UTC,
    OBS_FLAG_JSON,
    OBS_FLAGS_MATCH,
};

OBS_COMMAND(tail) = {
    .name = "tail",
    .summary = "follow ops as they are recorded, one line each",
    .description = "Shows the last recorded ops, then each op as it is recorded, until it is interrupted (exit status "
                   "0) or the reader of its output exits. With --json, each line is the op as recorded, with its seq "
                   "in front. --topic shows events instead: failure clusters that are new, come back or spread, "
                   "analyses, edits of the playbook, escalations.\n\n"
                   "On standard error it reports ops that were missed because the daemon or the connection could not "
                   "keep up, and a daemon that goes away (nothing received for 3 s) and comes back; then tail "
                   "continues by itself. If the daemon at --url or OBSERVER_URL does not answer at the start, tail "
                   "fails, or waits for it with --wait; it never follows another daemon.",
    .examples = "observerctl tail --failed\n"
                "observerctl tail --since 15m --cluster 4f1d2c3b\n"
                "observerctl tail --topic failure.\n"
                "observerctl tail -n 100 --source scenario\n"
                "observerctl tail --json --endpoint /v1/chat | jq .duration_ms\n"
                "observerctl tail -n 0 --count 1 --timeout 60000 --q 'job 17'",
    .flags = OBS_TABLE(flags),
    .run = run_tail,
};
