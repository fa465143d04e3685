"""What is said in French: by the English sentence, with the same fields. ``tests/server/test_words.py`` holds it."""

from __future__ import annotations

from collections.abc import Mapping

COMMANDS = {
    "Visiopont: a SIP/RTP conference bridge.": "Visiopont : un pont de conférence SIP/RTP.",
    "Run the bridge.": "Lance le pont.",
    "Run the bridge with a room `demo` in which three people talk already.": (
        "Lance le pont avec une salle `demo` où trois personnes parlent déjà."
    ),
    "Say what is wrong with settings, ports, providers, codecs or clock, and what to do.": (
        "Dit ce qui ne va pas (réglages, ports, fournisseurs, codecs, horloge) et quoi faire."
    ),
    "FILE": "FICHIER",
    "ADDRESS": "ADRESSE",
    "NUMBER": "NOMBRE",
    "DIRECTORY": "RÉPERTOIRE",
    "ROOM": "SALLE",
    "Print the settings in force, or their reference.": "Affiche les réglages en vigueur, ou leur référence.",
    "List the rooms of a running bridge and who is in them.": (
        "Énumère les salles d'un pont en marche et qui s'y trouve."
    ),
    "Dial out: call somebody into a room.": "Appelle quelqu'un pour le joindre à une salle.",
    "Watch rooms, participants, levels, loss, jitter and the beat, live.": (
        "Montre en direct les salles, les participants, les niveaux, les pertes, la gigue et la cadence."
    ),
    "TOML file; default: visiopont.toml if it is there": "fichier TOML; par défaut, visiopont.toml s'il existe",
    "listener, as udp:127.0.0.1:5060; repeatable": "point d'écoute, comme udp:127.0.0.1:5060; peut être répété",
    "HTTP address, as 127.0.0.1:8080; '' for none": "adresse HTTP, comme 127.0.0.1:8080; '' pour aucune",
    "UDP port range for pictures, as 17000-17255; '' for none": (
        "plage de ports UDP des images, comme 17000-17255; '' pour aucune"
    ),
    "Send a participant's terminal to somebody else: it calls them and leaves here.": (
        "Envoie le terminal d'un participant vers quelqu'un d'autre : il l'appelle et quitte d'ici."
    ),
    "the room that it is in": "la salle où il se trouve",
    "its number, as `visiopont rooms` shows it": "son numéro, tel que `visiopont rooms` le montre",
    "Write what a room sees to a PNG file.": "Écrit dans un fichier PNG ce que voit une salle.",
    "the room": "la salle",
    "the file to write": "le fichier à écrire",
    "UDP port range, as 16000-16255": "plage de ports UDP, comme 16000-16255",
    "media processes, one a core": "processus de média, un par cœur",
    "directory for what is kept": "répertoire de ce qui est conservé",
    "the running bridge's HTTP address": "adresse HTTP du pont en marche",
    "the reference page instead of the values": "la page de référence au lieu des valeurs",
    "whom to call, as sip:alice@192.0.2.7": "qui appeler, comme sip:alice@192.0.2.7",
    "the room that the call joins": "la salle que l'appel rejoint",
    "print one picture and end": "affiche une seule image et se termine",
    "[OPTIONS]": "[OPTIONS]",
    "COMMAND [ARGS]...": "COMMANDE [ARGUMENTS]...",
    "Usage: ": "Utilisation : ",
    "Arguments": "Arguments",
    "Options": "Options",
    "Commands": "Commandes",
    "Error": "Erreur",
    "Interrupted.": "Interrompu.",
    "[default: {}]": "[par défaut : {}]",
    "[env var: {}]": "[variable d'environnement : {}]",
    "[required]": "[obligatoire]",
    "Try [blue]'{command_path} {help_option}'[/] for help.": "[blue]{command_path} {help_option}[/] en dit plus.",
    "Show this and end.": "Affiche ceci et se termine.",
    # What the library says of a command line that it can't read
    "Missing command.": "Il manque une commande.",
    "Missing option {name}.": "Il manque l'option {name}.",
    "Missing argument {name}.": "Il manque l'argument {name}.",
    "No such option: {name}": "Il n'y a pas d'option {name}",
    "No such option: {name} (Possible options: {others})": "Il n'y a pas d'option {name}; il y a {others}",
    "No such option: {name} Did you mean {others}?": "Il n'y a pas d'option {name}; vouliez-vous dire {others}?",
    "No such command {name}.": "Il n'y a pas de commande {name}.",
    "No such command {name}. Did you mean {others}?": "Il n'y a pas de commande {name}. Vouliez-vous dire {others}?",
    "Option {name} requires an argument.": "L'option {name} demande une valeur.",
    "Option {name} does not take a value.": "L'option {name} ne prend pas de valeur.",
    "Got unexpected extra argument(s) ({extra})": "Argument en trop : {extra}",
    "Invalid value for {name}: {why}": "Valeur inutilisable pour {name} : {why}",
    "{value} is not a valid integer.": "{value} n'est pas un nombre entier.",
    "{value} is not a valid int.": "{value} n'est pas un nombre entier.",
    "Make a signed link into a room, for a browser.": "Fait un lien signé vers une salle, pour un navigateur.",
    "ROLE": "RÔLE",
    "NAME": "NOM",
    "host or guest": "host (hôte) ou guest (invité)",
    "how long it opens the room": "combien d'heures il ouvre la salle",
    "whom it is for": "à qui il est destiné",
}
"""Help, and how a command line is written."""

