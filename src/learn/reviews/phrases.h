/* How refusals and hedges are worded, by language. What they mean is in phrases.c; here only words are added. */
#ifndef OBS_LEARN_REVIEWS_PHRASES_H
#define OBS_LEARN_REVIEWS_PHRASES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The lists of a row follow one another in a sentence, each within so many bytes of the one before, the last two
 * without a mark between them. `starts`: the first begins the sentence. `unless`: not where one of these follows at
 * once. */
typedef struct {
  const char *words[4];
  uint8_t reach[3];
  bool starts;
  const char *unless;
} obs_phrase_row;

/* ---- refusals: who speaks cannot do what was asked ----
 *
 * `task`: the whole task is refused (help, assist), not a part of it, which may be an honest limit (`I cannot give the
 * exact figure, but`). */

typedef struct {
  bool task;
  obs_phrase_row row;
} obs_phrase_refusal;

#define EN_CANNOT                                                                                                      \
  "cannot|can't|can not|won't|will not|am unable to|'m unable to|are unable to|'re unable to|am not able to|"          \
  "'m not able to|are not able to|'re not able to|am not allowed to|'m not allowed to|am not permitted to|"            \
  "'m not permitted to|must decline to|have to decline to|refuse to|decline to|am not going to|'m not going to|"       \
  "don't feel comfortable|do not feel comfortable|am not comfortable|'m not comfortable|would rather not|'d rather "   \
  "not"
#define DE_SPEAKER                                                                                                       \
  "ich kann|kann ich|ich darf|darf ich|ich werde|werde ich|ich möchte|möchte ich|wir können|können wir|wir dürfen|" \
  "dürfen wir|ist mir|ist es mir|mir ist es|ich bin|bin ich"
#define DE_CANNOT                                                                                                      \
  "nicht|keine|keinen|kein|keinerlei|außerstande|außerstande,|nicht möglich|"                                       \
  "nicht möglich,|nicht in der lage|nicht in der lage,|nicht befugt|nicht befugt,"
#define ES_CANNOT                                                                                                      \
  "no puedo|no podemos|no podré|no poder|no me es posible|no nos es posible|no estoy en condiciones de|no estoy "     \
  "autorizado|"                                                                                                        \
  "no estoy autorizada|no estoy capacitado|no soy capaz de|no se me permite|no me está permitido|no voy a|me niego a"
#define FR_CANNOT                                                                                                      \
  "ne peux pas|ne peux malheureusement pas|ne peux donc pas|ne peux hélas pas|ne pouvons pas|ne pouvons "             \
  "malheureusement pas|ne pourrai pas|ne suis pas en mesure|ne suis malheureusement pas en mesure|ne sommes pas en "   \
  "mesure|ne suis pas autorisé*|ne suis pas capable|ne saurais|ne vais pas|m'est impossible|nous est impossible|"     \
  "je refuse|peux pas"
#define ZH_SPEAKER "我|我们|我們|抱歉|对不起|對不起|不好意思|很遗憾|很遺憾|您的请求|你的请求|您的請求|您的问题"
#define ZH_CANNOT "无法|不能|不可以|没办法|没有办法|不便|恕不|拒绝|不会|無法|沒辦法|沒有辦法|拒絕|不會"
#define JA_PARDON "申し訳|すみません|恐れ入り|残念ながら|あいにく|ごめんなさい|恐縮"
#define JA_CANNOT                                                                                                      \
  "できません|できかねます|いたしかねます|致しかねます|しかねます|かねます|することはできません|できない"

/* Who asks for pardon for what cannot be done refuses, whatever it is, but for an honest report that something was not
 * found or did not show. */
#define EN_HONEST                                                                                                      \
  "find|see|reproduce|reach|open|confirm|connect|locate|detect|verify|determine|tell|read|load|identify|explain|spot|" \
  "get|log in|think of|recall|rule out|say for sure"
#define DE_HONEST "finden|sehen|reproduzieren|erreichen|öffnen|bestätigen|verbinden|lesen|laden|erkennen|nachvollziehen"
#define ES_HONEST "encontrar|ver|reproducir|abrir|confirmar|conectar|leer|cargar|localizar|detectar"
#define FR_HONEST "trouver|voir|reproduire|ouvrir|confirmer|joindre|lire|charger|localiser"
#define ZH_HONEST "找到|重现|打开|连接|复现|确认|看到|读取|加载|联系"

