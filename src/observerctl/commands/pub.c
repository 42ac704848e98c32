/* pub: ops from flags, files or stdin, in batches, to one of the daemon's sockets. */
#include "observerctl/cli/args.h"
#include "observerctl/cli/commands.h"
#include "observerctl/publish/opflags.h"
#include "observerctl/publish/post.h"
#include "observerctl/publish/stream.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { CHUNK = 64 << 10 }; /* bytes a read */

/* ---- one input ---- */

typedef struct {
  obs_post *post;
  const char *name; /* NULL: not a file */
  int fd;
  obs_stream stream;
} input;

/* Publishes all records that are whole, and reports broken ones. False: sending failed. */
static bool take_records(input *in) {
  obs_stream_item item;
  obs_stream_result kind;
  while ((kind = obs_stream_next(&in->stream, &item)) != OBS_STREAM_MORE) {
    obs_publisher_origin origin = {in->name, item.number, item.line, item.offset};
    if (kind == OBS_STREAM_BAD)
      obs_post_bad(in->post, &origin, item.reason);
    else if (!obs_publisher_add(&in->post->publisher, item.p, item.len, &origin))
      return false;
    obs_post_progress(in->post, in->stream.offset + in->stream.at);
  }
  return true;
}

static bool fail_input(input *in, const char *reason) {
  return obs_post_fail(in->post, in->name != NULL ? in->name : "standard input", reason);
}

/* Publishes the input as it arrives. False: stop here. */
static bool publish_fd(obs_post *p, const char *name, int fd) {
  input in = {.post = p, .name = name, .fd = fd};
  struct pollfd fds[2] = {{.fd = fd, .events = POLLIN}, {.fd = p->interrupt.fd, .events = POLLIN}};
  bool ok = true;
  obs_stream_init(&in.stream);
  while (ok && !in.stream.ended) {
    int n = poll(fds, 2, obs_post_idle_ms(p));
    if (n == 0) { /* what is gathered goes out when nothing comes soon */
      ok = obs_publisher_send(&p->publisher);
      continue;
    }
    if (n < 0) {
      ok = errno == EINTR || fail_input(&in, strerror(errno));
      continue;
    }
    if (fds[1].revents != 0 && obs_interrupt_wait(&p->interrupt, 0)) {
      ok = false;
      break;
    }
    char *room = obs_stream_room(&in.stream, CHUNK);
    ssize_t got = room != NULL ? read(fd, room, CHUNK) : -1;
    if (got >= 0) {
      obs_stream_fed(&in.stream, (size_t)got);
      ok = take_records(&in);
    } else if (room == NULL || (errno != EINTR && errno != EAGAIN)) {
      ok = fail_input(&in, room == NULL ? "out of memory" : strerror(errno));
    }
  }
  ok = ok && obs_publisher_send(&p->publisher);
  obs_stream_fini(&in.stream);
  return ok;
}

static bool publish_text(obs_post *p, const char *text, size_t len) {
  input in = {.post = p, .fd = -1};
  obs_stream_init(&in.stream);
  char *room = obs_stream_room(&in.stream, len);
  bool ok = room != NULL;
  if (room == NULL) {
    fail_input(&in, "out of memory");
  } else {
    memcpy(room, text, len);
    if (len > 0) obs_stream_fed(&in.stream, len);
    obs_stream_fed(&in.stream, 0);
    ok = take_records(&in) && obs_publisher_send(&p->publisher);
  }
  obs_stream_fini(&in.stream);
  return ok;
}

static bool publish_file(obs_post *p, const char *path) {
  if (strcmp(path, "-") == 0) return publish_fd(p, NULL, STDIN_FILENO);
  struct stat st;
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  bool ok = fd >= 0 && fstat(fd, &st) == 0;
  if (ok) {
    obs_term_progress_start(&p->progress, "KiB", S_ISREG(st.st_mode) ? (uint64_t)st.st_size >> 10 : 0);
    ok = publish_fd(p, path, fd);
  } else {
    obs_post_fail(p, path, strerror(errno));
  }
  if (fd >= 0) (void)close(fd);
  return ok;
}

