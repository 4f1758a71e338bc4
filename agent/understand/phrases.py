"""Phrases whose words stand in another order than ours, in the languages people write to us in: they are read as a whole, before the glossary.

Numbers are digits already. Parts of a cluster (`davon sind zwei belegt`), numbers that are taken back (`16ではなく8`), hosts behind their GPUs.
"""

import re
from collections.abc import Callable

Rule = tuple[re.Pattern[str], str]

GPU = r"(?:[habv]\d{2,3}|[HABV]\d{2,3}|[aA]10[gG]|[aA][456]000|[tT]4|[lL](?:4|40|20)[sS]?|[mM][iI]\d{3}[aAxX]?|[gG][bBhH]\d{3}|[rR][tT][xX][- ]?[345]0[89]0(?:[- ]?[tT]i)?)(?!\d)"
"""How GPUs are written, for notations that have to tell them from other words."""
_PER_HOST = (
    r"(?:[每毎各]\s*(?:台|个|個)?\s*(?:服务器|节点|机器|主机|サーバー?|ノード|マシン)?|(?<!\d)1\s*(?:台|ノード|サーバー?)\s*(?:あたり|当たり|当り|につき|に|ごと)?|(?:サーバー?|ノード|マシン)\s*(?:1\s*台)?\s*(?:あたり|当たり|ごと|につき|毎)に?"
    r"|(?:서버|노드|머신|장비)\s*(?:한\s*대|1\s*대|하나)?\s*(?:당|마다)(?:에)?|(?:한|1)\s*(?:대|노드)\s*(?:당|에)|각\s*(?:서버|노드|머신)(?:에는?|마다|당)?)"
)


def _rule(pattern: str, plain: str) -> Rule:
    return re.compile(pattern, re.IGNORECASE), plain