static const obs_phrase_refusal obs_refusals[] = {
    {false,
     {{"sorry|apologies|apologize|apologise|i'm afraid|i am afraid|unfortunately|regret*", "i|we", EN_CANNOT},
      {60, 12},
      false,
      EN_HONEST}},
    {false,
     {{"tut mir leid|entschuldigung|leider|bedaure", DE_SPEAKER, "nicht|keine|keinen|kein"},
      {60, 50},
      false,
      DE_HONEST}},
    {false, {{"lo siento|disculp*|perdón|lamentablemente|lamento|me temo", ES_CANNOT}, {60, 60}, false, ES_HONEST}},
    {false, {{"désolé*|malheureusement|je regrette|navré*", "je|nous|j'|il", FR_CANNOT}, {60, 8}, false, FR_HONEST}},
    {false, {{"抱歉|对不起|對不起|不好意思|很遗憾|很遺憾", "我|我们|我們", ZH_CANNOT}, {30, 12}, false, ZH_HONEST}},
    {false,
     {{JA_PARDON, "それ|これ|その件|この件|ご要望|ご依頼|ご質問|ご希望|そのよう", JA_CANNOT}, {60, 60}, false, NULL}},
    /* English */
    {true,
     {{"i|we", EN_CANNOT,
       "help!|help with|help you|help here|assist*|comply|do that|do this|do so|fulfill|fulfil|"
       "continue with this|engage in|participate|with this|with that"},
      {24, 24},
      false,
      NULL}},
    {false,
     {{"i|we", EN_CANNOT,
       "provide|answer|complete|perform|generate|discuss|process|support|write|writing|create|produce|"
       "share|disclose|recommend|give|offer|respond|proceed|continue|handle|talk about|say"},
      {24, 24},
      false,
      NULL}},
    {true,
     {{"i must decline|i have to decline|i must refuse|i have to refuse|i respectfully decline|unable to assist with|"
       "unable to help with|unable to comply with|against my guidelines|against my programming|against my principles|"
       "violate* my guidelines|violate* the content policy|violate* our content policy|violate* our usage policies|"
       "this request cannot be|your request cannot be|not something i can help|beyond my capabilities|"
       "beyond what i can|outside what i can|outside my capabilities|outside of my capabilities|inappropriate for me "
       "to|outside the scope "
       "of what i can"},
      {0, 0},
      false,
      NULL}},
    {true,
     {{"as an ai|as an ai model|as an ai language|as an ai assistant|as a language model|as a large language model",
       "i|i'm", "cannot|can't|can not|don't|do not|no|not|never|unable|lack"},
      {24, 40},
      false,
      NULL}},
    {true, {{"i am just an ai|i'm just an ai|i am only an ai|i'm only an ai"}, {0, 0}, false, NULL}},
    /* German */
    {true,
     {{DE_SPEAKER, DE_CANNOT,
       "helfen|weiterhelfen|dienen|unterstützen|behilflich|nachkommen|entsprechen|ausführen|tun|machen"},
      {60, 60},
      false,
      NULL}},
    {false,
     {{DE_SPEAKER, DE_CANNOT,
       "beantworten|bearbeiten|erfüllen|bereitstellen|fortfahren|durchführen|erstellen|generieren|diskutieren|"
       "verfassen|"
       "schreiben|geben|nennen|erzeugen|liefern|übernehmen|erledigen|teilen|auskunft"},
      {60, 60},
      false,
      NULL}},
    {true,
     {{"ich weigere mich|ich muss das ablehnen|ich muss ablehnen|ich muss dies ablehnen|muss ich ablehnen|lehne ich ab|"
       "gegen meine richtlinien|gegen die nutzungsrichtlinien|gegen die inhaltsrichtlinien|nicht weiterhelfen kann|"
       "nicht helfen kann|nicht nachkommen kann|anfrage kann nicht bearbeitet werden|anfrage kann nicht erfüllt "
       "werden"},
      {0, 0},
      false,
      NULL}},
    {true,
     {{"als ki|als ki-modell|als ki-assistent|als ki-sprachmodell|als sprachmodell|als künstliche intelligenz|"
       "als großes sprachmodell",
       "ich", "nicht|kein*"},
      {30, 60},
      false,
      NULL}},
    /* Spanish */
    {true, {{ES_CANNOT, "ayudar*|asistir*|cumplir*|hacer eso|hacer esto|hacerlo|atender*"}, {40, 40}, false, NULL}},
    {false,
     {{ES_CANNOT, "proporcionar*|responder*|realizar*|generar*|continuar*|procesar*|completar*|escribir*|crear*|dar*|"
                  "ofrecer*|compartir*|discutir*|facilitar*|contestar*"},
      {40, 40},
      false,
      NULL}},
    {true,
     {{"debo rechazar|tengo que rechazar|debo declinar|va en contra de mis|en contra de mis directrices|"
       "infringe las políticas|no se puede procesar su solicitud|su solicitud no puede"},
      {0, 0},
      false,
      NULL}},
    {true,
     {{"como modelo de lenguaje|como un modelo de lenguaje|como una ia|como ia|como inteligencia artificial|"
       "como una inteligencia artificial|como asistente de ia|como asistente virtual|soy una ia",
       "no", "tengo|puedo|dispongo|soy|poseo|estoy|me es"},
      {30, 10},
      false,
      NULL}},
    /* French */
    {true,
     {{FR_CANNOT,
       "aider|assister|donner suite|satisfaire|faire cela|faire ça|le faire|accéder à votre|accéder à cette"},
      {40, 40},
      false,
      NULL}},
    {false,
     {{FR_CANNOT, "répondre|fournir|traiter|réaliser|continuer|générer|rédiger|écrire|créer|partager|discuter|donner|"
                  "communiquer|produire"},
      {40, 40},
      false,
      NULL}},
    {true,
     {{"je dois refuser|je me dois de refuser|je dois décliner|contraire à mes|enfreint les règles|"
       "votre demande ne peut pas|cette demande ne peut pas"},
      {0, 0},
      false,
      NULL}},
    {true,
     {{"en tant que modèle|en tant qu'ia|en tant qu'intelligence artificielle|en tant qu'assistant", "je",
       "pas|aucun*"},
      {40, 40},
      false,
      NULL}},
    /* Chinese */
    {true,
     {{ZH_SPEAKER, ZH_CANNOT, "帮助|帮你|帮您|帮到|协助|满足|照做|幫助|幫你|幫您|協助|滿足"}, {40, 40}, false, NULL}},
    {false,
     {{ZH_SPEAKER, ZH_CANNOT,
       "提供|回答|回应|处理|完成|执行|生成|讨论|继续|给出|撰写|编写|透露|回應|處理|執行|討論|繼續|給出|撰寫|編寫"},
      {40, 40},
      false,
      NULL}},
    {true,
     {{"無法協助|无法协助|无法帮助您|不符合我的准则|违反了使用政策|违反我的准则|恕难从命|恕我无法"},
      {0, 0},
      false,
      NULL}},
    {true,
     {{"作为一个人工智能|作为人工智能|作为一个ai|作为一个 ai|作为ai|作为 ai|作为一个语言模型|作为语言模型|"
       "作为一个大型语言模型|作为大型语言模型|作為ai|作為一個ai|作為語言模型|作為一個語言模型|作為人工智慧",
       "我", "没有|无法|不能|不会|不具备|沒有|無法|不會"},
      {40, 30},
      false,
      NULL}},
    {true, {{ZH_SPEAKER, "帮不了|幫不了|帮不上|幫不上|无能为力|無能為力|答不了"}, {40, 40}, false, NULL}},
    /* Japanese: the verb comes before its denial */
    {true, {{"お手伝い|お応え|お答え|お受け|お力になる|お役に立", JA_CANNOT}, {40, 40}, false, NULL}},
    {false, {{JA_PARDON, "対応|提供|回答|作成|生成|支援|協力|回答|説明|実行|処理", JA_CANNOT}, {90, 90}, false, NULL}},
    {false, {{JA_PARDON, "答え|応じ|受け|手伝え|行え|教え", "られません|ません"}, {90, 90}, false, NULL}},
    {true,
     {{"お断りします|お断りいたします|お断りさせて|提供いたしかねます|対応いたしかねます|回答いたしかねます"},
      {0, 0},
      false,
      NULL}},
    {true,
     {{"aiとして|ai言語モデルとして|言語モデルとして|人工知能として|aiアシスタントとして|私はaiなので|私はaiですので",
       "は|が|を|に|も", "ません|できない|ない"},
      {60, 60},
      false,
      NULL}},
};

