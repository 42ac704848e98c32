/* The words that give an error its kind, by kind and language. One principle: a phrase stands here when it says what
 * went wrong by itself, in whatever sentence; words of a trade, of people and of things do not.
 *
 * Lower case, `|` between phrases. A phrase matches where a word begins and the word may go on (`authoriz`), unless it
 * ends in `$`. Chinese and Japanese ones match anywhere. `~` stands for a few words of the same sentence:
 * `token~expired`. `weak`: counts only when nothing else does. */
#ifndef OBS_DIAGNOSE_ERROR_WORDS_H
#define OBS_DIAGNOSE_ERROR_WORDS_H

#include "diagnose/error_kinds.h"

enum { OBS_ERROR_WORDS_MOST = 1024 };

typedef struct {
  obs_error_kind kind;
  bool weak;
  const char *phrases;
} obs_error_words_row;

static const obs_error_words_row obs_error_words[] = {
    {OBS_ERROR_RATE_LIMIT, false,
     "rate limit|ratelimit|too many requests|throttl|slow down|quota|requests per minute|requests per day|"
     "zu viele anfragen|anfragelimit|kontingent|"
     "demasiadas solicitudes|demasiadas peticiones|límite de solicitudes|límite de peticiones|cuota|"
     "trop de requêtes|limite de requêtes|limite de débit|"
     "请求过多|请求过于频繁|请求太频繁|请求太多|频率限制|限流|速率限制|配额|額度|請求過多|請求過於頻繁|速率限制|"
     "リクエストが多すぎ|リクエスト数が|レート制限|利用制限|割り当て|クォータ"},

    {OBS_ERROR_TIMEOUT, false,
     "timeout|time out|timed out|timedout|deadline exceeded|etimedout$|esockettimedout$|took too long|gateway time|"
     "no response within|no answer within|did not respond in time|did not respond within|did not answer within|no "
     "reply within|exceeded its time|exceeded the time|time limit "
     "exceeded|not responding|antwortet nicht|no responde|ne répond "
     "pas|无响应|未响应|没有响应|応答しません|応答がありません|"
     "zeitüberschreitung|zeitlimit|dauert~zu lange|zu lange gedauert|nicht rechtzeitig|"
     "tiempo de espera|se agotó el tiempo|tiempo agotado|demasiado tiempo|"
     "délai d'attente|délai dépassé|délai expiré|délai imparti|temps d'attente|trop de temps|"
     "超时|超時|逾时|逾時|タイムアウト|時間切れ|時間内に応答"},

    {OBS_ERROR_REFUSED, false,
     "connection~refused|connection~reset|connection~closed|connection~aborted|connection~lost|connection~terminated|"
     "connection~broken|connection~failed|connection failure|connection error|connect error|closed~connection|"
     "lost~connection|dropped~connection|lost contact|no such host|"
     "could not connect|cannot connect|can't connect|failed to connect|unable to connect|"
     "failed to establish a new connection|broken pipe|bad gateway|refused|hang up|no route|no healthy upstream|"
     "host unreachable|network unreachable|network is unreachable|unreachable|unavailable|temporarily down|"
     "temporary failure in name resolution|name not resolved|no brokers|no available server|no servers available|name "
     "or service not known|name resolution|could not resolve|dns error|"
     "dns lookup|dns resolution|dns "
     "failure|dns~failed|econnrefused$|econnreset$|econnaborted$|ehostunreach$|enetunreach$|enotfound$|eai "
     "again$|epipe$|"
     "server disconnected|peer closed|unexpected eof|premature close|network error|fetch failed|"
     "verbindung~abgelehnt|verbindung~verweigert|verbindung~getrennt|verbindung~zurückgesetzt|verbindung~abgebrochen|"
     "verbindung~unterbrochen|verbindung~verloren|verbindung~fehlgeschlagen|verbindungsfehler|keine verbindung|nicht "
     "erreichbar|nicht "
     "verfügbar|unerreichbar|"
     "conexión~rechazada|conexión~cerrada|conexión~perdida|conexión~restablecida|perdió~conexión|error de conexión|"
     "no se pudo~conectar|no disponible|no está disponible|inalcanzable|"
     "connexion~refusée|connexion~fermée|connexion~perdue|connexion~réinitialisée|connexion~interrompue|erreur de "
     "connexion|"
     "impossible de se connecter|indisponible|injoignable|inaccessible|"
     "连接~拒绝|连接~重置|连接~失败|连接~断开|连接~关闭|无法连接|连接错误|服务不可用|网络错误|网络不可达|連線被拒|"
     "無法連線|"
     "連線失敗|服務無法使用|"
     "接続~拒否|接続でき|接続に失敗|接続~リセット|接続~切断|接続エラー|利用できません|"
     "到達できません"},

    {OBS_ERROR_AUTH, false,
     "access denied|authentic|authoriz|authoris|api key|apikey|credential|certificate|denied|eacces$|eperm$|forbidden|"
     "insufficient permission|insufficient privilege|insufficient scope|not authorized|not permitted|not allowed|"
     "permission|token~expired|token~revoked|session~expired|jwt expired|expired~token|invalid token|invalid grant|"
     "invalid x api key|unauthor|unauthenticated|login required|log in first|not logged in|not have access|no access "
     "to|bad cert|cert date|cert authority|"
     "wrong password|incorrect password|invalid password|password~incorrect|password~wrong|bad credentials|invalid "
     "signature|"
     "zugriff~verweigert|kein zugriff|nicht berechtigt|berechtigung|keine~rechte|anmeldung~fehlgeschlagen|nicht "
     "angemeldet|"
     "falsches passwort|passwort~falsch|zertifikat|zugangsdaten|"
     "acceso denegado|no autorizado|permiso|credencial|contraseña|certificado|autenticación|prohibido|"
     "accès refusé|accès interdit|non autorisé|droits insuffisants|pas les droits|mot de passe|certificat|identifiants|"
     "authentification|"
     "权限|未授权|访问被拒|拒绝访问|认证失败|身份验证|密码错误|证书|禁止访问|權限|未授權|存取被拒|拒絕存取|驗證失敗|"
     "アクセスが拒否|アクセス拒否|権限|認証|アクセス権|証明書|許可されて|パスワード|ログインが必要|ログインして"},

    {OBS_ERROR_RESOURCE, false,
     "out of memory|outofmemory|cannot allocate|could not allocate|unable to allocate|failed to allocate|allocation "
     "failed|not allowed when used memory|bad alloc|not enough~memory|not "
     "enough~space|memoryerror|memory limit|oom$|enomem$|enospc$|"
     "emfile$|enfile$|edquot$|disk full|disk is full|file system full|filesystem full|low on resource|evicted|disk "
     "quota|out of disk|no space|exhausted|overload|capacity|"
     "insufficient|too many open|too many clients|too many connections|too many sessions|too many processes|"
     "too many threads|too many files|too many concurrent|connection slots|max clients reached|pool exhausted|"
     "queuepool limit|pool limit|pool is full|queue is full|queue full|buffer full|"
     "context length|context window|context size|maximum context|too many tokens|too large for "
     "model|exceeds~context|prompt is too long|input is too long|"
     "prompt too long|token limit|maximum tokens|database is locked|database table is locked|table is locked|"
     "sqlite busy|resource busy|resource temporarily unavailable|is locked|lock contention|deadlock|"
     "could not obtain~lock|could not acquire~lock|failed to acquire~lock|failed to obtain~lock|lock~held|holding~lock|"
     "could not serialize access|"
     "already allocated|already in use|eaddrinuse$|ebusy$|credit balance|credits exhausted|no credits|out of credits|"
     "billing|payment required|"
     "kein speicher|speicherplatz|speicher~nicht aus|arbeitsspeicher|nicht genügend|nicht genug speicher|speicher "
     "voll|festplatte voll|überlastet|"
     "zu viele verbindungen|zu viele clients|zu viele offene|gesperrt|bereits belegt|verklemmung|kontext zu lang|"
     "kontextlänge|"
     "sin memoria|memoria insuficiente|memoria agotada|sin espacio|espacio en disco|queda espacio|espacio "
     "insuficiente|disco "
     "lleno|sobrecarg|"
     "demasiadas conexiones|demasiados clientes|demasiados archivos|bloqueada|bloqueado|interbloqueo|"
     "recursos insuficientes|longitud del contexto|"
     "mémoire insuffisante|plus de mémoire|espace~insuffisant|plus d'espace|disque plein|surcharg|"
     "trop de connexions|trop de clients|trop de fichiers|verrouillée|verrouillé|interblocage|"
     "ressources insuffisantes|longueur du contexte|"
     "内存~不足|内存溢出|显存~不足|空间~不足|磁盘~满|资源~不足|资源耗尽|过载|连接数过多|连接过多|被锁定|已锁定|死锁|"
     "超出上下文|"
     "上下文长度|余额不足|記憶體不足|空間不足|磁碟已滿|鎖定|"
     "メモリ~不足|容量~不足|空き容量|ディスクがいっぱい|過負荷|接続数が|ロックされ|デッドロック|"
     "リソース不足|コンテキスト長|残高不足"},

    {OBS_ERROR_CRASH, false,
     "crash|core dump|segmentation|segfault|sigsegv$|sigkill$|sigabrt$|sigbus$|signal 6$|signal 9$|signal "
     "11$|killed$|panic|null pointer|nullpointer|"
     "nil pointer|stack overflow|double free|use after free|heap corruption|bus error|illegal instruction|"
     "terminated unexpectedly|exited unexpectedly|quit unexpectedly|unexpectedly terminated|back off "
     "restarting|restarting failed container|typeerror|attributeerror|indexerror|nameerror|zerodivisionerror|"
     "referenceerror|rangeerror|recursionerror|unboundlocalerror|assertionerror|assertion failed|"
     "classcastexception|illegalstateexception|indexoutofbounds|index out of range|division by zero|divide by zero|"
     "speicherzugriffsfehler|abgestürzt|absturz|"
     "violación de segmento|terminó inesperadamente|se ha bloqueado|fallo de segmentación|"
     "erreur de segmentation|planté$|plantage|"
     "段错误|异常退出|异常终止|崩溃|空指针|クラッシュ|異常終了|強制終了|セグメンテーション"},
    /* That it failed; a reason that stands beside it says more. */
    {OBS_ERROR_REFUSED, true, "handshake~failed|handshake failure"},

    {OBS_ERROR_CRASH, true,
     "fatal|abort|assert|unhandled|uncaught|stack trace|internal server error|internal error|server error|"
     "unexpected error|"
     "interner serverfehler|interner fehler|"
     "error interno|"
     "erreur interne|"
     "内部错误|服务器错误|內部錯誤|伺服器錯誤|内部サーバー|内部エラー|サーバーエラー"},

    {OBS_ERROR_NOT_FOUND, false,
     "not found|notfound|not~found|cannot find|can't find|could not find|couldn't find|no such|does not exist or you "
     "do not have access|does not exist|doesn't "
     "exist|do not exist|did not exist|not exist|enoent$|"
     "unknown tool|unknown function|unknown method|unknown command|unknown model|unknown host|unknown user|"
     "unknown table|unknown column|unknown database|unknown resource|unknown id|unrecognized tool|unrecognized command|"
     "no module named|no tool named|no function named|tool~not available|tool~unknown|function~unknown|not "
     "registered|nonexistent|non existent|"
     "undefined table|undefined column|undefined function|undefined symbol|undefined reference|keyerror|is not defined|"
     "nicht~gefunden|kein~gefunden|existiert nicht|nicht vorhanden|unbekanntes werkzeug|werkzeug~unbekannt|unbekannte "
     "funktion|unbekannter befehl|"
     "unbekanntes modell|"
     "no encontrad|no existe|no se encontró|no se encuentra|no se ha encontrado|herramienta desconocida|"
     "función desconocida|"
     "introuvable|n'existe pas|non trouvé|pas~trouvé|aucun~trouvé|inexistant|outil inconnu|fonction inconnue|"
     "找不到|未找到|不存在|没有找到|未知工具|未知的工具|沒有找到|未知函数|"
     "見つかりません|見つからない|存在しません|存在しない|不明なツール|未知のツール"},

    {OBS_ERROR_VALIDATION, false,
     "invalid|malformed|illegal|missing|must be|must not|must have|mismatch|schema|validat|violat|required|bad request|"
     "syntax error|syntaxerror|parse error|parsing error|cannot parse|could not parse|couldn't parse|failed to parse|"
     "unable to parse|unparsable|jsondecodeerror|expecting|unexpected token|unexpected end|unexpected character|"
     "unexpected field|unexpected keyword|unknown field|unknown parameter|unknown argument|unrecognized argument|"
     "type error|format error|valueerror|unprocessable|unsupported|not supported|too large|entity too large|"
     "duplicate key|already exists|out of bounds|not a valid|is not valid|bad input|wrong format|incorrect format|out "
     "of~range|properties are not allowed|"
     "ungültig|fehlerhafte eingabe|falsches format|feld~fehlt|syntaxfehler|erforderlich|pflichtfeld|fehlendes "
     "feld|unzulässig|"
     "nicht unterstützt|bereits vorhanden|"
     "no válid|inválid|formato~incorrecto|formato~erróneo|obligatori|requerido|falta el campo|falta el parámetro|error "
     "de sintaxis|no admitido|"
     "no soportado|ya existe|"
     "invalide|non valide|obligatoire|requis|champ manquant|format~incorrect|paramètre manquant|erreur de syntaxe|non "
     "pris en charge|"
     "existe déjà|"
     "无效|不合法|非法参数|参数错误|格式错误|缺少|必填|语法错误|不支持|已存在|無效|格式錯誤|缺少|不支援|"
     "無効|不正|必須|形式~正しく|構文エラー|対応していません|サポートされていません|既に存在"},
};

#endif
