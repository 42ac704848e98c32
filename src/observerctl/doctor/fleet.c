/* doctor's probes of a fleet: what the daemon says of it. A daemon that is alone has none, and nothing is said. */
#include "observerctl/ask/fetch.h"
#include "observerctl/cli/args.h"
#include "observerctl/cli/show.h"
#include "observerctl/doctor/doctor.h"

#include <string.h>

enum {
  TIMEOUT_MS = 10000,
  LINGER_S = 240,  /* twice the servers' usual sync_interval */
  WAITS_S = 60,    /* an op that is not forwarded, or not folded, for so long is late */
  FILLED = 50,     /* percent of a spool */
  NEARLY_FULL = 90 /* likewise */
};

static bool is(const cJSON *object, const char *name, const char *text) {
  return strcmp(obs_show_text(object, name), text) == 0;
}

/* "host 82a39fec" */
static const char *who(const cJSON *one, char out[96]) {
  (void)snprintf(out, 96, "%.64s %.8s", obs_show_text(one, "name"), obs_show_text(one, "id"));
  return out;
}

static void check_nats(obs_doctor *d, const cJSON *fleet) {
  static const char name[] = "nats";
  const cJSON *nats = obs_show_member(fleet, "nats");
  const char *version = obs_show_text(nats, "version"), *why = obs_show_text(nats, "why");
  char since[OBS_TEXT_NUMBER];
  if (!cJSON_IsTrue(obs_show_member(nats, "connected"))) {
    bool refused = strstr(why, "refuse") != NULL;
    obs_doctor_say(d, OBS_DOCTOR_FAIL, name,
                   refused
                       ? "compare --nats-creds, --nats-ca, --nats-cert and --nats-key with what the servers want; they "
                         "are read again by themselves"
                       : "start nats-server, or mend the way to it (--forward, --jetstream); it is tried again by "
                         "itself",
                   "%s, for %s: edges record, and forward when it is back", why,
                   obs_text_duration(since, obs_show_number(nats, "away_ms")));
    return;
  }
  if (cJSON_IsTrue(obs_show_member(nats, "old")))
    obs_doctor_say(d, OBS_DOCTOR_WARN, name, "install nats-server 2.10.27 or newer, on one server after the other",
                   "nats-server %s is older than 2.10.27, which has fixes against lost messages", version);
  else
    obs_doctor_say(d, OBS_DOCTOR_OK, name, "", "connected to nats-server %s", *version != '\0' ? version : "(unknown)");
}

/* What the servers can lose when all of them stop at once is published again by edges that still have it. */
static void check_sync(obs_doctor *d, const cJSON *fleet) {
  static const char name[] = "nats sync";
  const char *syncs = obs_show_text(obs_show_member(fleet, "nats"), "syncs");
  const char *lazy = strcmp(syncs, "lazily") == 0 ? "acknowledges before it syncs"
                                                  : "acknowledges before it syncs, unless its sync_interval is always";
  double shortest = -1;
  const cJSON *e;
  cJSON_ArrayForEach(e, obs_show_member(fleet, "edges")) {
    double linger = obs_show_number(e, "linger_ms");
    if (!is(e, "state", "stopped") && (shortest < 0 || linger < shortest)) shortest = linger;
  }
  if (*syncs == '\0') return;
  if (shortest >= 0 && shortest < LINGER_S * 1000.0)
    obs_doctor_say(
        d, OBS_DOCTOR_WARN, name,
        "give edges a --forward-linger of more than twice the servers' sync_interval (2 minutes unless it is set)",
        "nats-server %s, and an edge keeps what it has forwarded for %.0f s only: what the servers lose behind "
        "that is lost",
        lazy, shortest / 1000);
  else if (shortest >= 0)
    obs_doctor_say(d, OBS_DOCTOR_OK, name, "",
                   "nats-server %s; edges keep what they have forwarded for %.0f s and publish it again", lazy,
                   shortest / 1000);
  else
    obs_doctor_say(d, OBS_DOCTOR_OK, name, "", "nats-server %s", lazy);
}

static void check_stream(obs_doctor *d, const cJSON *fleet) {
  static const char name[] = "stream";
  const cJSON *stream = obs_show_member(fleet, "stream");
  double replicas = obs_show_number(stream, "replicas");
  if (!cJSON_IsObject(stream)) {
    obs_doctor_say(d, OBS_DOCTOR_WARN, name, "start an edge: observerd --forward URL",
                   "it is not there yet: the first "
                   "edge or worker makes it");
    return;
  }
  if (cJSON_IsTrue(obs_show_member(stream, "discards_old")))
    obs_doctor_say(d, OBS_DOCTOR_FAIL, name, "nats stream edit OBSERVER_OPS --discard new",
                   "it drops its oldest messages when it is full, whether they were folded or not");
  if (replicas < 3)
    obs_doctor_say(d, OBS_DOCTOR_WARN, name, "with three servers: nats stream edit OBSERVER_OPS --replicas 3",
                   "%.0f replica%s: the loss of a server's disk loses what the edges do not keep any more", replicas,
                   replicas == 1 ? "" : "s");
  else
    obs_doctor_say(d, OBS_DOCTOR_OK, name, "", "%.0f replicas", replicas);
}

