"""Words that the pages and the messages of the project do not use, and what they say instead.

The words of the style guide: the field's words and plain English, in place of private or old-fashioned ones.
"""

import re

WORDS: dict[str, str] = {
    # --- plain English
    r"octets?": "bytes",
    r"begin(s|ning)?|began|begun": "start, started, in progress",
    r"stands?(?!-)": "is",
    r"(for|by|of|from|to|with) who": "for anyone who",
    r"anew": "again",
    r"beside": "next to, compared with",
    r"(?<!there )(is|are) none": "is invalid, is not one",
    r"of (its|their|his|one's) own": "its own",
    r"tells?": "log, report, show",
    r"say(?=[,.:;)]| by )": "for example",
    r"lest|wholly|thus|whose|therein|thereof|hitherto": "something simpler",
    r"(a|an|each|every|one) looks?": "check, tick",
    # --- the field's words
    r"the lead": "the leadership, the leader",
    r"spares?( thread)?": "standby",
    r"Engine": "ServerRun",
    r"Roster|ConnectionServices|SenderServices": "ConnectionManager, Acceptor, ServerContext, Endpoint",
    r"Seat|Wish|errand|run_soon|Tally|Chore": "ThreadSlot, StopRequest, callback, Counters, InternalTask",
    r"Patience|spend_patience": "MinDataRate",
    r"on_look|LOOK_SECONDS|attend_in_time|on_attention": "on_tick, TICK_SECONDS, notify, on_notify",
    r"EnvironMaker|page_of_fault|limits_of|kind_of_server": "EnvironBuilder, error_response_for, parser_limits",
}


def _in_a_text(word: str) -> re.Pattern[str]:
    """Match the word alone; its first letter in either case, because a sentence may start with it."""
    either = re.sub(r"(^|[|(])([a-z])(?=[a-z])", lambda found: f"{found[1]}[{found[2].upper()}{found[2]}]", word)
    return re.compile(rf"\b(?:{either})(?!\w)")


_PATTERNS = [(_in_a_text(word), instead) for word, instead in WORDS.items()]


def words_of(text: str) -> list[tuple[int, str, str]]:
    """Return (offset, the word, what to say instead) for each word of the table in a text."""
    return [(found.start(), found[0], instead) for pattern, instead in _PATTERNS for found in pattern.finditer(text)]
