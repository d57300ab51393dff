"""The machine's network as it was before dockerd, restored and compared."""

import json
import re
import shutil
from pathlib import Path

from shell import run

FORWARD = Path("/proc/sys/net/ipv4/ip_forward")
# Built-in chains of the tables to which dockerd adds rules.
TABLES = {"filter": ("INPUT", "FORWARD", "OUTPUT"), "nat": ("PREROUTING", "INPUT", "OUTPUT", "POSTROUTING")}


def interfaces():
    return {link["ifname"] for link in json.loads(run("ip", "-json", "link"))}


def rules(command):
    """The output of `iptables-save` without comments and counters. Tables that were never used are not printed; they
    count as tables without rules."""
    text = re.sub(r" \[\d+:\d+\]", "", run(f"{command}-save"))
    printed = {}
    for table in re.findall(r"^\*(\w+)\n(.*?)^COMMIT$", text, re.M | re.S):
        printed[table[0]] = table[1].splitlines()
    for name, chains in TABLES.items():
        printed.setdefault(name, [f":{chain} ACCEPT" for chain in chains])
    return printed


def state():
    return {
        "interfaces": interfaces(),
        "tables": {command: rules(command) for command in ("iptables", "ip6tables") if shutil.which(f"{command}-save")},
        "forward": FORWARD.read_text(),
    }


def restore(before):
    """Removes the bridges and rules that dockerd leaves behind, and returns the remaining differences."""
    for name in interfaces() - before["interfaces"]:
        run("ip", "link", "delete", name, check=False)
    for command, tables in before["tables"].items():
        text = "".join(f"*{name}\n" + "\n".join(lines) + "\nCOMMIT\n" for name, lines in tables.items())
        run(f"{command}-restore", stdin=text, check=False)
    FORWARD.write_text(before["forward"])
    after = state()
    return [part for part in before if before[part] != after[part]]