_AMONG = r"(?:davon|darunter|dont|(?:d[eo]s?|2)\s+(?:l[ao]s\s+)?(?:cuales|quais)|das\s+quais|d(?:i|ei|elle)\s+(?:cui|quali)|waarvan(?:\s+er)?|varav|hvoraf|hvorav|z\s+czego|z\s+(?:których|nich)|из\s+(?:них|которых)|bunlar(?:dan|ın)|ne\s+abbiamo\s+\d{1,3}\s*,?\s*ma)"
_TAKEN = r"(?:belegt|reserv\w+|vergeben|blockiert|besetzt|gebraucht|anderweitig|kaputt|defekt|ausgefallen|in\s+(?:benutzung|gebruik|uso)|en\s+uso|em\s+uso|occup\w+|ocupad\w+|prises?(?!\s+en)|utilisé\w*|usad[oa]s?|usat[eio]|riservat\w+|servono\s+(?:a|per)|guast\w+|averiad\w+|quebrad\w+|en\s+panne|bezet|gereserveerd|kapot|zajęt\w+|zarezerwowan\w+|używan\w+|zepsut\w+|занят\w*|зарезервирован\w*|использу\w+|сломан\w*|dolu|meşgul|ayrıl\w+|kullan(?:ılıyor|ımda)|bozuk|upptag\w+|reservera\w+|optage\w+)"
_FREE = r"(?:frei|verfügbar|nutzbar|für\s+uns|libres?|disponib\w+|disponív\w+|dispon[íi]v\w+|liber[ei]|livres?|beschikbaar|vrij|woln\w+|dostępn\w+|свободн\w+|доступн\w+|boşta?|müsait|lediga?|ledige?)"
_CARDS = r"(?:gpus?|gpu'?s|karten?|grafikkarten|cartes?|tarjetas?|placas?|schede|kaarten|kart(?:y|ach|lar\w*)?|карт\w*|видеокарт\w*|kort(?:en)?)"
_HOSTS = r"(?:knoten|server\w*|rechnern?|maschinen?|n(?:œ|oe)uds?|serveurs?|nodos?|servidor(?:es)?|nodi|n[óo]s|knooppunten|węzł\w+|serwer\w+|узл\w+|сервер\w*|sunucu\w*|nodes?|hosts?|machines?|servers|noder)"
_ONE = r"(?:ein(?:er|e|s|es)?|une?|un[ao]|uma?|een|één|jeden|jedna|один|одна|одно|biri)"
_OF = r"(?:der|von(?:\s+den)?|d[eo]s(?:\s+(?:el|l[ao]s))?|de\s+(?:l[ao]s|les|nos|los|onze|de)|das|dei|delle|degli|van\s+(?:de|onze)|z(?:\s+naszych)?|из(?:\s+(?:наших|этих))?|av\s+(?:de|våra))"
_ONLY = r"(?:nur|lediglich|seulement|uniquement|s[óo]lo|solamente|apenas|somente|soltanto|solo|slechts|maar|alleen|tylko|jedynie|только|лишь|sadece|yalnızca|bara|kun)"
_MAY = r"(?:können|dürfen|kann|darf|pouvons|peut|podemos|puedo|puede|possiamo|posso|mogen|kunnen|możemy|mogę|можем|могу|можно|får|kan)"
_PIECES = r"(?:[张張块塊枚卡個个基장개]|(?:台|대)(?!の|의))"
_HELD = r"(?:占用|占着|预留|保留|留给|被用|在跑|用于|用来|使用中|使われ|使って|予約|専有|占有|占め|故障|坏|사용\s*중|예약|쓰이|쓰고|점유|고장|배정|할당)"
_OPEN = r"(?:可用|可以用|能用|空闲|空着|归我们|空い|使え|利用(?:でき|可能)|使用(?:でき|可能)|사용할\s*수|쓸\s*수|사용\s*가능|가용|남아)"
_RULES: tuple[Rule, ...] = (
    (re.compile(rf"{_PER_HOST}\s*(?:有|装有?|配备?|带|搭載)?\s*(?:GPU\s*(?:が|는|가|를)?)?\s*(?P<n>\d{{1,3}})\s*(?:个|個|개|장|枚|张|張|块|卡|基)(?:GPU|卡|显卡|씩|ずつ)?(?!\s*(?:的|の|짜리)?\s*[A-Za-z]{{1,2}}\d)", re.IGNORECASE), r" , \g<n> gpus per node "),
    (re.compile(rf"{_PER_HOST}\s*(?:有|装有?|配备?|带|搭載)?\s*(?P<n>\d{{1,3}})\s*(?:个|個|개|장|枚|张|張|块|卡|基)\s*(?:的|の|짜리)?\s*(?P<g>{GPU})(?:씩|ずつ)?", re.IGNORECASE), r" , \g<n> \g<g> per node "),
    # hosts behind their GPUs: `H200を8枚積んだサーバーが2台`
    _rule(rf"(?P<g>{GPU}(?:[-\s]*(?:SXM\d?|PCIe|NVL|\d{{2,3}}\s?GB?))*)\s*(?:を|が|이|가)?\s*(?P<n>\d{{1,3}})\s*(?:枚|基|個|장|개|张|块|卡)\s*(?:を|이|가)?\s*(?:積んだ|積む|搭載(?:した|する|の)?|載せた|載った|乗った|挿した|挿さった|入った|構成の|の|달린|장착된|장착한|탑재된|탑재한|꽂힌|들어간|짜리|的|装)?\s*(?:サーバー?|ノード|マシン|서버|노드|장비|머신|服务器|机器|节点)\s*(?:が|を|は|で|가|를|는|이|을)?\s*(?P<h>\d{{1,3}})\s*(?:台|대|个|개)", r"\g<h> nodes with \g<n> \g<g> "),
    # `quanto menor a latência, melhor`
    _rule(r"(?<!\w)(?:quanto|cuanto|je|plus|moins|the|im|чем|hoe|più|ne\s+kadar|jo|ju)\s+(?:(?:menor|mais\s+baixa|más\s+baja|niedriger|geringer|kürzer|kleiner|basse?|faible|court|lower|smaller|shorter|niższe|меньше|ниже|lager|korter|bassa|minore|düşük|lavere|lägre)\s+)?(?:(?:for|a|o|la|le|el|il|die|das|de|l'|sea|seja|és|é|è)\s*){0,3}"
          r"(?:latenz|latence|latencia|latência|latenza|latentie|opóźnieni\w+|задержка|latency|gecikme\w*|reaktionszeit|antwortzeit|temps\s+de\s+réponse|tiempo\s+de\s+respuesta|tempo\s+de\s+resposta|tempo\s+di\s+risposta)(?:\s+(?:est|is|ist|sea|for|é|è))?(?:\s+(?:basse?|faible|court|lage|bassa|baja|baixa))?\s*,?\s*(?:(?:tanto|desto|umso|the|tym|тем|hoe|plus|o\s+kadar|desto|jo)\s+)?(?:melhor|mejor|besser|better|lepiej|лучше|beter|mieux|meglio|iyi|bedre|bättre)(?!\w)", " lowest latency "),
    _rule(r"(?:延迟|时延)越低越好|遅延は?低いほど(?:良|よ|い)[^。、]{0,4}|지연(?:\s*시간)?은?\s*낮을수록\s*좋[^.,]{0,6}", " lowest latency "),
    # `un segundo y medio`
    _rule(r"(?<!\w)(?:un|une|uma?|ein(?:er|e)?|één|een|jedn\w+|один|одна|одну)\s+(?:segundo|seconde|secondo|sekunde|sekundy)\s+(?:y|et|e|und|en|i|и)\s+(?:medio|demie?|mezzo|meio|meia|halbe?|een\s+halve|pół|половин\w)(?!\w)|(?<!\w)(?:eineinhalb|anderthalb)\s+sekunden|(?<!\w)anderhalve\s+seconden?|(?<!\w)półtorej\s+sekundy|(?<!\w)полтор\w+\s+секунд\w+|(?<!\w)(?:bir\s+buçuk|1,5)\s+saniye\w*|一秒半|1\s*秒半|1\s*초\s*반", " 1.5 seconds "),
    # `64路并发`
    _rule(r"(?<![\d.])(?P<n>\d{1,6})\s*(?:路|个|個|条|線|本)?\s*(?:的\s*)?(?:并发|并行|並列|並行)(?!\s*[为是:：=]?\s*\d)(?!度|化)", r" \g<n> concurrent requests "),
    # systems behind their GPU: `B300 HGX x 2`
    _rule(rf"(?<![\w.-])(?P<g>{GPU})\s+(?P<s>[hd]gx)(?:es)?\s*[x×*]\s*(?P<n>\d{{1,3}})(?!\d)", r"\g<n> x \g<s> \g<g>"),
    _rule(rf"(?<![\w.-])(?P<n>[1-3])\s*(?:[x×]\s*)?(?P<g>{GPU})\s+(?P<s>[hd]gx)(?:es|'s|s)?(?!\w)", r"\g<n> x \g<s> \g<g>"),
    # a number that another one stands for
    _rule(r"(?<![\d.])\d{1,6}k?\s*(?:枚|台|장|개)?\s*(?:(?:では|じゃ|で)なく(?:て)?|(?:이|가)?\s*(?:아니라|아니고)|말고|değil)\s*[,、，]?\s*(?=\d)", ""),
    _rule(r"不(?:是|要|用)\s*\d{1,6}\s*[,，]?\s*(?:而是|是|而要|要|用)\s*(?=\d)", ""),
    _rule(r"(?<=\d)\s*[,，]?\s*(?:而不是|而非)\s*\d{1,6}", " "),
    _rule(r"(?<!\w)(?:not|nicht|pas|no|não|non|niet|nie|не)\s+(?:auf\s+|à\s+|a\s+|op\s+|na\s+)?\d{1,6}\s*,?\s*(?:but(?:\s+rather)?|sondern(?:\s+auf)?|mais|sino|mas(?:\s+sim)?|ma|bensì|maar|tylko|ale|lecz|а)\s+(?:auf\s+|à\s+|a\s+|op\s+|na\s+)?(?=\d)", ""),
    # cards that belong together in pairs: `NVLink 브리지가 2장씩만 묶여`
    _rule(r"(?:NVLink|ブリッジ|브리지|bridges?|桥接|桥)[^.。;\n\d]{0,24}\d\s*(?:장|개|枚|张|块|cards?|gpus?)(?:씩|ずつ|一组|一対)?(?:만|だけ|のみ)?", " NVLink pairs "),
    # how many of them, behind their memory: `L4 (24 GB), 4 units`, `A100s (16, 40 GB, 2 machines)`
    _rule(rf"(?<![\w.-])(?P<g>{GPU})s?\s*(?:\(\s*(?P<m>\d{{2,3}})\s*GB\s*\)|(?P<k>\d{{2,3}})\s?GB)\s*[,:x×]\s*(?P<n>\d{{1,3}})\s*(?:units?|pcs|pieces|stück|stk|stuks|unidades|unités|unità|pezzi|szt\w*|adet|шт\w*|cards?|gpus?|枚|张|块|장|개|本)(?!\w)", r"\g<n> x \g<g> \g<m>\g<k>GB"),
    _rule(rf"(?<![\w.-])(?P<g>{GPU})s?\s*\(\s*(?P<n>\d{{1,3}})\s*(?:x\s*)?[,;]\s*(?P<m>\d{{2,3}})\s*GB\b", r"\g<n> x \g<g> \g<m>GB ("),
    # `davon bekommt unser Team eine`
    _rule(rf"[,;(.]?\s*(?<!\w){_AMONG}\s+(?:bekomm\w+|erhalt\w+|erhält|krieg\w+|gehör\w+|dürfen|können|haben|nutzen|steh\w+|recib\w+|recebe\w*|reçoit|avons|tenemos|temos|abbiamo|krijg\w+|dostaj\w+|получ\w+)\s+(?:(?:[^\W\d]|'){{1,12}}\s+){{0,3}}?(?P<n>\d{{1,4}}|{_ONE})(?!\w)(?:\s+(?P<c>{_CARDS}|{_HOSTS}))?", "FREE"),
    _rule(rf"[,;(]?\s*(?:(?:aber|maar|mais|pero|mas|ma|но|ale|ama)\s+)?(?<!\w)(?P<n>\d{{1,4}}|{_ONE})\s+(?:davon|daarvan|d'entre\s+(?:elles|eux)|de\s+(?:ellas|ellos|elas|eles)|di\s+(?:essi|esse)|z\s+nich|из\s+них|af\s+dem|av\s+dem)\s+(?:[^\W\d]{{1,14}}\s+){{0,5}}?(?:{_TAKEN}|отдан\w*|выделен\w*)(?!\w)", "TAKEN"),
    _rule(rf"(?<![\w.])(?P<n>\d{{1,4}}|{_ONE})\s+{_OF}\s+(?P<all>\d{{1,4}})\s+(?P<c>{_CARDS}|{_HOSTS})(?!\w)(?=\s+(?:einer|eines|eine[mr]|d'|de|du|do|da|del|della|di|van|z|на|w)\b)", "ONLY"),
    _rule(rf"(?:拿|用|取|使用)\s*出?\s*其中的?\s*(?P<n>\d{{1,3}})\s*(?P<c>{_PIECES})(?:GPU|卡|显卡)?", "FREE"),
    _rule(r"(?P<n>\d{1,3})\s*(?P<c>台|枚|대|장)(?:は|が|은|는)\s*(?:学習|訓練|トレーニング|開発|検証|他|別|학습|훈련|개발|다른)[^。、.,\d]{0,10}?(?:用|使|専|용|중|쓰|전용)[^。、.,\d]{0,6}", "TAKEN"),
    _rule(r"(?P<n>\d{1,3})\s*(?P<c>[台张块])\s*(?:是|给|用于|用来|拿去|在)\s*(?:做)?(?:训练|微调|别的|其他|其它)[^。，,\d]{0,6}", "TAKEN"),
    _rule(r"(?P<n>\d{1,3})\s*(?P<c>台|枚|대|장)(?:만)?\s*(?:使えます|使う予定|利用可能|사용합니다|씁니다|쓸\s*예정)", "FREE"),
    # the part of a prompt that is the same for all
    _rule(rf"[,;(]?\s*(?:(?<!\w){_AMONG}|其中|そのうち|うち|그\s*중(?:에서?)?)\s*(?:(?:etwa|ca\.|rund|environ|unos|unas|cerca\s+de|circa|около|примерно|ok\.|yaklaşık|约|約|大约|약|ongeveer)\s*)?(?P<n>\d{{1,3}}(?:[ .,]\d{{3}})|\d{{2,6}})\s*(?P<k>k\b)?\s*(?:tokens?|jetons?|token[iy]?|токен\w*|トークン|토큰|个token)?(?:\s*[^\s.;。\d]{{1,20}}){{0,4}}?\s*(?:gemeinsam\w*|identisch\w*|gleich(?:bleibend)?\w*|geteilt\w*|gecacht\w*|commun(?:e?s)?|identiques?|partag\w+|en\s+cache|comun(?:es|s|i)?|compartid\w+|compartilhad\w+|id[ée]ntic\w+|igua(?:is|l|les)|ugual[ei]|mesm[oa]s|mism[oa]s|stess[ei]|m[êe]mes|dezelfde|condivis\w+|identic[ohie]\w*|gedeeld\w*|gemeenschappelijk\w*|hetzelfde|wspóln\w+|identyczn\w+|общ(?:ие|ий|ая|ее|их)|одинаков\w+|кэш\w*|ortak|aynı|固定|共享|公共|相同|缓存|共通|同じ|キャッシュ|공통|동일|캐시)[^.;,，。\d\n]{{0,30}}", "SHARED"),
    _rule(r"(?<=\d)\s*(?:tokens?|토큰|トークン|个token)?\s*(?:중(?:에서)?|のうち|中|里)\s*[,、，]?\s*(?:약|約|约)?\s*(?P<n>\d{1,6})\s*(?P<k>k\b)?\s*(?:tokens?|토큰|トークン)?\s*(?:은|는|이|가|は|が|是)?\s*(?:모두\s*|항상\s*|常に|全て|都)?(?:固定|共享|公共|相同|缓存|共通|同じ|キャッシュ|공통|동일|캐시|고정)[^.;,，。、\d\n]{0,12}", "SHARED"),
    # workers of a cluster with GPUs are hosts; a plan of which only a box came
    _rule(r"(?<![\w.])(?P<n>\d{1,3})\s+(?:gpu[- ])?workers?\s+(?:nodes?\s+)?(?=(?:with|of|à|mit|je|avec|con|com)\s+\d)", r"\g<n> nodes "),
    _rule(rf"(?<![\w.])(?:\d{{1,4}})\s*x?\s*(?P<g>{GPU})s?\b[^.;\n\d]{{0,24}}?,?\s*but\s+only\s+(?P<h>one|a|\d{{1,2}})\s+(?:box(?:es)?|nodes?|servers?|machines?|hosts?)\s*\(\s*(?P<n>\d{{1,2}})(?:\s*gpus?)?\s*\)", r"\g<h> node with \g<n> \g<g>"),
    _rule(r"(?<![\w.])(?P<h>\d{1,3})\s+(?:máy(?:\s+chủ)?|server)\s*,?\s*mỗi\s+(?:máy|server)\s+(?:có\s+)?(?P<n>\d{1,3})\s+(?:con|card|cái|chiếc|gpu)\s+", r"\g<h> nodes with \g<n> "),
    # what is replaced
    _rule(r"(?:我们)?(?:目前|现在|原来|之前)(?:是|都)?(?:用|在用|使用)[^。；;\n]{2,80}?[，,]\s*(?:现在)?(?:打算|准备|计划|想)(?:要)?(?:换成|换|改成|改用|迁移到|升级到|切换到|用)", " "),
    # `pro Minute kommen ca. 30 Anfragen`
    *(
        _rule(rf"(?<![\w])(?:pro|je|per|par|por|al|à\s+la|a\s+la|na|в|in\s+der)\s+{unit}\s*,?\s+(?:[^\W\d]{{2,14}}\.?\s+){{0,4}}?(?P<n>\d{{1,6}}(?:[.,]\d{{1,2}})?)\s+(?:anfragen|requests?|prompts|aufrufe|requ[êe]tes|appels|questions|peticiones|solicitudes|consultas|llamadas|pedidos|requisições|chamadas|richieste|chiamate|domande|verzoeken|aanvragen|zapytań|запрос\w*)(?!\w)", rf" \g<n> requests per {english} ")
        for unit, english in (("sekunde|seconde|segundo|secondo|sekundę|секунду", "second"), ("minute|minuto|minuut|minutę|минуту", "minute"), ("stunde|heure|hora|ora|uur|godzinę|час", "hour"))
        for unit in (f"(?:{unit})",)
    ),
    # `erste Antwort nach max. 1,5 Sekunden`
    _rule(r"(?<!\w)(?:erste[rns]?|première|primera|primeira|prima|eerste)\s+(?:antwort|reaktion|ausgabe|réponse|réaction|respuesta|resposta|risposta|antwoord)\s+(?:nach|in(?:nerhalb(?:\s+von)?)?|binnen|unter|en|dans|après|em|entro|na|dopo)\s+(?:(?:max(?:imal|\.)?|höchstens|spätestens|moins\s+de|menos\s+de|au\s+plus|maximum|máximo|massimo|meno\s+di)\s+)?(?=\d)", " first token within "),
    # `秒間20リクエスト`
    _rule(r"(?:秒間|毎秒|1\s*秒(?:間に|あたり|に))\s*(?:約|平均|最大)?\s*(?P<n>\d{1,6}(?:\.\d{1,2})?)\s*(?:件の?)?\s*(?:リクエスト|クエリ|件)", r" \g<n> requests per second "),
    # parts of a cluster
    _rule(rf"(?<![\w.])(?P<n>\d{{1,4}})\s+(?:out\s+)?of\s+(?:the|our|those|these|my)\s+(?P<m>\d{{1,4}})\s*(?:x\s*)?(?P<g>{GPU})s?(?P<where>(?:\s+(?:gpus?|cards?))?(?:\s+(?:in|on|of)\s+(?:our|the|that|this|my|a|one)\s+(?:\w+\s+)?(?:node|box|server|machine|host|cluster|rack))?)\s+(?=(?:is|are|were|was|go|goes|belong|have|has)\b)", r"\g<m> \g<g>\g<where>, \g<n> of them "),
    _rule(rf"[,;(]?\s*(?<!\w){_AMONG}\s+(?:[^\W\d]{{1,10}}\s+){{0,3}}?(?P<n>\d{{1,4}}|{_ONE})(?!\w)(?:\s+(?:{_OF}\s+)?(?P<c>{_CARDS}|{_HOSTS}))?\s+(?:[^\W\d]{{1,14}}\s+){{0,6}}?(?:{_TAKEN})(?!\w)", "TAKEN"),
    _rule(rf"[,;(]?\s*(?<!\w){_AMONG}\s+(?:[^\W\d]{{1,10}}\s+){{0,3}}?(?P<n>\d{{1,4}}|{_ONE})(?!\w)(?:\s+(?:{_OF}\s+)?(?P<c>{_CARDS}|{_HOSTS}))?\s+(?:[^\W\d]{{1,14}}\s+){{0,3}}?(?:{_FREE})(?!\w)", "FREE"),
    _rule(rf"(?<![\w.])(?P<n>\d{{1,4}}|{_ONE})\s+{_OF}\s+(?:\d{{1,4}}\s+)?(?P<c>{_CARDS}|{_HOSTS})\s+(?:[^\W\d]{{1,14}}\s+){{1,7}}?(?:{_TAKEN})(?!\w)", "TAKEN"),
    _rule(rf"[,;(]?\s*(?:(?:aber|mais|pero|mas|ma|però|но|ale|maar|ama)\s+)?(?:[^\W\d]{{1,12}}\s+){{0,2}}?(?<!\w)(?:{_ONLY}|ne)\s+(?:[^\W\d]{{1,12}}(?:\s+|'))"+rf"{{0,4}}?(?P<n>\d{{1,4}}|{_ONE})\s+{_OF}\s+(?:(?P<all>\d{{1,4}})\s+)?(?P<c>{_CARDS}|{_HOSTS})(?!\w)", "ONLY"),
    _rule(rf"(?<!\w){_MAY}\s+(?:[^\W\d]{{1,12}}\s+){{0,3}}?{_ONLY}\s+(?:[^\W\d]{{1,12}}\s+){{0,2}}?(?P<n>\d{{1,4}})(?:\s+(?P<c>{_CARDS}|{_HOSTS}))?(?!\w|\s*(?:[x×]|tok|{GPU}))", "MAY"),
    _rule(rf"(?:其中|そのうち|うち|그\s*중(?:에서?)?|이\s*중(?:에서?)?)\s*(?:的|の|只有|仅有?|有)?\s*(?P<n>\d{{1,3}})\s*(?P<c>{_PIECES})(?:GPU|卡|显卡)?(?:만|은|는|이|가|は|が|を|だけ|のみ)?[^。；，、.,;\d\n]{{0,16}}?{_HELD}[^。；，、.,;\d\n]{{0,12}}", "TAKEN"),
    _rule(rf"(?:其中|そのうち|うち|그\s*중(?:에서?)?|이\s*중(?:에서?)?)\s*(?:的|の|只有|仅有?|有)?\s*(?P<n>\d{{1,3}})\s*(?P<c>{_PIECES})(?:GPU|卡|显卡)?(?:만|은|는|이|가|は|が|を|だけ|のみ)?[^。；，、.,;\d\n]{{0,16}}?{_OPEN}[^。；，、.,;\d\n]{{0,8}}", "FREE"),
    _rule(rf"(?:但)?(?:我们)?(?:只能|只可以|仅能|只给)(?:我们)?(?:使用|用)?\s*(?:其中)?的?\s*(?P<n>\d{{1,3}})\s*(?P<c>{_PIECES})(?!\s*[A-Za-z]{{1,2}}\d)(?:GPU|卡|显卡)?", "FREE"),
    _rule(rf"(?P<n>\d{{1,3}})\s*(?P<c>{_PIECES})(?:だけ|のみ|しか|만)\s*(?:使|利用|쓸|사용|이용)[^。；，、.,;\d\n]{{0,10}}", "FREE"),
)  # fmt: skip


