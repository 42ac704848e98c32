/* check: verifies journals (verify.h) and reports. */
#include "base/clock.h"
#include "base/json.h"
#include "observerctl/cli/args.h"
#include "observerctl/cli/commands.h"
#include "observerctl/cli/term.h"
#include "observerctl/cli/text.h"
#include "observerctl/journal/segments.h"
#include "observerctl/journal/verify.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sys/stat.h>
#include <unistd.h>

enum { UNSOUND = 3 };

typedef struct {
  const obs_args *args;
  obs_verify verify;
  obs_verify_totals sum;
  uint64_t files, shown, limit;
  obs_buf list, faults; /* of --json: two arrays */
  obs_json_writer list_json, faults_json;
  bool json, unreadable;
  obs_term_progress progress;
  uint64_t read; /* bytes, for the progress line */
} checker;

static void on_fault(void *arg, const obs_verify_fault *f) {
  checker *c = arg;
  const char *what = f->torn ? "torn tail" : "bad row";
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
  obs_text_printf(stdout, "%s:%" PRIu64 ": %s: %s", f->path, f->line, what, f->reason);
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
                {"op_ids", v->op_ids},
                {"duplicate op_ids", v->duplicates},
                {"out of order", v->out_of_order}};
  uint64_t left_out = c->shown > c->limit ? c->shown - c->limit : 0;
  int status = c->unreadable ? OBS_COMMAND_FAILED : is_sound(v) ? OBS_COMMAND_OK : UNSOUND;
  obs_term_progress_end(&c->progress);
  if (c->json) {
    obs_buf out = {0};
    obs_json_writer w = obs_json_write(&out);
    obs_json_end(&c->list_json);
    obs_json_end(&c->faults_json);
    obs_json_object(&w, NULL);
    obs_json_bool(&w, "sound", is_sound(v) && !c->unreadable);
    json_counts(&w, v);
    obs_json_raw(&w, "files", obs_buf_view(&c->list));
    obs_json_raw(&w, "faults", obs_buf_view(&c->faults));
    obs_json_u64(&w, "faults_left_out", left_out);
    obs_json_end(&w);
    obs_buf_putc(&out, '\n');
    bool ok = !out.oom && !c->list.oom && !c->faults.oom;
    if (ok)
      (void)fwrite(out.p, 1, out.len, stdout);
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
  puts(c->unreadable ? "not everything could be read" : is_sound(v) ? "sound" : "not sound");
  return status;
}

/* ---- what is checked ---- */

static void unreadable(checker *c, const char *path, const char *why) {
  obs_term_progress_end(&c->progress);
  c->unreadable = true;
  obs_args_error(c->args, "%s: %s", path, why);
}

static void check_open(checker *c, int fd, const char *path) {
  obs_verify_totals file;
  if (!obs_verify_file(&c->verify, fd, 0, path, &file)) {
    unreadable(c, path, errno == ESPIPE ? "is not a regular file" : strerror(errno));
    return;
  }
  c->files++;
  obs_verify_totals_add(&c->sum, &file);
  if (c->json) {
    obs_json_object(&c->list_json, NULL);
    obs_json_cstr(&c->list_json, "file", path);
    json_counts(&c->list_json, &file);
    obs_json_end(&c->list_json);
    return;
  }
  char rows[OBS_TEXT_COUNTED], bytes[OBS_TEXT_COUNTED];
  obs_term_progress_end(&c->progress);
  obs_text_printf(stdout, "%s: %s, %s, ", path, obs_text_counted(rows, file.rows, "row"),
                  obs_text_counted(bytes, file.bytes, "byte"));
  if (is_sound(&file))
    printf("sound%s\n", file.unended > 0 ? " (the last row lacks its newline; observerd adds it)" : "");
  else
    printf("%s%s\n", obs_text_counted(rows, file.bad_rows, "bad row"), file.torn > 0 ? ", a torn tail" : "");
}

static void check_file(checker *c, const char *path, bool may_be_gone) {
  int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) {
    if (!may_be_gone || errno != ENOENT) unreadable(c, path, strerror(errno));
    return;
  }
  check_open(c, fd, path);
  (void)close(fd);
}

static void check_directory(checker *c, const char *dir) {
  const char *name = obs_args_text(c->args, "journal-name");
  char why[160];
  obs_segments s;
  if (!obs_segments_list(&s, dir, name)) {
    unreadable(c, dir, strerror(errno));
  } else if (s.n == 0) {
    snprintf(why, sizeof(why), "no journal called %.80s there", name);
    unreadable(c, dir, why);
  }
  for (size_t i = 0; i < s.n; i++) {
    if (i + 1 == s.n && s.active_fd >= 0)
      check_open(c, s.active_fd, s.paths[i]);
    else
      check_file(c, s.paths[i], true); /* retention may have deleted it since it was listed */
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
        check_file(&c, args->rest[i], false);
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
     .help = "bad rows listed"},
    {"all", 'a', .help = "list every bad row"},
    {"journal-name", 0, "NAME", .initial = "ops.jsonl", .help = "of the active segment, in directories"},
    OBS_FLAG_JSON,
};

static const obs_command_exit exits[] = {{UNSOUND, "bad rows or a torn tail were found"}};

OBS_COMMAND(check) = {
    .name = "check",
    .arguments = "FILE|DIR...",
    .summary = "verify a journal: bad rows, torn tail, duplicate op_ids, order",
    .description =
        "Reads journal files row by row with the daemon's own decoder and reports what is not sound, as "
        "file:line: reason. In a directory, all segments are read, oldest first. Nothing is modified, and a daemon may "
        "keep writing: only what existed at the start is checked.\n\n"
        "Duplicate op_ids and rows out of order are counted but are not faults: producers repeat an op_id after a long "
        "while, and timestamps are theirs. Nor is a whole last row without its newline; observerd adds the "
        "newline when it starts. Status 1 is also that of a file that cannot be read.",
    .examples = "observerctl check data/_observer\n"
                "observerctl check --all /var/lib/observerd/ops-1.jsonl\n"
                "observerctl check --json data/_observer | jq .faults",
    .flags = OBS_TABLE(flags),
    .exits = OBS_TABLE(exits),
    .run = run_check,
};