ANSWERS = {
    "settings": "réglages",
    "Participant {participant} was asked to call {uri}.": "Le participant {participant} a été prié d'appeler {uri}.",
    "Written to {file}.": "Écrit dans {file}.",
    "`visiopont check` says more.": "`visiopont check` en dit plus.",
    "no bridge answers at {server} ({error}).": "aucun pont ne répond à {server} ({error}).",
    "Start one with `visiopont demo`, or name yours with --server.": (
        "Lancez-en un avec `visiopont demo`, ou nommez le vôtre avec --server."
    ),
    "{server} answers, but is no Visiopont: name yours with --server.": (
        "{server} répond, mais ce n'est pas un Visiopont : nommez le vôtre avec --server."
    ),
    "No room is on. Dial any name to open one, as in sip:meeting@HOST.": (
        "Aucune salle n'est ouverte. Composez un nom quelconque pour en ouvrir une, comme sip:reunion@HÔTE."
    ),
    "room": "salle",
    "number": "numéro",
    "state": "état",
    "no.": "n°",
    "participant": "participant",
    "role": "rôle",
    "locked": "verrouillée",
    "on": "ouverte",
    "empty": "vide",
    "host": "hôte",
    "guest": "invité",
    "being called": "en cours d'appel",
    "tell how the call went": "dire l'issue de l'appel",
    "{uri} has answered.": "{uri} a répondu.",
    "{uri} did not come: {reason}.": "{uri} n'est pas venu : {reason}.",
    "Calling {uri} into room {room} (participant {participant}).": (
        "Appel de {uri} pour la salle {room} (participant {participant})."
    ),
}
"""The commands' own words."""

TOP = {
    "speaking": "parle",
    "lobby": "en attente",
    "wants help": "demande de l'aide",
    "muted by host": "muet par l'hôte",
    "muted": "muet",
    "deaf": "n'entend pas",
    "hand {place}": "main {place}",
    "on hold": "en garde",
    "SRTP": "SRTP",
    "simulated": "simulé",
    "... and {count} more rooms": "... et {count} autres salles",
    "... and {count} more": "... et {count} autres",
    "(locked)": "(verrouillée)",
    "rooms {count}": "salles {count}",
    "participants {count}": "participants {count}",
    "calls {count}": "appels {count}",
    "registered {count}": "inscrits {count}",
    "up {time}": "depuis {time}",
    "takes no calls": "ne prend pas d'appels",
    "worker": "média",
    "pid": "pid",
    "streams": "flux",
    "beat p50": "cadence p50",
    "p99": "p99",
    "max ms": "max ms",
    "late": "retards",
    "CPU": "CPU",
    "restarts": "relances",
    "failed": "en panne",
    "pictures": "images",
    "picture": "image",
    "p99 ms": "p99 ms",
    "encodings": "encodages",
    "presents": "présente",
    "level": "niveau",
    "codec": "codec",
    "loss": "pertes",
    "jitter ms": "gigue ms",
    "delay ms": "tampon ms",
    "rtt ms": "a-r ms",
}
"""``visiopont top``."""

