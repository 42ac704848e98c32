/* How a text says that its work was not done, by language. What that means is in phrases.c; here only words are added.
 */
#ifndef OBS_LEARN_REVIEWS_UNDONE_H
#define OBS_LEARN_REVIEWS_UNDONE_H

#include "learn/reviews/phrases.h"

typedef enum {
  OBS_UNDONE_ALL,  /* the row says so of the whole task */
  OBS_UNDONE_TASK, /* ... where its sentence names the task */
  OBS_UNDONE_SOME, /* ... of the task where it is named, else of something, which may be a part */
} obs_undone_what;

typedef struct {
  obs_undone_what what;
  obs_phrase_row row;
} obs_phrase_undone;

/* The task as such, anywhere in the sentence. */
static const char obs_undone_task[] =
    "the task|this task|your task|my task|the request|this request|your request|the job|this job|the work|this work|"
    "the assignment|this assignment|what you asked|what was asked|die aufgabe|diese aufgabe|den auftrag|die anfrage|"
    "die arbeit|den job|abzuschließen|fertigzustellen|zu beenden|zu erledigen|zu ende|la tâche|cette tâche|la "
    "demande|cette demande|votre demande|le travail|la mission|la tarea|esta tarea|la solicitud|su solicitud|el "
    "trabajo|la petición|el encargo|任务|工作|请求|作业|任務|請求|作業";
/* The same at once behind the verb; verbs that ask for no object (`finish.`) count as well. */
static const char obs_undone_it[] = "it$|this$|that$|complete$|finish$|completed$|finished$";

/* Who speaks. */
#define EN_I                                                                                                           \
  "i|we|i ultimately|i eventually|i finally|i then|i still|i simply|i therefore|i also|we ultimately|we "              \
  "eventually|we finally|we then|we still|we therefore"
#define EN_TASK                                                                                                        \
  "the task|this task|your task|the request|this request|your request|the job|this job|the work|this work|the "        \
  "assignment|this assignment|the operation"
#define EN_WAS_NOT_ABLE                                                                                                \
  "was unable to|were unable to|have been unable to|'ve been unable to|was not able to|wasn't able to|were not able "  \
  "to|weren't able to|have not been able to|haven't been able to|could not|couldn't|failed to|have failed to|'ve "     \
  "failed to|did not manage to|didn't manage to|have not managed to|haven't managed to|did not succeed in|didn't "     \
  "succeed in|did not get to|didn't get to|never got to|did not|didn't|have not|haven't"
#define EN_FINISH                                                                                                      \
  "complete|finish|accomplish|carry out|fulfil|fulfill|conclude|finalize|finalise|get it done|do it$|do this$|do "     \
  "that$|do so|do the task|do the work|do the job|do what|perform the task|execute the task|successfully complete|"    \
  "actually complete|fully complete|successfully finish|completed|finished|completing|finishing|get the job done|get " \
  "this done|get that done|get the task done"
#define DE_TASK "die aufgabe|diese aufgabe|der auftrag|die anfrage|diese anfrage|die arbeit|der job"
#define DE_FINISHED "abgeschlossen|erledigt|beendet|fertiggestellt|bearbeitet|ausgeführt|durchgeführt|fertig|gelöst"
#define DE_AUX "konnte|konnten|wurde|wurden|ist|blieb|bleibt|kann|wird"
#define FR_TASK "la tâche|cette tâche|la demande|cette demande|votre demande|le travail|l'opération|la mission"
#define FR_FINISH                                                                                                      \
  "terminer|achever|finir|accomplir|finaliser|compléter|mener|effectuer|exécuter|réaliser|terminé|achevé|fini|"   \
  "accompli|finalisé"
#define ES_TASK "la tarea|esta tarea|la solicitud|su solicitud|el trabajo|la petición|el encargo|la operación"
#define ES_FINISH "completar*|terminar*|finalizar*|acabar*|concluir*|cumplir*|realizar*|llevar a cabo"
#define ZH_TASK "任务|工作|请求|作业|操作|任務|請求|作業"
#define JA_GOES_ON "場合|とき|時|ら|の|こと|理由|原因|人|タスク|ため"
#define JA_TASK "タスク|作業|仕事|依頼|リクエスト|処理|レポート|報告"

