/* pub: sends what it is given, as it is, as one message; with --req prints the acknowledgement. */
#include "base/buf.h"
#include "observerctl/commands.h"
#include "observerctl/sender.h"

#include <msgpack.h>
#include <stdio.h>
#include <string.h>

enum { CHUNK = 64 * 1024 };

typedef struct {
  const char *url, *topic, *data, *file;
  obs_sender_kind kind;
} pub_args;

static void parse(const obs_args *args, pub_args *a) {
  *a = (pub_args){.topic = obs_args_text(args, "topic"), .data = obs_args_text(args, "data"), .file = args->rest[0]};
  a->kind = obs_args_given(args, "req")   ? OBS_SENDER_REQ
            : obs_args_given(args, "pub") ? OBS_SENDER_PUB
                                          : OBS_SENDER_PUSH;
  static const char *const names[] = {"push", "pub", "req"};
  a->url = obs_args_text(args, names[a->kind]);
}

static bool read_input(const pub_args *a, obs_buf *out) {
  if (a->data != NULL) {
    obs_buf_puts(out, a->data);
    return !out->oom;
  }
  bool standard = a->file == NULL || strcmp(a->file, "-") == 0;
  FILE *in = standard ? stdin : fopen(a->file, "rb");
  if (in == NULL) return false;
  char chunk[CHUNK];
  for (size_t n; (n = fread(chunk, 1, sizeof(chunk), in)) > 0;) obs_buf_append(out, chunk, n);
  bool ok = !ferror(in) && !out->oom;
  if (!standard) fclose(in);
  return ok;
}

static bool is_key(const msgpack_object *o, const char *key) {
  size_t n = strlen(key);
  return o->type == MSGPACK_OBJECT_STR && o->via.str.size == n && memcmp(o->via.str.ptr, key, n) == 0;
}

/* Whether the answer says that nothing was rejected. */
static bool none_rejected(const msgpack_object *o) {
  for (uint32_t i = 0; o->type == MSGPACK_OBJECT_MAP && i < o->via.map.size; i++) {
    const msgpack_object_kv *kv = &o->via.map.ptr[i];
    if (is_key(&kv->key, "rejected")) return kv->val.type == MSGPACK_OBJECT_POSITIVE_INTEGER && kv->val.via.u64 == 0;
  }
  return false;
}

/* Prints the answer. False when it tells of a reject, or is none. */
static bool print_reply(nng_msg *reply) {
  bool ok = false;
  msgpack_unpacked u;
  msgpack_unpacked_init(&u);
  if (msgpack_unpack_next(&u, nng_msg_body(reply), nng_msg_len(reply), NULL) == MSGPACK_UNPACK_SUCCESS) {
    msgpack_object_print(stdout, u.data);
    putchar('\n');
    ok = none_rejected(&u.data);
  }
  msgpack_unpacked_destroy(&u);
  return ok;
}

static int publish(const pub_args *a, const obs_buf *message) {
  obs_sender s;
  nng_msg *reply = NULL;
  int rv = obs_sender_open(&s, a->kind, a->url);
  if (rv == 0) rv = obs_sender_send(&s, message->p, message->len, &reply);
  if (rv != 0) fprintf(stderr, "observerctl: %s: %s\n", a->url, nng_strerror(rv));
  bool ok = rv == 0;
  if (reply != NULL) {
    ok = print_reply(reply);
    nng_msg_free(reply);
  }
  obs_sender_close(&s);
  return ok ? OBS_CTL_OK : OBS_CTL_FAILED;
}

static int run(const obs_args *args) {
  pub_args a;
  parse(args, &a);
  obs_buf message = {0};
  int status = OBS_CTL_FAILED;
  if (a.topic != NULL) obs_buf_append(&message, a.topic, strlen(a.topic) + 1);
  if (read_input(&a, &message))
    status = publish(&a, &message);
  else
    perror(a.file != NULL ? a.file : "observerctl: standard input");
  obs_buf_fini(&message);
  return status;
}

static const obs_flag flags[] = {
    {"push", 0, "URL", "tcp://127.0.0.1:3801", NULL, NULL, "send to the daemon's PULL socket"},
    {"pub", 0, "URL", NULL, NULL, NULL, "publish to the daemon's SUB socket"},
    {"req", 0, "URL", NULL, NULL, NULL, "request of the daemon's REP socket; prints its answer"},
    {"topic", 0, "TOPIC", NULL, NULL, NULL, "topic of the message"},
    {"data", 0, "JSON", NULL, NULL, NULL, "the payload"},
};

const obs_command obs_ctl_pub = {
    .name = "pub",
    .arguments = "[FILE]",
    .summary = "publish ops",
    .flags = OBS_TABLE(flags),
    .run = run,
};