CHECK = {
    "ok": "ok",
    "warning": "attention",
    "error": "erreur",
    "platform": "plateforme",
    "Visiopont needs 64-bit Linux (recvmmsg, sendmmsg).": "Visiopont demande Linux à 64 bits (recvmmsg, sendmmsg).",
    "rooms": "salles",
    "Mend that key in the settings file.": "Corrigez cette clé dans le fichier de réglages.",
    "none from the start": "aucune au départ",
    "bridge": "pont",
    "one runs already, process {pid}: its ports are not free, of course": (
        "un pont est déjà en marche, processus {pid} : ses ports ne sont évidemment pas libres"
    ),
    "free": "libre",
    "the running bridge listens there ({listener})": "le pont en marche y écoute ({listener})",
    "Stop what uses it (ss -lnp shows it), or listen elsewhere with --sip.": (
        "Arrêtez ce qui l'utilise (ss -lnp le montre), ou écoutez ailleurs avec --sip."
    ),
    "off": "désactivé",
    "Without it `visiopont rooms`, `call` and `top` see nothing.": (
        "Sans lui, `visiopont rooms`, `call` et `top` ne voient rien."
    ),
    "the running bridge answers": "le pont en marche répond",
    "Stop what uses it (ss -lntp shows it), or listen elsewhere with --http.": (
        "Arrêtez ce qui l'utilise (ss -lntp le montre), ou écoutez ailleurs avec --http."
    ),
    "Check that both files are readable, are PEM, and belong together.": (
        "Vérifiez que les deux fichiers sont lisibles, sont en PEM et vont ensemble."
    ),
    "no certificate": "aucun certificat",
    "Set [sip] tls_certificate (and tls_key) to PEM files.": (
        "Donnez des fichiers PEM à [sip] tls_certificate (et tls_key)."
    ),
    "provider {registrar}": "fournisseur {registrar}",
    "{where} answers {code} {reason}": "{where} répond {code} {reason}",
    "It takes no requests now; ask the provider if that lasts.": (
        "Il n'accepte pas de requêtes pour le moment; si cela dure, demandez au fournisseur."
    ),
    "no answer from {addresses} in {seconds} s": "pas de réponse de {addresses} en {seconds} s",
    "Check registrar in [[sip.providers]], and that a firewall lets SIP through both ways. For TLS, see also [sip] "
    "tls_authorities.": (
        "Vérifiez registrar dans [[sip.providers]], et qu'un pare-feu laisse passer SIP dans les deux sens. Pour TLS, "
        "voyez aussi [sip] tls_authorities."
    ),
    "Check registrar in [[sip.providers]], [sip] listen, and this machine's name servers.": (
        "Vérifiez registrar dans [[sip.providers]], [sip] listen et les serveurs de noms de cette machine."
    ),
    "Mend that first.": "Corrigez d'abord cela.",
    "media ports": "ports de média",
    "{ports} serve the running bridge": "{ports} servent au pont en marche",
    "none of {ports} is free: {error}": "aucun de {ports} n'est libre : {error}",
    "video ports": "ports d'images",
    "{port} is not free: {error}": "{port} n'est pas libre : {error}",
    "Any other port serves; set [video] bfcp_port where a firewall must know it.": (
        "Tout autre port convient; fixez [video] bfcp_port si un pare-feu doit le connaître."
    ),
    "port {port} is free": "le port {port} est libre",
    "pictures are turned off": "les images sont éteintes",
    "Set --video-ports.": "Donnez une autre plage avec --video-ports.",
    "nobody knows it": "personne ne le connaît",
    "Take it out of [video] codecs, or mend the installation.": (
        "Retirez-le de [video] codecs, ou réparez l'installation."
    ),
    "Set --media-ports.": "Donnez une autre plage avec --media-ports.",
    "{taken} of {all} are taken; the others serve.": "{taken} sur {all} sont pris; les autres servent.",
    "{ports} free": "{ports} libres",
    "workers": "processus de média",
    "{workers} workers on {cores} cores": "{workers} processus sur {cores} cœurs",
    "Leave a core to signalling: --workers {workers}.": "Laissez un cœur à la signalisation : --workers {workers}.",
    "{workers} on {cores} cores": "{workers} sur {cores} cœurs",
    "calls": "appels",
    "[sip] max_calls is {calls}, but the workers hold {streams} streams": (
        "[sip] max_calls est à {calls}, mais les processus de média ne tiennent que {streams} flux"
    ),
    "Raise [media] workers or streams, or lower max_calls.": (
        "Augmentez workers ou streams dans [media], ou réduisez max_calls."
    ),
    "codec {name}": "codec {name}",
    "Take it out of [media] codecs, or mend the installation.": (
        "Retirez-le de [media] codecs, ou réparez l'installation."
    ),
    "works": "fonctionne",
    "clock": "horloge",
    "a 2 ms sleep took up to {longest} ms": "une pause de 2 ms en a pris jusqu'à {longest}",
    "This machine is too busy for steady sound.": "Cette machine est trop occupée pour un son régulier.",
    "wakes within {worst} ms": "se réveille à {worst} ms près",
    "wall clock": "heure",
    "not synchronised": "pas synchronisée",
    "Run an NTP client: call records carry its time (media does not).": (
        "Lancez un client NTP : les registres d'appels portent cette heure (le média, non)."
    ),
    "socket buffers": "tampons réseau",
    "{size} kB a media socket (net.core.rmem_max is {limit})": (
        "{size} ko par port de média (net.core.rmem_max est à {limit})"
    ),
    "For more than some hundred callers: sysctl -w net.core.rmem_max=8388608 net.core.wmem_max=8388608.": (
        "Pour plus de quelques centaines d'appelants : sysctl -w net.core.rmem_max=8388608 net.core.wmem_max=8388608."
    ),
    "{size} MB a media socket": "{size} Mo par port de média",
    "data directory": "répertoire de données",
    "Choose a writable one with --data.": "Choisissez-en un où l'on peut écrire, avec --data.",
    "browsers elsewhere get neither camera nor microphone": "les navigateurs d'ailleurs n'auront ni caméra ni micro",
    "Set [http] tls_certificate (and tls_key), or [http] public_url where a proxy speaks HTTPS.": (
        "Mettez [http] tls_certificate (et tls_key), ou [http] public_url si un mandataire parle HTTPS."
    ),
}
"""``visiopont check``."""