/* ---- the command ---- */

static int run_pub(const obs_args *args) {
  obs_post p;
  obs_buf op = {0};
  const char *data = obs_args_text(args, "data");
  bool ok = obs_post_parse(&p, args) && obs_opflags_json(args, &op);
  p.publisher.topic = obs_args_text(args, "topic");
  if (ok && data != NULL && *data == '\0') {
    obs_args_error(args, "--data: must not be empty");
    ok = false;
  } else if (ok && (op.len > 0) + (data != NULL) + (args->nrest > 0) > 1) {
    obs_args_error(args, "give an op by field options, --data, or files: one of them, not several");
    ok = false;
  }
  int status = OBS_COMMAND_USAGE;
  if (ok) {
    if (!obs_post_open(&p)) {
      /* obs_post_end reports why */
    } else if (op.len > 0) {
      p.alone = true;
      (void)publish_text(&p, op.p, op.len);
    } else if (data != NULL) {
      (void)publish_text(&p, data, strlen(data));
    } else if (args->nrest == 0) {
      obs_args_reading(args, "ops");
      (void)publish_fd(&p, NULL, STDIN_FILENO);
    } else {
      for (int i = 0; i < args->nrest && publish_file(&p, args->rest[i]); i++) continue;
    }
    status = obs_post_end(&p); /* whatever ended it, what is gathered goes out */
  }
  obs_buf_fini(&op);
  return status;
}

static const obs_option flags[] = {
    OBS_FLAGS_DAEMON,
    OBS_FLAGS_WAY,
    {"pub", 0, "[URL]", .type = OBS_OPTION_MAYBE,
     .help = "use the daemon's SUB socket, which drops ops when it cannot keep up, or the one at URL"},
    {"topic", 0, "TOPIC", .help = "topic to send the messages under"},
    {"data", 'd', "JSON", .help = "one or more ops, as JSON"},
    OBS_FLAGS_POST,
    OBSERVER_OP_FIELDS(OBS_OPFLAG)};

static const obs_command_exit exits[] = {OBS_EXIT_INTERRUPTED};

OBS_COMMAND(pub) = {
    .name = "pub",
    .arguments = "[FILE]...",
    .summary = "publish ops",
    .description =
        "Publishes ops: one made from the field options below, those of --data, or those of the files. "
        "Without any of these, or with the file -, it reads standard input. Input is JSON (one object after "
        "the other, one per line, or arrays of objects) or msgpack (maps or arrays of maps); the first byte "
        "decides which. It may be of any length, and is sent while it is read.\n\n"
        "A record that is broken, is not a map, or is larger than 256 KiB is reported with its number and "
        "line, and is not sent. After broken JSON, reading continues at the next line that starts with {; "
        "after broken msgpack it stops.\n\n"
        "The daemon acknowledges each op once it is safely recorded. Ops that it rejects are reported with "
        "the reason; a message that it cannot record now (the disk is full) is sent again until --timeout. "
        "The sockets are those of the daemon at --url; a URL after --req, --push or --pub names another "
        "one. With --no-ack, --push or --pub nothing is acknowledged, and the total counts what was sent.\n\n"
        "Exit status 1: an op was rejected, was not sent, or could not be read.",
    .examples = "observerctl pub --endpoint /v1/chat --success --duration-ms 120 --source mcp\n"
                "observerctl pub ops.jsonl\n"
                "observerctl pub --push tcp://10.0.0.5:3801 ops.jsonl\n"
                "tail -f app.ndjson | observerctl pub --topic op.app\n",
    .flags = OBS_TABLE(flags),
    .exits = OBS_TABLE(exits),
    .run = run_pub,
};
