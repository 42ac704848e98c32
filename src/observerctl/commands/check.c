/* check: verifies journals (verify.h) and reports. */
#include "base/clock.h"
#include "base/json.h"
#include "journal/index.h"
#include "journal/times.h"
#include "observerctl/cli/args.h"
#include "observerctl/cli/commands.h"
#include "observerctl/cli/term.h"
#include "observerctl/cli/text.h"
#include "observerctl/journal/segments.h"
#include "observerctl/journal/verify.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <sys/stat.h>
#include <unistd.h>

enum { UNSOUND = 3 };

typedef struct {
  const obs_args *args;
  obs_verify verify;
  obs_verify_totals sum;
  uint64_t files, misplaced, shown, limit; /* misplaced: segments that are not where their rows belong */
  obs_buf list, faults;                    /* of --json: two arrays */
  obs_json_writer list_json, faults_json;
  bool json, unreadable;
  obs_term_progress progress;
  uint64_t read;     /* bytes, for the progress line */
  const char *times; /* the sidecar that should have the times of the file at hand; NULL: there is none */
} checker;

static void on_fault(void *arg, const obs_verify_fault *f) {
  checker *c = arg;
  const char *what = f->torn ? "torn tail" : f->line > 0 ? "bad row" : "misplaced";
  if (c->shown++ >= c->limit) return;
  if (c->json) {
    obs_json_writer *w = &c->faults_json;
    obs_json_object(w, NULL);
    obs_json_cstr(w, "file", f->path);
    obs_json_u64(w, "line", f->line);
    obs_json_u64(w, "offset", f->offset);
    obs_json_bool(w, "torn", f->torn);
    obs_json_cstr(w, "reason", f->reason);
    obs_json_end(w);
    return;
  }
  obs_term_progress_end(&c->progress);
  if (f->line > 0)
    obs_text_printf(stdout, "%s:%" PRIu64 ": %s: %s", f->path, f->line, what, f->reason);
  else
    obs_text_printf(stdout, "%s: %s: %s", f->path, what, f->reason);
  putchar('\n');
}

static void on_progress(void *arg, uint64_t bytes) {
  checker *c = arg;
  c->read += bytes;
  obs_term_progress_update(&c->progress, c->read, NULL);
}

/* ---- report ---- */

static void json_counts(obs_json_writer *w, const obs_verify_totals *v) {
  obs_json_u64(w, "bytes", v->bytes);
  obs_json_u64(w, "rows", v->rows);
  obs_json_u64(w, "bad_rows", v->bad_rows);
  obs_json_u64(w, "torn_tails", v->torn);
  obs_json_u64(w, "missing_newlines", v->unended);
  obs_json_u64(w, "op_ids", v->op_ids);
  obs_json_u64(w, "duplicate_op_ids", v->duplicates);
  obs_json_u64(w, "out_of_order", v->out_of_order);
  if (v->rows > 0) {
    obs_json_time(w, "first", v->first_ms);
    obs_json_time(w, "last", v->last_ms);
  } else {
    obs_json_null(w, "first");
    obs_json_null(w, "last");
  }
}

static bool is_sound(const obs_verify_totals *v) {
  return v->bad_rows == 0 && v->torn == 0;
}

static bool all_sound(const checker *c) {
  return is_sound(&c->sum) && c->misplaced == 0;
}

static void put_line(const char *name, const char *value) {
  printf("%-22s %s\n", name, value);
}

