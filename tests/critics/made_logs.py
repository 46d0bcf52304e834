"""Logs in which only some turns decide the outcome, in several kinds of text; the truth is in `turn.info["decides"]`.

Every episode has six turns. The turns that decide say something that matters there and then; the others are of the
same length and come from the same writers. Outcomes are noisy: one in ten is turned over.
"""

import random

from turnsmith.trace.types import Action, Call, Observation, Outcome, Task, Trace, Turn, Verdict

NOISE = 0.1


def _trace(kind, index, instruction, turns, success, source, hidden=None):
    if source.random() < NOISE:
        success = not success
    made = []
    for seen, text, call, decides in turns:
        made.append(Turn(Observation(seen), Action(text, call), info={"decides": bool(decides)}))
    return Trace(
        f"{kind}-{index:04d}",
        Task(f"{kind}-task-{index}", instruction, "imported", hidden=hidden or {}),
        tuple(made),
        Outcome.SUCCESS if success else Outcome.FAILURE,
        (Verdict("oracle", float(success), "made"),),
    )


_SMALL_TALK = (
    "Thank you for waiting, I am looking into it now.",
    "Let me pull up the details of your account.",
    "I understand how annoying this must be for you.",
    "Could you tell me a little more about what happened?",
    "One moment while the system is loading.",
    "I have made a note of that in your file.",
    "Is there anything else that I should know about?",
    "That is a good question, let me see.",
)
_VERIFY = (
    "Before we go on, may I verify your date of birth?",
    "For security I need to verify who you are: what is your birth date?",
    "Please confirm your identity with your date of birth first.",
)
_RESTART = (
    "Please restart the router and wait for the green light.",
    "Could you switch the router off and on again?",
    "Unplug the router for ten seconds, then restart it.",
)
_USER = ("Okay.", "Yes, sure.", "It still does not work for me.", "I am not sure what you mean.", "All right, go on.")


def support(count, seed=0, reveals=False):
    """A support desk: an episode succeeds if identity was verified and the router restarted.

    With `reveals` the last turn gives the outcome away in words, and decides nothing.
    """
    source, found = random.Random(seed), []
    for index in range(count):
        plan = [source.choice(_SMALL_TALK) for _ in range(6)]
        places = source.sample(range(5 if reveals else 6), 2)
        keys = [source.random() < 0.65 for _ in range(2)]
        for place, key, lines in zip(places, keys, (_VERIFY, _RESTART), strict=True):
            if key:
                plan[place] = source.choice(lines)
        decides = [any(key and place == turn for place, key in zip(places, keys, strict=True)) for turn in range(6)]
        if reveals:
            plan[5] = (
                source.choice(("Glad that it works again, goodbye!", "Wonderful, I am happy to hear that it works."))
                if all(keys)
                else source.choice(("I am sorry that I could not help you.", "Sorry, a colleague will call you back."))
            )
        turns = [(source.choice(_USER), text, None, key) for text, key in zip(plan, decides, strict=True)]
        found.append(_trace("support", index, "My internet is down.", turns, all(keys), source))
    return found


_PARTS = [
    "pump",
    "valve",
    "filter",
    "sensor",
    "motor",
    "belt",
    "fan",
    "relay",
    "switch",
    "cable",
    "fuse",
    "nozzle",
    "heater",
    "gasket",
    "bearing",
    "piston",
]


def faults(count, seed=0):
    """A mechanic who asks about parts: it helps to ask about a broken one, and only `hidden` tells which are."""
    source, found = random.Random(seed), []
    for index in range(count):
        broken = source.sample(_PARTS, 5)
        asked = source.sample(_PARTS, 6)
        turns = []
        for part in asked:
            text = source.choice(
                (f"Did you look at the {part}?", f"How does the {part} sound?", f"Is the {part} worn?")
            )
            turns.append((source.choice(_USER), text, None, part in broken))
        hits = sum(turn[3] for turn in turns)
        hidden = {"report": "worn parts: " + ", ".join(broken)}
        found.append(_trace("faults", index, "The machine stopped.", turns, hits >= 2, source, hidden))
    return found


def tools(count, seed=0):
    """Tool calls: what decides is a change of the order that was asked about, and not of another; reading is free."""
    source, found = random.Random(seed), []
    for index in range(count):
        order = f"W{source.randrange(10_000, 99_999)}"
        turns, won = [], False
        change = source.randrange(1, 6)
        for turn in range(6):
            name = source.choice(("get_order", "list_products", "get_user", "calculate"))
            arguments = {"id": source.choice((order, f"W{source.randrange(10_000, 99_999)}"))}
            decides = False
            if turn == change and source.random() < 0.85:
                right = source.random() < 0.6
                name, won, decides = "change_address", right, right
                arguments = {"id": order if right else f"W{source.randrange(10_000, 99_999)}"}
            turns.append((f'{{"status": "ok", "n": {source.randrange(100)}}}', "", Call(name, arguments), decides))
        found.append(_trace("tools", index, f"Send order {order} to my new address.", turns, won, source))
    return found


_SYMPTOMS = ("fever", "cough", "rash", "headache", "dizziness")
_REMEDIES = ("paracetamol", "syrup", "ointment", "ibuprofen", "rest")


def remedies(count, seed=0):
    """The right word depends on what was said before: each symptom has its remedy, three of six turns name one."""
    source, found = random.Random(seed), []
    for index in range(count):
        turns, hits = [], 0
        for turn in range(6):
            symptom = source.randrange(5)
            seen, text, decides = source.choice(_USER), source.choice(_SMALL_TALK), False
            if turn % 2:
                remedy = symptom if source.random() < 0.5 else source.randrange(5)
                seen = f"Now I have a {_SYMPTOMS[symptom]}."
                text = f"You could try {_REMEDIES[remedy]} for that."
                decides = remedy == symptom
                hits += decides
            turns.append((seen, text, None, decides))
        found.append(_trace("remedies", index, "I do not feel well.", turns, hits >= 2, source))
    return found


def web(count, seed=0):
    """Web actions in the words of a grammar; opening the filter and then the cheapest item decide."""
    source, found = random.Random(seed), []
    names = ["Home", "About us", "Newsletter", "Help", "Contact", "Imprint", "Blog", "Careers"]
    for index in range(count):
        turns, good = [], 0
        for _ in range(6):
            mark = source.randrange(40)
            decides = source.random() < 0.3
            name = source.choice(("Price, low to high", "Only in stock")) if decides else source.choice(names)
            good += decides
            text = f"Thought: open {name} [{mark}]\nAction: Click [{mark}]"
            turns.append((f"[{mark}] {name}\n[3] Search", text, Call("click", {"mark": mark}), decides))
        found.append(_trace("web", index, "Find the cheapest kettle.", turns, good >= 2, source))
    return found


_CHINESE = ("请稍等，我正在查询。", "谢谢您的耐心等待。", "这个问题很常见。", "我已经记录下来了。", "请问还有别的吗？")


def chinese(count, seed=0):
    """A script without spaces: what decides is to ask for the order number."""
    source, found = random.Random(seed), []
    for index in range(count):
        places = source.sample(range(6), source.choice((0, 1, 1, 2)))
        turns = []
        for turn in range(6):
            text = source.choice(("请提供订单号码。", "您的订单号是多少？") if turn in places else _CHINESE)
            turns.append(("好的。", text, None, turn in places))
        found.append(_trace("chinese", index, "我的包裹没有到。", turns, bool(places), source))
    return found


KINDS = {"support": support, "faults": faults, "tools": tools, "remedies": remedies, "web": web, "chinese": chinese}