/* `not only`: what follows the denial is done, and more. */
static const char obs_phrase_only[] =
    "only|just|nur|bloß|lediglich|solo|sólo|solamente|seulement|uniquement|仅|只|僅|だけ";
/* A sentence that says what happens if. */
static const char obs_phrase_if[] =
    "if|when|unless|whenever|wenn|falls|sofern|si|cuando|quand|lorsque|如果|若|要是|もし|場合";
/* What may stand before the first sentence that says something. */
static const char obs_refusal_courtesy[] = "sorry|apolog*|thank*|hello|hi|dear|unfortunately|tut mir leid|es tut "
                                           "mir|entschuldig*|danke*|leider|hallo|guten tag|"
                                           "lo "
                                           "siento|gracias|hola|disculp*|lamento|désolé*|merci|bonjour|excusez*|抱歉|"
                                           "对不起|對不起|谢谢|謝謝|你好|您好|不好意思|"
                                           "申し訳|すみません|ありがとう|恐れ入り|ごめん|こんにちは";

/* ---- hedges: who speaks does not know whether it works ---- */

#define EN_DID_NOT                                                                                                     \
  "i have not|i haven't|i've not|i did not|i didn't|i could not|i couldn't|i was not|i wasn't|i cannot|i can't|"       \
  "i have no way|i had no|i have never|we have not|we haven't|we did not|we didn't|we could not|we couldn't|unable "   \
  "to|"                                                                                                                \
  "without|not been|not yet|but not|, not|; not|but haven't|but didn't|but couldn't|but have not|but did not|"         \
  "but could not|and haven't|and have not|and didn't|and did not|and couldn't|and could not"
