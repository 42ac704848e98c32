#include "notify/receivers.h"
#include "observerd/internal.h"
#include "observerd/leader.h"

#include <inttypes.h>
#include <stdio.h>

/* ---- alerts: from the rules to those who are told ---- */

static obs_notify_alert notify_alert_of(const obs_alert *a, const obs_rule *rule) {
  static const obs_notify_severity severities[OBS_RULE_SEVERITIES] = {
      [OBS_RULE_INFO] = OBS_NOTIFY_INFO, [OBS_RULE_WARN] = OBS_NOTIFY_WARN, [OBS_RULE_PAGE] = OBS_NOTIFY_PAGE};
  obs_notify_alert n = {.fingerprint = a->fingerprint,
                        .rule = a->rule,
                        .severity = severities[a->severity],
                        .state = a->state == OBS_ALERT_RESOLVED ? OBS_NOTIFY_RESOLVED : OBS_NOTIFY_FIRING,
                        .nlabels = a->nlabels,
                        .value = a->value,
                        .threshold = a->threshold,
                        .text = a->text,
                        .path = "/#/alerts",
                        .since_ms = a->since_ms,
                        .fired_ms = a->fired_ms,
                        .resolved_ms = a->resolved_ms,
                        .receivers = rule != NULL ? (const char *const *)rule->to : NULL,
                        .nreceivers = rule != NULL ? rule->nto : 0};
  _Static_assert((int)OBS_ALERT_LABELS <= (int)OBS_NOTIFY_LABELS, "");
  for (uint32_t i = 0; i < a->nlabels; i++) n.labels[i] = (obs_notify_label){a->labels[i].name, a->labels[i].value};
  return n;
}

static observer_err on_alert_row(void *arg, const char *topic, obs_str row) {
  const obs_daemon *d = arg;
  return obs_feed_publish_row(d->feed, topic, row);
}

static observer_err on_alert(void *arg, const obs_alert *a, const obs_rule *rule, bool again) {
  static const char *const nobody[] = {""};
  const obs_daemon *d = arg;
  obs_notify_alert n = notify_alert_of(a, rule);
  n.again = again;
  /* In a fleet the leader tells what ops show, this daemon's feed alone hears of it here; how the daemon itself is
   * nobody else can tell. */
  if (!obs_config_tells(d->config) && (rule == NULL || rule->form != OBS_RULE_SELF)) {
    n.receivers = nobody;
    n.nreceivers = 1;
  }
  return obs_notify_transition(d->notify, &n);
}

static void on_settled(void *arg) {
  const obs_daemon *d = arg;
  obs_notify_settled(d->notify);
}

static void look_at_alert(void *arg, const obs_alert *a, obs_alerts_look *out) {
  const obs_daemon *d = arg;
  obs_notify_look look;
  const obs_notify_alert n = notify_alert_of(a, NULL);
  obs_notify_look_at(d->notify, &n, &look);
  *out = (obs_alerts_look){.silenced_by = look.silenced_by, .notified_ms = look.notified_ms};
}

static bool take_receivers(void *arg, const obs_rules *rules, char *error, size_t size) {
  const obs_daemon *d = arg;
  obs_notify_config *config = NULL;
  if (!obs_notify_receivers_read(rules, false, &config, error, size)) return false;
  observer_err err = obs_notify_configure(d->notify, config);
  if (err != OBSERVER_E_OK) (void)snprintf(error, size, "receivers: %s", observer_strerror(err));
  return err == OBSERVER_E_OK;
}

/* How the daemon is, for the rules on itself; on alerts' thread. Ops that stay under way while nothing is answered are
 * lost somewhere; while the disk fails, that is why. */
static void look_at_self(void *arg, obs_engine_self *out) {
  obs_daemon *d = arg;
  const obs_ready_sources from = obs_daemon_ready(d);
  obs_ready ready;
  uint64_t under_way = 0, answered = 0;
  obs_ready_find(&from, &ready);
  out->failing[OBS_RULE_RECORDING] = !ready.records || !ready.serves;
  (void)snprintf(out->why[OBS_RULE_RECORDING], sizeof(out->why[0]), "%.*s", (int)sizeof(out->why[0]) - 1,
                 out->failing[OBS_RULE_RECORDING] ? ready.why[0] : "");
  for (int t = 0; t < OBS_TRANSPORT_COUNT; t++) {
    obs_commit_counts n;
    obs_commit_get_counts(d->commit, (obs_transport)t, &n);
    under_way += n.in_flight;
    answered += n.recorded + n.duplicate + n.rejected;
  }
  out->failing[OBS_RULE_CONSERVATION] = ready.records && under_way > 0 && answered == d->settled;
  (void)snprintf(out->why[OBS_RULE_CONSERVATION], sizeof(out->why[0]),
                 "%" PRIu64 " ops were received and are neither recorded, duplicates nor rejected", under_way);
  d->settled = answered;
}

/* ---- the stages ---- */

observer_err obs_daemon_open_alerts(obs_daemon *d, const obs_config *o, char *error, size_t size) {
  const char *dir = o->ephemeral ? NULL : o->data_dir;
  observer_err err;
  const obs_notify_opts notify = {.dir = dir,
                                  .redact = d->redact,
                                  .publish = on_alert_row,
                                  .admit = o->leader != NULL ? obs_leader_admit : NULL,
                                  .admit_arg = o->leader,
                                  .arg = d};
  if ((err = obs_notify_open(&notify, &d->notify, error, size)) != OBSERVER_E_OK) return err;

  const obs_alerts_opts alerts = {.dir = dir,
                                  .rules = o->rules,
                                  .clusters = d->clusters,
                                  .self = look_at_self,
                                  .notify = on_alert,
                                  .settled = on_settled,
                                  .look = look_at_alert,
                                  .receivers = take_receivers,
                                  .arg = d};
  return obs_alerts_open(&alerts, &d->alerts, error, size);
}