static const obs_phrase_undone obs_undone[] = {
    /* English */
    {OBS_UNDONE_SOME, {{EN_I, EN_WAS_NOT_ABLE, EN_FINISH}, {16, 8}, false, NULL}},
    {OBS_UNDONE_SOME,
     {{"failed to|unable to|was unable to|could not|couldn't|not able to|was not able to|did not manage to", EN_FINISH},
      {8, 0},
      true,
      NULL}},
    {OBS_UNDONE_SOME,
     {{EN_I,
       "and failed to|but failed to|but could not|but couldn't|and could not|and couldn't|but was unable to|and "
       "was unable to|but was not able to|but did not|and did not manage to|but did not manage to",
       EN_FINISH},
      {80, 8},
      false,
      NULL}},
    {OBS_UNDONE_TASK,
     {{"the agent|the assistant|the model|the bot|this agent", EN_WAS_NOT_ABLE, EN_FINISH}, {6, 8}, false, NULL}},
    {OBS_UNDONE_SOME,
     {{"time ran out|not enough time|too little time|no time left|ran out of time", "finish|complete|get it done"},
      {40, 0},
      false,
      NULL}},
    {OBS_UNDONE_SOME,
     {{EN_I, "had no success|was not successful|wasn't successful|were not successful|was unsuccessful|had no luck"},
      {6, 0},
      false,
      NULL}},
    {OBS_UNDONE_ALL,
     {{"my attempt|my attempts|our attempts|the attempt|all attempts", "complete|finish|do",
       "unsuccessful|failed|in vain|without success"},
      {8, 60},
      false,
      NULL}},
    {OBS_UNDONE_ALL,
     {{EN_I, "had to abort|was forced to abort|had to abandon|was forced to abandon|were forced to abort|had to cancel",
       "task|request|job|work|attempt|assignment|run"},
      {40, 8},
      false,
      NULL}},
    {OBS_UNDONE_ALL,
     {{EN_TASK,
       "could not be|couldn't be|was not|wasn't|has not been|hasn't been|is not|isn't|is still not|was never|were not",
       "completed|finished|accomplished|carried out|fulfilled|done|executed|finalized|performed"},
      {8, 14},
      false,
      "by"}},
    {OBS_UNDONE_ALL,
     {{EN_TASK,
       "remains unfinished|remains incomplete|remains undone|remains open|is unfinished|is incomplete|is still "
       "unfinished|is still incomplete|was left incomplete|was left unfinished|was left undone"},
      {6, 0},
      false,
      NULL}},
    {OBS_UNDONE_ALL,
     {{"the task|this task|my task|the assignment|this assignment",
       "failed|has failed|remains unfinished|remains incomplete|remains undone|is unfinished|is incomplete|"
       "is still unfinished|is still incomplete|was left incomplete|was left unfinished|was left undone|did "
       "not complete|didn't complete|did not finish|was aborted"},
      {6, 0},
      false,
      NULL}},
    {OBS_UNDONE_ALL,
     {{EN_I, "had to give up|have to give up|gave up|give up|am giving up|'m giving up|finally gave up|then gave up|"
             "eventually gave up|have given up|'ve given up|was forced to stop|"
             "ran out of time|ran out of steps|ran out of tokens|ran out of budget|ran out of "
             "context|ran out of attempts|ran out of retries|run out of time|run out of steps|run out of tokens|run "
             "out of budget|run out of context|run out of attempts|run out of retries"},
      {6, 0},
      false,
      "my|the|his|her|our|their|a|an|some|one|two|that|smoking"}},
    {OBS_UNDONE_ALL,
     {{EN_I, "but|and",
       "gave up|had to give up|ran out of time|ran out of steps|ran out of tokens|ran out of budget|ran out of context|"
       "ran out of attempts"},
      {100, 5},
      false,
      "my|the|his|her|our|their|a|an|some|one|two|that"}},
    {OBS_UNDONE_ALL,
     {{EN_I, "had to stop before|had to stop, before|had to leave it unfinished|left it unfinished"},
      {6, 0},
      false,
      NULL}},
    {OBS_UNDONE_ALL,
     {{"all my attempts|all of my attempts|all attempts|all my tries|every attempt|both attempts|both my attempts",
       "failed|were unsuccessful|was unsuccessful|timed out|have failed"},
      {6, 0},
      false,
      NULL}},
    {OBS_UNDONE_ALL,
     {{"none of my attempts|none of the attempts|no attempt|neither attempt", "succeeded|worked|was successful|were "
                                                                              "successful|has worked|have worked"},
      {6, 0},
      false,
      NULL}},
    {OBS_UNDONE_ALL, {{"task", "failed because|failed due to|failed with|failed after"}, {2, 0}, false, NULL}},
    {OBS_UNDONE_ALL,
     {{"task|the task|request|assignment|aufgabe|auftrag|tâche|demande|tarea|solicitud",
       "not completed|not finished|failed|incomplete|unfinished|not done|could not be completed|nicht "
       "abgeschlossen|nicht "
       "erledigt|nicht beendet|fehlgeschlagen|non terminée|non achevée|non traitée|inachevée|no completada|no "
       "terminada|"
       "sin completar|sin terminar|fallida"},
      {3, 0},
      true,
      NULL}},
    {OBS_UNDONE_TASK,
     {{"it was not possible to|it wasn't possible to|it proved impossible to|it was impossible to|there was no way to",
       EN_FINISH},
      {8, 0},
      false,
      NULL}},
    /* German: the verb comes last */
    {OBS_UNDONE_SOME,
     {{"ich konnte|konnte ich|wir konnten|konnten wir", "nicht|nicht rechtzeitig|nicht vollständig",
       "lösen|abschließen|erledigen|beenden|fertigstellen|durchführen|ausführen|bewältigen|vollenden|zu ende bringen|"
       "zu ende führen"},
      {60, 24},
      false,
      NULL}},
    {OBS_UNDONE_SOME,
     {{"ich habe|habe ich|wir haben", "nicht",
       "abgeschlossen|erledigt|beendet|fertiggestellt|zu ende gebracht|zu ende geführt|fertig bekommen"},
      {60, 16},
      false,
      NULL}},
    {OBS_UNDONE_TASK,
     {{"ich war|war ich|wir waren|ich bin|es war|war es|es ist|ich habe es|ist es|habe ich es",
       "nicht möglich|nicht in der lage|außerstande|nicht geschafft|nicht gelungen"},
      {30, 0},
      false,
      NULL}},
    {OBS_UNDONE_ALL, {{DE_TASK, DE_AUX, "nicht", DE_FINISHED}, {8, 80, 16}, false, NULL}},
    {OBS_UNDONE_ALL, {{DE_AUX, DE_TASK, "nicht", DE_FINISHED}, {24, 80, 16}, false, NULL}},
    {OBS_UNDONE_ALL,
     {{DE_TASK "|alle versuche|meine versuche|alle meine versuche",
       "fehlgeschlagen|gescheitert|schlug fehl|schlugen fehl|unerledigt|unvollendet|abgebrochen"},
      {40, 0},
      false,
      NULL}},
    {OBS_UNDONE_ALL,
     {{"ich musste|musste ich|wir mussten|mussten wir", "aufgeben|abbrechen|die arbeit einstellen"},
      {50, 0},
      false,
      NULL}},
    {OBS_UNDONE_ALL,
     {{"ich gebe auf|ich habe aufgegeben|ist die zeit ausgegangen|die zeit ist mir ausgegangen|die zeit reichte nicht|"
       "die zeit hat nicht gereicht|nicht fertig geworden|ich bin gescheitert|bin ich gescheitert"},
      {0, 0},
      false,
      NULL}},
    /* French */
    {OBS_UNDONE_SOME,
     {{"je n'ai pas pu|je n'ai malheureusement pas pu|je n'ai hélas pas pu|je n'ai donc pas pu|nous n'avons pas pu|je "
       "n'ai pas réussi à|nous n'avons pas réussi à|je n'ai pas été en mesure "
       "de|je n'étais pas en mesure de|il m'a été impossible de|il n'a pas été possible de|j'ai été incapable de|je ne "
       "suis pas parvenu à|je ne suis pas parvenue à|"
       "j'ai échoué à|il m'a été impossible de|je n'ai pas|nous n'avons pas",
       FR_FINISH},
      {10, 0},
      false,
      NULL}},
    {OBS_UNDONE_TASK, {{"impossible de|échec de|échec lors de|incapable de", FR_FINISH}, {8, 0}, true, NULL}},
    {OBS_UNDONE_ALL,
     {{FR_TASK,
       "n'a pas pu être|n'a pu être|n'a pas été|n'est pas|n'est donc pas|n'est toujours pas|n'est malheureusement "
       "pas|reste",
       "terminé*|achevé*|effectué*|traité*|menée*|finie|fini|accompli*|finalisé*|réalisé*|exécuté*|inachevé*|"
       "incompl*"},
      {12, 10},
      false,
      NULL}},
    {OBS_UNDONE_ALL,
     {{FR_TASK "|toutes mes tentatives|mes tentatives", "a échoué|ont échoué|a été interrompue|a été abandonnée"},
      {10, 0},
      false,
      NULL}},
    {OBS_UNDONE_ALL,
     {{"j'ai dû|nous avons dû", "abandonner|renoncer|interrompre|m'arrêter"}, {20, 0}, false, "le|la|les|mon|ma|ce"}},
    {OBS_UNDONE_ALL,
     {{"j'ai abandonné|j'abandonne|j'ai manqué de temps|le temps m'a manqué|je n'ai pas eu le temps|je suis à court de "
       "temps"},
      {0, 0},
      false,
      NULL}},
    /* Spanish */
    {OBS_UNDONE_SOME,
     {{"no pude|no pudimos|no he podido|no hemos podido|no logré|no logramos|no he logrado|no conseguí|no conseguimos|"
       "no he conseguido|no fui capaz de|no he sido capaz de|no me fue posible|me fue imposible|fui incapaz de",
       ES_FINISH},
      {10, 0},
      false,
      NULL}},
    {OBS_UNDONE_TASK,
     {{"no terminé|no completé|no acabé|no finalicé|no terminamos|no completamos|no hice"}, {0, 0}, false, NULL}},
    {OBS_UNDONE_TASK,
     {{"no se pudo|no se ha podido|no se logró|no fue posible|no ha sido posible", ES_FINISH}, {10, 0}, false, NULL}},
    {OBS_UNDONE_ALL,
     {{ES_TASK, "no pudo|no se pudo|no fue|no ha sido|no se ha|no se|no está|quedó|queda|sigue",
       "complet*|termin*|finaliz*|acab*|realiz*|inconclus*|incomplet*|ser complet*|sin terminar|sin hacer"},
      {8, 8},
      false,
      NULL}},
    {OBS_UNDONE_ALL,
     {{ES_TASK "|mis intentos|todos mis intentos", "falló|fallaron|ha fallado|fracasó|fracasaron"},
      {8, 0},
      false,
      NULL}},
    {OBS_UNDONE_ALL,
     {{"tuve que|tuvimos que", "rendirme|rendirnos|abandonar|desistir|darme por vencid*"},
      {16, 0},
      false,
      "el|la|los|las|mi"}},
    {OBS_UNDONE_ALL,
     {{"me rindo|me rendí|me quedé sin tiempo|se me acabó el tiempo|nos quedamos sin tiempo|no me dio tiempo"},
      {0, 0},
      false,
      "hasta"}},
    /* Chinese */
    {OBS_UNDONE_SOME, {{"我|我们|我們", "未能|没能|没有|沒能|沒有|没", "完成|做完|做到"}, {24, 36}, false, "的"}},
    {OBS_UNDONE_TASK, {{"，未能|，没能|，没有|，没|，无法|，沒能|，沒有", "完成|做完|做到"}, {12, 0}, false, "的"}},
    {OBS_UNDONE_TASK, {{"未能|没能|没有|无法|沒能|無法", "完成|做完|做到"}, {12, 0}, true, "的"}},
    {OBS_UNDONE_ALL,
     {{ZH_TASK, "未能|没能|没有|无法|沒能|沒有|無法|没|未", "完成|做完|执行|处理|執行|處理"}, {12, 12}, false, NULL}},
    {OBS_UNDONE_ALL, {{ZH_TASK, "失败|失敗"}, {12, 0}, false, "后|时|的|会|次|率|時|會"}},
    {OBS_UNDONE_ALL,
     {{"只好放弃|不得不放弃|被迫放弃|我放弃了|最终放弃|最后放弃|只能放弃|不得不放棄|只好放棄"}, {0, 0}, false, NULL}},
    /* Japanese: the verb comes before its denial */
    {OBS_UNDONE_ALL,
     {{JA_TASK, "完了|完成|終わ|終え|仕上げ|達成|遂行|実行",
       "できませんでした|できなかった|できていません|できておりません|せんでした|なかった"},
      {30, 36},
      false,
      JA_GOES_ON}},
    {OBS_UNDONE_ALL, {{"最後まで|途中", "終え|終わ|完了|でき", "ませんでした|なかった"}, {60, 30}, false, JA_GOES_ON}},
    {OBS_UNDONE_ALL, {{JA_TASK, "未完了|未完成|未達成"}, {12, 0}, false, "のタスク|の作業|の件"}},
    {OBS_UNDONE_ALL, {{JA_TASK, "失敗しました|失敗に終わりました|失敗した"}, {12, 0}, false, JA_GOES_ON}},
    {OBS_UNDONE_ALL,
     {{"断念しました|諦めました|あきらめました|断念せざるを得|諦めざるを得|やむなく中止"}, {0, 0}, false, NULL}},
};

