"""Words of other languages as the English ones that the extractors read, and other people's notations as the usual one.

Only words of this trade and the small words around numbers are here: a text is not translated, its fields are.
"""

import re
from collections.abc import Callable
from functools import cache, partial

from agent.understand.phrases import GPU, in_our_order

_WORDS: dict[str, str] = {
    # comparing
    "takes": r"(?:pode|puede|può|peut|darf)\s+(?:demorar|levar|tardar|durar|richiedere|prendre|durer|dauern)",
    "under": r"(?:no|como|al|au|en\s+el)\s+m[áa](?:xim|ssim)(?:o|um)|au\s+maximum|maksymaln\w+|maximalt|maksimalt|en\s+fazla|najvýše|tối\s+đa|maksimal|enintään|menos\s+que|poniżej|pod(?=\s+\d)|altında|kurang\s+dari|dưới|менше|av\s+högst|högst|lavere\s+enn|hasta(?=\s+\d)|até(?=\s+\d)|em\s+até|bis\s+zu(?=\s+\d)|jusqu'[àa](?=\s+\d)|unter|unterhalb(?:\s+von)?|weniger\s+als|kleiner\s+als|höchstens|maximal|inf[ée]rieure?s?\s+[àa]|(?<!le )moins\s+de|au\s+plus|menor(?:es)?\s+(?:de|que|a)|"
    r"(?<!lo )menos\s+de|por\s+debajo\s+de|inferior(?:e|es)?\s+(?:a|ai)|meno\s+di|sotto(?:\s+(?:i|gli|il)\b)?|abaixo\s+de|onder|minder\s+dan|maximaal|小于|低于|不超过|少于|"
    r"以内に?収?|未満|以下|이하|미만|do\s+najwyżej|poniżej|mniej\s+niż|не\s+более|меньше|до(?=\s+\d)",
    "at least": r"mindestens|au\s+moins|al\s+menos|por\s+lo\s+menos|almeno|pelo\s+menos|minstens|至少|少なくとも|최소(?!화|의|한|\s*지연|\s*gpu)(?=\s*\d)",
    "about": r"ok\.(?=\s*\d)|około|oko[łl]o|yaklaşık|env\.|aprox\.|ungef\.|ungefähr|etwa|circa|ca\.|environ|unos|alrededor\s+de|aproximadamente|intorno\s+a|cerca\s+de|ongeveer|大约|大概|约|約|около|roughly|approximately",
    # traffic
    "in ": r"(?:in|en|de|d'|na|no)\s+(?:ingresso|entr[ée]e|entrada)",
    "out ": r"(?:in|en|de|na|no)\s+(?:uscita|sortie|salida|sa[íi]da)",
    "context": r"kontext(?:e|länge)?|contextes?|contextos?|contest[oi]|上下文|コンテキスト|контекст",
    "no, sorry, ": r"(?:no[, ]+)?scus(?:a|ate|ami)(?:mi)?\s*,|(?:no[, ]+)?perd[óo]n\s*,|(?:não[, ]+)?desculp[ae]m?\s*,|(?:nein[, ]+)?entschuldigung\s*,|(?:non[, ]+)?pardon\s*,|przepraszam\s*,|извините\s*,",
    "transcripts": r"transcripci[óo]n(?:es)?|transcriç(?:ão|ões)|trascrizion[ei]|transkript(?:e|en|i|ów)?|транскрипт\w*|transkripsiyon\w*|文字起こし|녹취록",
    "answers": r"応答(?=\s*(?:は|が|も)?\s*(?:約|平均|최대)?\s*\d)|応答文|odpowied(?:ź|zi)|antworten|antwort(?:länge)?|réponses?|respuestas?|rispost[ae]|respostas?|antwoorden|回答|回复|回答文|ответ(?:ы|ов)?",
    "prompt": r"プロンプト|프롬프트|提示词|giriş\w*|girdi\w*|vstup\w*|indata|inndata|masukan|đầu\s+vào|вхід\w*|syöte\w*|bemenet\w*|eingabe|eingaben?|invites?(?=\s+(?:de|d'|:))|eingabelänge|prompts?länge|invoer|eingehend|entr[ée]es?|entradas?|ingresso|输入|入力|입력|вход(?:ных|е)?|wejści[ae]",
    "output": r"生成(?:は|が|长度|長)?(?=\s*[:：]?\s*(?:约|約|大约|平均)?\s*\d)|çıkış\w*|çıktı\w*|výstup\w*|utdata|uddata|keluaran|đầu\s+ra|вихід\w*|kimenet\w*|ausgaben?|ausgabelänge|uitvoer|sorties?|salidas?|uscita|sa[íi]das?|输出|出力|출력|выход(?:ных|е)?|wyjści[ae]",
    "in": r"进(?=\s*[,，/、0-9]|$)|rein|hinein|erin",
    "out": r"出(?=\s*[,，/、0-9]|$)|raus|heraus|uit|eruit",
    "tokens": r"token(?:er|ů|y|e|i|ler|ов)|токен(?:ів|и)|jetonů|jetons?|fichas|词元|トークン|토큰|токен(?:ов|а|ы)?|tokenów|tokeny",
    "requests per minute": r"(?:anfragen|aufrufen?|requests|prompts|abfragen|nachrichten|dokumente)\s+(?:pro|je|in\s+der)\s+minute|(?:requ[êe]tes?|appels|questions|demandes|messages|documents)\s*(?:par|/|à\s+la)\s*minute|(?:peticiones|solicitudes|consultas|llamadas|preguntas|mensajes|documentos|requests)\s+(?:por|al)\s+minuto|(?:requisições|pedidos|consultas|chamadas|perguntas|mensagens|documentos|requests)\s+por\s+minuto|(?:richieste|chiamate|domande|query|messaggi|documenti)\s+al\s+minuto|(?:verzoeken|aanvragen|vragen|requests|berichten|documenten)\s+per\s+minuut|anfragen\s+(?:pro|je)\s+minute|requ[êe]tes?\s+(?:par|/)\s+minute|(?:peticiones|solicitudes)\s+por\s+minuto|(?:requisições|pedidos)\s+por\s+minuto|richieste\s+al\s+minuto|запрос(?:ов|а)\s+в\s+минуту",
    "requests per hour": r"(?:anfragen|aufrufen?|requests|prompts|abfragen|nachrichten|dokumente)\s+(?:pro|je|in\s+der)\s+stunde|(?:requ[êe]tes?|appels|questions|demandes|messages|documents)\s*(?:par\s+|/\s*|à\s+l')heure|(?:peticiones|solicitudes|consultas|llamadas|preguntas|mensajes|documentos|requests)\s+(?:por|a\s+la)\s+hora|(?:requisições|pedidos|consultas|chamadas|perguntas|mensagens|documentos|requests)\s+por\s+hora|(?:richieste|chiamate|domande|query|messaggi|documenti)\s+(?:all'|per\s+)ora|(?:verzoeken|aanvragen|vragen|requests|berichten|documenten)\s+per\s+uur|anfragen\s+(?:pro|je|in\s+der)\s+stunde|requ[êe]tes?\s+(?:par|/|à\s+l')\s*heure|(?:peticiones|solicitudes|consultas)\s+(?:por|a\s+la)\s+hora|(?:requisições|pedidos)\s+por\s+hora|richieste\s+(?:all'|per)\s*ora|verzoeken\s+per\s+uur|запрос(?:ов|а)\s+в\s+час|zapytań\s+na\s+godzinę",
    "requests per day": r"(?:anfragen|aufrufen?|requests|prompts|abfragen|nachrichten|dokumente)\s+(?:pro|je|am)\s+tag|(?:requ[êe]tes?|appels|questions|demandes|messages|documents)\s*(?:par|/)\s*jour|(?:peticiones|solicitudes|consultas|llamadas|preguntas|mensajes|documentos|requests)\s+(?:por|al)\s+d[íi]a|(?:requisições|pedidos|consultas|chamadas|perguntas|mensagens|documentos|requests)\s+por\s+dia|(?:richieste|chiamate|domande|query|messaggi|documenti)\s+al\s+giorno|(?:verzoeken|aanvragen|vragen|requests|berichten|documenten)\s+per\s+dag|anfragen\s+(?:pro|je|am)\s+tag|requ[êe]tes?\s+(?:par|/)\s*jour|(?:peticiones|solicitudes|consultas)\s+(?:por|al)\s+d[íi]a|(?:requisições|pedidos)\s+por\s+dia|richieste\s+al\s+giorno|verzoeken\s+per\s+dag|запрос(?:ов|а)\s+в\s+(?:день|сутки)|zapytań\s+dziennie",
    "requests per second": r"(?:anfragen|aufrufen?|requests|prompts|abfragen|nachrichten|dokumente)\s+(?:pro|je|in\s+der)\s+sekunde|(?:requ[êe]tes?|appels|questions|demandes|messages|documents)\s*(?:par|/|à\s+la)\s*seconde|(?:peticiones|solicitudes|consultas|llamadas|preguntas|mensajes|documentos|requests)\s+(?:por|al)\s+segundo|(?:requisições|pedidos|consultas|chamadas|perguntas|mensagens|documentos|requests)\s+por\s+segundo|(?:richieste|chiamate|domande|query|messaggi|documenti)\s+al\s+secondo|(?:verzoeken|aanvragen|vragen|requests|berichten|documenten)\s+per\s+seconde|anfragen\s+(?:pro|je)\s+sekunde|requ[êe]tes?\s+(?:par|/)\s+seconde|(?:peticiones|solicitudes)\s+por\s+segundo|richieste\s+al\s+secondo|"
    r"(?:requisições|pedidos)\s+por\s+segundo|verzoeken\s+per\s+seconde|请求/秒|个?请求每秒|リクエスト/秒|запрос(?:ов|а)\s+в\s+секунду",
    "concurrent users": r"eşzamanlı\s+(?:kullanıcı|istek)\w*|souběžn\w+\s+(?:uživatel\w*|požadavk\w*)|(?:równoczesnych|jednoczesnych|współbieżnych)\s+(?:użytkowników|zapytań)|samtidig[ae]?\s+(?:användare|brugere|brukere|förfrågningar)|pengguna\s+(?:bersamaan|serentak|simultan)|người\s+dùng\s+(?:đồng\s+thời|cùng\s+lúc)|одночасних\s+(?:користувачів|запитів)|одновременных\s+запросов|gelijktijdige\s+(?:requests|aanvragen|verzoeken)|samanaikais\w+\s+käyttäj\w+|egyidejű\s+felhasználó\w*|utilizatori\s+simultani|utilizadores\s+(?:simult[âa]neos|em\s+simult[âa]neo)|requisições\s+simult[âa]neas|richieste\s+(?:simultanee|contemporanee)|مستخدم(?:ًا)?\s+متزامن(?:ًا)?|समवर्ती\s+उपयोगकर्ता|gleichzeitige[nr]?\s+(?:nutzer|benutzer|anfragen|user)n?|parallele[nr]?\s+(?:nutzer|anfragen)n?|utilisateurs?\s+(?:simultan[ée]e?s?|concurrents?)|"
    r"requ[êe]tes?\s+simultan[ée]es|usuarios\s+(?:concurrentes|simult[áa]neos)|(?:peticiones|solicitudes)\s+simult[áa]neas|utenti\s+(?:simultanei|concorrenti|contemporanei)|"
    r"usu[áa]rios\s+simult[âa]neos|gelijktijdige\s+gebruikers|个?并发(?:用户|请求)|个?同时(?:在线)?用户|同時ユーザー|одновременных\s+пользователей|동시\s*사용자",
    "concurrency": r"同时(?:处理|进行|在线|运行)的?(?:请求|会话|用户)(?:数|量|数量)?|(?:請求|请求)(?:的)?并发(?:数|量)?|nebenläufigkeit|gleichzeitigkeit|concurrence|concurrencia|concorr[êe]ncia|并发(?:数|量)?|同時(?:実行数?|接続数?|リクエスト数?)?|동시\s*(?:요청|접속|처리)?(?:\s*수)?",
    "users": r"kullanıcı\w*|uživatel\w*|użytkownik\w*|användare|brugere|brukere|pengguna|người\s+dùng|користувач\w*|käyttäj\w+|felhasználó\w*|utilizadores|(?:be)?nutzern?|anwendern?|utilisat(?:eurs?|rices)|usuari[oa]s?|utenti|usu[áa]rios?|用户|ユーザー|사용자|пользовател(?:ей|я|и|ям)",
    "people": r"(?:ko)?llegen|kolleg(?:en|innen)|collègues|colegas|colleghi|人員|名(?=\s*[同で])|osób|lidí|kişi|personer|orang|usuários|personnes|personas|persone|pessoas|personen|leute|mitarbeiter(?:n|innen)?|employés|empleados|человек",
    "at once": r"同時(?:に)?(?:接続|利用)?(?=\s*\d)|samtidigt|samtidig|tegelijk(?:ertijd)?|aynı\s+anda|současně|jednocześnie|równocześnie|одночасно|en\s+simultané|de\s+forma\s+simultánea|simultáneamente|zur\s+selben\s+zeit|zugleich|все\s+сразу|вместе|gleichzeitig|zur\s+gleichen\s+zeit|en\s+parall[èe]le|en\s+m[êe]me\s+temps|simultan[ée]ment|a\s+la\s+vez|al\s+mismo\s+tiempo|simult[áa]neamente|en\s+paralelo|"
    r"contemporaneamente|in\s+parallelo|allo\s+stesso\s+tempo|ao\s+mesmo\s+tempo|em\s+paralelo|одновременно|параллельно|同时(?:在线|使用)|동시에",
    "requests": r"anfragen|requ[êe]tes|peticiones|solicitudes|richieste|requisições|запрос(?:ы|ов|а)",
    "hits": r"aciertos?|acertos?|treffern?",
    "replicas": r"副本|レプリカ|레플리카|복제본|replik[ai]?(?=\s)|instan(?:zen|cje|cji)|instâncias|r[ée]pliques?|réplicas|repliche|repliken|replikate?n?",
    "how few": r"wie\s+wenige?",
    "are": r"sind|sont|sono|são",
    "long": r"lang(?=\s*[,.;]|$)",
    # latency
    "first token": r"antwortbeginn|beginn\s+der\s+antwort(?:en)?|(?:la\s+)?(?:respuesta|r[ée]ponse|resposta|risposta)\s+(?:debe|doit|deve)\s+(?:empezar|comenzar|commencer|d[ée]marrer|come[çc]ar|iniziare)|answers\s+(?:debe|doit|deve)\s+(?:empezar|comenzar|commencer|d[ée]marrer|come[çc]ar|iniziare)|första\s+token|første\s+token|první\s+token|ilk\s+token|token\s+pertama|ensimmäinen\s+token|answers\s+(?:soll(?:en)?|muss|müssen)\s+(?:beginnen|starten)|(?:(?:das|dem|der|le|el|il|o|het)\s+)?(?:erste[nsmr]?|premier|primer|primo|primeiro|eerste|pierwszy|первый|первого|最初の|第一个|首个?|첫(?:\s*번째)?)\s*(?:tokens?|jetons?|トークン|토큰|词元|токен(?:а|ов)?)",
    "between tokens": r"(?:zwischen\s+(?:den\s+|zwei\s+)?tokens?|entre\s+(?:les\s+|deux\s+|los\s+|dos\s+|os\s+|dois\s+)?(?:jetons?|tokens?)|tra\s+(?:i\s+|due\s+)?tokens?|tussen\s+(?:de\s+)?tokens?|(?:token|词元)(?:之)?间(?:的?(?:延迟|间隔))?|トークン間|토큰\s*(?:간|사이))",
    "within": r"inom|innen(?:for)?|w\s+ciągu|do\s+(?=\d+\s*(?:ms|s))|içinde|nach\s+(?:spätestens|höchstens|maximal)|au\s+bout\s+de|trong|innerhalb(?:\s+von)?|binnen|en\s+moins\s+d(?:e(?:\s+une?)?|(?='))|en\s+menos\s+de|em\s+menos\s+de|entro|dentro\s+de",
    "one second": r"(?:einer|une|un|una|uma|eine)\s+(?:sekunde|seconde|segundo|secondo)",
    "time to first token": r"czasu?\s+do\s+pierwszego\s+tokena?|время\s+до\s+первого\s+токена|ilk\s+token(?:a\s+kadar(?:\s+geçen)?)?\s+süre\w*|tid\s+till\s+första\s+token|(?:antwort)?zeit\s+(?:bis\s+zum\s+|des\s+)ersten\s+tokens?|erste[sn]?\s+token|(?:temps|d[ée]lai|latence)\s+(?:jusqu'au|du|avant\s+le|au)\s+premier\s+(?:jeton|tokens?)|premier\s+jeton|"
    r"tiempo\s+(?:hasta\s+el|al|del)\s+primer\s+token|primer\s+token|tempo\s+(?:al|fino\s+al|para\s+o|até\s+o)\s+primo?(?:eiro)?\s+token|primeiro\s+token|"
    r"tijd\s+tot\s+(?:het\s+)?eerste\s+token|首(?:个)?\s*token(?:延迟|时间)?|首字延迟|最初のトークン(?:まで)?",
    "per user": r"na\s+(?:każdego\s+)?użytkownika|kullanıcı\s+başına|(?:pro|je)\s+users|par\s+users?|par\s+utilisateur|por\s+users|per\s+utente|на\s+(?:users|пользователя|каждого\s+пользователя)|每(?:个|位)?\s*users|ユーザー(?:あたり|ごと)|users\s*(?:あたり|ごと|당)",
    "per second": r"na\s+sekundę|(?:pro|je)\s+sekunde|par\s+seconde|por\s+segundo|al\s+secondo|в\s+секунду|每秒(?=\s*$|\s*[,，。、])",
    "per token": r"na\s+token(?:a)?|per\s+token|token\s+başına|(?:pro|je)\s+tokens?|par\s+tokens?|por\s+tokens?|на\s+tokens?|tokens?\s*(?:당|あたり|ごと)|(?:al|per)\s+ogni\s+token|每\s*个?\s*(?:输出|output|生成|解码|decode)?\s*(?:的)?\s*(?:tokens?|词元)",
    "milliseconds": r"millisekunden|millisecondes?|milisegundos?|millisecondi|毫秒|ミリ秒|миллисекунд",
    "seconds": r"sekunden?|secondes?|segundos?|secondi|seconden|秒|초|секунд[ыа]?",
    "quantized": r"量子化|量化|양자화",
    "prefix cache hit rate": r"前缀\s*缓存\s*的?\s*命中率|前缀(?:缓存)?的?命中率|プレフィックス(?:キャッシュ)?の?ヒット率|프리픽스\s*캐시\s*(?:적중률|히트율)",
    "kv cache": r"kv\s*(?:缓存|キャッシュ|캐시)|kv[- ]кэш\w{0,2}|кэш\w{0,2}\s+kv",
    # objective
    "lowest latency": r"(?:schnellste|schnelle|kurze|rasche)[rnms]?\s+answers|answers\s+(?:les?\s+plus\s+|la\s+plus\s+)?(?:rapides?|courtes?)|answers\s+(?:lo\s+)?(?:m[áa]s\s+|mais\s+|più\s+|il\s+più\s+)?(?:r[áa]pid[ae]s?|veloc[ei])(?!\s+que)|(?:snelste|snelle)\s+answers|(?:najszybsz|szybk)\w+\s+answers|(?:быстр|самы)\w+\s+(?:быстры\w+\s+)?answers|schnellste[rnms]?\s+antwort(?:en)?|réponses?\s+(?:les?|la)\s+plus\s+rapides?|respuestas?\s+(?:lo\s+)?más\s+rápidas?|rispost[ae]\s+(?:il\s+|la\s+)?più\s+(?:rapid[ae]|veloc[ei])|respostas?\s+mais\s+rápidas?|snelste\s+antwoord\w*|najszybsz\w+\s+odpowied\w+|en\s+hızlı\s+(?:cevap|yanıt)\w*|самы\w+\s+быстры\w+\s+ответ\w*|(?:kurze|schnelle)[rnms]?\s+(?:antwort(?:zeit)?(?:en)?|reaktionszeit\w*|latenz\w*)|(?:des\s+)?(?:temps\s+de\s+)?réponses?\s+(?:rapides?|courts?)|respuestas?\s+rápidas?|respostas?\s+rápidas?|risposte?\s+(?:rapid[ae]|veloc[ei])|snelle\s+antwoorden|szybki\w*\s+odpowied\w+|hızlı\s+(?:yanıt|cevap)\w*|быстры\w+\s+ответ\w*|快速响应|素早い応答|빠른\s*응답(?:\s*속도)?|(?:qu['’]|que\s+)(?:ça|cela|il|elle)\s+réponde\s+(?:très\s+)?vite|(?:尽量|尽可能|希望)?\s*(?:降低|减少|缩短)\s*(?:延迟|时延)|(?:レイテンシー?|遅延)\s*を?\s*(?:最小|できるだけ小さ|抑え)[぀-ヿ一-鿿]{0,6}|지연\s*시간을?\s*(?:최소화|줄)\w*|(?:zo|så|tak)\s+(?:laag|låg|lav)\s+(?:als\s+)?mogelijke?\s+(?:latency|latentie)|so\s+(?:niedrig|gering)\s+wie\s+möglich\w*\s+latenz|möglichst\s+(?:niedrige|geringe|kleine|kurze)[rnms]?\s+(?:latenz|antwortzeit)\w*|latency\s+zo\s+laag\s+mogelijk|en\s+düşük\s+gecikme|co\s+nejnižší\s+(?:latence|zpoždění)|jak\s+najniższ\w+\s+opóźnieni\w+|lägsta\s+(?:möjliga\s+)?latens|latencia\s+lo\s+m[áa]s\s+baja\s+posible|尽(?:可能|量)(?:低|小)(?:的)?(?:延迟|时延)|延迟(?:要)?(?:尽(?:可能|量))?(?:低|小)|响应(?:要)?(?:最)?快|(?:niedrige|geringe|kleine)[rnms]?\s+latenz|latence\s+(?:basse|faible|r[ée]duite)|(?:basse|faible)\s+latence|latencia\s+baja|baja\s+latencia|lat[êe]ncia\s+baixa|baixa\s+lat[êe]ncia|latenza\s+bassa|bassa\s+latenza|(?:niedrigste|geringste|kleinste|minimale)[rnms]?\s+latenz|latence\s+(?:minimale|la\s+plus\s+(?:basse|faible))|la\s+plus\s+(?:basse|faible)\s+latence|"
    r"(?:m[íi]nima|menor)\s+lat[êe]ncia|(?:m[íi]nima|menor)\s+latencia|lat[êe]ncia\s+(?:m[íi]nima|mais\s+baixa(?:\s+poss[íi]vel)?)|latencia\s+(?:m[íi]nima|m[áa]s\s+baja(?:\s+posible)?)|"
    r"latenza\s+(?:minima|pi[ùu]\s+bassa(?:\s+possibile)?)|laagste\s+latentie|最低延迟|延迟(?:最低|最小)|最低时延|(?:できるだけ)?低(?:い)?レイテンシー?(?:重視)?|(?:低|最低)遅延|низк(?:ая|ой|ую)\s+задержк(?:а|ой|у)|задержка\s+(?:минимальна\w*|как\s+можно\s+ниже)|최저\s*지연(?:\s*시간)?|최소\s*지연(?:\s*시간)?|지연\s*시간\s*최소화?|낮은\s*지연(?:\s*시간)?|lat[êe]nci?a\s+(?:minimale|plus\s+basse)|najniższ[ae]\s+opóźnieni[ae]|延迟最低|最小延迟|最低レイテンシ|минимальная\s+задержка",
    "latency first": r"(?:응답\s*속도|응답\s*시간)(?:이|가|은|는|을|를)?\s*(?:가장|제일|최우선)\s*\w*|(?:応答速度|応答時間|レスポンス)(?:を|が|は)?\s*(?:最優先|重視|最も重要)[぀-ヿ一-鿿]{0,6}|响应(?:速度|时间)(?:最|优先|第一)[一-鿿]{0,4}",
    "highest throughput": r"le\s+plus\s+de\s+d[ée]bit\s+possible|吞吐(?:量)?(?:尽可能|尽量)?(?:最大化|越高越好|越大越好|拉满)|(?:スループット|処理量|処理能力)\s*を\s*(?:最大|できるだけ)[぀-ヿ一-鿿]{0,6}|처리량을?\s*(?:최대화|극대화)\w*|en\s+yüksek\s+verim\w*|co\s+nejvyšší\s+propustnost|hög(?:sta)?\s+(?:möjliga\s+)?genomströmning|möglichst\s+(?:hoher|viel)\s+durchsatz|so\s+viel\s+durchsatz\s+wie\s+möglich|吞吐(?:量)?(?:为主|第一)|スループット(?:を)?(?:最大化|最優先)|처리량(?:을)?\s*(?:최대로|극대화)|(?:höchste|maximale|größte|bester)[rnms]?\s+durchsatz|d[ée]bit\s+(?:maximal|maximum)|(?:le\s+)?meilleur\s+d[ée]bit|m[áa]ximo\s+rendimiento|m[áa]xima\s+(?:tasa|velocidad)|"
    r"throughput\s+(?:massimo|m[áa]ximo)|m[áa]xima\s+vaz[ãa]o|hoogste\s+doorvoer|最大吞吐量?|吞吐(?:量)?(?:要)?(?:最大|最高|优先)|最大スループット|최대\s*처리량|처리량\s*(?:최대화?|우선)|maior\s+vaz[ãa]o(?:\s+poss[íi]vel)?|mayor\s+rendimiento(?:\s+posible)?|massima?\s+throughput|maksymalna\s+przepustowość|吞吐量最大|最高吞吐量?|スループット(?:最大|重視)|максимальная\s+пропускная\s+способность",
    "lowest cost": r"尽量\s*省\s*(?:gpu|卡|显卡)|(?:尽量|尽可能)\s*(?:少用|少使用|用少)\s*(?:的|点)?\s*(?:gpu|显卡|卡)|gpu\s*(?:数|枚数|台数)?\s*(?:を|が|は)?\s*(?:最小|最少|できるだけ少な)[぀-ヿ一-鿿]{0,6}|gpu\s*(?:수를?|개수를?)?\s*(?:최소화|최소로|적게)\w*|co[ûu]ts?\s+(?:le|les)\s+plus\s+bas(?:\s+possibles?)?|cost[eo]\s+(?:lo\s+)?m[áa]s\s+bajo(?:\s+posible)?|cost[oe]\s+(?:il\s+)?pi[ùu]\s+basso|najniższy\s+koszt|lägsta\s+kostnad|en\s+düşük\s+maliyet|最低成本|成本(?:优先|最小)|コスト(?:を)?(?:最小|重視)\w*|비용\s*최소화?|cost[oe]\s+(?:(?:debe|deve|dovrebbe)\s+(?:ser|essere)\s+(?:el\s+|il\s+|o\s+)?)?m[íi]nim[oa]|m[íi]nimo\s+cost[oe]|co[ûu]ts?\s+minim(?:al|um|aux)|(?:minimale|geringste|niedrigste)\s+kosten|(?:so\s+|möglichst\s+|am\s+)(?:günstig|billig)(?:sten)?(?:\s+wie\s+möglich)?|günstigste[nrs]?|billigste[nrs]?|kostengünstigste?[nrs]?|le\s+moins\s+cher|au\s+moindre\s+co[ûu]t|"
    r"lo\s+m[áa]s\s+barato(?:\s+posible)?|(?:al\s+)?menor\s+cost[eo]|il\s+pi[ùu]\s+economico|o\s+mais\s+barato(?:\s+poss[íi]vel)?|zo\s+goedkoop\s+mogelijk|goedkoopste?|"
    r"成本最低|最便宜|最少的?\s*(?:gpu|卡|显卡)|最安|(?:o\s+)?menos\s+gpus?(?:\s+poss[íi]ve(?:l|is)|\s+posibles?)?|(?:mit\s+)?so\s+wenige?n?\s+(?:gpus?|karten)\s+wie\s+möglich|möglichst\s+wenige?n?\s+(?:gpus?|karten)|le\s+moins\s+de\s+(?:gpus?|cartes)(?:\s+possible)?|(?:la\s+)?menor\s+(?:cantidad|n[úu]mero)\s+(?:posible\s+)?de\s+gpus?|(?:el\s+)?menor\s+n[úu]mero\s+de\s+gpus?|o\s+menor\s+n[úu]mero\s+de\s+gpus?|il\s+minor\s+numero\s+di\s+gpus?|できるだけ(?:少ない|少ない数の)\s*gpu|最小(?:限)?の\s*gpu|(?:가능한\s*(?:한\s*)?)?(?:적은|최소(?:한의)?)\s*gpu|尽量少的?\s*(?:gpu|卡)|(?:gpu|卡)\s*(?:数量?)?(?:最少|越少越好)|コスト最小|как\s+можно\s+дешевле",
    "latency": r"opóźnieni[ae]|gecikme\w*|latence|zpoždění|latens|latenci|độ\s+trễ|затримк[аи]|задержк[уи]|latenz|latence|latencia|lat[êe]ncia|latenza|latentie|延迟|时延|レイテンシー?|遅延|지연(?:\s*시간)?+|задержка",
    "throughput": r"przepustowoś\w+|verim\w*|propustnost|genomströmning|gennemløb|пропускн\w+\s+(?:здатність|способность)|вазао|durchsatz|d[ée]bit|vaz[ãa]o|rendimiento|doorvoer|吞吐量?|スループット|처리량|пропускная\s+способность",
    "how many": r"wie\s+viele?|combien\s+d[e']|cu[áa]nt[ao]s|quant[ei]|quant[oa]s|hoeveel|сколько|多少(?:张|块|个|台)?|几(?:张|块|台)|何(?:枚|台|基)|몇\s*(?:장|개|대)",
    # machines and numbers
    "with": r"(?:é|e)quip[ée]e?s?\s+(?:chacune?\s+)?(?:de|d'|avec)|dot[ée]e?s?\s+(?:chacune?\s+)?de|con(?=\s+(?:\d|ocho|cuatro|due|dos|otto|quattro))|equipad[oa]s?\s+(?:con|com)|ausgestattet\s+mit|mit(?:\s+je(?:weils)?)?|je(?:weils)?(?=\s+\d)|avec|com(?=\s+\d)|met(?=\s+\d)|各有?(?=\s*\d)|每(?:台|个)(?=\s*\d)|bestückt\s+mit|по(?=\s*(?:\d|восемь|четыре|дв[ае]))|с(?=\s+(?:\d|восемью|четырьмя))",
    "nodes": r"stacj(?:e|i|ach|ami)\s+robocz\w+|máquinas?(?=\s+(?:con|com|with|de)\b)|(?<=\d )máquinas(?!\s+virtua)|macchine(?=\s+con\b)|sunucu\w*|serverů|serverech|serwer\w*|węzł\w*|uzl\w*|servrar|máy\s+chủ|вузл\w*|knoten|rechnern?|maschinen?|n(?:œ|oe)uds?|machines?(?=\s+(?:de|avec|à))|serveurs?|nodos?|servidores?|nodi|n[óo]s(?=\s+(?:de|com|con|with)\b)|(?<=\d )nós|knooppunten|台(?:机器|服务器|主机)?|节点|ノード|台の?サーバー?|노드|узл(?:ов|ах?|ы)|대의\s*(?:서버|머신)|(?<!台)サーバー?|服务器|서버|сервер(?:ах|ов|а|ы|е)?|машин(?:ах|ы|а|е)?|нод(?:ах|ы|а|е)?",
    "each": r"ognun[oa]|cadaun[oa]|cada\s+um[a]?(?=\s+(?:com|with))|chacune?|ciascun[oa]|cada\s+un[oa]|각각|それぞれ|кажд(?:ый|ом|ая|ой)",
    "without": r"nada\s+de(?=\s+(?:pipeline|pp|tensor|tp|expert|ep|disagg?|desagr|dp))|niente(?=\s+(?:pipeline|pp|tensor|tp|expert|ep|disagg|dp))|rien\s+de|не\s+использ\w+|не\s+применя\w+|no\s+(?:usar|utilizar)|ne\s+pas\s+utiliser|non\s+usare|não\s+usar|niet\s+gebruiken|nie\s+używa\w+|pas\s+de|ingen|inga|żadn\w+|žádn\w+|niente|nessun[oa]?|geen|aucune?|ning[úu]n[a]?|nenhuma?|bez|utan|uten|uden|tanpa|không\s+(?:dùng|có)|без|nicht(?=\s+(?:pipeline|tensor|expert|disagg))|ohne|sans|sin(?=\s+[a-zñ])|senza|sem(?=\s+[a-z])|zonder|keine?n?(?=\s+[\w-]*(?:parallel|pp|tp|ep|pipeline|disagg))|不(?:要|需要|想|打算|能|可以|准|允许)?\s*(?:使用|采用|启用|开启|用)|不要|禁用|没有|使わずに?|без",
    "pipeline parallelism": r"pipeline\s+parale\w+|boru\s+hattı\s+paralel\w*|pipeline[- ]?parallelität|równoległoś\w+\s+potokow\w+|paraleln\w+\s+pipeline|pipelineparallelism\w*|конвейерн\w{1,4}\s+параллелизм\w{0,3}|parall[ée]lisme\s+(?:de\s+)?pipeline|paralelismo\s+de\s+(?:pipeline|tuber[íi]a)|parallelismo\s+(?:di\s+)?pipeline|pipeline[- ]?parallelismus|pipeline[- ]?parallelisme|流水线并行|パイプライン並列(?:化)?|파이프라인\s*병렬(?:화|처리)?",
    "weights": r"重み|가중치|权重|gewichte|gewichten|poids|pesos|pesi|wagi|веса|ağırlık\w*|vikterna?",
    "activations": r"aktivierung(?:en)?|activaciones|ativações|activações|attivazioni|activaties|aktywacj[aei]|активаци\w{1,2}|aktivasyon\w*|aktivering\w*|激活值?|活性化|アクティベーション|활성화",
    "attention": r"アテンション|어텐션|注意力",
    "forbidden": r"禁止(?:です|する)?|금지(?:입니다|해\s*주세요)?",
    "not use": r"(?:は|を)?\s*使いたく(?:ない|ありません)|使わないで(?:ください|下さい)?|使用しないで(?:ください|下さい)?|避けて(?:ください|下さい)?|사용하지\s*(?:마세요|말아\s*\w*|않\w*)|쓰지\s*(?:마세요|말아\s*\w*|않\w*)|(?<!고정은 )(?<!고정을 )빼\s*(?:주세요|줘|고)|제외(?:해\s*주세요|하고)?|(?:は|を)?(?:除外して?|除いて|抜きで?)(?:ください|下さい)?|避免(?:使用)?",
    "tensor parallelism": r"tens[öo]r\s+paralel\w+|równoległoś\w+\s+tensorow\w+|tensor[- ]?parallelität|тензорн\w{1,4}\s+параллелизм\w{0,3}|parall[ée]lisme\s+(?:de\s+)?tenseurs?|parall[ée]lisme\s+tensoriel|paralelismo\s+(?:de\s+)?tensor(?:es|ial)?|parallelismo\s+tensoriale|tensor[- ]?parallelismus|tensor[- ]?parallellisme|张量并行|テンソル並列(?:化)?|텐서\s*병렬(?:화|처리)?",
    "expert parallelism": r"uzman\s+paralel\w+|expert(?:en)?[- ]?parallelität|paralelismo\s+de\s+(?:especialistas|expertos)|parallelismo\s+(?:degli|di)\s+esperti|экспертн\w{1,4}\s+параллелизм\w{0,3}|parall[ée]lisme\s+d'experts|paralelismo\s+de\s+expertos|expert(?:en)?[- ]?parallelismus|专家并行|エキスパート並列(?:化)?|전문가\s*병렬(?:화|처리)?",
    "disaggregated": r"d[ei]sagregaci[óo]n|desagregação|d[ée]sagr[ée]gation|disaggregazione|disaggregierung|dezagregacj\w+|дезагрегац\w+|(?:s[ée]paration|separaci[óo]n|separazione|separa[çc][ãa]o|trennung)\s+(?:(?:du|de|di|von|entre|zwischen|tra)\s+)?prefill\s*(?:/|et|y|e|und|-)\s*decode|раздельн\w{1,3}\s+prefill\s+и\s+decode|prefill\s+и\s+decode\s+(?:раздельн\w{1,3}|отдельн\w{1,3})|раздел\w{2,4}\s+prefill\s+и\s+decode|disaggregiert\w*|d[ée]sagr[ée]g[ée]e?s?|desagregad[oa]s?|disaggregat[oaie]|getrennte[rn]?\s+(?:prefill|pools)\w*|(?:s[ée]parer?|separar|separare|trennen?|aufteilen)\s+(?:le\s+|el\s+|o\s+|il\s+)?prefill\s+(?:et|y|e|und|von)\s+(?:le\s+|el\s+|o\s+|il\s+)?decode|prefill\s+(?:und|et|y|e)\s+decode\s+(?:trennen|getrennt|s[ée]par[ée]s?|separad[oa]s?|separat[ieoa]|gescheiden|oddziel\w+|åtskilda|separerade|gesplitst)|(?:プレフィルとデコード|prefill\s*と\s*decode)(?:を|は|の)?\s*(?:分離|分け(?:る|て)?|別々?)|(?:prefill|预填充)\s*(?:和|与|/)\s*(?:decode|解码)\s*(?:分离|分开|分别)|(?:프리필|prefill)(?:과|와)\s*(?:디코드|decode)\s*분리|预填充(?:和|与)解码分离|(?:pd|p/d)\s*(?:分离|分離|분리)|분리\s*(?:서빙|배포|추론)|分离式?部署",
    "rack": r"랙|ラック|机柜|机架|стойк\w{1,3}|armoires?|baies?|schrank|schränke",
    " one ": r"(?<=[랙대장개])\s*하나(?:에서|로|를|의)?|(?<=rack)\s*하나(?:에서|로|를|의)?",
    "one": r"jed(?:na|nej|nym|nego|en|nu|né|ním|nom)(?=\s)|ett?(?=\s+[hlabm]\w*\d)|bir(?=\s)|(?:одн(?:ой|ом|у|а|им|ну)|une?\s+seule?|un[ao]?\s+sol[ao]|uma?\s+(?:só|única)|una\s+única|(?:ein(?:e[rmn]?)?\s+)?einzige[rmn]?|eine[rmn]?|einzelne[rmn]?|un['’]|una|uno|uma?|een|单(?:卡|张)?|1\s*枚)(?=\s*[a-z]?\d|\s*(?:[lhab]\d|mi\d|gb\d|h\d|rtx|nvidia|amd))",
    "two": r"두(?=\s*(?:[대개장]|nodes))|двух|двумя|две|два|zwei|deux|dos|due|dois|duas|twee|两|兩|二(?=[台张块枚])",
    "three": r"세(?=\s*(?:[대개장]|nodes))|drei|trois|tres|tre(?=\s)|três|drie|三(?=[台张块枚])",
    "four": r"네(?=\s*(?:[대개장]|nodes))|четыр(?:ех|ёх|е)|vier|quatre|cuatro|quattro|quatro|四(?=[台张块枚])",
    "eight": r"여덟(?=\s*(?:[대개장]|nodes))|восьми|восемь|acht|huit|ocho|otto|oito|八(?=[台张块枚])",
    "sixteen": r"sechzehn|seize|diecis[ée]is|sedici|dezesseis|zestien|十六",
    "6": r"half\s+a\s+dozen",
    "4 x": r"(?:a\s+)?quad(?:\s+of)?(?=\s+(?:nvidia|amd|[lhabm]\w*\d))",
    "3 ": r"(?:a\s+)?trio\s+of",
    "4 ": r"(?:a\s+)?quartet\s+of",
    "2 ": r"(?:a\s+)?(?:pair|couple)\s+of(?=\s+(?:\d|(?:nodes|hosts|servers|machines|boxes|systems|instances)\b))",
    "2 x": r"(?:a\s+)?(?:dual|pair\s+of|couple\s+of)(?=\s+(?:\d-gpu|nvidia|amd|[lhabm]\w*\d))",
    "half a": r"(?:einem?r?\s+)?halbe[rnsm]?|une?\s+demie?|la\s+moiti[ée]\s+d[e'](?:une?)?|medio|media(?=\s+nodo)|meio|半(?:台|个)(?=\s*\w)",
    "cards": r"kart(?:a|y|ach|cie|ami|ę|ě|ou)|kort(?:et|en)?|kartı?|grafikkarten?|karten|cartes?|tarjetas?|placas?|schede|kaarten|张卡|块卡|显卡|グラフィックカード|그래픽\s*카드|카드",
    "must be": r"必\s*须\s*(?:是|为|等于|设为)?|必須(?:で)?|一定\s*要\s*(?:是|为)",
    "must": r"soll(?:te|ten|en)?|muss|müssen|doit|doivent|deben?|devem?|devono|moet(?:en)?|musi|powinn\w+|должн\w+|ska|skal",
    "80GB": r"80\s*Go",
    "40GB": r"40\s*Go",
}
_FOREMOST = (
    r"(?:is\s+|ist\s+|est\s+|es\s+|è\s+|é\s+)?(?:önemli(?:dir)?|kluczow\w+|najważniejsz\w+|(?:очень\s+|самое\s+)?важн(?:а|о|ее|ы)|entscheidend|maßgeblich|wichtig(?:er)?|prime|primordial\w*|essentiell?e?|fundamental\w*|es\s+clave|crucial\w*)|(?:가장|제일)\s*중요\w*|최우선\w*|우선순위\w*|最优先|最優先|am\s+allerwichtigsten|est\s+primordial\w*|am\s+wichtigsten|lo\s+importante(?:\s+aqu[íi])?|das\s+wichtigste|zuerst|hat\s+(?:priorität|vorrang)|la\s+priorit[ée]|prioritaire|primordiale?|avant\s+tout|lo\s+m[áa]s\s+importante|"
    r"la\s+prioridad|a\s+prioridade|prioritaire|topprioriteit|de\s+prioriteit|prioriteit|priorytet\w*|öncelik\w*|prioritari[oa]|ante\s+todo|prima\s+di\s+tutto|la\s+priorità|o\s+mais\s+importante|prioridade|в\s+приоритете|важнее\s+всего|"
    r"优先|为先|最重要|重視|优先级最高|優先|우선|중시"
)
"""What is said behind the thing that matters most."""
_CJK = r"[぀-ヿ一-鿿가-힣]"
_CJK_CHARACTER = re.compile(_CJK)
_SETS = r"(?:固定|设置|设定|设|設定|指定|限定|고정|설정|지정)"
_NOTATIONS: tuple[tuple[re.Pattern[str], str | Callable[[re.Match[str]], str]], ...] = (
    (re.compile(rf"(?P<kind>(?:pipeline|tensor|expert|data)\s+parallelism|(?<![A-Za-z])[TPED]P)\s*(?:化|度|数|大小|サイズ|size)?\s*(?:要|必须|需要?|は|を|은|는|을|를)?\s*{_SETS}(?:为|在|成|到|是|:)?\s*(?P<n>\d{{1,4}})"), r"\g<kind> \g<n> "),
    (re.compile(rf"(?P<kind>(?:pipeline|tensor|expert|data)\s+parallelism|(?<![A-Za-z])[TPED]P)\s*(?:化|度|数|大小|サイズ|size)?\s*(?:は|を|が|은|는|을|를|이|가|=)?\s*(?P<n>\d{{1,4}})\s*(?:に|で|へ|로|으로|として)\s*(?:{_SETS}|し|お願い|する|해|하)[぀-ヿ가-힣]*(?:下さい|願います|주세요)?"), r"\g<kind> \g<n> "),
    (re.compile(r"(?<=[A-Za-z])\s*(?:も|도|也|は|が|은|는|이|가)\s*(?=(?:bf16|fp\d|int\d|nvfp4|mxfp4)(?![A-Za-z0-9]))", re.IGNORECASE), " "),
    (re.compile(r"(?<![\w.])(?P<m>\d(?:\.\d{1,3})?)e\+?(?P<e>[1-6])(?![\w.])"), lambda m: f"{float(m['m']) * 10 ** int(m['e']):g}" if int(m["e"]) < 6 else m.group()),  # 2e3
    (re.compile(r"(?<!\d )(?<![\w.,])(?P<a>\d{1,3})[  ](?P<b>\d{3})(?=\s+(?:tok\w*|in\b|out\b|en\b|de\s+(?:sortie|salida|saída)|output|input|d'|prompt))", re.IGNORECASE), r"\g<a>\g<b>"),
    (re.compile(r"\b(?:nach|efter|etter|na|po|après)\s+(?=(?:under|about|within)\b)", re.IGNORECASE), ""),
    (re.compile(r"(?<!\w)\[(?P<key>[A-Za-z][A-Za-z_ ]{1,20})\]\s*:?\s*(?=[\w.])"), r", \g<key>: "),  # [COUNT] 4
    (re.compile(r"(?:[每毎]|1)?\s*(?:分钟|分鐘|分間?|minutes?|분)\s*(?:あたり|당|に)?\s*(?:(?:约|大约|大概|about|平均|평균|요청(?:은|이|을)?|약|requests(?:은|이)?|은|는)\s*){0,3}(?P<n>\d{1,9}(?:\.\d{1,3})?)\s*(?:个|個|件|개|건)?\s*(?:의|の)?\s*(?:请求|請求|リクエスト|요청|requests|req\b|(?<=건)|(?<=件))"), r" \g<n> requests per minute "),
    (re.compile(r"(?<!\d)1\s*(?:秒|seconds)\s*(?:あたり|에|당)\s*(?P<n>\d{1,9}(?:\.\d{1,3})?)\s*(?:件|個|개)?의?\s*(?:リクエスト|요청|请求|requests)"), r" \g<n> requests per second "),
    (re.compile(r"(?<!\d),(?=\S)|(?<=\d),(?=[^\s\d])"), ", "),
    (re.compile(r"(?<=\d)\s+d(?:e\s+|')(?=[a-zà-ÿ]{3})", re.IGNORECASE), " "),  # 100 d'utilisateurs
    (re.compile(r"(?<=\d)\s+(?:adet|tane|stück|stk\.?|sztuk\w{0,2}|kus\w{0,2}|штук\w{0,2})(?=\s)", re.IGNORECASE), " "),
    (re.compile(rf"(?P<g>{GPU}(?:\s+NVL\d+)?)\s*rack\s+one\b", re.IGNORECASE), r"one \g<g> rack"),
    (re.compile(r"\bnodes\s*(?P<h>\d{1,4}|two|three|four|eight)\s*(?:nodes|台|대)"), r" \g<h> nodes "),
    (re.compile(rf"(?P<g>{GPU})\s*(?:を|이|가)?\s*(?P<n>\d{{1,4}})\s*(?:枚|基|장|개|张|块|卡|cards)?\s*(?:이|가|을|를|ずつ|씩)?\s*(?:搭載|積ん|장착|탑재|달린|each|の|의|짜리|的)[^\s\d]*\s*(?P<h>\d{{1,4}}|two|three|four|eight)\s*nodes"), r"\g<h> nodes with \g<n> \g<g> "),
    (re.compile(rf"(?P<g>{GPU}(?:\s*SXM\d?|\s*PCIe)?)\s*(?P<n>\d{{1,3}})\s*(?:枚|基|장|개|张|块|卡|cards)\s*(?:짜리|달린|挿し|搭載の?|構成の?)\s*nodes\s*(?P<h>\d{{1,4}}|two|three|four|eight)\s*(?:대|台)?", re.IGNORECASE), r"\g<h> nodes with \g<n> \g<g> "),
    (re.compile(rf"(?P<h>\d{{1,4}}|two|three|four|eight)\s*nodes\s*(?:에는?|には?)?\s*(?:各|각|each|with)\s*(?:에)?\s*(?P<g>{GPU})\s*(?:を|이|가)?\s*(?P<n>\d{{1,4}})\s*(?:枚|基|장|개|张|块|卡|cards)\s*(?:씩|ずつ)?"), r"\g<h> nodes with \g<n> \g<g> "),
    (re.compile(r"(?<!\w)-N\s*(?P<h>\d{1,4})\b"), r"nodes: \g<h>, "),
    (re.compile(r"--gres=gpu:(?P<g>[a-z]\w{1,9}):(?P<n>\d{1,2})\b", re.IGNORECASE), r"\g<n> \g<g> per node"),
    (re.compile(r"(?:초당|(?:每|毎|1)\s*(?:秒|seconds)(?:あたり)?|(?<!\d )seconds\s*당)\s*(?P<n>\d{1,5}(?:\.\d{1,2})?)\s*(?:个|個|개)?\s*tokens"), r" \g<n> tokens per second "),
    (re.compile(r"\bsaniyede\s+(?:yaklaşık\s+|ortalama\s+)?(?P<n>\d{1,6}(?:[.,]\d)?)\s+(?:istek|sorgu)\w*", re.IGNORECASE), r"\g<n> requests per second"),
    (re.compile(r"\bdakikada\s+(?:yaklaşık\s+|ortalama\s+)?(?P<n>\d{1,6})\s+(?:istek|sorgu)\w*", re.IGNORECASE), r"\g<n> requests per minute"),
    (re.compile(r"\bat\s+once\s+(?:[а-яё]{4,20}\s+)(?P<n>\d{1,6})\s+requests", re.IGNORECASE), r"\g<n> concurrent requests"),
    (re.compile(r"concurrency\s*(?:は|が|:)?\s*(?:最大|最多|max|平均)\s*(?P<n>\d{1,6})"), r"concurrency \g<n>"),
    (re.compile(r"(?<=\d)\s*(?:nos?\.?|numbers|units|pieces|pcs\.?)\s+(?:of\s+)?(?=(?:nvidia\s+|amd\s+)?(?:[lhab]\d|mi\d|gb\d))", re.IGNORECASE), " x "),
    (re.compile(r"(?P<n>\d{1,3})\s+hgx\s+(?:base)?boards\b", re.IGNORECASE), r"\g<n> nodes"),
    (re.compile(r"\b(?P<w>server|node|host|machine|box)\s*:\s*(?=\d{1,3}\s*x?\s*(?:nvidia\s+|amd\s+)?(?:[lhab]\d{2,3}|l4\b|mi\d|gb\d))", re.IGNORECASE), r"one \g<w> with "),
    (re.compile(r"(?<![A-Za-z0-9])(?P<d>bf16|fp\d{1,2}|int\d|nvfp4|mxfp4)(?=[\u3040-\u30ff\uac00-\ud7a3])", re.IGNORECASE), r"\g<d> "),
    (re.compile(r"\bin\s+the\s+air\b", re.IGNORECASE), "in flight"),
    (re.compile(r"(?P<n>\d{1,6})\s+(?:równoległ\w{1,4}|jednoczesn\w{1,3}|równoczesn\w{1,3})\s+(?:zapyta\w{1,3}|żąda\w{1,3}|sesj\w{1,3}|użytkowni\w{1,4})", re.IGNORECASE), r"\g<n> concurrent requests"),
    (re.compile(r"\?\s*[-–:=>]+\s*(?=\S)"), ": "),
    (re.compile(r"\b(?P<a>tp|pp|ep|dp)\s*=\s*(?P<b>tp|pp|ep|dp)\s*=\s*(?P<n>\d{1,3})\b", re.IGNORECASE), r"\g<a>=\g<n> \g<b>=\g<n>"),
    (re.compile(r"\b(?P<key>ttft|tpot|itl|c)(?=\d)", re.IGNORECASE), r"\g<key> "),
    (re.compile(r"(?<![\w.])(?P<h>\d{1,3})\s?n(?:odes?)?\s?x?(?P<n>\d{1,2})\s?g(?:pus?)?(?![\w.])", re.IGNORECASE), r"\g<h> nodes with \g<n> gpus each"),  # 2n8g
    (re.compile(r"(?<![\w.-])(?P<n>\d{1,4})(?=(?:[ah]\d{2,3}|b[23]00|gb[23]00|mi3\d\dx?|l40s?|l4|l20|v100|a10g)s?(?![\w.]))", re.IGNORECASE), r"\g<n> x "),  # 16h100
    (re.compile(r"(?<![\w.])(?P<n>\d{1,6})\s?u(?:sr)?s?(?![\w.])"), r"\g<n> users"),  # 100u
    (re.compile(r"(?<=\d)\s+(?:point|dot|komma|virgule|coma)\s+(?=\d(?!\d))", re.IGNORECASE), "."),  # 2 point 5
    (re.compile(r"\b(?P<word>within|under)'", re.IGNORECASE), r"\g<word> "),
    (re.compile(r"한\s*(?=[장개대])"), " 1 "),
    (re.compile(rf"(?:\b|(?<=\dx))(?P<g>{GPU})s?\s*(?P<n>x\s*\d{{1,4}})\s*\(\s*(?P<m>\d{{2,3}})\s*GB?\s*\)", re.IGNORECASE), r"\g<g> \g<m>GB \g<n>"),
    (re.compile(r"(?<=\d)\s*(?:percent|per\s+cent|prozent|pour\s+cent|por\s+ciento|per\s+cento|por\s+cento|процент(?:ов|а)?)\b", re.IGNORECASE), "%"),
    (re.compile(r"\b(?:a|one)\s+seconds?\s+and\s+a\s+half\b|\bone\s+and\s+a\s+half\s+seconds?\b", re.IGNORECASE), "1.5 seconds"),
    (re.compile(r"nodes\s*\(\s*(?:각|各|each)\s*(?P<n>\d{1,4})\s*(?:개|장|枚|张|cards)?\s*\)"), r"nodes with \g<n> each "),
    (re.compile(rf"(?P<m>\d{{2,3}})\s*G[Bb]?\s*(?:的|の)\s*(?P<g>{GPU})"), r"\g<g>-\g<m>GB"),
    (re.compile(rf"(?:\b|(?<=\dx))(?P<g>{GPU})s?(?:\s+(?:gpus?|cards?))?\s*(?:\(|,)?\s*(?:with|having|of|à|da|di|van|z|с|po|de|con|mit|com|avec|at|je(?:weils)?|each)?\s*(?P<m>\d{{2,3}})\s*(?:GB|gigs?|gigabytes?|G)\b(?!\s*/\s*s|\s*per\s+s)(?:\s+(?:of\s+)?(?:v?ram|memory|hbm3?e?|speicher))?(?:\s+(?:each|apiece))?\)?(?!\s+(?:of\s+)?(?:system|host|ram|nics?|ethernet|network|infiniband|ib|roce))", re.IGNORECASE), r"\g<g> \g<m>GB"),
    (re.compile(r"(?:\b|(?<=\dx))(?P<g>A100|H20|V100)-(?P<m>16|32|40|80|96|141)(?![\w.])", re.IGNORECASE), r"\g<g>-\g<m>GB"),
    (re.compile(rf"\b(?:an?|one|the)\s+(?P<g>{GPU})s?\s+(?:pair|duo)\b", re.IGNORECASE), r"two \g<g>"),
    (re.compile(rf"(?P<g>{GPU})s?[ -](?:NVL|PCIe|SXM\d?)\s+or\s+(?:NVL|PCIe|SXM\d?)\b", re.IGNORECASE), r"\g<g>"),
    (re.compile(rf"(?P<g>{GPU})s?[ -](?:NVL|PCIe|SXM\d?)\s*\?\s*(?:no|nope|nah|nein|non)\b[,. ]*(?:(?:the|an?|one|two|four|eight|\d{{1,2}})\s*x?\s*)?(?:(?P=g)s?[ -])?(?P<f>NVL|PCIe|SXM\d?)\b", re.IGNORECASE), r"\g<g> \g<f>"),
    (re.compile(rf"(?<![A-Za-z0-9])(?P<g>{GPU})\s*[x×]\s*(?P<n>\d{{1,2}})\s*[x×の的]\s*(?P<h>\d{{1,3}})\s*(?:nodes|hosts|servers|machines|boxes)\b", re.IGNORECASE), r"\g<h> nodes with \g<n> \g<g>"),
    (re.compile(rf"\b(?P<g>{GPU})x(?P<n>\d{{1,4}})\b"), r"\g<g> x \g<n>"),
    (re.compile(r"(?<![\w.,-])(?<!rtx )(?<!rtx-)(?P<g>[345]0[89]0(?:[- ]?ti)?)(?=s\b|\s?が\s?\d|\s(?:gpus?|cards?)\b|\s?[x×*]\s?\d{1,2}(?!\d))|(?P<n>(?<![\w.,])\d{1,2}\s?(?:x|[张張块塊枚장])\s?|(?<![\w.,])(?:one|two|three|four|six|eight|[1-8])\s)(?P<b>[345]0[89]0(?:[- ]?ti)?)(?![\w.,]*\d|\s*(?:tok|in\b(?!\s+(?:\w+\s+){1,2}(?:nodes?|hosts?|servers?|box(?:es)?|machines?)\b)|out\b|input|output|prompt|k\b|ms\b|req|users))", re.IGNORECASE), r"\g<n>RTX \g<g>\g<b>"),
    (re.compile(r"\b(?P<key>count|lengths?|tokens|requests/s|rate|users|gpus|nodes|hosts|ttft|tpot|concurrency|input|output|prompt)\s+-\s+(?=\d)", re.IGNORECASE), r"\g<key>: "),
    (re.compile(r"\brequests/s\s*[:=]\s*(?P<n>\d{1,6}(?:\.\d{1,3})?)", re.IGNORECASE), r"\g<n> requests per second"),
    (re.compile(rf"(?:{_FOREMOST})\s*(?:is|ist|est|es|è|é|:|が|は)?\s*(?:a|o|la|die|der|le|el|il|lo)?\s*(?P<what>latency|throughput)\b", re.IGNORECASE), r"\g<what> first "),
    (re.compile(rf"\b(?P<what>latency|throughput)\s*(?:is\s+|ist\s+|est\s+|es\s+|è\s+|é\s+|の|が|を|は|이|가|은|는|을|를)?\s*(?:{_FOREMOST})", re.IGNORECASE), r"\g<what> first "),
    (re.compile(r"(?:追求|注重|优先考虑|优先保证)\s*(?P<what>latency|throughput)"), r" \g<what> first "),
    (re.compile(r"(?P<n>\d)\s*人"), r"\g<n> "),
    (re.compile(r"(?<=[A-Za-z])\s*(?:为|是|は|を|が|가|이|을|를)\s*(?=\d)"), " "),
    (re.compile(r"(?<![\w.])\.(?=\d{1,3}\s?(?:ms|s|sec|k)\b)"), "0."),
    (re.compile(r"\b(?P<what>latency|throughput)\s*>{1,3}\s*(?=throughput|latency|cost)", re.IGNORECASE), r"\g<what> first, not "),
    (re.compile(r"\bw/o\b", re.IGNORECASE), "without"),
    (re.compile(r"\bw/\s*", re.IGNORECASE), "with "),
    (re.compile(r"\b(?P<word>max|min|ca|approx|avg|mind|incl)\.(?=\s*\d)", re.IGNORECASE), r"\g<word>"),
    (re.compile(r"(?P<kind>(?:pipeline|tensor|expert)\s+parallelism|disaggregated|PP|TP|EP|DP)\s*(?:は|を|も|은|는|을|를)?\s*(?:使わない|使わずに?|使用しない|なし(?:で|に)?|無し|없이|없음|사용\s*안\s*함|쓰지\s*(?:말|않)\w*|不用|不要|禁用)"), r" without \g<kind> "),
    (re.compile(r"(?:[每毎]\s*(?:秒|seconds?)|초당|seconds\s*당|秒間)\s*(?:钟\s*)?(?:(?:约|大约|大概|about|平均|평균|요청(?:은|이|을)?|약|requests(?:은|이)?|은|는)\s*){0,3}(?P<n>\d{1,9}(?:\.\d{1,3})?)\s*(?:个|件|개|건)?\s*(?:의|の)?\s*(?:请求|リクエスト|요청|req(?:uest)?s?|qps|(?<=건)|(?<=件))"), r" \g<n> requests per second "),
    (re.compile(r"(?P<h>\d{1,6})\s*台\s*(?P<n>\d{1,4})\s*卡\s*(?P<g>[A-Za-z]\w{1,12})"), r"\g<h> nodes with \g<n> \g<g> "),
    (re.compile(r"(?P<h>\d{1,6})\s*x\s*\(\s*(?P<n>\d{1,4})\s*x?\s*(?P<g>[^()]{1,30})\)"), r"\g<h>x\g<n> \g<g>"),  # 2x(8xH200)
    (re.compile(r"(?<=[\sA-Za-z])(?:は|を|が|で|に|の|は|을|를|은|는|이|가)(?=\s)"), " "),
    (re.compile(r"(?<![A-Za-z\d])(?P<n>\d{1,9}(?:[.,]\d{1,3})?)\s*(?P<u>milliseconds|seconds|ms|s)\s*(?:under|within)(?!\s*\d)"), r" under \g<n> \g<u> "),
    (re.compile(r"(?P<g>[A-Za-z]\w{1,12})\s*(?:を|が|で)?\s*(?P<n>\d{1,4})\s*(?:[枚张块卡장]|cards)\s*x\s*(?P<h>\d{1,4})\s*nodes"), r"\g<h> nodes with \g<n> \g<g> "),
    (re.compile(r"(?<=\d)\s*(?:个|개의?|件)\s*(?=tok)", re.IGNORECASE), " "),
    (re.compile(r"(?<=\d)(?:个|개|명|件|名)(?:의|에서)?"), " "),
    (re.compile(r"(?<=\d)\s*(?:장|枚)(?:의|에서|으로|로)?(?![A-Za-z])"), " cards "),
    (re.compile(r"(?<=[\d\w])(?:を|に|が|は|で|の)(?=\s*\d)"), " x "),  # H100を8枚
    (re.compile(r"(?<=\d)\s*(?:[张块枚卡](?:的)?|대의|장의|개의)(?=\s*[A-Za-z])"), " x "),
    (re.compile(r"(?<=\d)\s*[张块枚卡](?![A-Za-z])"), " "),
    (re.compile(r"(?<!\d)(?P<n>\d{1,9}(?:[.,]\d{1,3})?)\s*seconds\s*(?:以内|以下|内)"), r"under \g<n> seconds"),
    (re.compile(r"。"), ". "),
    (re.compile(rf"(?P<g>{GPU}(?:\s*SXM\d?|\s*PCIe)?)\s*(?P<n>\d{{1,3}})\s*cards\s*(?:짜리|달린)\s*(?P<h>\d{{1,4}})\s*nodes", re.IGNORECASE), r"\g<h> nodes with \g<n> \g<g> "),
    (re.compile(r"[，、；：]"), ", "),
    (re.compile(r"\b(?P<name>isl|osl|bs|conc|qps|rps)(?=\d)", re.IGNORECASE), r"\g<name> "),
    (re.compile(r"(?<=[^\W\d_])(?=[぀-ヿ一-鿿])|(?<=[぀-ヿ一-鿿])(?=[A-Za-z0-9])"), " "),
    (re.compile(r"(?<=[A-Za-z0-9])(?=[가-힣])|(?<=[0-9])(?=[一-鿿])"), " "),
    (re.compile(r"(?<=\d)[ .  ](?=\d{3}\s*(?:[^\W\d_]{3,14}-)?(?:tokens?|toks?)\b)", re.IGNORECASE), ""),  # 2.000 tokens, 1 500 tokens
    (re.compile(r"(?<!\d)(?P<n>\d{1,6}(?:\.\d{1,3})?)\s+thousand\b", re.IGNORECASE), r"\g<n>000"),
    (re.compile(r"(?<![\w.,])(?P<a>[1-9]\d{0,2})\.(?P<b>\d{3})(?=\s+(?:in|out|inputs?|outputs?|prompt)\b)", re.IGNORECASE), r"\g<a>\g<b>"),  # 1.000 rein
    (re.compile(r"(?P<w>\b(?:prompts?|outputs?|inputs?|contexts?|answers?|isl|osl)\b(?:\s+(?:about|avg|medi\w+|moyenne?|durchschnittlich|im\s+schnitt|de|von|di|of|ist|est|is|es|è)){0,3}\W{0,3})(?P<a>[1-9]\d{0,2})\.(?P<b>\d{3})(?![\d.]|\s*(?:s\b|ms\b|sec|k\b|%))", re.IGNORECASE), r"\g<w>\g<a>\g<b>"),  # Eingabe 1.800
    (re.compile(r'"(?P<key>[a-z_]+)"\s*:\s*"?(?P<value>[^",{}\[\]]+)"?', re.IGNORECASE), r"\g<key>: \g<value>"),  # JSON
    (re.compile(r"(?m)^[ \t]*\|(?P<key>[^|\n]{1,40})\|(?P<value>[^|\n]{1,200})\|[ \t]*$"), r"\g<key>: \g<value>,"),  # a table
    (re.compile(r"(?<!\d)(?<!\d )\b(?P<unit>qps|rps|rpm)\s*[:=]?\s*(?:is\s+|of\s+)?(?P<n>\d{1,9}(?:\.\d{1,3})?)", re.IGNORECASE), r"\g<n> \g<unit>"),
)  # fmt: skip