#define EN_BARE_NOT "haven't|have not|didn't|did not|couldn't|could not|not|no way to|no chance to"
#define EN_CHECK                                                                                                       \
  "run|ran|running|test|tested|testing|verify|verified|verifying|execute|executed|executing|check|checked|checking|"   \
  "try|tried|validate|validated"
#define EN_CHECKED "run$|ran$|test$|tested$|verify$|verified$|executed$|checked$|tried$|validated$"
#define EN_WHAT                                                                                                        \
  "it|this|that|them|anything|any|the code|the script|the test|the tests|the test suite|the suite|the change|"         \
  "the changes|the result|the results|the migration|the query|the fix|whether|if|yet|here|at all|so far"
#define ES_CHECK                                                                                                       \
  "probar*|probado*|probada*|probé|ejecutar*|ejecutado*|ejecuté|verificar*|verificado*|verifiqué|comprobar*|"       \
  "comprobado*|comprobé"
#define FR_CHECK "testé*|tester|exécuté*|exécuter|vérifié*|vérifier|lancé|essayé*|validé*|valider"
#define DE_CHECK                                                                                                       \
  "getestet|ausgeführt|ausprobiert|überprüft|verifiziert|geprüft|testen|überprüfen|prüfen|laufen lassen|nachgeprüft"

/* The same of a certain part: it counts where the text gives nothing to check it by. */
static const obs_phrase_row obs_unchecked_part = {
    {EN_DID_NOT, EN_CHECK, "the|my|all|every|each"}, {24, 2}, false, NULL};

/* It says that nothing was checked. */
static const obs_phrase_row obs_unchecked[] = {
    {{EN_DID_NOT, EN_CHECK, EN_WHAT}, {24, 2}, false, NULL},
    {{EN_DID_NOT, EN_CHECKED}, {24, 24}, false, NULL},
    {{EN_BARE_NOT, EN_CHECK, EN_WHAT}, {24, 2}, true, NULL},
    {{"no tests|no test|none of the tests|nothing", "run$|executed$|performed$|tested$|verified$|checked$"},
     {24, 24},
     false,
     NULL},
    {{EN_BARE_NOT, EN_CHECKED}, {24, 24}, true, NULL},
    {{"untested$|unverified$|not tested$|not verified$|not been tested$"}, {0, 0}, false, NULL},
    {{"habe|hab|konnte|aber|leider|noch|wir haben", "nicht", DE_CHECK}, {40, 30}, false, NULL},
    {{"nicht", DE_CHECK}, {12, 12}, true, NULL},
    {{"ungetestet$|ungeprüft$|getestet habe ich|geprüft habe ich|ohne es zu testen|ohne ihn zu testen|ohne sie zu "
      "testen|"
      "ohne test$|nicht getestet$"},
     {0, 0},
     false,
     NULL},
    {{"no lo|no la|no los|no las|no he|no hemos|no pude|no pudimos|no está|no están|sin|sin haberlo|pero no", ES_CHECK},
     {20, 20},
     false,
     NULL},
    {{"je n'ai pas|j'ai pas|nous n'avons pas|pas pu|pas encore|non|mais pas|sans|sans l'avoir", FR_CHECK},
     {16, 16},
     false,
     NULL},
    {{"pas testé*"}, {0, 0}, false, NULL},
    {{"未测试|没有测试|没测试|没测过|没有测过|未经测试|没有运行|没运行|未运行|没跑过|没有跑|还没跑|未验证|没有验证|"
      "没验证|"
      "没有检查|没试过|没有试过|尚未测试|还没测试|还没有测试|未經測試|沒有測試|沒測試|沒有執行|沒有驗證|未驗證|"
      "尚未測試"},
     {0, 0},
     false,
     NULL},
    {{"未テスト|未検証|未確認|まだ試して"}, {0, 0}, false, NULL},
    {{"テスト|確認|検証|実行|動作|動か|試", "していません|してません|していない|できていません"},
     {30, 30},
     false,
     NULL},
};