/* Words of a sentence that speaks of an earlier time, of help that was had, or asks for a reason. */
static const char obs_undone_before[] =
    "at first|initially|originally|in the beginning|the first time|first attempt|first try|last time|last "
    "week|yesterday|gestern|ayer|昨天|昨日|alone|by myself|until|why|"
    "zuerst|zunächst|anfangs|anfänglich|beim ersten|ursprünglich|allein|warum|weshalb|"
    "d'abord|au début|initialement|dans un premier temps|seul|seule|pourquoi|jusqu'à|"
    "al principio|primero|inicialmente|en un primer|solo|sola|por qué|"
    "前回|上次|letztes mal|la dernière fois|la última "
    "vez|起初|最初|一开始|开始时|第一次|起先|为什么|一開始|為什麼|初めは|はじめは|当初|一回目|1回目|なぜ";

/* What came of it in the end, and the words with which that is told. */
static const char obs_undone_success[] =
    "completed|complete|finished|done|works|worked|passes|passed|pass|fixed|resolved|succeeded|successful|successfully|"
    "filled|delivered|ready|in place|merged|deployed|covered|confirmed|imported|closed|signed|through|"
    "abgeschlossen|erledigt|fertig|funktioniert|läuft|klappt|behoben|gelöst|erfolgreich|bestanden|besetzt|geklappt|"
    "terminé*|achevé*|réussi*|fonctionne|marche|résolu*|passent|corrigé*|importé*|"
    "completad*|terminad*|terminó|funciona|listo|lista|resuelt*|pasan|logré|conseguí|éxito|importad*|"
    "完成|成功|通过|好了|解决|通過|解決|"
    "完了しました|できました|通りました|終わりました|動きました|済み";