SETTINGS = {
    "there is no such key": "cette clé n'existe pas",
    "there is no such key; did you mean {near}?": "cette clé n'existe pas; vouliez-vous dire {near}?",
    "require_authentication without accounts lets nobody call: add [[sip.accounts]]": (
        "require_authentication sans comptes ne laisse personne appeler : ajoutez [[sip.accounts]]"
    ),
    "{users}: there twice": "{users} : deux fois",
    "{text}: write scheme and host, as in https://meet.example.org": (
        "{text} : écrivez le protocole et l'hôte, comme https://rencontre.exemple.org"
    ),
    "{text}: begin with turn:, turns: or stun:, as in turn:turn.example.org:3478": (
        "{text} : commencez par turn:, turns: ou stun:, comme turn:turn.exemple.org:3478"
    ),
    "turn without turn_secret lets nobody in: set what coturn has as static-auth-secret": (
        "turn sans turn_secret ne laisse entrer personne : mettez ce que coturn a comme static-auth-secret"
    ),
    "{path}: others can read the links' key: chmod 600, or take it away and start again": (
        "{path} : d'autres peuvent lire la clé des liens : chmod 600, ou retirez-la et recommencez"
    ),
    "{path}: this is no key of links: take it away and start again": (
        "{path} : ce n'est pas une clé de liens : retirez-la et recommencez"
    ),
    "a key of {size} octets signs nothing: {needed} are needed": (
        "une clé de {size} octets ne signe rien : il en faut {needed}"
    ),
    "{text}: write an address and a port, as in 127.0.0.1:8080 or [::1]:8080": (
        "{text} : écrivez une adresse et un port, comme 127.0.0.1:8080 ou [::1]:8080"
    ),
    "{text}: write two port numbers from 1024 to 65535, as in 16000-16255": (
        "{text} : écrivez deux numéros de port de 1024 à 65535, comme 16000-16255"
    ),
    "{file}: there is no such settings file": "{file} : ce fichier de réglages n'existe pas",
    "[{section}] ports: {ports} has {pairs} pairs of ports for {workers} workers": (
        "[{section}] ports : {ports} n'a que {pairs} paires de ports pour {workers} processus de média"
    ),
    "[room.{room}] {error}": "[room.{room}] {error}",
    "the database can't be opened: {error}": "la base de données ne peut être ouverte : {error}",
    "the database is of version {version}, this program's is {ours}": (
        "la base de données est de version {version}, celle de ce programme est {ours}"
    ),
    "can't listen on {address}: {error}": "impossible d'écouter sur {address} : {error}",
    "can't listen on http {address}: {error}": "impossible d'écouter sur http {address} : {error}",
    "TLS certificate {files}: {error}": "certificat TLS {files} : {error}",
    "TLS authorities {file}: {error}": "autorités TLS {file} : {error}",
    "{names}: write lists as JSON there, as in {example}": "{names} : écrivez-y les listes en JSON, comme {example}",
    "{text}: begin with udp:, tcp: or tls:, as in udp:127.0.0.1:5060": (
        "{text} : commencez par udp:, tcp: ou tls:, comme udp:127.0.0.1:5060"
    ),
    "{text}: write an address and a port, as in {one}:127.0.0.1:5060 or {two}:[::1]:5060": (
        "{text} : écrivez une adresse et un port, comme {one}:127.0.0.1:5060 ou {two}:[::1]:5060"
    ),
    "{listener}: TLS needs a certificate; set tls_certificate (and tls_key)": (
        "{listener} : TLS demande un certificat; donnez tls_certificate (et tls_key)"
    ),
    "{user} is not registered now: its terminal has to register here first": (
        "{user} n'est pas inscrit en ce moment : son terminal doit d'abord s'inscrire ici"
    ),
    "no codec {name} here": "pas de codec {name} ici",
    "no media port of {ports} on {host}: {error}": "aucun port de média parmi {ports} sur {host} : {error}",
    "no media ports are given": "aucun port de média n'est donné",
    "the media worker did not start within 30 s: is the machine overloaded?": (
        "le processus de média n'a pas démarré en 30 s : la machine est-elle surchargée?"
    ),
    "the media worker ended with status {status}": "le processus de média s'est terminé avec le code {status}",
    # pydantic's
    "Value error, {error}": "{error}",
    "Field required": "il manque une valeur",
    "Extra inputs are not permitted": "cette clé n'existe pas",
    "Input should be {choices}": "écrivez {choices}",
    "Input should be {first} or {last}": "écrivez {first} ou {last}",
    "Input should be greater than or equal to {least}": "écrivez au moins {least}",
    "Input should be less than or equal to {most}": "écrivez au plus {most}",
    "Input should be a valid string": "écrivez du texte",
    "Input should be a valid integer": "écrivez un nombre entier",
    "Input should be a valid integer, unable to parse string as an integer": "écrivez un nombre entier",
    "Input should be a valid integer, got a number with a fractional part": "écrivez un nombre entier",
    "Input should be a valid number": "écrivez un nombre",
    "Input should be a valid number, unable to parse string as a number": "écrivez un nombre",
    "Input should be a valid boolean": "écrivez true ou false",
    "Input should be a valid boolean, unable to interpret input": "écrivez true ou false",
    "Input should be a valid tuple": "écrivez une liste",
    "Input should be a valid list": "écrivez une liste",
    "Input should be a valid dictionary": "écrivez une table",
    "Input should be a valid dictionary or instance of {name}": "écrivez une table ({name})",
    "Input should be a valid dictionary or object to extract fields from": "écrivez un objet",
    "Input is not a valid path": "écrivez un chemin",
    "String should have at most {count} characters": "au plus {count} caractères",
    "String should have at least {count} character": "au moins {count} caractère",
    "String should have at least {count} characters": "au moins {count} caractères",
    "JSON decode error": "ce n'est pas du JSON",
}
"""Settings, and what keeps a bridge from starting."""

