"""Completion for bash, zsh and fish, made from the table of options."""

import shlex
from collections.abc import Iterator

from fantom_trio.options import ALTERNATIVES, FILE, Option, table

__all__ = ["script"]


def script(shell: str) -> str:
    """What ``shell`` reads to complete our options; raises ``KeyError`` for one unknown.

    Switches are told in the language in use.
    """
    return {"bash": _bash, "zsh": _zsh, "fish": _fish}[shell](table())


_BASH = """\
# Completion of fantom-trio for bash. In ~/.bashrc:
#     source <(fantom-trio --completion bash)
_fantom_trio() {{
    local word=${{COMP_WORDS[COMP_CWORD]}} before=${{COMP_WORDS[COMP_CWORD-1]}} given option
    given=" ${{COMP_WORDS[*]:1:COMP_CWORD-1}} "
    COMPREPLY=()
    [[ $given == *" -- "* ]] && return
    # To bash, --option=value is three words.
    if [[ $word == "=" ]]; then
        word=
    elif [[ $before == "=" ]]; then
        before=${{COMP_WORDS[COMP_CWORD-2]}}
    fi
    case $before in
{values}
    esac
    [[ $word == -* ]] || return
    for option in {options}; do
        [[ $option == "$word"* && $given != *" $option "* ]] && COMPREPLY+=("$option")
    done
}}
complete -F _fantom_trio fantom-trio"""


def _bash(options: tuple[Option, ...]) -> str:
    cases = []
    other = []
    for each in options:
        if each.values == FILE:
            cases.append(f"        {each.name}) compopt -o default; return ;;")
        elif each.values:
            words = shlex.quote(" ".join(each.values))
            cases.append(
                f'        {each.name}) COMPREPLY=($(compgen -W {words} -- "$word")); return ;;'
            )
        elif each.metavar and not each.bare:  # else another option may stand behind it
            other.append(each.name)
    # An address, a port, a number: nobody else knows which.
    cases.append(f"        {'|'.join(other)}) return ;;")
    names = " ".join(name for each in options for name in (each.short, each.name) if name)
    return _BASH.format(values="\n".join(cases), options=names)


_ZSH = """\
#compdef fantom-trio
# Completion of fantom-trio for zsh. As a file _fantom-trio in a folder of $fpath, or in ~/.zshrc,
# after compinit:
#     source <(fantom-trio --completion zsh)
_fantom-trio() {{
    _arguments -S : \\
{specs}
}}
if [[ $funcstack[1] == _fantom-trio ]]; then
    _fantom-trio "$@"
else
    compdef _fantom-trio fantom-trio
fi"""


def _zsh(options: tuple[Option, ...]) -> str:
    specs = []
    for each in options:
        names = [name for name in (each.short, each.name) if name]
        without = " ".join(dict.fromkeys([*names, *_apart(each, options)]))
        for name in names:
            text = f"({without}){name}"
            if each.metavar and not each.bare:
                text += "="
            text += f"[{_for_zsh(each.help)}]"
            if each.bare:
                text += "::PEER: "
            elif each.values == FILE:
                text += f":{each.metavar}:_files"
            elif each.values:
                text += f":{each.metavar}:({' '.join(each.values)})"
            elif each.metavar:
                text += f":{each.metavar}: "
            specs.append(text)
    specs.append("::TEXT: ")
    lines = " \\\n".join("        " + shlex.quote(spec) for spec in specs)
    return _ZSH.format(specs=lines)


def _for_zsh(text: str) -> str:
    for char in "\\[]:":
        text = text.replace(char, "\\" + char)
    return text


def _apart(option: Option, options: tuple[Option, ...]) -> Iterator[str]:
    """Options that a call with ``option`` cannot have."""
    for names in ALTERNATIVES:
        if option.name in names:
            yield from names
    yield from option.idle_beside
    for each in options:
        if option.name in each.idle_beside:
            yield each.name


def _fish(options: tuple[Option, ...]) -> str:
    lines = [
        "# Completion of fantom-trio for fish, as ~/.config/fish/completions/fantom-trio.fish:",
        "#     fantom-trio --completion fish > ~/.config/fish/completions/fantom-trio.fish",
        "complete -c fantom-trio -f",
    ]
    for each in options:
        parts = [f"complete -c fantom-trio -l {each.name.removeprefix('--')}"]
        if each.short:
            parts.append(f"-s {each.short.removeprefix('-')}")
        if each.values == FILE:
            parts.append("-r -F")
        elif each.values:
            parts.append(f"-x -a {_for_fish(' '.join(each.values))}")
        elif each.metavar and not each.bare:
            parts.append("-x")
        parts.append(f"-d {_for_fish(each.help)}")
        lines.append(" ".join(parts))
    return "\n".join(lines)


def _for_fish(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
