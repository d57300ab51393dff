"""The README's commands, word for word, with the output that it shows: the `console` blocks of one section."""

import re

from shell import require

# The parts that differ from run to run.
VARYING = [
    (re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"), "ID"),
    (re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z"), "TIME"),
]


def commands(text, heading):
    """Pairs of a command and the output shown below it, in order. A command that ends with a backslash goes on in the
    next line."""
    section = re.search(rf"^## {re.escape(heading)}\n(.*?)(?=^## |\Z)", text, re.M | re.S)
    require(section, f"README.md has no section '{heading}'")
    found = []
    for block in re.findall(r"^```console\n(.*?)^```$", section.group(1), re.M | re.S):
        lines = iter(block.splitlines())
        for line in lines:
            if line.startswith("$ "):
                command = [line[2:]]
                while command[-1].endswith("\\"):
                    command.append(next(lines))
                found.append(("\n".join(command), []))
            else:
                require(found, f"README.md, '{heading}': a block begins without a command: {line}")
                found[-1][1].append(line)
    require(found, f"README.md, '{heading}': no console block with commands")
    return [(command, "\n".join(output)) for command, output in found]


def comparable(output):
    """The lines without the parts that differ from run to run; sorted, because messages are sent in any order."""
    for pattern, name in VARYING:
        output = pattern.sub(name, output)
    return sorted(line.rstrip() for line in output.strip().splitlines())