ROOMS = {
    "room {room}: no setting is called {key}; there are {keys}": (
        "salle {room} : aucun réglage ne s'appelle {key}; il y a {keys}"
    ),
    "room {room}: {key}: {how}": "salle {room} : {key} : {how}",
    "room {room}: a room's name does not change; make another room": (
        "salle {room} : le nom d'une salle ne change pas; créez-en une autre"
    ),
    "write text, in quotes": "écrivez du texte, entre guillemets",
    "write 1 to 64 lower-case letters, digits or . _ ~ + ' -": "écrivez de 1 à 64 minuscules, chiffres ou . _ ~ + ' -",
    "write 1 to 64 digits, or leave it out": "écrivez de 1 à 64 chiffres, ou omettez-le",
    "write one line of at most {count} characters": "écrivez une ligne d'au plus {count} caractères",
    "write one of {choices}": "écrivez l'un de {choices}",
    "write true or false": "écrivez true ou false",
    "write a whole number from {least} to {most}": "écrivez un nombre entier de {least} à {most}",
    "write seconds from 0 to {most}": "écrivez des secondes, de 0 à {most}",
    'write a table, as in {{"*8" = "lock"}}': 'écrivez une table, comme {{"*8" = "lock"}}',
    "write 4 to 16 digits, in quotes": "écrivez de 4 à 16 chiffres, entre guillemets",
    "must differ from host_pin: the PIN tells hosts from guests": (
        "doit différer de host_pin : c'est le NIP qui distingue les hôtes des invités"
    ),
    "set host_pin too, or nobody could ever be the host that guests wait for": (
        "donnez aussi host_pin, sinon personne ne pourrait être l'hôte que les invités attendent"
    ),
    "rooms {one} and {other} both have number {number}: change one": (
        "les salles {one} et {other} ont toutes deux le numéro {number} : changez-en une"
    ),
    "room {room} has the number {number} already; choose another": (
        "la salle {room} a déjà le numéro {number}; choisissez-en un autre"
    ),
    "'#' alone can't be a key: people press it after a number that was complete already": (
        "« # » seul ne peut être une commande : on le fait après un numéro qui était déjà complet"
    ),
    "{text} is no key: write 1 to 4 of 0-9 * #": (
        "{text} n'est pas une commande : écrivez de 1 à 4 touches parmi 0-9 * #"
    ),
    "{pair}: write pairs of key and action, as in *8 = lock": (
        "{pair} : écrivez des paires de touches et d'action, comme *8 = lock"
    ),
    "{digits} twice": "{digits} deux fois",
    "{one} begins {other}: nobody could key {last}": "{other} commence par {one} : personne ne pourrait faire {last}",
    "{name} is no action: there are {actions}": "{name} n'est pas une action : il y a {actions}",
    "no prompts in {language}; there are {languages}": "pas d'annonces en {language}; il y a {languages}",
    "no hand is up: name who is to speak": "aucune main n'est levée : nommez qui doit parler",
    "participant {number} is in no room: `visiopont rooms` lists who is where": (
        "le participant {number} n'est dans aucune salle : `visiopont rooms` dit qui est où"
    ),
    "participant {number} has no call: `visiopont rooms` lists who is where": (
        "le participant {number} n'a pas d'appel : `visiopont rooms` dit qui est où"
    ),
    "{scheme}: can't be called; write it as in sip:alice@192.0.2.7": (
        "{scheme}: ne peut être appelé; écrivez comme dans sip:alice@192.0.2.7"
    ),
    "{uri} is no address: write it as in sip:alice@192.0.2.7": (
        "{uri} n'est pas une adresse : écrivez comme dans sip:alice@192.0.2.7"
    ),
    "nowhere to send a call to {uri}": "nulle part où envoyer un appel à {uri}",
    "there is no room {room}: dial the name or number of one that there is": (
        "il n'y a pas de salle {room} : composez le nom ou le numéro d'une salle qui existe"
    ),
    "the room {room} is not on: `visiopont rooms` lists those that are": (
        "la salle {room} n'est pas ouverte : `visiopont rooms` énumère celles qui le sont"
    ),
    "{count} rooms are on, and no more may be: raise [rooms] limit": (
        "{count} salles sont ouvertes, et il ne peut y en avoir davantage : augmentez [rooms] limit"
    ),
    "participant {number} is in room {room} already": "le participant {number} est déjà dans la salle {room}",
    "room {room} is full ({capacity}): raise its capacity or remove somebody": (
        "la salle {room} est pleine ({capacity}) : augmentez sa capacité ou retirez quelqu'un"
    ),
    "room {room} is locked: a host unlocks it with *7, or calls you": (
        "la salle {room} est verrouillée : un hôte la déverrouille avec *7, ou vous appelle"
    ),
    "participant {number} is not in room {room}: look who is there now": (
        "le participant {number} n'est pas dans la salle {room} : regardez qui s'y trouve maintenant"
    ),
    "{name} waits in the lobby: admit them first": "{name} attend à l'entrée : laissez d'abord entrer cette personne",
    "only hosts may do that: ask one, or an operator": (
        "seuls les hôtes peuvent faire cela : demandez à l'un d'eux, ou à un opérateur"
    ),
    "{name} is in the room already: remove them instead": (
        "{name} est déjà dans la salle : retirez plutôt cette personne"
    ),
    "the conference in room {room} is over": "la conférence de la salle {room} est terminée",
    "the conference ends with its last host: make somebody else host first": (
        "la conférence se termine avec son dernier hôte : nommez d'abord un autre hôte"
    ),
    "write a name that people can read": "écrivez un nom lisible",
    "only operators may change a room's settings: ask one": (
        "seuls les opérateurs peuvent changer les réglages d'une salle : demandez-leur"
    ),
    "nobody waits in the lobby": "personne n'attend à l'entrée",
    "nobody asked for help": "personne n'a demandé d'aide",
    "room {room} has no picture: see [video] and the room's settings": (
        "la salle {room} n'a pas d'image : voyez [video] et les réglages de la salle"
    ),
    "no place on the picture: {x} {y} {w} {h}; write parts from 0 to 1": (
        "pas une place sur l'image : {x} {y} {w} {h}; écrivez des fractions de 0 à 1"
    ),
    "only hosts may present in this room, and {name} is none": (
        "seuls les hôtes peuvent présenter dans cette salle, et {name} n'en est pas un"
    ),
    "write one of {layouts}; or fixed, with 1 to {most} places": (
        "écrivez l'un de {layouts}; ou fixed, avec 1 à {most} places"
    ),
    "write the absolute name of a PNG file, as in /etc/visiopont/logo.png": (
        "écrivez le nom absolu d'un fichier PNG, comme /etc/visiopont/logo.png"
    ),
    "{gain}: write whole dB from -{least} to {most}": "{gain} : écrivez des dB entiers de -{least} à {most}",
    "this link is not one of ours, or not all of it was copied: ask for it again": (
        "ce lien n'est pas d'ici, ou n'a pas été copié en entier : redemandez-le"
    ),
    "this link has expired: ask for a new one": "ce lien a expiré : demandez-en un nouveau",
    "this link is for another room: ask for one to this room": (
        "ce lien mène à une autre salle : demandez-en un pour celle-ci"
    ),
    "you are in the lobby: what you write is read when you have been admitted": (
        "vous êtes dans le hall : on lira ce que vous écrivez quand vous aurez été admis"
    ),
    "there is nothing in that message": "ce message est vide",
    "write at most {count} characters at once": "écrivez au plus {count} caractères à la fois",
    "that was too fast: wait a moment": "c'était trop vite : attendez un instant",
    "that is you: use your own microphone's button": "c'est vous : servez-vous du bouton de votre micro",
    "here is one picture for all, and none of each": "il y a ici une image pour tous, et pas une de chacun",
    "{count} pictures fit on a page and no more": "{count} images tiennent dans une page, et pas plus",
    "whoever you want to see is not in your room": "qui vous voulez voir n'est pas dans votre salle",
    "you are in no room": "vous n'êtes dans aucune salle",
    "say hello first": "dites d'abord bonjour (hello)",
    "the bridge did not understand that: load the page anew": ("le pont n'a pas compris : rechargez la page"),
}
"""What rooms say."""