_SPACES = re.compile(r"(?<=\S) {2,}")


@cache
def _rules() -> tuple[tuple[re.Pattern[str], str], ...]:
    """The words as patterns: compiled for the first text, since a process that reads none should not wait for them."""
    return tuple((re.compile(_bounded(words), re.IGNORECASE), english) for english, words in _WORDS.items())


def _bounded(words: str) -> str:
    """Words that stand alone, and those of scripts without spaces wherever they stand."""
    if not _CJK_CHARACTER.search(words):
        return rf"(?<![^\W_])(?:{words})(?![^\W_])"
    return rf"(?<![^\W\d_])(?:{words})(?![^\W\d_])|(?:{words})(?<={_CJK})|(?={_CJK})(?:{words})(?![A-Za-z])"


def in_english(text: str) -> str:
    """The text with the words and notations above in the form that the extractors read."""
    text = in_our_order(text)
    for pattern, english in _rules():
        text = pattern.sub(partial(_replacement, english), text)
    for pattern, usual in _NOTATIONS:
        text = pattern.sub(usual, text)
    return _SPACES.sub(" ", text)


def _replacement(english: str, match: re.Match[str]) -> str:
    """The English words, set off where the script writes none."""
    return f" {english} " if _CJK_CHARACTER.search(match.group()) else english