typedef struct {
  const char *doubt, *works; /* together in a sentence: it is only believed to work */
  const char *guess;         /* doubt of any kind: little by itself */
} obs_phrase_hedge;

static const obs_phrase_hedge obs_hedges[] = {
    /* English */
    {"probably|presumably|hopefully|supposedly|should|might|may|ought to|i think|i believe|i guess|i assume|i suppose|"
     "i expect|i hope|in theory|theoretically|not sure|not certain|no idea|perhaps|maybe|seems|appears|looks like|"
     "fingers crossed|likely|confident|pretty sure|fairly sure|quite sure|reasonably sure",
     "work$|works$|work now|works now|work fine|works fine|work as|works as|work correctly|working$|be fixed|is fixed|"
     "fixed$|fix it|fix this|fix that|fix the|fixes it|fixes this|fixes the|solve it|solve this|solve the|solves the|"
     "resolve it|resolve this|resolve the|resolves it|resolves this|resolves the|resolved$|solved$|tests pass|pass$|"
     "passes$|compile*|it runs|run$|runs$|do the trick|does the trick|be fine|is fine|be ok|is ok|be correct|is "
     "correct|"
     "be done|is done|in place|be good|be enough|be right|is right",
     "presumably|supposedly|hopefully|i guess|i assume|i suppose|fingers crossed|no idea|i'm not sure|i am not sure"},
    /* German */
    {"vermutlich|wahrscheinlich|hoffentlich|möglicherweise|eventuell|vielleicht|ich glaube|ich denke|ich nehme an|"
     "ich vermute|ich schätze|sollte|müsste|dürfte|theoretisch|in der theorie|keine ahnung|nicht sicher|angeblich|"
     "glaube ich|denke ich|nehme ich an",
     "funktionieren|funktioniert|laufen$|läuft$|behoben|gelöst|klappen|klappt|gehen$|geht$|passen$|passt$|erledigt|"
     "stimmen$|stimmt$|in ordnung|korrekt$|durchlaufen|bestehen$|beheben|lösen",
     "vermutlich|angeblich|hoffentlich|ich glaube|ich nehme an|ich vermute|keine ahnung"},
    /* Spanish */
    {"debería|deberia|deberían|probablemente|supongo|creo que|quizás|quizá|tal vez|supuestamente|presumiblemente|"
     "espero que|en teoría|no estoy seguro|no estoy segura|posiblemente|a lo mejor|seguramente",
     "funcionar|funciona|funcione|funcionen|arreglado|arreglada|arregla|resuelto|resuelta|resuelve|solucionado|"
     "solucionada|solucionar|corregido|corregida|listo|lista$|pasan$|pasar$|bien$|correcto|correcta|compila|compile",
     "supongo|supuestamente|presumiblemente|quizás|quizá|tal vez|a lo mejor"},
    /* French */
    {"devrait|devraient|probablement|sans doute|je suppose|je pense|je crois|peut-être|normalement|en théorie|j'espère|"
     "pas sûr|pas sûre|vraisemblablement|il me semble",
     "marcher|marche|fonctionner|fonctionne|corrigé|corrigée|résolu|résolue|réparé|réparée|passer$|passent$|suffire|"
     "être bon|est bon|compiler|compile|réglé|réglée|corriger|résoudre|régler",
     "je suppose|peut-être|vraisemblablement|sans doute"},
    /* Chinese */
    {"应该|大概|估计|也许|或许|可能|我猜|我觉得|我想|恐怕|理论上|希望|應該|大概|估計|也許|或許|理論上",
     "可以用|能用|可以了|修好|修复|解决|没问题|好了|能跑|可以运行|能运行|能工作|可以工作|通过|正常|修復|解決|沒問題",
     "我猜|也许|或许|大概|估计|估計|也許|或許"},
    /* Japanese */
    {"はず|と思います|と思う|たぶん|おそらく|多分|恐らく|かもしれません|でしょう|思われます",
     "動く|動き|動作|直った|直り|修正|解決|うまくいく|うまくいき|できた|問題ない|問題あり|通る|通り|完了|大丈夫",
     "たぶん|おそらく|多分|恐らく|かもしれません"},
};

#endif