REACH = {
    "DNS says nothing about {name} ({error}): check this machine's name servers, or call an IP address": (
        "le DNS ne dit rien de {name} ({error}) : vérifiez les serveurs de noms de cette machine, ou appelez une "
        "adresse IP"
    ),
    "DNS took longer than {limit} s for {uri}: check this machine's name servers": (
        "le DNS a mis plus de {limit} s pour {uri} : vérifiez les serveurs de noms de cette machine"
    ),
    "DNS has no address for {uri}: check the name's spelling": (
        "le DNS n'a pas d'adresse pour {uri} : vérifiez l'orthographe du nom"
    ),
    "{uri} is no SIP URI ({error}): write it as in sip:name@host": (
        "{uri} n'est pas une adresse SIP ({error}) : écrivez-la comme sip:nom@hôte"
    ),
    "{uri} has no host to ask: write it as in sip:name@host": (
        "{uri} ne nomme aucun hôte : écrivez-la comme sip:nom@hôte"
    ),
    "{uri} needs {transport}, which has no listener here: add one to the settings (sip.listen)": (
        "{uri} demande {transport}, pour lequel rien n'écoute ici : ajoutez un point d'écoute aux réglages (sip.listen)"
    ),
    "{uri} asks for transport {transport}, by which nothing can be called: leave it out": (
        "{uri} demande le transport {transport}, par lequel rien ne peut être appelé : omettez-le"
    ),
    "no listener here reaches that address by {wanted}: add one to the settings (sip.listen)": (
        "aucun point d'écoute d'ici n'atteint cette adresse par {wanted} : ajoutez-en un aux réglages (sip.listen)"
    ),
}
"""Why somebody can't be reached."""

