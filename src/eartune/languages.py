"""Languages: ISO 639-1 codes, and the other spellings under which corpora name them."""

from __future__ import annotations

import re
from collections.abc import Collection
from functools import cache

from eartune.errors import nearest

# One line each: the code, then everything else that means it; the last is the English name.
# All of ISO 639-1, and what Whisper, Common Voice or FLEURS have beyond it (three letters).
_TABLE = """
aa aar afar
ab abk abkhazian
af afr afrikaans
ak aka twi akan
am amh amharic
an arg aragonese
ar ara arabic
as asm assamese
ast asturian
av ava avaric
ay aym aymara
az aze azerbaijani
ba bak bashkir
be bel belarusian
bg bul bulgarian
bi bis bislama
bm bam bambara
bn ben bangla bengali
bo bod tib tibetan
br bre breton
bs bos bosnian
ca cat valencian catalan
ce che chechen
ceb cebuano
ch cha chamorro
ckb sorani central_kurdish
co cos corsican
cs ces cze czech
cv chv chuvash
cy cym wel welsh
da dan danish
de deu ger german
dsb lower_sorbian
dv div divehi
dz dzo dzongkha
ee ewe ewe
el ell gre greek
en eng english
eo epo esperanto
es spa castilian spanish
et est estonian
eu eus baq basque
fa fas per farsi persian
ff ful fulah
fi fin finnish
fj fij fijian
fo fao faroese
fr fra fre french
fy fry west_frisian frisian
ga gle irish
gd gla gaelic scottish_gaelic
gl glg galician
gn grn guarani
gu guj gujarati
gv glv manx
ha hau hausa
haw hawaiian
he iw heb hebrew
hi hin hindi
hr hrv croatian
hsb upper_sorbian
ht hat haitian haitian_creole
hu hun hungarian
hy hye arm armenian
ia ina interlingua
id in ind indonesian
ig ibo igbo
ii iii sichuan_yi
ik ipk inupiaq
io ido ido
is isl ice icelandic
it ita italian
iu iku inuktitut
ja jpn japanese
jv jw jav javanese
ka kat geo georgian
kab kabyle
kam kamba
kea kabuverdianu
kg kon kongo
ki kik kikuyu
kk kaz kazakh
kl kal kalaallisut
km khm khmer
kn kan kannada
ko kor korean
ks kas kashmiri
ku kur kmr kurmanji kurdish
kv kom komi
kw cor cornish
ky kir kyrgyz
la lat latin
lb ltz letzeburgesch luxembourgish
lg lug luganda ganda
li lim limburgish
ln lin lingala
lo lao lao
lt lit lithuanian
luo luo
lv lav latvian
mdf moksha
mg mlg malagasy
mhr meadow_mari
mi mri mao maori
mk mkd mac macedonian
ml mal malayalam
mn mon mongolian
mr mar marathi
mrj hill_mari
ms msa may zsm malay
mt mlt maltese
my mya bur myanmar burmese
myv erzya
na nau nauru
ne nep npi nepali
nl nld dut flemish dutch
nn nno nynorsk
no nor nb nob bokmal bokmål norwegian
nso northern_sotho
nv nav navajo
ny nya chichewa nyanja
oc oci occitan
om orm oromo
or ori ory odia oriya
os oss ossetian
pa pan panjabi punjabi
pl pol polish
ps pus pushto pashto
pt por portuguese
qu que quechua
rm roh romansh
rn run rundi
ro ron rum moldavian moldovan romanian
ru rus русский russian
rw kin kinyarwanda
sa san sanskrit
sah yakut
sc srd sardinian
sd snd sindhi
se sme northern_sami
sg sag sango
si sin sinhalese sinhala
sk slk slo slovak
sl slv slovene slovenian
sm smo samoan
sn sna shona
so som somali
sq sqi alb albanian
sr srp serbian
ss ssw swati
st sot southern_sotho
su sun sundanese
sv swe swedish
sw swa swh swahili
ta tam tamil
te tel telugu
tg tgk tajik
th tha thai
ti tir tigrinya
tk tuk turkmen
tl tgl fil filipino tagalog
tn tsn tswana
to ton tonga
tr tur turkish
ts tso tsonga
tt tat tatar
ty tah tahitian
ug uig uighur uyghur
uk ukr ukrainian
umb umbundu
ur urd urdu
uz uzb uzn uzbek
ve ven venda
vi vie vietnamese
vo vol volapuk
wa wln walloon
wo wol wolof
xh xho xhosa
yi yid yiddish
yo yor yoruba
yue cantonese
za zha zhuang
zh zho chi cmn mandarin chinese
zu zul zulu
"""

_CODES = {spelling: line.split()[0] for line in _TABLE.strip().splitlines() for spelling in line.split()}

LANGUAGE_NAMES = {line.split()[0]: line.split()[-1].replace("_", " ").title() for line in _TABLE.strip().splitlines()}
"""Code -> English name."""


@cache
def language_code(name: str) -> str | None:
    """Return the code meant by a code, an English name, a locale or a token (ru, rus, Russian, ru-RU, <|ru|>).

    It is of ISO 639-1 where there is one, else of three letters (haw, yue, cnh, nan, ...), also one that is not in the
    table. None: no name that is known, and no code. Javanese is jv (Whisper's own code for it is jw), and Bokmål counts
    as Norwegian.
    """
    bare = name.strip().lower().removeprefix("<|").removesuffix("|>")
    spelled = "_".join(bare.replace("-", " ").replace("_", " ").split())
    locale = re.fullmatch(r"([a-z]{2,3})([-_][a-z0-9]{2,8})*", bare)
    if locale is None:
        return _CODES.get(spelled)
    # all codes of two letters are in the table
    return _CODES.get(spelled) or _CODES.get(locale[1]) or (locale[1] if len(locale[1]) == 3 else None)


def locale_of(name: str) -> str | None:
    """Return a language with its region (pt-BR, of pt_br or <|pt-BR|> too), or None where no region is named."""
    bare = name.strip().removeprefix("<|").removesuffix("|>")
    match = re.fullmatch(r"([A-Za-z]{2,3})[-_]([A-Za-z]{2})", bare)
    return None if match is None or language_code(bare) is None else f"{match[1].lower()}-{match[2].upper()}"


# ISO codes that Whisper has other tokens for
WHISPER_CODES = {"jv": "jw", "nb": "no", "fil": "tl"}


def whisper_code(language: str | None) -> str | None:
    """Return the code under which Whisper has a token for a language."""
    return language if language is None else WHISPER_CODES.get(language, language)


# how models with prompts of languages are asked to find one out, and the tags that they write behind their texts
AUTO = "auto"
LANGUAGE_TAG = re.compile(r"\s*<[a-z]{2}-[A-Z]{2}>")


def prompt_name(language: str | None, known: Collection[str]) -> str:
    """Return the name of a language (en-GB, ru) among those of NeMo's prompts.

    That is its own, or that without its region, or the first one with a region (ru-RU), or `auto`.
    """
    if language is None:
        return AUTO
    bare = language.split("-")[0]
    for name in (language, bare):
        if name in known:
            return name
    return next((name for name in known if name.startswith(f"{bare}-")), AUTO)


def unknown_language(name: str) -> str:
    """Return the message for a language that language_code does not know, with the nearest names."""
    close = nearest(name.lower(), sorted(_CODES))
    return f"language {name!r} is not known; give an ISO 639-1 code such as en or ru, or an English name.{close}"