static int report(checker *c) {
  const obs_verify_totals *v = &c->sum;
  const struct {
    const char *name;
    uint64_t n;
  } counts[] = {{"files", c->files},
                {"bytes", v->bytes},
                {"rows", v->rows},
                {"bad rows", v->bad_rows},
                {"torn tails", v->torn},
                {"misplaced segments", c->misplaced},
                {"op_ids", v->op_ids},
                {"duplicate op_ids", v->duplicates},
                {"out of order", v->out_of_order}};
  uint64_t left_out = c->shown > c->limit ? c->shown - c->limit : 0;
  int status = c->unreadable ? OBS_COMMAND_FAILED : all_sound(c) ? OBS_COMMAND_OK : UNSOUND;
  obs_term_progress_end(&c->progress);
  if (c->json) {
    obs_buf out = {0};
    obs_json_writer w = obs_json_write(&out);
    obs_json_end(&c->list_json);
    obs_json_end(&c->faults_json);
    obs_json_object(&w, NULL);
    obs_json_bool(&w, "sound", all_sound(c) && !c->unreadable);
    json_counts(&w, v);
    obs_json_u64(&w, "misplaced_segments", c->misplaced);
    obs_json_raw(&w, "files", obs_buf_view(&c->list));
    obs_json_raw(&w, "faults", obs_buf_view(&c->faults));
    obs_json_u64(&w, "faults_left_out", left_out);
    obs_json_end(&w);
    obs_buf_putc(&out, '\n');
    bool ok = !out.oom && !c->list.oom && !c->faults.oom;
    if (ok)
      obs_text_print_json(stdout, out.p, out.len);
    else
      obs_args_error(c->args, "out of memory");
    obs_buf_fini(&out);
    return ok ? status : OBS_COMMAND_FAILED;
  }
  char text[OBS_TEXT_NUMBER];
  if (left_out > 0) printf("... and %" PRIu64 " more (--all lists all, --limit N lists N)\n", left_out);
  putchar('\n');
  for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++)
    put_line(counts[i].name, obs_text_count(text, counts[i].n));
  obs_clock_format(v->first_ms, text);
  put_line("first", v->rows > 0 ? text : "-");
  obs_clock_format(v->last_ms, text);
  put_line("last", v->rows > 0 ? text : "-");
  if (c->verify.ids.forgot) puts("Each op_id was compared with the 16 to 33 million before it.");
  puts(c->unreadable ? "not everything could be read" : all_sound(c) ? "sound" : "not sound");
  return status;
}

/* ---- what is checked ---- */

static void unreadable(checker *c, const char *path, const char *why) {
  obs_term_progress_end(&c->progress);
  c->unreadable = true;
  obs_args_error(c->args, "%s: %s", path, why);
}

static bool check_open(checker *c, int fd, const char *path, obs_verify_totals *counts) {
  if (!obs_verify_file(&c->verify, fd, 0, path, counts)) {
    unreadable(c, path, errno == ESPIPE ? "is not a regular file" : strerror(errno));
    return false;
  }
  const obs_verify_totals file = *counts;
  uint64_t missing = c->times != NULL ? file.untimed : 0;
  c->files++;
  obs_verify_totals_add(&c->sum, &file);
  if (c->json) {
    obs_json_object(&c->list_json, NULL);
    obs_json_cstr(&c->list_json, "file", path);
    json_counts(&c->list_json, &file);
    if (missing > 0) obs_json_u64(&c->list_json, "receipts_missing", missing);
    obs_json_end(&c->list_json);
    return true;
  }
  char rows[OBS_TEXT_COUNTED], bytes[OBS_TEXT_COUNTED];
  obs_term_progress_end(&c->progress);
  obs_text_printf(stdout, "%s: %s, %s, ", path, obs_text_counted(rows, file.rows, "row"),
                  obs_text_counted(bytes, file.bytes, "byte"));
  if (is_sound(&file))
    printf("sound%s\n", file.unended > 0 ? " (the last row lacks its newline; observerd adds it)" : "");
  else
    printf("%s%s\n", obs_text_counted(rows, file.bad_rows, "bad row"), file.torn > 0 ? ", a torn tail" : "");
  if (missing > 0)
    obs_text_printf(stdout, "%s: has no receipt time for %s; their timestamps are used instead\n", c->times,
                    obs_text_counted(rows, missing, "row"));
  return true;
}