API = {
    "No such room": "Salle inconnue",
    "No such participant": "Participant inconnu",
    "Forbidden": "Interdit",
    "Not now": "Pas maintenant",
    "Too many listeners": "Trop d'abonnés",
    "Not understood": "Pas compris",
    "Internal error": "Erreur interne",
    "The bridge is stopping: it makes no new calls.": "Le pont s'arrête : il ne fait plus d'appels.",
    "There is a room {room} already: choose another name, or DELETE it first.": (
        "Il y a déjà une salle {room} : choisissez un autre nom, ou faites d'abord DELETE."
    ),
    "[media] ports {sound} and [video] ports {pictures} overlap: give each a range of its own": (
        "[media] ports {sound} et [video] ports {pictures} se chevauchent : donnez à chacun sa propre plage"
    ),
    "[webrtc] port {port} lies in [{section}] ports: give it one of its own": (
        "[webrtc] port {port} est dans [{section}] ports : donnez-lui un port à lui"
    ),
    "[video] ports {ports}: {error}": "[video] ports {ports} : {error}",
    "{count} pictures are being taken already: ask again in a moment.": (
        "{count} images sont déjà en cours : redemandez dans un instant."
    ),
    "The picture could not be taken: {error}": "L'image n'a pas pu être prise : {error}",
    "There are {count} rooms already: raise [rooms] limit.": "Il y a déjà {count} salles : augmentez [rooms] limit.",
    "There is no room {room}: GET /api/v1/rooms lists those that there are.": (
        "Il n'y a pas de salle {room} : GET /api/v1/rooms énumère celles qui existent."
    ),
    "{count} listeners follow the events already": "{count} abonnés suivent déjà les événements",
    'name: say what is dialled, as in {{"name": "demo"}}': 'name : dites ce qui se compose, comme {{"name": "demo"}}',
    "A room knows no {command}: use one of {commands}.": (
        "Une salle ne connaît pas {command} : utilisez l'un de {commands}."
    ),
    "A participant knows no {command}: use one of {commands}.": (
        "Un participant ne connaît pas {command} : utilisez l'un de {commands}."
    ),
    "No new calls: the bridge is stopping, or a media worker failed (see the log).": (
        "Plus d'appels : le pont s'arrête, ou un processus de média est en panne (voyez le journal)."
    ),
    "{request} is not part of the API; /api/docs lists what is.": (
        "{request} ne fait pas partie de l'API; /api/docs énumère ce qui en fait partie."
    ),
    "This is a bug of the bridge; its log has the details.": "C'est un défaut du pont; son journal en a les détails.",
    "This bridge has no page to link to: see [http] listen.": (
        "Ce pont n'a pas de page où mener : voyez [http] listen."
    ),
    "role {role}: write host or guest": "role {role} : écrivez host ou guest",
    "hours: write a number up to {most}": "hours : écrivez un nombre jusqu'à {most}",
    "name: write one line of at most {most} characters": "name : écrivez une ligne d'au plus {most} caractères",
    "there is no such file": "il n'y a pas de tel fichier",
    "too many wrong PINs came from there: try again later": (
        "trop de codes erronés sont venus de là : réessayez plus tard"
    ),
    "that is not the PIN of this room": "ce n'est pas le code de cette salle",
}
"""What the API says besides."""