static const char obs_undone_after[] =
    "now|today|heute|aujourd'hui|hoy|今天|then|later|eventually|finally|in the end|after "
    "that|afterwards|instead|second|third|retry|retried|again|once|"
    "it is|it's|it works|it passes|all|both|everything|the other|the rest|"
    "jetzt|nun|dann|danach|später|schließlich|beim zweiten|erneut|inzwischen|nachdem|alle|alles|stattdessen|"
    "maintenant|ensuite|puis|finalement|deuxième|second|désormais|enfin|tout|toutes|tous|"
    "ahora|luego|después|finalmente|segundo|ya|todo|todos|todas|"
    "现在|后来|然后|最后|之后|第二次|终于|已经|已|全部|現在|後來|然後|最後|終於|已經|"
    "その後|今は|現在|最終的|二回目|2回目|再度|再試行|ついに|すべて|全て";
/* A sentence that begins so says what holds in general. */
static const char obs_undone_general[] = "without|ohne|sans|sin|unless";
static const char obs_undone_denied[] = "not|no|never|nothing|none|n't|cannot|nicht|nie|kein|pas|jamais|nunca|没|未|"
                                        "无法|不|沒|無法";
/* Of a part: how much of it. */
static const char obs_undone_part[] =
    "one of|two of|some of|a few|part of|parts of|einen teil|einige|zwei|deux|quelques|une partie|dos|algunos|algunas|"
    "una parte|部分|两|一部";

#endif