/* The name of a rotated segment's sidecar. False: it is too long. */
static bool beside(const char *path, const char *extension, char name[PATH_MAX]) {
  const char *slash = strrchr(path, '/'), *dot = strrchr(slash != NULL ? slash : path, '.');
  int stem = dot != NULL ? (int)(dot - path) : (int)strlen(path);
  int n = snprintf(name, PATH_MAX, "%.*s%s", stem, path, extension);
  return n > 0 && n < PATH_MAX;
}

/* `first_seq` 0: of a file that may be any. False: nothing was counted. */
static bool check_file(checker *c, const char *path, uint64_t first_seq, bool may_be_gone, obs_verify_totals *counts) {
  char name[PATH_MAX] = "";
  obs_times_reader times = {.fd = -1};
  int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) {
    if (!may_be_gone || errno != ENOENT) unreadable(c, path, strerror(errno));
    return false;
  }
  if (first_seq > 0 && beside(path, ".times", name)) obs_times_open(&times, AT_FDCWD, name, fd, first_seq);
  c->times = access(name, F_OK) == 0 ? name : NULL;
  c->verify.times = &times;
  c->verify.first_seq = first_seq;
  bool ok = check_open(c, fd, path, counts);
  c->verify.times = NULL;
  c->times = NULL;
  obs_times_reader_close(&times);
  (void)close(fd);
  return ok;
}

static void misplaced(checker *c, const char *path, const char *reason) {
  const obs_verify_fault fault = {.path = path, .reason = reason};
  c->misplaced++;
  on_fault(c, &fault);
}

/* Whether the index that was written when the segment was rotated is of these rows. It has the times of their events,
 * which are those of the rows where nothing is known of their receipt. */
static bool is_of_index(const char *path, const obs_verify_totals *file) {
  obs_index x = {0};
  char name[PATH_MAX];
  if (!beside(path, ".idx", name) || !obs_index_read_sidecar(&x, AT_FDCWD, name)) return true; /* there is none */
  bool same = x.indexed == file->bytes;
  /* A row that went bad since is reported as such. */
  if (file->bad_rows == 0 && file->rows > 0) {
    same = same && x.rows == file->rows;
    if (file->untimed == file->rows)
      same = same && x.min_ms == file->first_ms && x.max_ms == file->last_ms;
    else if (file->untimed == 0)
      same = same && x.min_ms == file->event_first_ms && x.max_ms == file->event_last_ms;
  }
  obs_index_fini(&x);
  return same;
}

/* A rotated segment begins at the seq in its name, where the one before it ends (`expected`; 0: that is not known).
 * Rows that went bad since then had a seq. */
static void check_place(checker *c, const char *path, uint64_t first_seq, uint64_t expected, uint64_t bad_before,
                        const obs_verify_totals *file) {
  char reason[200];
  if (first_seq == 0) return;
  if (expected > 0 && first_seq < expected) {
    snprintf(reason, sizeof(reason),
             "it begins at seq %" PRIu64 ", but the segments before it reach seq %" PRIu64
             ": rows are duplicated, or files were swapped",
             first_seq, expected - 1);
    misplaced(c, path, reason);
  } else if (expected > 0 && first_seq > expected + bad_before) {
    snprintf(reason, sizeof(reason), "it begins at seq %" PRIu64 ", expected %" PRIu64 ": rows are missing in between",
             first_seq, expected);
    misplaced(c, path, reason);
  } else if (!is_of_index(path, file)) {
    misplaced(c, path, "its index was made from other rows: files were swapped, or it was modified");
  }
}