def in_our_order(text: str) -> str:
    """The text with such phrases as English says them."""
    for pattern, plain in _RULES:
        text = pattern.sub(plain if plain not in _PARTS else _part(plain), text)
    return text


_PARTS = {
    "SHARED": ", of which {n} tokens are shared ",
    "TAKEN": ", of which {n} {c} are reserved ",
    "FREE": ", of which only {n} {c} are available ",
    "ONLY": ", but we only get {n} of the {all}{c} ",
    "MAY": " we may use only {n} {c} ",
}
"""How a part is said, by what becomes of it."""


LOOK_BACK = 60
"""Characters before a part without a noun within which stands what it is a part of."""


def _part(kind: str) -> Callable[[re.Match[str]], str]:
    def said(match: re.Match[str]) -> str:
        groups = match.groupdict()
        words = groups.get("c") or ""
        hosts = words in ("台", "대") or re.fullmatch(_HOSTS, words, re.IGNORECASE) is not None
        noun = ("nodes" if hosts else "gpus") if words else ""
        if not words and kind == "FREE":
            before = match.string[max(0, match.start() - LOOK_BACK) : match.start()]
            noun = "nodes" if re.search(rf"(?<!\w){_HOSTS}(?!\w)", before, re.IGNORECASE) else ""
        digits = re.sub(r"[ .,]", "", groups["n"])
        count = f"{digits}{groups.get('k') or ''}" if digits.isdigit() else "1"
        return _PARTS[kind].format(n=count, c=noun, all=f"{groups['all']} " if groups.get("all") else "")

    return said
