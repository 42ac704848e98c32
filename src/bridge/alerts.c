/* Views of alerts and their rules. */
#include "alerts/alerts.h"

#include "bridge/internal.h"

static const obs_alerts_filter all_alerts = {.state = -1};
static const obs_param alerts_params[] = {
    OBS_PARAM_OF("state", CHOICE, obs_alerts_filter, state, obs_alert_state_names),
    OBS_PARAM("rule", BYTES, obs_alerts_filter, rule),
    OBS_PARAM("limit", LIMIT, obs_alerts_filter, page.limit),
    OBS_PARAM("cursor", NEXT_CURSOR, obs_alerts_filter, page.before),
};
const obs_params obs_bridge_alerts_params = OBS_PARAMS(alerts_params, all_alerts);

void obs_bridge_get_alerts(obs_connection *s, const void *filter) {
  obs_page_end end = {0};
  obs_json_writer w = obs_json_write(&s->http.out);
  obs_json_object(&w, NULL);
  if (obs_alerts_list(s->bridge->opts.alerts, filter, &w, &end) != OBSERVER_E_OK || s->http.out.oom)
    obs_answer_no_memory(&s->http.answer, &s->http.out);
  else
    obs_bridge_put_end(&w, &end, false);
}

void obs_bridge_get_rules(obs_connection *s, const void *filter) {
  (void)filter;
  obs_json_writer w = obs_json_write(&s->http.out);
  obs_json_object(&w, NULL);
  obs_alerts_put_rules(s->bridge->opts.alerts, &w);
  obs_json_end(&w);
}