static void check_directory(checker *c, const char *dir) {
  const char *name = obs_args_text(c->args, "journal-name");
  char why[160];
  obs_segments s;
  if (!obs_segments_list(&s, dir, name)) {
    unreadable(c, dir, strerror(errno));
  } else if (s.n == 0) {
    snprintf(why, sizeof(why), "there is no journal called %.80s", name);
    unreadable(c, dir, why);
  }
  uint64_t expected = 0, bad_before = 0;
  for (size_t i = 0; i < s.n; i++) {
    obs_verify_totals file;
    bool active = i + 1 == s.n && s.active_fd >= 0;
    /* Retention may have deleted it since it was listed. */
    if (active ? !check_open(c, s.active_fd, s.paths[i], &file)
               : !check_file(c, s.paths[i], s.first_seqs[i], true, &file)) {
      expected = 0;
      continue;
    }
    check_place(c, s.paths[i], s.first_seqs[i], expected, bad_before, &file);
    expected = s.first_seqs[i] + file.rows;
    bad_before = file.bad_rows;
  }
  obs_segments_fini(&s);
}

static int run_check(const obs_args *args) {
  checker c = {.args = args, .json = obs_args_given(args, "json")};
  struct stat st;
  if (args->nrest == 0) {
    obs_args_error(args, "which journal? Give files or a data directory");
    return OBS_COMMAND_USAGE;
  }
  c.limit = obs_args_given(args, "all") ? UINT64_MAX : obs_args_u64(args, "limit");
  c.list_json = obs_json_write(&c.list);
  c.faults_json = obs_json_write(&c.faults);
  obs_json_array(&c.list_json, NULL);
  obs_json_array(&c.faults_json, NULL);
  int status = OBS_COMMAND_FAILED;
  if (obs_verify_init(&c.verify)) {
    c.verify.fault = on_fault;
    c.verify.progress = on_progress;
    c.verify.arg = &c;
    obs_term_progress_start(&c.progress, "bytes", 0);
    for (int i = 0; i < args->nrest; i++) {
      bool is_directory = stat(args->rest[i], &st) == 0 && S_ISDIR(st.st_mode);
      if (is_directory)
        check_directory(&c, args->rest[i]);
      else
        (void)check_file(&c, args->rest[i], 0, false, &(obs_verify_totals){0}); /* what is wrong was said */
    }
    status = report(&c);
  }
  obs_verify_fini(&c.verify);
  obs_buf_fini(&c.list);
  obs_buf_fini(&c.faults);
  return status;
}

static const obs_option flags[] = {
    {"limit", 'n', "N", .initial = "20", .type = OBS_OPTION_NUMBER, .min = 0, .max = UINT32_MAX,
     .help = "most bad rows to list"},
    {"all", 'a', .help = "list every bad row"},
    {"journal-name", 0, "NAME", .initial = "ops.jsonl", .help = "name of the active segment in a directory"},
    OBS_FLAG_JSON,
};

static const obs_command_exit exits[] = {{UNSOUND, "bad rows or a torn tail or misplaced segments were found"}};

OBS_COMMAND(check) = {
    .name = "check",
    .arguments = "FILE|DIR...",
    .summary = "verify a journal: bad rows, torn tail, misplaced segments, duplicate op_ids",
    .description = "Reads journal files row by row with the daemon's own decoder and reports what is wrong, as "
                   "file:line: reason. In a directory, all segments are read, oldest first: each must begin where the "
                   "one before it ends and match its index. If not, files were swapped, duplicated or lost. Nothing is "
                   "modified, and a daemon may go on writing: only what existed at the start is checked.\n\n"
                   "Some things are counted but are not faults: duplicate op_ids (producers may use one again after a "
                   "long time) and rows out of order (timestamps are the producers' own). A complete last row without "
                   "a newline is no fault either (observerd adds it when it starts), nor are receipt times that a "
                   "segment's sidecar (ops-<first seq>.times) does not have.\n\n"
                   "Exit status 1 also means that a file could not be read.",
    .examples = "observerctl check data/_observer\n"
                "observerctl check --all /var/lib/observerd/ops-1.jsonl\n"
                "observerctl check --json data/_observer | jq .faults",
    .flags = OBS_TABLE(flags),
    .exits = OBS_TABLE(exits),
    .run = run_check,
};
