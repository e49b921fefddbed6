"""What becomes of our address, in words."""

from typing import TypeAlias

from fantom_trio.nursery import (
    AddressBack,
    AddressGone,
    AddressMoved,
    AddressNews,
    AddressUnknown,
    AskingService,
    CannotListen,
    ListeningAt,
    ReachProblem,
)
from fantom_trio.repl.explain import explain_listen, explain_reach
from fantom_trio.repl.languages import _

__all__ = ["explain_absence", "explain_gone", "explain_news"]

#: A sentence, and whether it is an alarm.
Sentence: TypeAlias = tuple[str, bool]

#: What goes without saying where our address is gone and no other one is there.
_NO_ADDRESS = (ReachProblem.NO_IPV6, ReachProblem.NO_LINK_LOCAL, ReachProblem.NOT_OURS)


def explain_news(news: AddressNews) -> list[Sentence]:
    """What the user of a REPL reads of it, a notice each."""
    match news:
        case AskingService(service):
            return [(_("Asking {service} for your public address …", service=service), False)]
        case AddressUnknown(error, near):
            if near.is_loopback:
                nearby = _("Until then only this machine can reach you.")
            elif near.is_link_local:
                nearby = _("Until then only peers on the same network can reach you.")
            else:
                nearby = _("Until then your address is taken to be the one this machine uses.")
            return [(explain_reach(error), True), (nearby, False)]
        case ListeningAt(where):
            text = _(
                "Listening on {where}. Give your peer this address, or an /invite.", where=where
            )
            return [(text, False)]
        case CannotListen(error):
            text = explain_listen(error)
            if error.in_use:
                text += " " + _("Then: /listen PORT")
            return [(text, True)]
        case AddressMoved():
            return [(_explain_move(news), False)]
        case AddressBack(where):
            text = _("{where} is an address of this machine again: others can dial you.",
                     where=where)  # fmt: skip
            return [(text, False)]
        case AddressGone():
            return explain_gone(news)


def explain_gone(news: AddressGone) -> list[Sentence]:
    """Nobody can dial us, and why there is no other address if that does not go without saying."""
    told = [(explain_absence(str(news.where), given=news.given), True)]
    if news.error.problem not in _NO_ADDRESS:
        told.append((explain_reach(news.error), True))
    return told


def explain_absence(where: str, *, given: bool) -> str:
    """Our listener's address is gone; ``given``: no other one is looked for."""
    if given:
        return _(
            "{where} is no address of this machine any more: nobody can dial you until it is back.",
            where=where,
        )
    return _(
        "{where} is no address of this machine any more: nobody can dial you until it has another"
        " one.",
        where=where,
    )


def _explain_move(news: AddressMoved) -> str:
    if news.gone is None:
        return _(
            "Your address changed: you listen on {where} now. Give your peer this one, or an"
            " /invite.",
            where=news.where,
        )
    return _(
        "Your address changed: you listen on {where} now, {old} is gone. Give your peer the new"
        " one, or an /invite.",
        where=news.where,
        old=news.gone,
    )