static void check_spool(obs_doctor *d, const cJSON *e) {
  static const char name[] = "spool";
  char edge[96], age[OBS_TEXT_NUMBER], ops[OBS_TEXT_COUNTED];
  double most = obs_show_number(e, "spool_max_bytes"), age_ms = obs_show_number(e, "spool_age_ms");
  double filled = most > 0 ? 100 * obs_show_number(e, "spool_bytes") / most : 0;
  (void)obs_text_counted(ops, (uint64_t)obs_show_number(e, "spool_ops"), "op");
  (void)obs_text_duration(age, age_ms);
  if (filled >= FILLED)
    obs_doctor_say(d, filled >= NEARLY_FULL ? OBS_DOCTOR_FAIL : OBS_DOCTOR_WARN, name,
                   "mend what keeps it from forwarding (its log names it), or give it more --spool-bytes",
                   "edge %s: %.0f %% full with %s; when it is full, nothing more is taken", who(e, edge), filled, ops);
  else if (age_ms > WAITS_S * 1000.0)
    obs_doctor_say(d, OBS_DOCTOR_WARN, name, "look at its log for why its batches are not taken",
                   "edge %s: %s wait, the oldest for %s", who(e, edge), ops, age);
}

static void check_edges(obs_doctor *d, const cJSON *fleet) {
  static const char name[] = "edges";
  char edge[96], age[OBS_TEXT_NUMBER], count[OBS_TEXT_COUNTED], fix[256];
  unsigned here = 0, before = d->failed + d->warned;
  const cJSON *e;
  cJSON_ArrayForEach(e, obs_show_member(fleet, "edges")) {
    here += is(e, "state", "here");
    if (is(e, "state", "here")) check_spool(d, e);
    if (!is(e, "state", "away")) continue;
    (void)snprintf(fix, sizeof fix, "on %.64s: observerctl doctor; it is listed for a day", obs_show_text(e, "name"));
    obs_doctor_say(d, OBS_DOCTOR_WARN, name, fix,
                   "edge %s has not been seen for %s: what it has not forwarded is on its disk alone", who(e, edge),
                   obs_text_duration(age, obs_show_number(e, "seen_ms")));
  }
  if (here == 0)
    obs_doctor_say(d, OBS_DOCTOR_WARN, name, "observerd --forward URL", "none is there: nothing comes into the stream");
  else if (d->failed + d->warned == before)
    obs_doctor_say(d, OBS_DOCTOR_OK, name, "", "%s, what they record is forwarded",
                   obs_text_counted(count, here, "edge"));
}

static void check_workers(obs_doctor *d, const cJSON *fleet) {
  static const char name[] = "workers";
  char worker[96], age[OBS_TEXT_NUMBER], count[OBS_TEXT_COUNTED], messages[OBS_TEXT_COUNTED];
  unsigned here = 0, before = d->failed + d->warned;
  const cJSON *w;
  cJSON_ArrayForEach(w, obs_show_member(fleet, "workers")) {
    here += is(w, "state", "here");
    if (is(w, "state", "away"))
      obs_doctor_say(d, OBS_DOCTOR_WARN, name, "look at it on its machine; the others have taken its partitions over",
                     "worker %s has not been seen for %s", who(w, worker),
                     obs_text_duration(age, obs_show_number(w, "seen_ms")));
    else if (is(w, "state", "here") && obs_show_number(w, "lag_ms") > WAITS_S * 1000.0)
      obs_doctor_say(d, OBS_DOCTOR_WARN, name, "start another worker: observerd --jetstream URL",
                     "worker %s lags by %s, %s wait%s", who(w, worker),
                     obs_text_duration(age, obs_show_number(w, "lag_ms")),
                     obs_text_counted(messages, (uint64_t)obs_show_number(w, "pending"), "message"),
                     obs_show_number(w, "rebuilding") > 0 ? "; it rebuilds what had no checkpoint" : "");
  }
  if (here == 0)
    obs_doctor_say(d, OBS_DOCTOR_FAIL, name, "start one: observerd --jetstream URL",
                   "none is there: what edges forward waits in the stream, and answers with scope=cluster are old");
  else if (d->failed + d->warned == before)
    obs_doctor_say(d, OBS_DOCTOR_OK, name, "", "%s, none lags", obs_text_counted(count, here, "worker"));
}

static void check_partitions(obs_doctor *d, const cJSON *fleet) {
  static const char name[] = "partitions";
  int all = cJSON_GetArraySize(obs_show_member(fleet, "partitions"));
  int missing = cJSON_GetArraySize(obs_show_member(fleet, "missing"));
  if (missing > 0)
    obs_doctor_say(
        d, OBS_DOCTOR_FAIL, name,
        "observerctl fleet --partitions shows which; workers take them within 10 s: if not, their /readyz says "
        "why; or start another one: observerd --jetstream URL",
        "%d of %d are held by nobody: their ops wait in the stream", missing, all);
  else
    obs_doctor_say(d, OBS_DOCTOR_OK, name, "", "%d, each held by a worker", all);
}

void obs_doctor_fleet(obs_doctor *d) {
  obs_fetch_answer answer;
  if (!cJSON_IsObject(obs_show_member(d->health, "fleet"))) return; /* it is alone, or an older one */
  bool got = obs_fetch_get(d->url, "/v1/observer/fleet", TIMEOUT_MS, &answer);
  cJSON *fleet = got ? cJSON_ParseWithLength(answer.body.p, answer.body.len) : NULL;
  if (fleet != NULL) {
    check_nats(d, fleet);
    check_sync(d, fleet);
  } else {
    obs_doctor_say(d, OBS_DOCTOR_WARN, "fleet", "observerctl fleet", "%s",
                   got ? "the answer is no JSON" : answer.error);
  }
  if (fleet != NULL && cJSON_IsTrue(obs_show_member(fleet, "complete"))) {
    check_stream(d, fleet);
    check_edges(d, fleet);
    check_workers(d, fleet);
    check_partitions(d, fleet);
  }
  cJSON_Delete(fleet);
  obs_fetch_answer_fini(&answer);
}