WHIP = {
    "this is no session description: send the offer as application/sdp": (
        "ce n'est pas une description de session : envoyez l'offre en application/sdp"
    ),
    "offer one audio track, and at most one video track beside it": (
        "offrez une piste audio, et au plus une piste vidéo avec elle"
    ),
    "offer WebRTC: ICE, and UDP/TLS/RTP/SAVPF": "offrez du WebRTC : ICE, et UDP/TLS/RTP/SAVPF",
    "who publishes offers sendonly: to play a room, use its /whep address": (
        "qui diffuse offre sendonly : pour écouter une salle, utilisez son adresse /whep"
    ),
    "who plays offers recvonly: to publish into a room, use its /whip address": (
        "qui écoute offre recvonly : pour diffuser dans une salle, utilisez son adresse /whip"
    ),
    "this is no application/trickle-ice-sdpfrag": "ce n'est pas du application/trickle-ice-sdpfrag",
    "ice-ufrag and ice-pwd make no sense": "ice-ufrag et ice-pwd n'ont pas de sens",
    "this room has a PIN, which can't be keyed here: send a link's token": (
        "cette salle a un code, qu'on ne peut faire ici : envoyez le jeton d'un lien"
    ),
    "this takes a link's token: Authorization: Bearer TOKEN": (
        "il faut ici le jeton d'un lien : Authorization: Bearer JETON"
    ),
    "there is no such session: it has ended, or never was": (
        "il n'y a pas de telle session : elle est finie, ou n'a jamais été"
    ),
    "there are too many sessions already: try again in a moment": (
        "il y a déjà trop de sessions : réessayez dans un moment"
    ),
    "send If-Match: the session's ETag with candidates, * to restart ICE": (
        "envoyez If-Match : l'ETag de la session avec des candidats, * pour reprendre ICE"
    ),
    "ICE was restarted meanwhile: that ETag is of the session before": (
        "ICE a été repris entre-temps : cet ETag est celui de la session d'avant"
    ),
    "another restart is under way: wait for its answer": "une autre reprise est en cours : attendez sa réponse",
    "ICE could not be restarted: the session goes on as it was": (
        "ICE n'a pu être repris : la session continue comme elle était"
    ),
    "the bridge does not take that call": "le pont ne prend pas cet appel",
    "the bridge takes no more calls now: try again in a moment": (
        "le pont ne prend plus d'appels pour l'instant : réessayez dans un moment"
    ),
    "too many calls from there failed: try again in a minute": (
        "trop d'appels de là ont échoué : réessayez dans une minute"
    ),
    "this offer can't be answered: {reason}": "on ne peut répondre à cette offre : {reason}",
    "none of the picture codecs offered is taken here: H.264 and VP8 are usual": (
        "aucun des codecs d'image offerts n'est pris ici : H.264 et VP8 sont usuels"
    ),
    "send this as {kind}": "envoyez cela en {kind}",
    "send at most {most} octets": "envoyez au plus {most} octets",
}
"""What WHIP and WHEP say."""

SYSTEM = {
    "[Errno {number}] {error}": "{error}, erreur {number}",
    "[Errno {number}] {error}: {file}": "{file} : {error}, erreur {number}",
    "Address already in use": "adresse déjà utilisée",
    "Cannot assign requested address": "cette adresse n'est pas à cette machine",
    "Permission denied": "permission refusée",
    "No such file or directory": "ce fichier ou répertoire n'existe pas",
    "Not a directory": "ce n'est pas un répertoire",
    "Read-only file system": "système de fichiers en lecture seule",
    "No space left on device": "plus d'espace sur le disque",
    "Connection refused": "connexion refusée",
    "All connection attempts failed": "aucune connexion n'a réussi",
    "timed out": "délai écoulé",
    "Name or service not known": "nom inconnu",
    "Temporary failure in name resolution": "le serveur de noms ne répond pas",
}
"""What the system says."""

FRENCH: Mapping[str, str] = COMMANDS | ANSWERS | TOP | CHECK | SETTINGS | ROOMS | REACH | API | WHIP | SYSTEM
