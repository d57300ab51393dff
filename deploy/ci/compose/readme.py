"""The README's commands, word for word: the lines behind `$ ` in the `console` blocks of one section."""

import re

from shell import require


def commands(text, heading):
    """The commands of a section, in order. A command that ends with a backslash goes on in the next line."""
    section = re.search(rf"^## {re.escape(heading)}\n(.*?)(?=^## |\Z)", text, re.M | re.S)
    require(section, f"README.md has no section '{heading}'")
    found = []
    for block in re.findall(r"^```console\n(.*?)^```$", section.group(1), re.M | re.S):
        lines = iter(block.splitlines())
        for line in lines:
            if not line.startswith("$ "):
                continue
            command = [line[2:]]
            while command[-1].endswith("\\"):
                command.append(next(lines))
            found.append("\n".join(command))
    require(found, f"README.md, '{heading}': no console block with commands")
    return found
